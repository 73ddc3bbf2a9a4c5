"""The slices gate: is the model good enough for every part of the rows, and which part is the worst?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from mlship.exhibits import Exhibit, Table
from mlship.gates import limits, parts
from mlship.gates.base import GateContext, Limit, without
from mlship.gates.parts import Slice
from mlship.gates.slices.figures import gap_of, heat, slices_of
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
from mlship.report.figures import count, things
from mlship.types import GateResult, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Slices in a table.
_SHOWN = 20


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
            bounds = [limits.slices(rules, kind, is_better=True) for kind in asked]
            return [
                without(self.name, f"{rules.metric} {kind}", status, limit or "-", reason)
                for kind, limit in zip(asked, bounds, strict=True)
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
    return [kind for kind in limits.SLICES if getattr(rules, kind) is not None] or ["worst"]


def _confidence(found: Sequence[Grouping], limits: int) -> float:
    """Of each interval, so that all of them hold at once in 95 of 100 evaluations."""
    return 1 - ERRORS / limits / sum(int(grouping.judged.sum()) for grouping in found)


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
        limit = limits.slices(self.rules, kind, is_better=self.sliced.higher_is_better)
        if limit is None:
            worst = self.slices[0]
            said = parts.head(self.rules.metric, worst)
            reason = f"no limit is set; the worst of {things(len(self.slices), 'slice')}: {said}{self._told()}"
            return parts.made(self.rules.metric, rule, Status.SKIPPED, "-", reason=reason, one=worst)
        if kind == "max_gap":
            return self._gap(rule, limit)
        if kind == "max_drop":
            if self.sliced.unknown:
                reason = f"the champion cannot be compared: {self.sliced.unknown}"
                return without("slices", rule, Status.INCONCLUSIVE, limit, reason)
            if any(grouping.measured is None or grouping.measured.difference is None for grouping in self.found):
                return without("slices", rule, Status.SKIPPED, limit, "there is no champion yet to compare with")
            found = slices_of(self.found, self.confidence, difference=True)
            return parts.slices(self.rules.metric, rule, limit, found, difference=True, told=self._told())
        return parts.slices(self.rules.metric, rule, limit, self.slices, difference=False, told=self._told())

    def _gap(self, rule: str, limit: Limit) -> GateResult:
        """The largest difference between two slices of one column."""
        gap = gap_of(self.found, ERRORS / self.limits, limit.value)
        if gap is None:
            reason = "no column has two slices that can be judged" + self._told()
            return without("slices", rule, Status.INCONCLUSIVE, limit, reason)
        return parts.gap(self.rules.metric, rule, limit, gap, told=self._told())

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
