"""A column cut into segments: one small code a row, and a name that a person would use for each code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlship.gates.rows import times
from mlship.report.figures import number, quoted, things
from mlship.sources.files import Rows

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: Numbers of at most this many distinct values are segments by value; of more, by quantile.
FEW_VALUES = 20
#: More categories than this: the rare ones become one segment.
MOST_SEGMENTS = 200
MISSING, OTHERS, NO_NUMBER, UNREADABLE = "missing", "others", "not a number", "no readable time"
#: Rows of which the number of distinct values is guessed before all are counted.
_SAMPLE = 100_000
_DAY = 86_400
#: A time column is cut into the first unit of which it spans at most so many seconds.
_TIME_UNITS = (("h", 2 * _DAY), ("D", 45 * _DAY), ("M", 4 * 366 * _DAY), ("Y", float("inf")))


@dataclass(frozen=True, eq=False)
class Segments:
    """The rows of a table by one column."""

    column: str
    codes: NDArray[np.int16]
    """Segment of each row, 0 to `len(labels) - 1`, shape (n,)."""
    labels: tuple[str, ...]
    """The most frequent category first; numbers and times in their order; whatever is no value comes last."""
    note: str = ""
    """What was put together, when something was."""

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Rows of each segment, shape (labels,)."""
        import numpy as np

        return np.bincount(self.codes, minlength=len(self.labels))

    def name(self, code: int) -> str:
        """The segment as a person would say it: `carrier HA`, `dep_delay 4 to 17`."""
        return f"{self.column} {self.labels[code]}"


def segments(rows: Rows, column: str, bins: int) -> Segments:
    """Cut one column of the rows, in time linear in the rows.

    Categories and booleans by value, the rarest beyond 200 as "others"; numbers by value when there are at most 20,
    else at `bins` quantiles; times by hour, day, month or year, by their span; missing values, text among numbers and
    unreadable times are segments of their own. Infinite numbers fall into the outer bins.

    Raises ``KeyError`` when there is no such column.
    """
    import pandas as pd

    values = rows.frame[column]
    kind = pd.api.types
    if column == rows.time and not kind.is_numeric_dtype(values.dtype):
        values = _as_times(values)
    if kind.is_datetime64_any_dtype(values.dtype):
        return _by_time(column, values)
    if kind.is_timedelta64_dtype(values.dtype):
        values = values.dt.total_seconds()
    is_number = kind.is_numeric_dtype(values.dtype) and not kind.is_bool_dtype(values.dtype)
    if is_number and _many(values):
        return _by_quantile(column, _floats(values), bins)
    return _by_value(column, values, bins)


