"""What the gates' tests share: a context of rows, predictions and a policy section, without a registry or a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlship.gates.base import GateContext
from mlship.policy.schema import Policy
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
    candidate: Said | None = None
    champion: Said | None = None
    owner: dict[str, Any] = field(default_factory=dict)
    base: Path = Path("/nowhere")

    def context(self) -> GateContext:
        """The context that a gate is given."""
        data: dict[str, Any] = {
            "evaluation": {"path": "e.csv", "target": self.target, "time": self.time},
            "entity": self.entity,
        }
        if self.reference is not None:
            data["reference"] = {"path": "r.csv", "time": self.reference_time}
        policy = Policy.model_validate(
            {
                "version": 1,
                "model": "m",
                "owner": {"team": "t", "contact": "t@example.com"} | self.owner,
                "data": data if self.rows is not None else None,
                "gates": self.gates,
            }
        )
        scored = {"2": self.candidate, "1": self.champion}

        def score(versions: tuple[ModelVersion, ...]) -> tuple[Any, ...]:
            return tuple(scored[version.version] for version in versions)

        return GateContext(
            policy=policy,
            resolve=lambda path: self.base / path,
            candidate=Candidate(version("2", self.inputs), version("1") if self.champion else None),
            evaluation=None
            if self.rows is None
            else Rows(self.rows, "sha256:e", Path("e.csv"), self.target, self.time),
            reference=None
            if self.reference is None
            else Rows(self.reference, "sha256:r", Path("r.csv"), None, self.reference_time),
            score=score,
            now=NOW,
            seed=1,
        )

    def judged(self, gate: Any) -> dict[str, GateResult]:
        """The gate's results by rule."""
        return {result.rule: result for result in gate.judge(self.context())}
