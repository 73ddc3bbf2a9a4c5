"""What stands in a reason, a table or a grid about slices: their figures, the largest gap, two columns at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlship.exhibits import Heat
from mlship.gates.parts import Gap, Slice
from mlship.gates.slices.segments import Segments
from mlship.gates.slices.sliced import Grouping
from mlship.stats.simultaneous import Estimate, spread

#: Rows and columns of a grid that a person reads.
_GRID = 20


def slices_of(found: Sequence[Grouping], confidence: float, *, difference: bool) -> list[Slice]:
    """The judged slices of all groupings, with intervals at this confidence each."""
    import numpy as np

    slices = []
    for grouping in found:
        measured = grouping.measured
        if measured is None:
            continue
        figure = measured.difference if difference else measured.candidate
        if figure is None:
            continue
        low, high = figure.ends(confidence)
        for code in np.flatnonzero(grouping.judged & np.isfinite(figure.value[: len(grouping.judged)])):
            slices.append(
                Slice(
                    grouping.name(int(code)),
                    int(grouping.sizes[code]),
                    float(figure.value[code]),
                    float(low[code]),
                    float(high[code]),
                    float(measured.candidate.value[code]),
                    _defined(measured.champion, int(code)),
                )
            )
    return slices


def _defined(figure: Estimate | None, *codes: int) -> float | None:
    """The figure of a slice, or of the first slice minus that of the second; None where there is none."""
    if figure is None:
        return None
    value = float(figure.value[codes[0]]) - sum(float(figure.value[code]) for code in codes[1:])
    return value if math.isfinite(value) else None


def gap_of(found: Sequence[Grouping], errors: float, limit: float) -> Gap | None:
    """The largest gap in one column that is beyond the limit for sure; when there is none, the largest.

    The intervals hold for all differences at once, but for a share `errors` of evaluations. None when no column has two
    judged slices.
    """
    import numpy as np

    columns = [one for one in found if one.pair is None and one.measured is not None and one.judged.sum() > 1]
    pairs = sum(int(one.judged.sum()) * (int(one.judged.sum()) - 1) // 2 for one in columns)
    best: tuple[tuple[bool, float], Gap] | None = None
    for one in columns:
        assert one.measured is not None, "only measured ones were taken"
        codes = np.flatnonzero(one.judged)
        mine = one.measured.candidate
        ends = [side[codes] for side in mine.ends(1 - errors / pairs)]
        value, low, high = spread(mine.value[codes], *ends)
        for proven in (True, False):
            ranked = np.where(low > limit, value, -1.0) if proven else value
            i, j = (int(at) for at in np.unravel_index(int(ranked.argmax()), ranked.shape))
            if ranked[i, j] < 0 or (best is not None and (proven, value[i, j]) <= best[0]):
                continue
            a, b = int(codes[i]), int(codes[j])
            gap = Gap(
                one.name(a),
                float(mine.value[a]),
                one.name(b),
                float(mine.value[b]),
                float(low[i, j]),
                float(high[i, j]),
                int(one.sizes[a] + one.sizes[b]),
                _defined(one.measured.champion, a, b),
                pairs,
            )
            best = (proven, float(value[i, j])), gap
    return best and best[1]


def heat(grouping: Grouping, metric: str, limit: float | None) -> Heat:
    """The metric for each combination of two columns; the most frequent values of each."""
    assert grouping.pair is not None, "only pairs make a grid"
    assert grouping.measured is not None, "it was measured"
    first, second = grouping.pair.first, grouping.pair.second
    rows, columns = (_frequent(one) for one in (first, second))
    found = {int(code): at for at, code in enumerate(grouping.pair.kept) if grouping.judged[at]}
    value = grouping.measured.candidate.value
    grid = [[found.get(a * len(second.labels) + b) for b in columns] for a in rows]
    few = "; the most frequent ones of each" if max(len(first.labels), len(second.labels)) > _GRID else ""
    return Heat(
        f"{metric} by {grouping.column}",
        x=tuple(second.labels[b] for b in columns),
        y=tuple(first.labels[a] for a in rows),
        values=tuple(tuple(None if at is None else float(value[at]) for at in line) for line in grid),
        note=f"{first.column} down, {second.column} across{few}; empty where nothing is judged, or where the rows are "
        "all of one of the two",
        limit=limit,
    )


def _frequent(one: Segments) -> list[int]:
    """The codes of the largest segments, in their order."""
    import numpy as np

    return sorted(int(code) for code in np.argsort(-one.sizes, kind="stable")[:_GRID])
