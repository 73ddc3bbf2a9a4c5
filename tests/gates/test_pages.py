"""The examples on the pages of `docs/gates` are what the gates really say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.gates.contract import Contract
from mlship.gates.leakage import Leakage
from mlship.gates.metrics.gate import Metrics
from mlship.gates.ownership import Ownership
from mlship.report.text import table
from tests.gates.support import Case, said

PAGES = Path(__file__).parents[2] / "docs" / "gates"
RNG = np.random.default_rng(2013)
N = 1000
SOUND = pd.DataFrame(
    {
        "flight": [f"F{i}" for i in range(N)],
        "at": pd.date_range("2026-07-01", periods=N, freq="30min"),
        "origin": RNG.choice(["JFK", "LGA", "EWR"], N),
        "delay": RNG.normal(5, 20, N).round(),
        "late": (RNG.random(N) < 0.3).astype(int),
    }
)
INPUTS = ("origin", "delay")
TRAINED = SOUND.assign(flight="T" + SOUND["flight"], at=SOUND["at"] - pd.Timedelta(days=90))


def _case(rows: pd.DataFrame, gates: dict[str, Any], **more: Any) -> Case:
    return Case(gates=gates, rows=rows, target="late", time="at", entity=("flight",), inputs=INPUTS, **more)


CONTRACT = {
    "columns": {"delay": {"type": "number", "min": -60, "max": 1500}, "origin": {"values": ["JFK", "LGA", "EWR"]}}
}
LEAKAGE = {"unavailable": ["arrival"], "max_single_feature_auc": 0.98, "max_overlap": 0, "chronological": True}
METRICS = {"recall": {"min": 0.6, "max_drop": 0.01}, "roc_auc": {"min": 0.8}}


def _scored(signal: float, rows: pd.DataFrame) -> Any:
    noise = np.random.default_rng(7).normal(size=len(rows))
    return said(1 / (1 + np.exp(-(signal * (rows["late"] - 0.5) + noise))))


def _broken() -> pd.DataFrame:
    rows = pd.concat([SOUND, SOUND.iloc[[4, 9]], SOUND.iloc[[20]].assign(late=1 - SOUND["late"][20])])
    return rows.assign(delay=rows["delay"].mask(rows["delay"] > 40), origin=rows["origin"].replace("LGA", "lga"))


def _leaking() -> Case:
    case = _case(pd.concat([SOUND, TRAINED.iloc[:5]]), {"leakage": LEAKAGE}, reference=TRAINED, reference_time="at")
    assert case.rows is not None
    noise = np.random.default_rng(3).normal(0, 20, len(case.rows)).round()
    case.rows = case.rows.assign(arrival=case.rows["late"] * 30, in_air=200 + case.rows["late"] * 30 + noise)
    case.inputs = (*INPUTS, "arrival", "in_air")
    case.champion_inputs, case.models = INPUTS, {"2": _by("in_air"), "1": _by("delay")}
    return case


def _by(column: str) -> Any:
    """A model that looks at one column."""
    return lambda rows: said(1 / (1 + np.exp(-rows[column] / 50)))


EXAMPLES: dict[tuple[str, str], tuple[Any, Case]] = {
    ("contract", "passing"): (Contract(), _case(SOUND, {"contract": CONTRACT})),
    ("contract", "failing"): (Contract(), _case(_broken(), {"contract": CONTRACT})),
    ("leakage", "passing"): (
        Leakage(),
        _case(
            SOUND,
            {"leakage": LEAKAGE},
            reference=TRAINED,
            reference_time="at",
            champion_inputs=("delay",),
            models={"2": _by("delay"), "1": _by("delay")},
        ),
    ),
    ("leakage", "failing"): (Leakage(), _leaking()),
    ("metrics", "passing"): (
        Metrics(),
        _case(SOUND, {"metrics": METRICS}, candidate=_scored(3, SOUND), champion=_scored(2.5, SOUND)),
    ),
    ("metrics", "failing"): (
        Metrics(),
        _case(SOUND, {"metrics": METRICS}, candidate=_scored(2.5, SOUND), champion=_scored(3, SOUND)),
    ),
    ("metrics", "inconclusive"): (
        Metrics(),
        _case(SOUND.head(90), {"metrics": METRICS}, candidate=_scored(1.7, SOUND.head(90))),
    ),
    ("ownership", "passing"): (
        Ownership(),
        Case(owner={"review_by": "2027-06-30", "runbook": "https://example.com/runbooks/late"}),
    ),
    ("ownership", "failing"): (Ownership(), Case(owner={"review_by": "2026-06-30", "runbook": "runbooks/late.md"})),
}


@pytest.mark.parametrize(("gate", "outcome"), EXAMPLES)
def test_the_page_shows_what_the_gate_says(gate: str, outcome: str) -> None:
    """Word for word, figure for figure."""
    judge, case = EXAMPLES[gate, outcome]
    shown = "\n".join(table(judge.judge(case.context())))
    assert f"```text\n{shown}\n```" in (PAGES / f"{gate}.md").read_text(encoding="utf-8")


def test_every_gate_has_a_page() -> None:
    """And every page a gate."""
    from mlship.gates.table import GATES

    assert {gate.name for gate in GATES} == {page.stem for page in PAGES.glob("*.md")} - {"index"}
