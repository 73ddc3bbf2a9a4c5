"""The fairness gate: a metric by groups, and how far the groups are parts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlship.exhibits import Table
from mlship.gates import limits
from mlship.gates.base import GateContext, Limit, without
from mlship.gates.parts import extreme
from mlship.gates.slices.figures import slices_of
from mlship.gates.slices.sliced import ERRORS, Grouping, cannot_cut, groupings, measure, told, too_small
from mlship.policy.gates import FairnessGate
from mlship.report.figures import number
from mlship.stats import simultaneous
from mlship.types import GateResult, Measurement, Status

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Quantile bins of a column of numbers, such as an age.
_BINS = 4
_SHOWN = 20
_SOURCE = "simultaneous interval"


class Fairness:
    """The rules of `gates.fairness`: the largest difference and the smallest ratio between two groups of a column."""

    name = "fairness"

    def judge(self, context: GateContext) -> list[GateResult]:
        """One result for each column and limit."""
        rules = context.policy.gates.fairness
        if rules is None:
            return []
        asked = _asked(rules)

        def none(status: Status, reason: str, columns: tuple[str, ...]) -> list[GateResult]:
            return [
                without(self.name, f"{column} {kind}", status, limit or "-", reason)
                for column in columns
                for kind, limit in asked
            ]

        if reason := cannot_cut(context.evaluation, rules.by, rules.metric):
            return none(Status.INCONCLUSIVE, reason, rules.by)
        assert context.evaluation is not None, "cannot_cut has looked"
        cut = list(groupings(context.evaluation, rules.by, _BINS, rules.min_rows, pairs=False))
        errors = ERRORS / len(asked) / len(cut)
        try:
            sliced = measure(context, rules.metric, cut, lambda one: 1 - errors / max(_pairs(int(one.judged.sum())), 1))
        except ValueError as error:
            return none(Status.ERROR, str(error), rules.by)
        results = []
        for grouping in sliced.found:
            if grouping.judged.sum() < 2:
                results += none(Status.INCONCLUSIVE, _one_group(grouping, rules.min_rows), (grouping.column,))
                continue
            groups = _Groups(rules.metric, grouping, errors)
            found = [groups.result(kind, limit) for kind, limit in asked]
            results += [replace(found[0], exhibits=(groups.table(),)), *found[1:]]
        return results


def _asked(rules: FairnessGate) -> list[tuple[str, Limit | None]]:
    return [*limits.fairness(rules).items()] or [("groups", None)]


def _one_group(grouping: Grouping, min_rows: int) -> str:
    if not grouping.judged.any():
        return too_small([grouping], min_rows)
    only = grouping.name(int(grouping.judged.argmax()))
    return f"only {only} has {min_rows} rows that the metric can be had on; there is nothing to compare it with"


def _pairs(groups: int) -> int:
    return groups * (groups - 1) // 2


@dataclass(frozen=True, eq=False)
class _Groups:
    """The groups of one column."""

    metric: str
    grouping: Grouping
    errors: float
    """Share of evaluations in which the intervals of this column and limit may miss the truth."""

    def result(self, kind: str, limit: Limit | None) -> GateResult:
        """The one limit, judged."""
        column, value = self.grouping.column, self._values()
        rule = f"{column} {kind}"
        codes = self._codes()
        top, bottom = int(codes[value.argmax()]), int(codes[value.argmin()])
        note = (
            f"{self.metric} is {number(float(value.max()))} for {self.grouping.name(top)} and "
            f"{number(float(value.min()))} for {self.grouping.name(bottom)}"
        )
        more = told([self.grouping])
        note += f"; {more}" if more else ""
        if limit is None:
            measured = self._difference()
            reason = f"no limit is set; {note}"
            return GateResult("fairness", rule, Status.SKIPPED, "-", reason, measured, self._champion("difference"))
        if kind == "max_difference":
            measured, theirs = self._difference(), self._champion("difference")
        elif value.min() < 0:
            reason = f"{self.metric} can be negative, and a ratio of such numbers says nothing; use max_difference"
            return without("fairness", rule, Status.ERROR, limit, reason)
        elif value.max() == 0:
            return without(
                "fairness", rule, Status.INCONCLUSIVE, limit, f"{self.metric} is 0 in every group of {column}"
            )
        else:
            measured, theirs = self._ratio(), self._champion("ratio")
        return extreme(rule, measured, limit, groups=len(codes), champion=theirs, note=note)

    def _codes(self) -> NDArray[np.intp]:
        import numpy as np

        return np.flatnonzero(self.grouping.judged)

    def _values(self) -> NDArray[np.float64]:
        assert self.grouping.measured is not None, "it was measured"
        return self.grouping.measured.candidate.value[self._codes()]

    def _ends(self, intervals: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of each group, so that this many intervals hold at once."""
        assert self.grouping.measured is not None, "it was measured"
        low, high = self.grouping.measured.candidate.ends(1 - self.errors / intervals)
        return low[self._codes()], high[self._codes()]

    def _rows(self) -> int:
        return int(self.grouping.sizes[self._codes()].sum())

    def _difference(self) -> Measurement:
        """Highest minus lowest; the interval holds the largest true difference, whichever groups it is between."""
        name = f"difference of {self.metric}"
        difference, low, high = simultaneous.spread(self._values(), *self._ends(_pairs(len(self._codes()))))
        ends = max(float(low.max()), 0.0), float(high.max())
        return Measurement(name, float(difference.max()), *ends, self._rows(), _SOURCE)

    def _ratio(self) -> Measurement:
        """Lowest by highest, like the difference, on the logarithmic scale."""
        import numpy as np

        name, value = f"ratio of {self.metric}", self._values()
        low, high = self._ends(_pairs(len(self._codes())) if value.min() > 0 else len(value))
        if value.min() > 0:
            with np.errstate(divide="ignore"):
                _, least, most = simultaneous.spread(*np.log([value, low, high]))
            ends = float(np.exp(-most.max())), float(np.exp(-max(least.max(), 0.0)))
        else:  # no logarithm: the corners of all intervals together
            ends = float(low.min() / high.max()), float(min(high.min() / max(low.max(), 1e-12), 1.0))
        return Measurement(name, float(value.min() / value.max()), *ends, self._rows(), _SOURCE)

    def _champion(self, kind: str) -> Measurement | None:
        """The champion's difference or ratio over the same groups."""
        import numpy as np

        assert self.grouping.measured is not None, "it was measured"
        if self.grouping.measured.champion is None:
            return None
        value = self.grouping.measured.champion.value[self._codes()]
        value = value[np.isfinite(value)]
        if len(value) < 2 or (kind == "ratio" and value.max() <= 0):
            return None
        figure = value.max() - value.min() if kind == "difference" else value.min() / value.max()
        return Measurement(f"{kind} of {self.metric}", float(figure), n=self._rows())

    def table(self) -> Table:
        """Each group, the lowest first."""
        groups = sorted(
            slices_of([self.grouping], 1 - self.errors / len(self._codes()), difference=False),
            key=lambda one: one.value,
        )
        if len(groups) > _SHOWN:
            groups = [*groups[: _SHOWN // 2], *groups[-_SHOWN // 2 :]]
        columns = ["group", "rows", self.metric, "low", "high"]
        compared = groups[0].champion is not None
        notes = [f"the lowest and the highest of {len(self._codes())}"] if len(self._codes()) > _SHOWN else []
        more = told([self.grouping])
        return Table(
            f"{self.metric} by {self.grouping.column}",
            (*columns, "champion") if compared else tuple(columns),
            tuple((g.name, g.n, g.value, g.low, g.high, *([g.champion] if compared else [])) for g in groups),
            note="; ".join([*notes, *([more] if more else [])]),
        )
