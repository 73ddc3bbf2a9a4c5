"""How parts of the rows are judged: the worst slice, the largest gap, the extreme of groups. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlship.gates.judging import Limit, judge
from mlship.report.figures import count, listed, number, things
from mlship.stats.bootstrap import rows_needed
from mlship.types import GateResult, Measurement, Status

#: So many times more rows are worth asking for.
_REACHABLE = 20
_SOURCE = "simultaneous interval"


@dataclass(frozen=True, slots=True)
class Slice:
    """One judged slice with one figure: the metric, or its difference to the champion's."""

    name: str
    n: int
    value: float
    low: float
    high: float
    own: float
    """The candidate's metric."""
    champion: float | None
    """The champion's metric."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The difference between two slices of one column."""

    high_name: str
    high_value: float
    low_name: str
    low_value: float
    low: float
    high: float
    """Ends of the interval of the difference."""
    n: int
    """Rows of both."""
    champion: float | None
    """The champion's difference between the same two slices."""
    pairs: int
    """Differences that were looked at."""

    @property
    def value(self) -> float:
        """The difference itself, never negative."""
        return self.high_value - self.low_value


def slices(
    metric: str, rule: str, limit: Limit, found: Sequence[Slice], *, difference: bool, told: str = ""
) -> GateResult:
    """Failed: a slice is beyond the limit with the whole interval; inconclusive: with its value only.

    Parameters
    ----------
    difference
        Whether the slices' values are differences to the champion.
    told
        What else a reader must know of how the rows were cut.
    """
    found = sorted(found, key=lambda one: one.value if limit.at_least else -one.value)
    proven = [one for one in found if not limit.kept_by(one.high if limit.at_least else one.low)]
    missing = [one for one in found if not limit.kept_by(one.value)]
    one = (proven or missing or found)[0]
    said, bound = head(metric, one, difference=difference), f"the limit {limit.figure(limit.value)}"
    side = "upper" if limit.at_least else "lower"
    many = things(len(found), "slice")
    if proven:
        status, reason = Status.FAILED, f"{said}: even its {side} end is beyond {bound}"
        if len(proven) > 1:
            others = [f"{other.name} ({number(other.value)})" for other in proven[1:]]
            reason += f"; so are {count(len(others))} more of {many}: {listed(others, 3)}"
        elif len(found) > 1:
            reason += f"; the only one of {many} that surely is"
    elif missing:
        status, reason = Status.INCONCLUSIVE, f"{said}: the value is beyond {bound}, but not its {side} end"
        verb = "misses" if len(missing) == 1 else "miss"
        reason += f"; {count(len(missing))} of {many} {verb} it like that, which may be chance"
        needed = rows_needed(one.n, one.value, one.high if limit.at_least else one.low, limit.value)
        if needed is not None and needed <= _REACHABLE * one.n:
            reason += f"; about {count(needed)} rows of {one.name} would tell"
    else:
        which = "lowest" if limit.at_least else "highest"
        surely = sum(limit.kept_by(one.low if limit.at_least else one.high) for one in found)
        status, reason = Status.PASSED, f"all {many} keep {bound}, {_surely(surely, len(found))}; the {which}: {said}"
        if len(found) == 1:
            reason = f"{said}, within {bound}"
    return made(metric, rule, status, limit, reason=reason + told, one=one)


def _surely(some: int, of: int) -> str:
    """How many keep the limit with the whole interval."""
    return f"{'all' if some == of else count(some)} with the whole interval" if some else "none with the whole interval"


def head(metric: str, one: Slice, *, difference: bool = False) -> str:
    """One slice's figures, in words."""
    ends = f"{number(one.low)} to {number(one.high)}, {things(one.n, 'row')}"
    if not difference:
        return f"{metric} is {number(one.value)} for {one.name} (interval {ends})"
    return (
        f"{metric} is {number(one.own)} for {one.name}, the champion's {number(one.champion)}: "
        f"a difference of {number(one.value)} (interval {ends})"
    )


