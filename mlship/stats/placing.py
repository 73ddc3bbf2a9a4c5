"""Rows counted in a baseline's bins: the position of every cell, and a column's sketch, for columns of any type."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mlship.stats import buckets
from mlship.stats.sketch_categories import NAME, name
from mlship.stats.sketch_numbers import BUCKETS, INFINITE, TINY, keys
from mlship.stats.sketches import ColumnSketch
from mlship.types.monitoring import Bins, Counts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Rows that are looked at in one go: small enough for a processor's memory, large enough for numpy.
_CHUNK = 1_000_000


def positions(values: Any, bins: Bins) -> NDArray[np.int16]:
    """The position (see `Bins`) of every cell of a column, shape (rows,).

    Parameters
    ----------
    values
        A numpy array, a pandas series, a pyarrow array or a sequence: numbers, text, categoricals, booleans, objects.
    """
    import numpy as np

    from mlship.stats import cells

    column = cells.column(values)
    if isinstance(column, cells.Numbers):
        return _of_numbers(column.values, bins)
    if isinstance(column, cells.Texts):
        return _of_texts(column.values, bins)
    if isinstance(column, cells.Coded):
        # The last place is for code -1, which means missing.
        table = np.append(positions(column.categories, bins), np.int16(bins.missing))
        found: NDArray[np.int16] = table[column.codes]
        return found
    if isinstance(column, cells.Others):
        return np.where(column.missing, bins.missing, bins.unlike).astype(np.int16)
    return _of_mixed([cells.cell(given) for given in column.cells], bins)


def counted(positions: NDArray[np.int16], bins: Bins) -> Counts:
    """How many cells are at each position."""
    import numpy as np

    counts: list[int] = np.bincount(positions, minlength=bins.width).tolist()
    return tuple(counts)


def sketched(values: Any) -> ColumnSketch:
    """The sketch of a column of any type (as `positions` takes it), counted as fast as rows are."""
    import pyarrow.compute as pc

    from mlship.stats import cells

    sketch = ColumnSketch()
    column = cells.column(values)
    if isinstance(column, cells.Numbers):
        sketch.numbers.add(column.values)  # type: ignore[arg-type]  # an array is as good as a sequence here
    elif isinstance(column, cells.Texts):
        _take_in(sketch, {pair["values"]: pair["counts"] for pair in pc.value_counts(column.values).to_pylist()})
    elif isinstance(column, cells.Coded):
        import numpy as np

        there = column.codes[column.codes >= 0]
        categories = list(
            column.categories.to_pylist() if hasattr(column.categories, "to_pylist") else column.categories
        )
        rows = np.bincount(there, minlength=len(categories)).tolist()
        if all(isinstance(category, str) for category in categories):
            _take_in(sketch, {k: v for k, v in zip(categories, rows, strict=True) if v})
        else:
            sketch.add([cells.cell(categories[code]) for code in there.tolist()])
        sketch.none += len(column.codes) - len(there)
    elif isinstance(column, cells.Others):
        sketch.none, sketch.unlike = int(column.missing.sum()), int((~column.missing).sum())
    else:
        sketch.add([cells.cell(given) for given in column.cells])
    return sketch


@lru_cache(maxsize=1024)
def _largest(bounds: tuple[int, ...]) -> NDArray[np.float64]:
    """For each bucket the largest number that it or a lower one holds: halved until the sketch's arithmetic says so."""
    import numpy as np

    given = np.array(bounds, dtype=np.int64)
    # A negative bucket begins where the positive one below it ends: its largest number is just beyond that.
    sizes = np.where(given < 0, -given - 1, given)
    found = np.where(sizes >= buckets.INFINITY, np.inf, np.where(sizes >= BUCKETS, INFINITE, np.nextafter(TINY, 0)))
    inside = (sizes > 0) & (sizes < BUCKETS)
    wanted = sizes[inside] - buckets.bucket(1.0)  # the sketch's key of 1 is 0
    middles = np.array([buckets.middle(int(size)) for size in sizes[inside]], dtype=np.float64)
    low, high = middles.view(np.int64), (middles * 1.05).view(np.int64)
    while (high - low > 1).any():
        half = low + (high - low) // 2
        within = keys(half.view(np.float64)) <= wanted
        low, high = np.where(within, half, low), np.where(within, high, half)
    found[inside] = low.view(np.float64)
    found = np.where(given < 0, -np.nextafter(found, np.inf), found)
    found.flags.writeable = False
    return found


def _of_numbers(values: NDArray[np.float64], bins: Bins) -> NDArray[np.int16]:
    import numpy as np

    found = np.empty(len(values), np.int16)
    ends = _largest(bins.bounds)
    for start in range(0, len(values), _CHUNK):
        some = values[start : start + _CHUNK]
        if bins.kind == "numbers":
            place = np.searchsorted(ends, some)
            place[np.isnan(some)] = bins.missing
        else:
            place = np.where(np.isnan(some), bins.missing, bins.unlike)
        found[start : start + _CHUNK] = place
    return found


def _of_texts(values: Any, bins: Bins) -> NDArray[np.int16]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = values.is_null().to_numpy(zero_copy_only=False)
    if bins.kind == "numbers":
        return np.where(missing, bins.missing, bins.unlike).astype(np.int16)
    # Half a surrogate pair is in no Arrow array, and cannot be looked for in one.
    names = [None if any("\ud800" <= letter <= "\udfff" for letter in text) else text for text in bins.names]
    place = pc.index_in(values, pa.array(names, values.type)).fill_null(bins.unseen)
    found: NDArray[np.int16] = place.to_numpy(zero_copy_only=False).astype(np.int16)
    if any(len(text) == NAME for text in bins.names):  # the names of long categories, which are cut
        long = np.flatnonzero(pc.greater(pc.utf8_length(values), NAME).fill_null(False).to_numpy(zero_copy_only=False))
        found[long] = _of_mixed(values.take(pa.array(long)).to_pylist(), bins)
    found[missing] = bins.missing
    return found


def _of_mixed(given: Iterable[float | str | tuple[()] | None], bins: Bins) -> NDArray[np.int16]:
    import numpy as np

    known = {text: place for place, text in enumerate(bins.names)}

    def place(cell: float | str | tuple[()] | None) -> int:
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            return bins.missing
        if isinstance(cell, str) and bins.kind == "categories":
            return known.get(name(cell), bins.unseen)
        if isinstance(cell, float) and bins.kind == "numbers":
            return int(_of_numbers(np.array([cell]), bins)[0])
        return bins.unlike

    return np.array([place(cell) for cell in given], np.int16)


def _take_in(sketch: ColumnSketch, counts: dict[str | None, int]) -> None:
    """Counts by category into a sketch; None is missing."""
    sketch.none += counts.pop(None, 0)
    sketch.categories.add(counts)  # type: ignore[arg-type]  # it counts by Counter(), which takes counts as they are
