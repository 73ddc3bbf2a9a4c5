"""A column of any kind as numbers or categories, a million rows at a time, and its distance from the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.gates.categories import categories
from mlship.stats import binning, distances
from mlship.stats.binning import Categories, Counted, Numbers, Texts

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: Reference rows from whose quantiles the bins are cut; all rows are counted.
_SAMPLE = 200_000
#: So many categories have a bin of their own.
_MOST_CATEGORIES = 50
#: Rows by which a column of Python objects is known.
_LOOKED_AT = 1000
#: Python objects that are numbers.
_NUMBERS = {"boolean", "integer", "floating", "decimal", "mixed-integer-float"}


@dataclass(frozen=True, eq=False)
class Windows:
    """Time windows of one side's rows."""

    names: tuple[str, ...]
    of: NDArray[np.int32]
    """For each row its window; -1: in none that is shown."""
    rows: NDArray[np.int64]
    """Rows of each window."""

    def some(self, chosen: Any) -> Windows:
        """The windows of some of the rows."""
        import numpy as np

        of = self.of[chosen]
        return Windows(self.names, of, np.bincount(of[of >= 0], minlength=len(self.names)))


@dataclass(frozen=True, slots=True)
class Moved:
    """How far one column of one side is from the reference."""

    column: str
    psi: distances.Distance
    wasserstein: distances.Distance | None
    unseen: float | None
    """Share of rows with a category that the reference lacks; None for numbers."""
    example: str | None
    """Such a category."""
    infinite: int
    missing: float
    missing_before: float
    mean: float | None
    mean_before: float | None
    windows: tuple[float | None, ...] = ()
    """PSI of each window against the whole reference; None where a window has too few rows."""


def kind(column: pd.Series[Any]) -> str:
    """numbers, times or text; nothing when no row has a value."""
    import pandas as pd

    types = pd.api.types
    if not len(column) or column.isna().all():
        return "nothing"
    dtype = column.dtype.categories.dtype if isinstance(column.dtype, pd.CategoricalDtype) else column.dtype
    if types.is_numeric_dtype(dtype):
        return "numbers"
    if types.is_datetime64_any_dtype(dtype) or types.is_timedelta64_dtype(dtype):
        return "times"
    if types.is_object_dtype(dtype):
        some = column.dropna().head(_LOOKED_AT)
        return "numbers" if types.infer_dtype(some, skipna=True) in _NUMBERS else "text"
    return "text"


def numbers(column: pd.Series[Any], where: slice) -> tuple[slice, NDArray[np.float64]]:
    """Some rows of a column of numbers or times, as floats (times in microseconds); missing as nan."""
    import numpy as np
    import pandas as pd

    chunk = column.iloc[where]
    if isinstance(chunk.dtype, pd.CategoricalDtype):
        chunk = chunk.astype(chunk.dtype.categories.dtype if not chunk.isna().any() else "float64")
    types = pd.api.types
    if types.is_numeric_dtype(chunk.dtype):
        return where, chunk.to_numpy(dtype="float64", na_value=np.nan)
    for is_time, unit in (
        (types.is_datetime64_any_dtype, "datetime64[us]"),
        (types.is_timedelta64_dtype, "timedelta64[us]"),
    ):
        if is_time(chunk.dtype):
            whole = chunk.to_numpy(dtype=unit).astype("int64").astype("float64")
            return where, np.where(chunk.isna(), np.nan, whole)
    if all(isinstance(value, bool) for value in chunk.dropna().unique()):
        chunk = chunk.map({True: 1.0, False: 0.0})
    return where, pd.to_numeric(chunk, errors="coerce").to_numpy(dtype="float64", na_value=np.nan)


def texts(column: pd.Series[Any], where: slice) -> Texts:
    """Some rows of a column of categories; 7 and "7" are one."""
    import pandas as pd

    codes, names = categories(column.iloc[where])
    hashes = pd.util.hash_array(names, categorize=False)
    return Texts(where, codes, hashes, lambda at: str(names[at]))


@dataclass(frozen=True, eq=False)
class Reference:
    """One column of the reference, cut into bins and counted once; other sides are held against it."""

    name: str
    kind: str
    bins: Numbers | Categories
    counted: Counted

    @classmethod
    def of(cls, name: str, column: pd.Series[Any], bins: int, seed: int, known_as: str | None = None) -> Reference:
        """Cut and count; `known_as` is the kind to read it as when it has no value itself."""
        found = kind(column)
        read_as = (known_as or "numbers") if found == "nothing" else found
        if read_as == "text":
            cut: Numbers | Categories = Categories.of(_chunks(column, texts), _MOST_CATEGORIES)
        else:
            chosen = binning.some(len(column), _SAMPLE, seed)
            cut = Numbers.of(numbers(column.iloc[chosen], slice(None))[1], bins)
        return cls(name, read_as, cut, _count(cut, column, None))

    def against(self, column: pd.Series[Any], windows: Windows | None, min_rows: int, level: float) -> Moved:
        """The distance of another side's column, which must be of this kind or hold nothing."""
        now, before = _count(self.bins, column, windows), self.counted
        bins = self.bins
        earlier = bins.psi_counts(before.rows)
        moved = distances.psi(bins.psi_counts(now.rows), earlier, level)
        travelled = None
        if isinstance(bins, Numbers) and now.missing < now.total and before.missing < before.total:
            travelled = distances.wasserstein(bins.atoms(now), bins.atoms(before), bins.deviation(before), level)
        return Moved(
            self.name,
            moved,
            travelled,
            None if isinstance(bins, Numbers) else now.unseen / now.total,
            now.example,
            now.infinite,
            now.missing / now.total,
            before.missing / before.total,
            _mean(bins, now) if self.kind == "numbers" else None,
            _mean(bins, before) if self.kind == "numbers" else None,
            tuple(_window(counts, earlier, min_rows) for counts in now.windows),
        )


def _window(counts: NDArray[np.int64], reference: NDArray[np.int64], min_rows: int) -> float | None:
    return distances.psi(counts, reference).value if counts.sum() >= min_rows else None


def _chunks(column: pd.Series[Any], read: Any) -> Iterator[Any]:
    return (read(column, where) for where in binning.slices(len(column)))


def _count(bins: Numbers | Categories, column: pd.Series[Any], windows: Windows | None) -> Counted:
    of, count = (None, 0) if windows is None else (windows.of, len(windows.names))
    if isinstance(bins, Numbers):
        return bins.count(_chunks(column, numbers), of, count)
    return bins.count(_chunks(column, texts), of, count)


def _mean(bins: Numbers | Categories, counted: Counted) -> float | None:
    there = counted.total - counted.missing
    return bins.centre + float(counted.sums.sum()) / there if isinstance(bins, Numbers) and there else None