def gap(metric: str, rule: str, limit: Limit, found: Gap, *, told: str = "") -> GateResult:
    """The largest gap between two slices, judged by `widest`."""
    said = (
        f"{metric} is {number(found.high_value)} for {found.high_name} and {number(found.low_value)} for "
        f"{found.low_name}: a gap of {number(found.value)} (interval {number(found.low)} to {number(found.high)})"
    )
    measured = Measurement(f"{metric} gap", found.value, found.low, found.high, found.n, _SOURCE)
    theirs = None if found.champion is None else Measurement(f"{metric} gap", found.champion, n=found.n)
    many = f"the largest of {things(found.pairs, 'difference')}, "
    result = widest(rule, measured, limit, said=said, many=many, champion=theirs)
    return replace(result, reason=result.reason + told)


def widest(
    rule: str, measured: Measurement, limit: Limit, *, said: str, many: str = "", champion: Measurement | None = None
) -> GateResult:
    """Failed: the gap is beyond the limit with the whole interval; inconclusive: with its value only.

    Parameters
    ----------
    said
        The figures in words.
    many
        Of how many differences it is the largest, in words.
    """
    assert measured.value is not None, "a gap is measured, or there is none"
    low = measured.value if measured.low is None else measured.low
    bound = f"the limit {limit.figure(limit.value)}"
    if low > limit.value:
        status, reason = Status.FAILED, f"{said}: even its lower end is beyond {bound}"
    elif measured.value > limit.value:
        status = Status.INCONCLUSIVE
        reason = f"{said}: the value is beyond {bound}, but not its lower end; {many}it may be chance"
    else:
        status, reason = Status.PASSED, f"{said}, the largest in one column, within {bound}"
    return GateResult("slices", rule, status, str(limit), reason, measured, champion)


def distance(rule: str, limit: Limit, measured: Measurement, chance: float, notes: Sequence[str] = ()) -> GateResult:
    """How far a column has drifted, by the one judge, unless chance alone makes as much of so few rows."""
    if measured.value is not None and limit.value < measured.value <= chance:
        reason = (
            f"{measured.metric} is {limit.figure(measured.value)}, beyond the limit {limit.figure(limit.value)}, but "
            f"with {things(measured.n, 'row')} chance alone makes up to {limit.figure(chance)}"
        )
        return GateResult("drift", rule, Status.INCONCLUSIVE, str(limit), "; ".join([reason, *notes]), measured)
    return judge("drift", rule, measured, limit, note="; ".join(notes))


def made(metric: str, rule: str, status: Status, limit: Limit | str, *, reason: str, one: Slice) -> GateResult:
    """The result that rests on one slice."""
    measured = Measurement(f"{metric} of {one.name}", one.value, one.low, one.high, one.n, _SOURCE)
    theirs = None if one.champion is None else Measurement(measured.metric, one.champion, n=one.n)
    return GateResult("slices", rule, status, str(limit), reason, measured, theirs)


def extreme(
    rule: str, measured: Measurement, limit: Limit, *, groups: int, champion: Measurement | None = None, note: str = ""
) -> GateResult:
    """The largest difference, or the smallest ratio, of a column's groups, judged for `gates.fairness`.

    The largest of many differences is large by chance, too: it alone convicts nobody.
    """
    result = judge("fairness", rule, measured, limit, champion=champion, note=note)
    best = measured.high if limit.at_least else measured.low
    if result.status is not Status.FAILED or groups <= 2 or best is None or not limit.kept_by(best):
        return result
    reason = (
        f"{measured.metric} is {number(measured.value)} (interval {number(measured.low)} to "
        f"{number(measured.high)}, {things(measured.n, 'row')}), beyond the limit {limit.figure(limit.value)}, "
        f"but as the extreme of {things(groups, 'group')} it may be chance"
    )
    return replace(result, status=Status.INCONCLUSIVE, reason=f"{reason}; {note}" if note else reason)
