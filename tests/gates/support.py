"""What the gates' tests share: a context of rows, predictions and a policy section, without a registry or a process."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlship.gates.base import GateContext
from mlship.home import Home
from mlship.policy.schema import Policy
from mlship.registry.files import digest_of
from mlship.sources.files import Rows
from mlship.types import Candidate, GateResult, ModelVersion

NOW = date(2026, 11, 21)


@dataclass(frozen=True, eq=False)
class Said:
    """Predictions that a test wrote down."""

    values: Any
    scores: Any = None
    classes: Any = None


def said(score: Any, threshold: float = 0.5) -> Said:
    """A binary classifier that gives these probabilities of class 1."""
    score = np.asarray(score, dtype=float)
    return Said((score > threshold).astype(int), np.c_[1 - score, score], np.array([0, 1]))


def version(number: str, inputs: tuple[str, ...] = ()) -> ModelVersion:
    """A version that nobody will load."""
    return ModelVersion("m", number, f"sha256:{number * 8}", Path("/nowhere"), inputs=inputs)


def harmless(directory: Path, number: str, inputs: tuple[str, ...] = (), requirements: str = "") -> ModelVersion:
    """A version whose files are there and hold nothing that a scan would refuse."""
    directory.mkdir(parents=True)
    (directory / "MLmodel").write_text("flavors: {python_function: {loader_module: mlflow.sklearn, model_path: m.pkl}}")
    (directory / "m.pkl").write_bytes(pickle.dumps(OrderedDict(weights=[1.0, 2.0])))
    if requirements:
        (directory / "requirements.txt").write_text(requirements)
    return ModelVersion("m", number, digest_of(directory), directory, inputs=inputs)


@dataclass
class Case:
    """One judgement: the parts that matter are given, the rest is unremarkable."""

    gates: dict[str, Any] = field(default_factory=dict)
    rows: pd.DataFrame | None = None
    target: str | None = "y"
    time: str | None = None
    reference: pd.DataFrame | None = None
    reference_time: str | None = None
    entity: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    champion_inputs: tuple[str, ...] = ()
    candidate: Said | None = None
    champion: Said | None = None
    models: dict[str, Callable[[pd.DataFrame], Said]] | None = None
    """Functions of features by version ("2" the candidate, "1" the champion), for gates that predict other rows."""
    recent: pd.DataFrame | None = None
    owner: dict[str, Any] = field(default_factory=dict)
    versions: tuple[ModelVersion, ModelVersion | None] | None = None
    """The candidate and the champion, for gates that look into their files."""
    base: Path = Path("/nowhere")

    def context(self) -> GateContext:
        """The context that a gate is given."""
        data: dict[str, Any] = {
            "evaluation": {"path": "e.csv", "target": self.target, "time": self.time},
            "entity": self.entity,
        }
        if self.reference is not None:
            data["reference"] = {"path": "r.csv", "time": self.reference_time}
        if self.recent is not None:
            data["recent"] = {"path": "n.csv", "time": self.time}
        policy = Policy.model_validate(
            {
                "version": 1,
                "model": "m",
                "owner": {"team": "t", "contact": "t@example.com"} | self.owner,
                "data": data if self.rows is not None else None,
                "gates": self.gates,
            }
        )
        champion = self.champion is not None or (self.models is not None and "1" in self.models)
        scored = {"2": self.candidate, "1": self.champion}

        def score(versions: tuple[ModelVersion, ...], features: pd.DataFrame, contents: str) -> tuple[Any, ...]:
            if self.models is not None:
                return tuple(self.models[version.version](features) for version in versions)
            assert contents == "sha256:e", "other rows need `models`"
            return tuple(scored[version.version] for version in versions)

        return GateContext(
            policy=policy,
            resolve=lambda path: self.base / path,
            candidate=Candidate(*self.versions)
            if self.versions is not None
            else Candidate(version("2", self.inputs), version("1", self.champion_inputs) if champion else None),
            evaluation=None
            if self.rows is None
            else Rows(self.rows, "sha256:e", Path("e.csv"), self.target, self.time),
            reference=None
            if self.reference is None
            else Rows(self.reference, "sha256:r", Path("r.csv"), None, self.reference_time),
            recent=None if self.recent is None else Rows(self.recent, "sha256:n", Path("n.csv"), None, self.time),
            home=Home(self.base / ".mlship"),
            score=score,
            now=NOW,
            seed=1,
        )

    def judged(self, gate: Any) -> dict[str, GateResult]:
        """The gate's results by rule."""
        return {result.rule: result for result in gate.judge(self.context())}


def assert_page_shows(gate: Any, outcome: str, case: Case) -> None:
    """The gate's page in `docs/gates` shows what the gate says about this case, word for word and figure for figure."""
    from mlship.report.text import table

    shown = "\n".join(table(gate.judge(case.context())))
    page = Path(__file__).parents[2] / "docs" / "gates" / f"{gate.name}.md"
    assert f"```text\n{shown}\n```" in page.read_text(encoding="utf-8"), f"{outcome}: paste this\n{shown}"