def _as_times(values: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    return values if pd.api.types.is_datetime64_any_dtype(values.dtype) else times(values)


def _many(values: pd.Series[Any]) -> bool:
    """Whether there are more distinct numbers than one segment each; a sample tells in most cases."""
    if len(values) > _SAMPLE and values.iloc[:: len(values) // _SAMPLE].nunique() > FEW_VALUES:
        return True
    return values.nunique() > FEW_VALUES


def _floats(values: pd.Series[Any]) -> NDArray[np.float64]:
    import numpy as np

    return np.asarray(values.to_numpy(dtype="float64", na_value=np.nan), dtype=float)


def _by_value(column: str, values: pd.Series[Any], bins: int) -> Segments:
    """One segment per value, the most frequent first; numbers in their order."""
    import numpy as np
    import pandas as pd

    codes, found = _factorized(values)
    counted = np.bincount(codes + 1, minlength=len(found) + 1)
    gone, sizes = int(counted[0]), counted[1:]
    held = np.asarray(found, dtype=object)
    kind = pd.api.types
    numeric = kind.is_numeric_dtype(values.dtype) and not kind.is_bool_dtype(values.dtype)
    if not numeric and len(held) > FEW_VALUES and kind.is_object_dtype(values.dtype):
        numbers = pd.to_numeric(pd.Series(held), errors="coerce").to_numpy(dtype=float)
        if np.isfinite(numbers).mean() > 0.5:
            text = np.isnan(numbers)
            lookup = np.append(numbers, np.nan)  # the last one is for code -1: missing
            return _by_quantile(column, lookup[codes], bins, text=np.append(text, False)[codes])
    order = np.argsort(held.astype(float)) if numeric else np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 0]
    kept, rare = (order, order[:0]) if len(order) <= MOST_SEGMENTS else np.split(order, [MOST_SEGMENTS - 1])
    labels = [_said(held[code]) for code in kept]
    lookup = np.full(len(held) + 1, len(labels), dtype=np.int16)
    lookup[kept] = np.arange(len(kept), dtype=np.int16)
    note = ""
    if rare.size:
        labels.append(OTHERS)
        note = f"{column} has {things(len(order), 'value')}: the {len(rare):,} rarest are put together as '{OTHERS}'"
    if gone:
        lookup[-1] = len(labels)
        labels.append(MISSING)
    return Segments(column, lookup[codes], _distinct(labels), note)


def _factorized(values: pd.Series[Any]) -> tuple[NDArray[np.intp], Any]:
    """Codes and the values they stand for; -1 is missing. Values that cannot be compared are taken by their text."""
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.codes.to_numpy().astype("intp"), values.cat.categories
    try:
        return pd.factorize(values)
    except TypeError:
        return pd.factorize(values.map(str, na_action="ignore"))


def _said(value: object) -> str:
    if isinstance(value, str):
        return (value if len(value) <= 40 else f"{value[:37]}...") if value.strip() else quoted(value)
    if isinstance(value, float):
        return number(value) if abs(value) < 1000 or not value.is_integer() else f"{value:.0f}"
    return quoted(value)


def _distinct(labels: list[str]) -> tuple[str, ...]:
    """Labels that were alike (the text '1' and the number 1, a category called 'missing') get a mark."""
    seen: dict[str, int] = {}
    told = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        told.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return tuple(told)


def _by_quantile(
    column: str, values: NDArray[np.float64], bins: int, text: NDArray[np.bool_] | None = None
) -> Segments:
    """About as many rows in each bin as ties allow: (edge, edge], the first and the last without an end."""
    import numpy as np

    gone = np.isnan(values)
    known = values[~gone] if gone.any() else values
    edges = np.empty(0)
    if known.size:
        edges = np.unique(np.quantile(known, np.arange(1, bins) / bins, method="inverted_cdf"))
    codes = np.searchsorted(edges, values, side="left").astype(np.int16)
    labels: list[str] = []
    lookup = np.zeros(len(edges) + 3, dtype=np.int16)
    for code in range(len(edges) + 1):
        inside = known[_between(known, edges, code)]
        lookup[code] = len(labels)
        if inside.size:
            labels.append(_range(float(inside.min()), float(inside.max())))
    for code, members, label in ((-2, text, NO_NUMBER), (-1, gone if text is None else gone & ~text, MISSING)):
        if members is not None and members.any():
            codes[members] = len(lookup) + code
            lookup[code] = len(labels)
            labels.append(label)
    return Segments(column, lookup[codes], _distinct(labels))


def _between(values: NDArray[np.float64], edges: NDArray[np.float64], code: int) -> NDArray[np.bool_]:
    import numpy as np

    inside = np.ones(len(values), dtype=bool)
    if code > 0:
        inside &= values > edges[code - 1]
    if code < len(edges):
        inside &= values <= edges[code]
    return inside


def _range(low: float, high: float) -> str:
    return number(low) if low == high else f"{_said(low)} to {_said(high)}"


def _by_time(column: str, values: pd.Series[Any]) -> Segments:
    """By hour, day, month or year, in the time zone of the column."""
    import numpy as np

    if values.dt.tz is not None:
        values = values.dt.tz_localize(None)
    at = values.to_numpy()
    gone = np.isnat(at)
    known = at[~gone] if gone.any() else at
    if not known.size:
        return Segments(column, np.zeros(len(at), dtype=np.int16), (MISSING,) if len(at) else ())
    first, last = known.min(), known.max()
    unit = next(unit for unit, most in _TIME_UNITS if (last - first) / np.timedelta64(1, "s") <= most)
    start = first.astype(f"datetime64[{unit}]")
    step = at.astype(f"datetime64[{unit}]").astype("int64") - start.astype("int64")
    units = int(last.astype(f"datetime64[{unit}]").astype("int64") - start.astype("int64")) + 1
    step[gone] = units
    sizes = np.bincount(step, minlength=units + 1)
    kept = np.flatnonzero(sizes)
    lookup = np.cumsum(sizes > 0).astype(np.int16) - np.int16(1)
    shown: Callable[[int], str] = lambda code: str(start + code).replace("T", " ") + (":00" if unit == "h" else "")  # noqa: E731 - named for its one use below
    labels = [MISSING if code == units else shown(int(code)) for code in kept]
    return Segments(column, lookup[step], tuple(labels))


@dataclass(frozen=True, eq=False)
class Pair:
    """Two segmented columns together; only combinations that add something to the columns themselves are kept."""

    first: Segments
    second: Segments
    kept: NDArray[np.int64]
    """Combined codes, `first * len(second.labels) + second`, of the combinations that are looked at."""
    sizes: NDArray[np.int64]
    """Rows of each kept combination."""
    small: int
    """Combinations that occur, but in too few rows."""

    @classmethod
    def of(cls, first: Segments, second: Segments, min_rows: int, most: int) -> Pair:
        """The `most` frequent combinations of at least `min_rows` rows.

        A combination that holds every row of one of its parts is that part, under a longer name, and is left out.
        """
        import numpy as np

        width = len(second.labels)
        counted = np.zeros(len(first.labels) * width, dtype=np.int64)
        for start in range(0, len(first.codes), CHUNK):
            counted += np.bincount(_combined(first, second, start), minlength=counted.size)
        whole = (counted == np.repeat(first.sizes, width)) | (counted == np.tile(second.sizes, len(first.labels)))
        large = np.flatnonzero((counted >= min_rows) & ~whole)
        kept = np.sort(large[np.argsort(-counted[large], kind="stable")[:most]])
        small = int(((counted > 0) & (counted < min_rows) & ~whole).sum()) + len(large) - len(kept)
        return cls(first, second, kept, counted[kept], small)

    def codes(self) -> NDArray[np.int16]:
        """Position in `kept` of each row, and `len(kept)` for the rows of all other combinations; shape (n,)."""
        import numpy as np

        lookup = np.full(len(self.first.labels) * len(self.second.labels), len(self.kept), dtype=np.int16)
        lookup[self.kept] = np.arange(len(self.kept), dtype=np.int16)
        found = np.empty(len(self.first.codes), dtype=np.int16)
        for start in range(0, len(found), CHUNK):
            found[start : start + CHUNK] = lookup[_combined(self.first, self.second, start)]
        return found

    def name(self, position: int) -> str:
        """Such as `carrier HA and origin JFK`."""
        one, other = divmod(int(self.kept[position]), len(self.second.labels))
        return f"{self.first.name(one)} and {self.second.name(other)}"


#: Rows whose codes are widened at once.
CHUNK = 1 << 20


def _combined(first: Segments, second: Segments, start: int) -> NDArray[np.int32]:
    import numpy as np

    part = slice(start, start + CHUNK)
    return first.codes[part].astype(np.int32) * np.int32(len(second.labels)) + second.codes[part]
