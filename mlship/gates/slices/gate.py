"""The slices gate: is the model good enough for every part of the rows, and which part is the worst?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from mlship.exhibits import Exhibit, Table
from mlship.gates.base import GateContext, Limit, without
from mlship.gates.slices.figures import Slice, gap_of, heat, slices_of
from mlship.gates.slices.sliced import (
    ERRORS,
    Grouping,
    Sliced,
    cannot_cut,
    groupings,
    measure,
    told,
    too_small,
)
from mlship.policy.gates import SlicesGate
from mlship.report.figures import count, listed, number, things
from mlship.stats.bootstrap import rows_needed
from mlship.types import GateResult, Measurement, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

#: So many times more rows are worth asking for.
_REACHABLE = 20
#: Slices in a table.
_SHOWN = 20
_SOURCE = "simultaneous interval"


class Slices:
    """The rules of `gates.slices`: a metric per slice and per pair of slices, against limits and the champion."""

    name = "slices"

    def judge(self, context: GateContext) -> list[GateResult]:
        """One result for each limit that the policy sets."""
        rules = context.policy.gates.slices
        if rules is None:
            return []
        asked = _asked(rules)

        def none(status: Status, reason: str) -> list[GateResult]:
            limits = [_limit(rules, kind, higher_is_better=True) for kind in asked]
            return [
                without(self.name, f"{rules.metric} {kind}", status, limit or "-", reason)
                for kind, limit in zip(asked, limits, strict=True)
            ]

        if reason := cannot_cut(context.evaluation, rules.by, rules.metric):
            return none(Status.INCONCLUSIVE, reason)
        assert context.evaluation is not None, "cannot_cut has looked"
        cut = list(groupings(context.evaluation, rules.by, rules.bins, rules.min_rows, pairs=rules.pairs))
        sliced = None
        if any(grouping.judged.any() for grouping in cut):
            confidence = _confidence(cut, len(asked))
            try:
                sliced = measure(context, rules.metric, cut, lambda _: confidence)
            except ValueError as error:
                return none(Status.ERROR, str(error))
        if sliced is None or not any(grouping.judged.any() for grouping in sliced.found):
            return none(Status.INCONCLUSIVE, too_small(sliced.found if sliced else cut, rules.min_rows))
        judge = _Judge(rules, sliced, len(asked))
        results = [judge.result(kind) for kind in asked]
        return [judge.shown(results[0]), *results[1:]]


def _asked(rules: SlicesGate) -> list[str]:
    """The limits that the policy sets; without any, the worst slice is told all the same."""
    return [kind for kind in ("min", "max", "max_gap", "max_drop") if getattr(rules, kind) is not None] or ["worst"]


def _limit(rules: SlicesGate, kind: str, *, higher_is_better: bool) -> Limit | None:
    value = None if kind == "worst" else float(getattr(rules, kind))
    if value is None:
        return None
    if kind == "max_drop" and higher_is_better:
        return Limit(-value if value else 0.0, at_least=True)
    return Limit(value, at_least=kind == "min")


def _confidence(found: Sequence[Grouping], limits: int) -> float:
    """Of each interval, so that all of them hold at once in 95 of 100 evaluations."""
    return 1 - ERRORS / limits / sum(int(grouping.judged.sum()) for grouping in found)


def _surely(some: int, of: int) -> str:
    """How many keep the limit with the whole interval."""
    return f"{'all' if some == of else count(some)} with the whole interval" if some else "none with the whole interval"


@dataclass(frozen=True, eq=False)
class _Judge:
    """What was measured, and what is asked of it."""

    rules: SlicesGate
    sliced: Sliced
    limits: int

    @property
    def found(self) -> list[Grouping]:
        """The rows by each column and pair."""
        return self.sliced.found

    @property
    def confidence(self) -> float:
        """Of each slice's interval, so that all slices and limits together have at most 5 % false alarms."""
        return _confidence(self.found, self.limits)

    @cached_property
    def slices(self) -> list[Slice]:
        """The candidate's metric in each judged slice, the worst first."""
        found = slices_of(self.found, self.confidence, difference=False)
        low_is_worse = self.sliced.higher_is_better if self.rules.max is None else self.rules.min is not None
        return sorted(found, key=lambda one: one.value if low_is_worse else -one.value)

    def result(self, kind: str) -> GateResult:
        """The one limit, judged."""
        rule = f"{self.rules.metric} {kind}"
        limit = _limit(self.rules, kind, higher_is_better=self.sliced.higher_is_better)
        if limit is None:
            worst = self.slices[0]
            reason = f"no limit is set; the worst of {things(len(self.slices), 'slice')}: {self._head(worst)}"
            return self._made(rule, Status.SKIPPED, "-", reason, worst)
        if kind == "max_gap":
            return self._gap(rule, limit)
        if kind == "max_drop":
            if self.sliced.unknown:
                reason = f"the champion cannot be compared: {self.sliced.unknown}"
                return without("slices", rule, Status.INCONCLUSIVE, limit, reason)
            if any(grouping.measured is None or grouping.measured.difference is None for grouping in self.found):
                return without("slices", rule, Status.SKIPPED, limit, "there is no champion yet to compare with")
            found = slices_of(self.found, self.confidence, difference=True)
            return self._judged(rule, limit, found, difference=True)
        return self._judged(rule, limit, self.slices, difference=False)

    def _judged(self, rule: str, limit: Limit, slices: Sequence[Slice], *, difference: bool) -> GateResult:
        """Failed: a slice is beyond the limit with the whole interval; inconclusive: with its value only."""
        slices = sorted(slices, key=lambda one: one.value if limit.at_least else -one.value)
        proven = [one for one in slices if not limit.kept_by(one.high if limit.at_least else one.low)]
        missing = [one for one in slices if not limit.kept_by(one.value)]
        one = (proven or missing or slices)[0]
        head, bound = self._head(one, difference=difference), f"the limit {limit.figure(limit.value)}"
        side = "upper" if limit.at_least else "lower"
        many = things(len(slices), "slice")
        if proven:
            status, reason = Status.FAILED, f"{head}: even its {side} end is beyond {bound}"
            if len(proven) > 1:
                others = [f"{other.name} ({number(other.value)})" for other in proven[1:]]
                reason += f"; so are {count(len(others))} more of {many}: {listed(others, 3)}"
            elif len(slices) > 1:
                reason += f"; the only one of {many} that surely is"
        elif missing:
            status, reason = Status.INCONCLUSIVE, f"{head}: the value is beyond {bound}, but not its {side} end"
            verb = "misses" if len(missing) == 1 else "miss"
            reason += f"; {count(len(missing))} of {many} {verb} it like that, which may be chance"
            needed = rows_needed(one.n, one.value, one.high if limit.at_least else one.low, limit.value)
            if needed is not None and needed <= _REACHABLE * one.n:
                reason += f"; about {count(needed)} rows of {one.name} would tell"
        else:
            which = "lowest" if limit.at_least else "highest"
            surely = sum(limit.kept_by(one.low if limit.at_least else one.high) for one in slices)
            status, reason = (
                Status.PASSED,
                f"all {many} keep {bound}, {_surely(surely, len(slices))}; the {which}: {head}",
            )
            if len(slices) == 1:
                reason = f"{head}, within {bound}"
        return self._made(rule, status, limit, reason, one)

    def _head(self, one: Slice, *, difference: bool = False) -> str:
        metric = self.rules.metric
        ends = f"{number(one.low)} to {number(one.high)}, {things(one.n, 'row')}"
        if not difference:
            return f"{metric} is {number(one.value)} for {one.name} (interval {ends})"
        return (
            f"{metric} is {number(one.own)} for {one.name}, the champion's {number(one.champion)}: "
            f"a difference of {number(one.value)} (interval {ends})"
        )

    def _gap(self, rule: str, limit: Limit) -> GateResult:
        """The largest difference between two slices of one column."""
        gap = gap_of(self.found, ERRORS / self.limits, limit.value)
        if gap is None:
            reason = "no column has two slices that can be judged" + self._told()
            return without("slices", rule, Status.INCONCLUSIVE, limit, reason)
        metric = self.rules.metric
        head = (
            f"{metric} is {number(gap.high_value)} for {gap.high_name} and {number(gap.low_value)} for {gap.low_name}: "
            f"a gap of {number(gap.value)} (interval {number(gap.low)} to {number(gap.high)})"
        )
        bound = f"the limit {limit.figure(limit.value)}"
        if gap.low > limit.value:
            status, reason = Status.FAILED, f"{head}: even its lower end is beyond {bound}"
        elif gap.value > limit.value:
            status = Status.INCONCLUSIVE
            reason = f"{head}: the value is beyond {bound}, but not its lower end; the largest of "
            reason += f"{things(gap.pairs, 'difference')}, it may be chance"
        else:
            status, reason = Status.PASSED, f"{head}, the largest in one column, within {bound}"
        measured = Measurement(f"{metric} gap", gap.value, gap.low, gap.high, gap.n, _SOURCE)
        theirs = None if gap.champion is None else Measurement(f"{metric} gap", gap.champion, n=gap.n)
        return GateResult("slices", rule, status, str(limit), reason + self._told(), measured, theirs)

    def _made(self, rule: str, status: Status, limit: Limit | str, reason: str, one: Slice) -> GateResult:
        metric = f"{self.rules.metric} of {one.name}"
        measured = Measurement(metric, one.value, one.low, one.high, one.n, _SOURCE)
        theirs = None if one.champion is None else Measurement(metric, one.champion, n=one.n)
        return GateResult("slices", rule, status, str(limit), reason + self._told(), measured, theirs)

    def _told(self) -> str:
        more = told(self.found)
        return f"; {more}" if more else ""

    def shown(self, result: GateResult) -> GateResult:
        """The result with the worst slices in a table, and a grid for each pair of columns."""
        metric = self.rules.metric
        columns = ["slice", "rows", metric, "low", "high"]
        compared = self.slices[0].champion is not None
        worst = self.slices[:_SHOWN]
        table = Table(
            f"Worst slices by {metric}",
            (*columns, "champion") if compared else tuple(columns),
            tuple(
                (one.name, one.n, one.value, one.low, one.high, *([one.champion] if compared else [])) for one in worst
            ),
            note="; ".join(
                [
                    f"the worst {count(len(worst))} of {things(len(self.slices), 'slice')}; low and high hold for all "
                    "slices at once in 95 of 100 evaluations",
                    *filter(None, [told(self.found)]),
                ]
            ),
        )
        grids: list[Exhibit] = [heat(grouping, metric, self.rules.max) for grouping in self.found if grouping.pair]
        return replace(result, exhibits=(table, *grids))
