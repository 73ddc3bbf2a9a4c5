"""What every gate is given and gives back, and the one judge that turns measurement and limit into a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlship.home import Home
from mlship.policy.schema import Policy
from mlship.report import figures
from mlship.sources.files import Rows
from mlship.stats.bootstrap import rows_needed
from mlship.types import Candidate, GateResult, Measurement, ModelVersion, Status

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
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


def _untold(_done: int, _total: int) -> None:
    """Nobody watches."""


def _unheard(_sentence: str) -> None:
    """Nobody listens."""


#: Predictions of several versions on one table of features. The text names the table's contents: the same text, the
#: same rows, so that predictions can be kept.
Score = Callable[["tuple[ModelVersion, ...]", "pd.DataFrame", str], "tuple[Predictions, ...]"]


@dataclass(frozen=True)
class GateContext:
    """Everything a gate may look at. The predictions are made when a gate first asks for them, and then kept."""

    policy: Policy
    resolve: Callable[[str], Path]
    """A path of the policy, made absolute: relative ones start at the policy file."""
    candidate: Candidate
    evaluation: Rows | None
    reference: Rows | None
    score: Score
    """The raw way to predictions; most gates want `predictions`, `on` or `predict`."""
    now: date
    seed: int
    recent: Rows | None = None
    home: Home = field(default_factory=Home.find)
    tick: Callable[[int, int], None] = _untold
    """Told (done, total) by a gate whose work takes more than a second, for its progress bar."""
    say: Callable[[str], None] = _unheard
    """Told one sentence by a gate that begins something which a person should know takes long."""

    @cached_property
    def predictions(self) -> tuple[Predictions, Predictions | None]:
        """Of the candidate and, when there is one, of the champion; both on the evaluation rows."""
        assert self.evaluation is not None, "gates ask for predictions of rows that they have seen"
        return self.on(self.evaluation)

    def on(self, rows: Rows) -> tuple[Predictions, Predictions | None]:
        """Of candidate and champion on any rows, such as the reference; the labels are kept from the models.

        Raises ``DataError`` when the rows lack an input, ``ModelError`` when a model fails.
        """
        hidden = {rows.target, self.evaluation.target if self.evaluation else None}
        features = rows.frame[[name for name in rows.frame.columns if name not in hidden]]
        return self.predict(features, rows.digest)

    def predict(self, features: pd.DataFrame, contents: str) -> tuple[Predictions, Predictions | None]:
        """Of candidate and champion on a table without labels; `contents` names what is in it (see `Score`)."""
        champion = self.candidate.champion
        versions = (self.candidate.version, *([champion] if champion else []))
        ours, *theirs = self.score(versions, features, contents)
        return ours, theirs[0] if theirs else None

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
    unit: str = ""
    """What follows the number: ` ms`, ` MB`, `x`."""

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.figure(self.value)}"

    def figure(self, value: float | None) -> str:
        """A value in the limit's unit."""
        return figures.share(value) if self.share else figures.number(value) + self.unit

    def kept_by(self, value: float) -> bool:
        """Whether the value is on the good side; the limit itself is."""
        return value >= self.value if self.at_least else value <= self.value


def judge(
    gate: str,
    rule: str,
    measured: Measurement,
    limit: Limit,
    *,
    champion: Measurement | None = None,
    note: str = "",
    counted: tuple[str, str] = ("row", "rows"),
) -> GateResult:
    """The one judge: does the worst end of the measured interval keep the limit?

    - The worst end keeps it: **passed**. (Without an interval the value itself is the worst end.)
    - The value itself does not keep it: **failed**.
    - The value keeps it and the worst end does not: **inconclusive**, with the number of rows that would settle it.
    - There is no value: **inconclusive**, for the measurement's own reason.

    `note` is added to the reason: a name or an example that helps to act on it. `counted` says what was
    measured: one of it, and many.
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
            f"{figure}, {'within' if kept else 'beyond'} {bound} ({figures.things(measured.n, *counted)})",
        )
    end = measured.low if limit.at_least else measured.high
    assert end is not None, "has_interval has looked"
    side = "lower" if limit.at_least else "upper"
    figure += f" (95 % interval {said(measured.low)} to {said(measured.high)}, {figures.things(measured.n, *counted)})"
    if limit.kept_by(end):
        return result(Status.PASSED, f"{figure}: its {side} end keeps {bound}")
    if not limit.kept_by(measured.value):
        return result(Status.FAILED, f"{figure}: the value itself is beyond {bound}")
    return result(
        Status.INCONCLUSIVE,
        f"{figure}: the value keeps {bound} but its {side} end does not; {_how_many(measured, end, limit, counted)}",
    )


def _how_many(measured: Measurement, end: float, limit: Limit, counted: tuple[str, str]) -> str:
    assert measured.value is not None, "the judge has looked"
    rows = rows_needed(measured.n, measured.value, end, limit.value)
    if rows is None:
        return f"the value sits on the limit, so no number of {counted[1]} would settle it"
    return f"it needs about {figures.things(rows, *counted)}"


def without(gate: str, rule: str, status: Status, limit: Limit | str, reason: str) -> GateResult:
    """A result that nothing was measured for: skipped, inconclusive or error, and why."""
    return GateResult(gate, rule, status, str(limit), reason)


def noted(result: GateResult, note: str) -> GateResult:
    """The same result with something added to its reason."""
    return replace(result, reason=f"{result.reason}; {note}")
