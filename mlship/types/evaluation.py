"""Candidates, and what their gates found out about them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mlship.exhibits import Exhibit
from mlship.types.monitoring import Baseline


class Status(StrEnum):
    """Outcome of a rule, a gate or a whole evaluation."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    SKIPPED = "skipped"


#: From best to worst; a fold takes the worst. Skipped neither helps nor harms.
SEVERITY = (Status.SKIPPED, Status.PASSED, Status.INCONCLUSIVE, Status.ERROR, Status.FAILED)


def worst(statuses: list[Status]) -> Status:
    """Fold statuses into one by taking the worst; nothing at all, or only skips, is inconclusive."""
    folded = max(statuses, key=SEVERITY.index, default=Status.INCONCLUSIVE)
    return Status.INCONCLUSIVE if folded is Status.SKIPPED else folded


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One exact version of a registered model, fetched to local disk."""

    model: str
    version: str
    digest: str
    """sha256 over the model's files: their relative paths and contents, in sorted order."""
    path: Path
    """Local directory that holds the `MLmodel` file; content-addressed, read-only by convention."""
    run_id: str | None = None
    inputs: tuple[str, ...] = ()
    """Names of the columns in the model's signature; empty when it has none."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """The exact model version under judgement in this run, and the champion it is compared with."""

    version: ModelVersion
    champion: ModelVersion | None
    """None at the first promotion."""

    @property
    def model(self) -> str:
        """Name of the registered model."""
        return self.version.model


@dataclass(frozen=True, slots=True)
class Measurement:
    """One observed value with sample size, interval and source."""

    metric: str
    value: float | None
    """None when it could not be measured; `reason` then says why."""
    low: float | None = None
    high: float | None = None
    """Ends of the two-sided 95 % interval, where there is one."""
    n: int = 0
    source: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GateResult:
    """One rule of one gate, judged."""

    gate: str
    rule: str
    status: Status
    limit: str
    """The limit as a person would write it: `>= 0.6`, `<= 1%`."""
    reason: str
    """One sentence with the figures that decided."""
    measured: Measurement | None = None
    champion: Measurement | None = None
    exhibits: tuple[Exhibit, ...] = ()
    """What a report shows beside the figures: tables, curves, heat rows."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All gates of one candidate under one policy: the evidence a promotion rests on."""

    id: str
    candidate: Candidate
    policy_digest: str
    data_digest: str
    results: tuple[GateResult, ...]
    started: float
    seconds: float
    run_id: str | None = None
    """The MLflow run that keeps it, once logged."""
    reference_digest: str | None = None
    """sha256 of the reference data, where the policy names some."""
    recent_digest: str | None = None
    """sha256 of the recent data, where the policy names some."""
    partial: str = ""
    """Why it is no full evaluation against the champion, such as `only metrics was judged`: so it lets nobody onto
    traffic. Empty for a full one."""
    who: str = ""
    """Who asked for it, as in the ledger; empty when unknown."""
    baseline: Baseline | None = None
    """What live traffic will be held against; None where the policy has no `monitor`, or it could not be made."""

    @property
    def status(self) -> Status:
        """The worst status of all rules."""
        return worst([result.status for result in self.results])
