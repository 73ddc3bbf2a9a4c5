"""The agreement gate: which answers change against the champion, where, and whether for the better (churn)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlship.exhibits import Exhibit, Heat, Table
from mlship.gates import limits
from mlship.gates.base import FEWEST_ROWS, GateContext, Limit, Predictions, judge, without
from mlship.gates.metrics.side import Array, Side
from mlship.gates.slices.segments import segments
from mlship.policy.gates import AgreementGate
from mlship.report.figures import count, nearest, quoted, share, things
from mlship.sources.files import Rows
from mlship.stats.simultaneous import jeffreys
from mlship.types import GateResult, Measurement, Status

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Quantile bins of a column of numbers by which the changes are shown.
_BINS = 4
_SHOWN = 20
#: More classes than this make no grid that a person reads.
_MOST_CLASSES = 20
_SOURCE = "Jeffreys' interval"


class Agreement:
    """The rules of `gates.agreement`: how many answers change, and how many of them for the better."""

    name = "agreement"

    def judge(self, context: GateContext) -> list[GateResult]:
        """One result for each limit; without limits, one that tells what changes and is judged by nobody."""
        rules = context.policy.gates.agreement
        if rules is None:
            return []
        asked = _asked(rules)

        def none(status: Status, reason: str) -> list[GateResult]:
            return [without(self.name, kind, status, limit or "-", reason) for kind, limit in asked]

        if cannot := _cannot(context, rules):
            return none(*cannot)
        rows = context.evaluation
        assert rows is not None, "_cannot has looked"
        candidate, champion = context.predictions
        assert champion is not None, "the candidate has a champion"
        try:
            changes = _changes(rows, candidate, champion, rules.tolerance)
        except (TypeError, ValueError) as error:
            return none(Status.ERROR, str(error))
        where = _where(rows, _columns(context, rows), changes)
        note = "; ".join(filter(None, [changes.told(), where.told()]))
        results = [_judged(kind, limit, changes, note) for kind, limit in asked]
        exhibits: list[Exhibit] = [*where.table(), *changes.grid()]
        return [replace(results[0], exhibits=tuple(exhibits)), *results[1:]]


def _asked(rules: AgreementGate) -> list[tuple[str, Limit | None]]:
    return [*limits.agreement(rules).items()] or [("changed", None)]


def _cannot(context: GateContext, rules: AgreementGate) -> tuple[Status, str] | None:
    """Why nothing can be compared; None when it can."""
    rows = context.evaluation
    if context.candidate.champion is None:
        return Status.SKIPPED, "there is no champion yet to compare with"
    if rows is None:
        return Status.INCONCLUSIVE, "the policy names no evaluation data"
    if len(rows) < FEWEST_ROWS:
        reason = f"the evaluation data has {things(len(rows), 'row')}; below {FEWEST_ROWS} nothing is decided"
        return Status.INCONCLUSIVE, reason
    known = [str(name) for name in rows.frame.columns]
    for column in rules.by:
        if column not in known:
            return Status.INCONCLUSIVE, f"the evaluation data has no column '{column}'{nearest(column, known)}"
    return None


def _columns(context: GateContext, rows: Rows) -> list[str]:
    """By which the changes are shown: those asked for, else those of the slices, else the model's inputs."""
    gates = context.policy.gates
    assert gates.agreement is not None, "the gate was asked for"
    chosen = gates.agreement.by or (gates.slices.by if gates.slices else ()) or context.input_columns(rows)
    return [name for name in chosen if name in rows.frame.columns and name != rows.target]


