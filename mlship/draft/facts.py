"""What was found about a model, its versions, its data and its owner, before anything is drafted. All frozen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from mlship.types import GateResult

#: What the model predicts: two classes, more classes, classes it does not name, numbers.
Task = Literal["binary", "classes", "labels", "numbers"]
Kind = Literal["number", "integer", "string", "boolean", "datetime"]


@dataclass(frozen=True, slots=True)
class Owner:
    """Who answers for the model; empty where nobody knows."""

    team: str = ""
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the evaluation rows."""

    name: str
    kind: Kind
    missing: float
    """Share of missing values."""
    low: float | None = None
    high: float | None = None
    """Of numbers: the smallest and the largest that was found."""
    values: tuple[str, ...] = ()
    """Of texts: the distinct ones, where there are few."""


@dataclass(frozen=True, slots=True)
class Data:
    """The evaluation rows."""

    path: str
    """As the policy names it."""
    rows: int
    target: str
    time: str | None
    reference: str | None
    columns: tuple[Column, ...]
    """Those that the model takes, where its signature tells; else all but target and time."""
    others: tuple[str, ...] = ()
    """Columns that the model does not take, in the order of the file; empty when nobody can tell."""


@dataclass(frozen=True, slots=True)
class Version:
    """The version whose figures the draft rests on."""

    number: str
    reference: str
    """How it was found: `@champion`, `@challenger` or `latest`."""
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a draft is made of."""

    model: str
    owner: Owner
    today: date
    registry: str | None = None
    """What the policy says about where the registry is; None: nothing, so MLFLOW_TRACKING_URI or the embedded one."""
    registry_hint: str | None = None
    """The same for a comment, where the policy shall say nothing: without what may be secret."""
    registry_why: str = ""
    """Where the registry was found."""
    version: Version | None = None
    aliases: tuple[str, ...] = ()
    """Of the registered model, without `@`."""
    data: Data | None = None
    task: Task | None = None
    results: tuple[GateResult, ...] = ()
    """What the gates measured of that version on these rows, with limits that everything passes."""
    likely: Task | None = None
    """What a model of these labels predicts, as far as the labels tell."""
    allow_code: bool = False
    """A person trusts the Python code that was logged with the model."""
    rate: float | None = None
    """Requests a second."""
    unknown: tuple[str, ...] = ()
    """What could not be found out, a sentence each."""

    @property
    def subject(self) -> str:
        """What the figures are of: `champion (version 3)`, `version 3`."""
        if self.version is None:
            return "the model"
        role = self.version.reference.removeprefix("@") if self.version.reference.startswith("@") else ""
        return f"{role} (version {self.version.number})" if role else f"version {self.version.number}"

    def measured(self, gate: str, rule: str) -> GateResult | None:
        """The result of a rule, when something was measured."""
        for result in self.results:
            if (result.gate, result.rule) == (gate, rule):
                return result if result.measured is not None and result.measured.value is not None else None
        return None
