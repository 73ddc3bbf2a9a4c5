"""One column of the baseline: its bins, what is counted in them, the figures people know it by, and its streams."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlship.gates.baseline.windows import Windows
from mlship.stats import cutting
from mlship.stats.binning import slices
from mlship.stats.sketches import ColumnSketch
from mlship.types.monitoring import Bins, Column

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


def column(
    values: pd.Series[Any], windows: Windows | None, cut: Callable[[ColumnSketch], Bins] = cutting.cut
) -> Column | None:
    """The column of these cells (rows in the order of `windows`); None when it holds no number and no category.

    A million rows are in hand at a time, whatever their type.
    """
    import numpy as np

    sketch = ColumnSketch()
    for where in slices(len(values)):
        sketch.merge(cutting.sketched(values.iloc[where]))
    if sketch.unlike and not sketch.numbers.count and not sketch.categories.count:
        return None
    bins = cut(sketch)
    places = np.empty(len(values), np.int16)
    for where in slices(len(values)):
        places[where] = cutting.positions(values.iloc[where], bins)
    return _column(places, bins, windows, values, sketch)


def classes(places: NDArray[np.int16], bins: Bins, windows: Windows | None) -> Column:
    """The column of classes whose positions are known."""
    counts = cutting.counted(places, bins)
    return Column(bins, counts, streams={} if windows is None else windows.learn(places, bins, counts))


def _column(
    places: NDArray[np.int16], bins: Bins, windows: Windows | None, values: pd.Series[Any], sketch: ColumnSketch
) -> Column:
    counts = cutting.counted(places, bins)
    streams = {} if windows is None else windows.learn(places, bins, counts)
    if bins.kind == "categories":
        return Column(bins, counts, streams=streams)
    numbers, median = sketch.numbers, sketch.numbers.quantile(0.5)
    example = {"mean": numbers.mean} if numbers.finite else {}
    if median is not None and math.isfinite(median):
        example["median"] = median
    deviation = None if numbers.variance is None else math.sqrt(numbers.variance)
    return Column(bins, counts, deviation, _middles(places, bins, values, sketch), example, streams)


def _middles(places: NDArray[np.int16], bins: Bins, values: pd.Series[Any], sketch: ColumnSketch) -> tuple[float, ...]:
    """The mean of the finite numbers in each bin; of an empty bin, a number that belongs there."""
    import numpy as np

    from mlship.stats import cells

    sums, rows = np.zeros(bins.width), np.zeros(bins.width)
    for where in slices(len(values)):
        found = cells.column(values.iloc[where])
        if not isinstance(found, cells.Numbers):
            return cutting.middles(sketch, bins)
        finite = np.isfinite(found.values)
        chosen = places[where][finite]
        sums += np.bincount(chosen, weights=found.values[finite], minlength=bins.width)
        rows += np.bincount(chosen, minlength=bins.width)
    known = np.divide(sums, rows, out=np.zeros(bins.width), where=rows > 0)
    return tuple(
        float(known[place]) if rows[place] and math.isfinite(known[place]) else other
        for place, other in enumerate(cutting.middles(sketch, bins))
    )