@dataclass(frozen=True, eq=False)
class _Changes:
    """Which rows get another answer, and whether the label says that it is a better one."""

    changed: NDArray[np.bool_]
    better: NDArray[np.bool_] | None
    """None without labels."""
    worse: NDArray[np.bool_] | None
    counts: dict[tuple[str, str], int] | None
    """Rows by (champion's class, candidate's class); None for numbers, or for too many classes."""

    @property
    def total(self) -> int:
        """Rows that change."""
        return int(self.changed.sum())

    def told(self) -> str:
        """Such as `540 for the better, 365 for the worse`."""
        if not self.total:
            return ""
        if self.better is None or self.worse is None:
            return "no labels say whether for the better"
        better, worse = int(self.better.sum()), int(self.worse.sum())
        neither = self.total - better - worse
        parts = [f"{count(better)} for the better", f"{count(worse)} for the worse"]
        return ", ".join([*parts, *([f"{count(neither)} neither"] if neither else [])])

    def grid(self) -> list[Exhibit]:
        """The champion's classes against the candidate's."""
        if self.counts is None:
            return []
        names = sorted({name for pair in self.counts for name in pair})
        n = len(self.changed)
        grid = tuple(tuple(self.counts.get((old, new), 0) / n for new in names) for old in names)
        note = f"share of {things(n, 'row')}; champion down, candidate across: off the diagonal the answer changes"
        return [Heat("Answers of champion and candidate", tuple(names), tuple(names), grid, note, shares=True)]


def _changes(rows: Rows, candidate: Predictions, champion: Predictions, tolerance: float) -> _Changes:
    """Raises ``ValueError`` when predictions and labels do not fit each other."""
    import numpy as np

    ours, theirs = np.asarray(candidate.values), np.asarray(champion.values)
    label = None if rows.target is None else rows.frame[rows.target]
    if candidate.classes is None and champion.classes is None and _numbers(ours) and _numbers(theirs):
        return _changed_numbers(
            None if label is None else label.to_numpy(), ours.astype(float), theirs.astype(float), tolerance
        )
    if label is None:
        changed = np.asarray(ours != theirs)
        return _Changes(changed, None, None, _grid(ours, theirs))
    sides = [Side.of(label, model) for model in (candidate, champion)]
    names = sides[0].names
    if names is not None and sides[1].names is not None and np.array_equal(names, sides[1].names):
        new, old = (side.values for side in sides)  # codes of the same two classes are as good as their names
    else:
        names = None
        new, old = (side.chosen for side in sides)
    changed = np.asarray(new != old)
    right = [np.asarray(side.values == side.label) for side in sides]
    return _Changes(changed, changed & right[0], changed & right[1], _grid(new, old, names))


def _numbers(values: Array) -> bool:
    return values.dtype.kind == "f"


