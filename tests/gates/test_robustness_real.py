"""Robustness and custom gates on real models in processes of their own, out of a real registry."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mlship.gates.evaluate import evaluate
from mlship.policy.load import load_policy
from mlship.registry.client import Registry
from mlship.types import GateResult, Status
from tests.conftest import RegistryHome

pytestmark = pytest.mark.slow

POLICY = """\
version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com, review_by: 2099-12-31}
candidate: "@challenger"
data:
  evaluation: {path: july.parquet, target: late, time: time_hour}
gates:
  metrics:
    average_precision: {min: 0.5}
  robustness: {rows: 1000, max_drop: 0.1, missing: 20%}
  custom:
    night: {function: "checks:night"}
"""
NIGHT = """\
def night(given):
    late = given.candidate.predictions[given.rows["hour"] >= 18].mean()
    return {"value": late, "min": 0.1, "champion": given.champion.predictions[given.rows["hour"] >= 18].mean()}
"""


@pytest.fixture(scope="module")
def judged(
    registry_home: RegistryHome, flights: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, GateResult]:
    """Every result by gate and rule, of challenger against champion."""
    place: Path = tmp_path_factory.mktemp("robustness")
    flights[flights["month"] == 7].iloc[::14].drop(columns=["month", "day"]).to_parquet(place / "july.parquet")
    (place / "policy.yaml").write_text(POLICY, encoding="utf-8")
    (place / "checks.py").write_text(NIGHT, encoding="utf-8")
    loaded = load_policy(place / "policy.yaml")
    candidate = Registry.connect(None, registry_home.home).candidate(loaded.policy)
    done = evaluate(loaded, candidate, registry_home.home, lambda _: None, only=["robustness", "custom"])
    return {f"{result.gate} {result.rule}": result for result in done.results}


def test_rows_of_the_registrys_models_are_perturbed_by_their_signatures(judged: dict[str, GateResult]) -> None:
    """Whole numbers stay whole, or the process would have refused them; only what may miss a value does."""
    for kind in ("noise", "scale", "unseen_categories"):
        found = judged[f"robustness {kind} max_drop"]
        assert found.status is Status.PASSED, found.reason
        assert found.champion is not None
    missing = judged["robustness missing max_drop"]
    assert missing.measured is not None, missing.reason
    assert "hour, distance and weekday hold whole numbers in the signature" in missing.reason


def test_a_missing_column_is_refused_by_the_process(judged: dict[str, GateResult]) -> None:
    """And an extra one, or another order, changes nothing."""
    found = judged["robustness columns"]
    assert found.status is Status.PASSED, found.reason
    assert "one at a time, it refuses" in found.reason
    assert judged["robustness permuted"].reason.startswith(
        "shuffled one at a time, change of average_precision: dep_delay"
    )


def test_a_function_sees_what_the_models_said(judged: dict[str, GateResult]) -> None:
    """Of both versions."""
    found = judged["custom night"]
    assert found.status is Status.PASSED, found.reason
    assert found.champion is not None
    assert found.champion.value
