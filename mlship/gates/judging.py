"""The one judge that turns a measurement and a limit into a result. Pure, and light to import: policy tests use it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mlship.report import figures
from mlship.stats.bootstrap import rows_needed
from mlship.types import GateResult, Measurement, Status


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
    measured: one of it, and many. A measurement whose `n` is 0 does not say on how many, and neither does its reason.
    """

    def result(status: Status, reason: str) -> GateResult:
        return GateResult(gate, rule, status, str(limit), reason + (f"; {note}" if note else ""), measured, champion)

    if measured.value is None:
        return result(Status.INCONCLUSIVE, measured.reason or f"{measured.metric} could not be measured")
    said = limit.figure
    has_interval = measured.low is not None and measured.high is not None
    figure = f"{measured.metric} is {said(measured.value)}"
    bound = f"the limit {said(limit.value)}"
    many = figures.things(measured.n, *counted) if measured.n else ""
    if not has_interval:
        kept = limit.kept_by(measured.value)
        return result(
            Status.PASSED if kept else Status.FAILED,
            f"{figure}, {'within' if kept else 'beyond'} {bound}" + (f" ({many})" if many else ""),
        )
    end = measured.low if limit.at_least else measured.high
    assert end is not None, "has_interval has looked"
    side = "lower" if limit.at_least else "upper"
    figure += f" (95 % interval {said(measured.low)} to {said(measured.high)}{many and ', '}{many})"
    if limit.kept_by(end):
        return result(Status.PASSED, f"{figure}: its {side} end keeps {bound}")
    if not limit.kept_by(measured.value):
        return result(Status.FAILED, f"{figure}: the value itself is beyond {bound}")
    wanted = _how_many(measured, end, limit, counted)
    return result(
        Status.INCONCLUSIVE,
        f"{figure}: the value keeps {bound} but its {side} end does not" + (f"; {wanted}" if wanted else ""),
    )


def _how_many(measured: Measurement, end: float, limit: Limit, counted: tuple[str, str]) -> str:
    assert measured.value is not None, "the judge has looked"
    if not measured.n:
        return ""  # nobody knows how many there were, let alone how many there should be
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
