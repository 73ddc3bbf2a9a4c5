"""What every gate is given and gives back, and the one judge that turns measurement and limit into a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlship.policy.schema import Policy
from mlship.report import figures
from mlship.sources.files import Rows
from mlship.stats.bootstrap import rows_needed
from mlship.types import Candidate, GateResult, Measurement, ModelVersion, Status

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Below this many rows, nothing about a model is decided.
FEWEST_ROWS = 30


class Predictions(Protocol):
    """What a model said about the evaluation rows, in their order."""

    @property
    def values(self) -> NDArray[np.generic]:
        """Predicted classes or numbers, shape (n,)."""

    @property
    def scores(self) -> NDArray[np.generic] | None:
        """Class probabilities, shape (n, classes), or a decision value, shape (n,); None when the model has neither."""

    @property
    def classes(self) -> NDArray[np.generic] | None:
        """The classes in the order of the columns of `scores`; None when there are none or the model does not tell."""


@dataclass(frozen=True)
class GateContext:
    """Everything a gate may look at. The predictions are made when a gate first asks for them, and then kept."""

    policy: Policy
    resolve: Callable[[str], Path]
    """A path of the policy, made absolute: relative ones start at the policy file."""
    candidate: Candidate
    evaluation: Rows | None
    reference: Rows | None
    score: Callable[[tuple[ModelVersion, ...]], tuple[Predictions, ...]]
    """Predictions of several versions on the evaluation rows."""
    now: date
    seed: int

    @cached_property
    def predictions(self) -> tuple[Predictions, Predictions | None]:
        """Of the candidate and, when there is one, of the champion; both on the same rows."""
        champion = self.candidate.champion
        if champion is None:
            return self.score((self.candidate.version,))[0], None
        ours, theirs = self.score((self.candidate.version, champion))
        return ours, theirs

    def input_columns(self, rows: Rows) -> tuple[str, ...]:
        """The columns that the candidate looks at: its signature's, else every column but target and time."""
        return self.candidate.version.inputs or tuple(
            name for name in rows.frame.columns if name not in (rows.target, rows.time)
        )


class Gate(Protocol):
    """One offline check: it measures, asks the judge, and acts on nothing."""

    name: str

    def judge(self, context: GateContext) -> list[GateResult]:
        """One result for each of its rules; an empty list when the policy does not ask for this gate."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound that a measurement keeps: at least `value`, or at most `value`."""

    value: float
    at_least: bool
    share: bool = False
    """Written in percent."""

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.figure(self.value)}"

    def figure(self, value: float | None) -> str:
        """A value in the limit's unit."""
        return figures.share(value) if self.share else figures.number(value)

    def kept_by(self, value: float) -> bool:
        """Whether the value is on the good side; the limit itself is."""
        return value >= self.value if self.at_least else value <= self.value


def judge(
    gate: str, rule: str, measured: Measurement, limit: Limit, *, champion: Measurement | None = None, note: str = ""
) -> GateResult:
    """The one judge: does the worst end of the measured interval keep the limit?

    - The worst end keeps it: **passed**. (Without an interval the value itself is the worst end.)
    - The value itself does not keep it: **failed**.
    - The value keeps it and the worst end does not: **inconclusive**, with the number of rows that would settle it.
    - There is no value: **inconclusive**, for the measurement's own reason.

    `note` is added to the reason: a name or an example that helps to act on it.
    """

    def result(status: Status, reason: str) -> GateResult:
        return GateResult(gate, rule, status, str(limit), reason + (f"; {note}" if note else ""), measured, champion)

    if measured.value is None:
        return result(Status.INCONCLUSIVE, measured.reason or f"{measured.metric} could not be measured")
    said = limit.figure
    has_interval = measured.low is not None and measured.high is not None
    figure = f"{measured.metric} is {said(measured.value)}"
    bound = f"the limit {said(limit.value)}"
    if not has_interval:
        kept = limit.kept_by(measured.value)
        return result(
            Status.PASSED if kept else Status.FAILED,
            f"{figure}, {'within' if kept else 'beyond'} {bound} ({figures.things(measured.n, 'row')})",
        )
    end = measured.low if limit.at_least else measured.high
    assert end is not None, "has_interval has looked"
    side = "lower" if limit.at_least else "upper"
    figure += f" (95 % interval {said(measured.low)} to {said(measured.high)}, {figures.things(measured.n, 'row')})"
    if limit.kept_by(end):
        return result(Status.PASSED, f"{figure}: its {side} end keeps {bound}")
    if not limit.kept_by(measured.value):
        return result(Status.FAILED, f"{figure}: the value itself is beyond {bound}")
    return result(
        Status.INCONCLUSIVE,
        f"{figure}: the value keeps {bound} but its {side} end does not; {_how_many(measured, end, limit)}",
    )


def _how_many(measured: Measurement, end: float, limit: Limit) -> str:
    assert measured.value is not None, "the judge has looked"
    rows = rows_needed(measured.n, measured.value, end, limit.value)
    if rows is None:
        return "the value sits on the limit, so no number of rows would settle it"
    return f"it needs about {figures.count(rows)} rows"


def without(gate: str, rule: str, status: Status, limit: Limit | str, reason: str) -> GateResult:
    """A result that nothing was measured for: skipped, inconclusive or error, and why."""
    return GateResult(gate, rule, status, str(limit), reason)


def noted(result: GateResult, note: str) -> GateResult:
    """The same result with something added to its reason."""
    return replace(result, reason=f"{result.reason}; {note}")
