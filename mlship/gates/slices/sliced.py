"""The rows by the segments of one column, or of two: which slices are judged, and a metric in each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from mlship.gates.base import FEWEST_ROWS, GateContext
from mlship.gates.slices.measured import Measured, Ruler
from mlship.gates.slices.rates import WITHOUT_LABELS
from mlship.gates.slices.rulers import ruler
from mlship.gates.slices.segments import Pair, Segments, segments
from mlship.report.figures import listed, nearest, things
from mlship.sources.files import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Combinations of two columns that are looked at, the most frequent ones.
MOST_PAIRS = 2000
#: Over all slices and rules of a gate together, false alarms are at most this share of evaluations.
ERRORS = 0.05


@dataclass(frozen=True, eq=False)
class Grouping:
    """One way to cut the rows, and what was measured in each slice."""

    column: str
    """Its name; of two columns, both."""
    pair: Pair | None
    segments: Segments
    judged: NDArray[np.bool_]
    """Slices with enough rows, shape (slices,)."""
    small: int
    """Slices with too few rows, by now unnamed ones included."""
    measured: Measured | None = None

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Rows of each slice."""
        return self.segments.sizes if self.pair is None else self.pair.sizes

    def name(self, code: int) -> str:
        """A slice as a person would say it."""
        return self.segments.name(code) if self.pair is None else self.pair.name(code)

    def measure(self, by: Ruler, confidence: float) -> Grouping:
        """The same with the metric in each slice; `confidence` is what its intervals will be asked for."""
        import numpy as np

        if self.pair is None:
            measured = by.on(self.segments.codes, len(self.segments.labels), self.judged, confidence)
        else:
            # The last code stands for the rows of all combinations that are not looked at.
            measured = by.on(self.pair.codes(), len(self.pair.kept) + 1, np.append(self.judged, False), confidence)
        mine, slices = measured.candidate, len(self.judged)
        known = self.judged & (mine.support[:slices] >= FEWEST_ROWS) & np.isfinite(mine.value[:slices])
        return replace(self, measured=measured, judged=known, small=self.small + int((self.judged & ~known).sum()))


def groupings(rows: Rows, columns: Sequence[str], bins: int, min_rows: int, *, pairs: bool) -> Iterator[Grouping]:
    """Each column, then each pair of columns; the slices of fewer than `min_rows` rows are marked as not judged."""
    import numpy as np

    cut = [segments(rows, column, bins) for column in dict.fromkeys(columns)]
    for one in cut:
        judged = one.sizes >= min_rows
        yield Grouping(one.column, None, one, judged, int(((one.sizes > 0) & ~judged).sum()))
    for first, second in combinations(cut, 2) if pairs else ():
        pair = Pair.of(first, second, min_rows, MOST_PAIRS)
        if len(pair.kept) or pair.small:
            name = f"{first.column} and {second.column}"
            yield Grouping(name, pair, first, np.ones(len(pair.kept), dtype=bool), pair.small)


@dataclass(frozen=True, eq=False)
class Sliced:
    """A metric in every slice of every grouping."""

    higher_is_better: bool
    found: list[Grouping]
    unknown: str = ""
    """Why the champion could not be measured; empty when it was, or when there is none."""


def measure(
    context: GateContext, metric: str, cut: Sequence[Grouping], confidence: Callable[[Grouping], float]
) -> Sliced:
    """The metric as `gates.metrics` has it, with intervals that will be asked for at a confidence of each grouping.

    Raises ``ValueError`` when it is unknown, needs labels that are not there, or does not fit the candidate.
    """
    try:
        return _measured(context, metric, cut, confidence, champion=True)
    except ValueError as error:
        if context.candidate.champion is None:
            raise
        # What fails may be the champion's: the candidate's own limits hold all the same.
        return replace(_measured(context, metric, cut, confidence, champion=False), unknown=str(error))


def _measured(
    context: GateContext,
    metric: str,
    cut: Sequence[Grouping],
    confidence: Callable[[Grouping], float],
    *,
    champion: bool,
) -> Sliced:
    rows = context.evaluation
    assert rows is not None, "the gate has looked"
    label = None if rows.target is None else rows.frame[rows.target]
    rule = context.policy.gates.metrics.get(metric)
    ours, theirs = context.predictions
    by = ruler(metric, label, ours, theirs if champion else None, seed=context.seed, rule=rule, resolve=context.resolve)
    found = []
    for done, grouping in enumerate(cut):
        context.tick(done, len(cut))
        found.append(grouping.measure(by, confidence(grouping)))
    return Sliced(by.higher_is_better, found)


def cannot_cut(rows: Rows | None, columns: Sequence[str], metric: str) -> str:
    """Why the metric cannot be had on these rows by these columns; empty when it can."""
    if rows is None:
        return "the policy names no evaluation data"
    known = [str(name) for name in rows.frame.columns]
    for column in columns:
        if column not in known:
            return f"the evaluation data has no column '{column}'{nearest(column, known)}"
    if rows.target is None and metric not in WITHOUT_LABELS:
        return f"{metric} needs labels, and data.evaluation names no target column"
    if len(rows) < FEWEST_ROWS:
        return f"the evaluation data has {things(len(rows), 'row')}; below {FEWEST_ROWS} nothing is decided"
    return ""


def told(found: Sequence[Grouping]) -> str:
    """What was not judged, and what was put together; empty when there is nothing to tell."""
    small = sum(grouping.small for grouping in found)
    said = []
    if small:
        said.append(f"{things(small, 'smaller slice')} {'is' if small == 1 else 'are'} not judged")
    notes = [grouping.segments.note for grouping in found if grouping.pair is None and grouping.segments.note]
    return "; ".join([*said, *notes])


def too_small(found: Sequence[Grouping], min_rows: int) -> str:
    """Why no slice was judged."""
    largest = [
        (int(sizes.max()), grouping.name(int(sizes.argmax()))) for grouping in found if (sizes := grouping.sizes).size
    ]
    n, name = max(largest)
    if n < min_rows:
        return f"no slice has {min_rows} rows: the largest, {name}, has {n:,}"
    columns = listed([grouping.column for grouping in found if grouping.pair is None])
    return f"no slice of {columns} has {FEWEST_ROWS} rows that the metric looks at"
