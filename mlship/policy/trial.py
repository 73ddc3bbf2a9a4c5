"""Policy tests as values: figures that are given, verdicts that are expected, each with its place in the file.

What the figures mean is decided where they are judged (`mlship.gates.trial`, `mlship.rollout.trial`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from mlship.policy.faults import Source, Spot
from mlship.policy.tree import Scalar
from mlship.types import Status

#: What a figure may say; the unit of the first four is that of the rule's limit.
FIELDS = ("value", "low", "high", "champion", "n", "groups", "chance")
#: What an arm of a rollout has counted.
COUNTS = ("requests", "errors", "timeouts", "refused", "labels", "wrong")
#: What a look at a rollout may be expected to decide.
VERDICTS = ("hold", "advance", "promote", "pause", "rollback")


@dataclass(frozen=True, slots=True)
class Name:
    """A word of the file, and where it stands."""

    text: str
    spot: Spot


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured for one rule."""

    gate: Name
    rule: Name
    fields: dict[str, Scalar]
    """By the names of ``FIELDS``; empty: not measured."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The status that a gate, or one of its rules, must have."""

    gate: Name
    rule: Name | None
    """None: the worst of the gate's rules."""
    status: Status


@dataclass(frozen=True, slots=True)
class Look:
    """What both arms of a rollout have done at one step."""

    spot: Spot
    step: tuple[int, Spot] | None
    """Counts from 1; None: the first step that compares the two."""
    seconds: Scalar | None
    """Observed at this step; None: as long as its bake asks."""
    stable: dict[str, tuple[int, Spot]]
    canary: dict[str, tuple[int, Spot]]


@dataclass(frozen=True, slots=True)
class Trial:
    """One test."""

    name: str
    spot: Spot
    given: tuple[Figure, ...]
    """The file's own figures, with the test's in their place."""
    has_champion: bool
    today: date | None
    look: Look | None
    verdict: Status | None
    gates: tuple[Expected, ...]
    rollout: str | None
    """One of ``VERDICTS``."""


@dataclass(frozen=True, slots=True)
class TrialFile:
    """One file of tests."""

    path: Path
    source: Source = field(repr=False)
    policy: Path
    policy_spot: Spot
    trials: tuple[Trial, ...]