def _changed_numbers(label: Array | None, ours: Array, theirs: Array, tolerance: float) -> _Changes:
    import numpy as np

    with np.errstate(invalid="ignore"):
        moved = np.abs(ours - theirs)
    alike = (moved <= tolerance) | (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    changed = ~alike
    if label is None:
        return _Changes(changed, None, None, None)
    if label.dtype.kind not in "iufb":
        raise ValueError("the models predict numbers, and the labels are none")
    # A prediction that is no number is further off than any that is one.
    off = [np.nan_to_num(np.abs(side - label.astype(float)), nan=np.inf) for side in (ours, theirs)]
    return _Changes(changed, changed & (off[0] < off[1]), changed & (off[0] > off[1]), None)


def _grid(new: Array, old: Array, names: Array | None = None) -> dict[tuple[str, str], int] | None:
    """Rows by the champion's and the candidate's answer; `names` says what codes stand for."""
    import numpy as np
    import pandas as pd

    (ours, new_names), (theirs, old_names) = pd.factorize(new), pd.factorize(old)
    if max(len(new_names), len(old_names)) > _MOST_CLASSES or min(ours.min(), theirs.min()) < 0:
        return None
    counted = np.bincount(theirs * len(new_names) + ours, minlength=len(old_names) * len(new_names))
    if names is not None:
        new_names, old_names = names[new_names], names[old_names]
    return {
        (_name(before), _name(after)): int(counted[i * len(new_names) + j])
        for i, before in enumerate(old_names)
        for j, after in enumerate(new_names)
    }


def _name(value: object) -> str:
    return value if isinstance(value, str) else quoted(value)


@dataclass(frozen=True, slots=True)
class _Segment:
    name: str
    n: int
    changed: int
    better: int | None
    worse: int | None
    low: float
    """Lower end of the share that changes, for all segments at once: by it they are ranked."""


@dataclass(frozen=True, slots=True)
class _Where:
    segments: list[_Segment]
    """The one that surely changes most comes first."""
    overall: float

    def told(self) -> str:
        """The segment that changes most, when it surely changes more than the rows do on the whole."""
        if not self.segments or self.segments[0].low <= self.overall:
            return ""
        most = self.segments[0]
        return f"most for {most.name} ({share(most.changed / most.n)})"

    def table(self) -> list[Exhibit]:
        """The segments that change most."""
        if not self.segments or not self.overall:
            return []
        labelled = self.segments[0].better is not None
        shown = self.segments[:_SHOWN]
        columns = ("where", "rows", "changed", *(("better", "worse") if labelled else ()))
        return [
            Table(
                "Where answers change",
                columns,
                tuple(
                    (one.name, one.n, one.changed / one.n, *((one.better, one.worse) if labelled else ()))
                    for one in shown
                ),
                note=f"{things(len(shown), 'segment')} of {count(len(self.segments))}, by the lower end of the share's "
                "interval; on the whole " + share(self.overall),
                shares=("changed",),
            )
        ]


def _where(rows: Rows, columns: list[str], changes: _Changes) -> _Where:
    """The share of changes in each segment of each column that has more than one."""
    import numpy as np

    found: list[tuple[str, int, list[int | None]]] = []
    for column in columns:
        cut = segments(rows, column, _BINS)
        if len(cut.labels) < 2:
            continue
        per = [
            None if which is None else np.bincount(cut.codes[which], minlength=len(cut.labels))
            for which in (changes.changed, changes.better, changes.worse)
        ]
        for code in np.flatnonzero(cut.sizes >= FEWEST_ROWS):
            numbers = [None if counted is None else int(counted[code]) for counted in per]
            found.append((cut.name(int(code)), int(cut.sizes[code]), numbers))
    n = np.array([size for _, size, _ in found], dtype=float)
    hits = np.array([numbers[0] for _, _, numbers in found], dtype=float)
    low, _ = jeffreys(hits, n, 1 - 0.05 / max(len(found), 1))
    ranked = [
        _Segment(name, size, numbers[0] or 0, numbers[1], numbers[2], float(end))
        for (name, size, numbers), end in zip(found, low, strict=True)
    ]
    return _Where(sorted(ranked, key=lambda one: -one.low), changes.total / max(len(rows), 1))


def _judged(kind: str, limit: Limit | None, changes: _Changes, note: str) -> GateResult:
    changed = _share("share of answers that change", changes.total, len(changes.changed))
    if limit is None:
        reason = (
            f"no limit is set; {share(changed.value)} of answers change ({count(changes.total)} of {count(changed.n)})"
        )
        reason += f": {note}" if note else ""
        return GateResult("agreement", kind, Status.SKIPPED, "-", reason, changed)
    if kind == "max_changed":
        return judge("agreement", kind, changed, limit, note=note)
    if changes.better is None:
        reason = "data.evaluation names no target column, so nobody can tell a better answer from a worse one"
        return without("agreement", kind, Status.INCONCLUSIVE, limit, reason)
    if not changes.total:
        reason = "no answer changes, so none is better or worse"
        return without("agreement", kind, Status.SKIPPED, limit, reason)
    better = _share("share of changes for the better", int(changes.better.sum()), changes.total)
    return judge("agreement", kind, better, limit, note=note)


def _share(name: str, hits: int, n: int) -> Measurement:
    import numpy as np

    low, high = jeffreys(np.array([hits], dtype=float), np.array([n], dtype=float), 0.95)
    return Measurement(name, hits / n, float(low[0]), float(high[0]), n, _SOURCE)
