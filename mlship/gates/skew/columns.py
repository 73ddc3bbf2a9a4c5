"""How any column of either side is read: what it holds, as numbers, as times in UTC, or as codes of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Kind: TypeAlias = Literal["number", "time", "text", "empty"]

#: Beyond this, neighbouring whole numbers are one float.
EXACT = float(1 << 53)
#: Units of numbers that stand for a time, by the size of a time of our days.
_EPOCHS = ((1e8, 1.0, ""), (1e11, 1e9, "seconds since 1970"), (1e14, 1e6, "milliseconds since 1970"),
           (1e17, 1e3, "microseconds since 1970"), (float("inf"), 1.0, "nanoseconds since 1970"))  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """A column as times."""

    values: Any
    """datetime64[ns] in UTC; NaT where there is none."""
    zoned: bool
    """Whether the column says its time zone."""
    unit: str = ""
    """How numbers were read, when it held numbers."""


def kind_of(column: pd.Series[Any]) -> Kind:
    """What a column holds: numbers (and booleans), times, text (and whatever else), or nothing at all."""
    import pandas as pd

    dtype: Any = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return kind_of(pd.Series(dtype.categories)) if column.notna().any() else "empty"
    kinds = pd.api.types
    if kinds.is_bool_dtype(dtype) or kinds.is_numeric_dtype(dtype):
        return "number" if column.notna().any() else "empty"
    if kinds.is_datetime64_any_dtype(dtype):
        return "time" if column.notna().any() else "empty"
    inferred = kinds.infer_dtype(column, skipna=True)
    if inferred in ("boolean", "integer", "floating", "mixed-integer-float", "decimal"):
        return "number"
    if inferred in ("datetime", "datetime64", "date"):
        return "time"
    return "empty" if inferred == "empty" or not column.notna().any() else "text"


def as_floats(column: pd.Series[Any]) -> NDArray[np.float64]:
    """A column of numbers as float64, missing as nan."""
    import numpy as np
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype if column.notna().all() else "float64")
    if column.dtype == object:
        column = column.astype("float64")
    return np.asarray(column.to_numpy(dtype="float64", na_value=np.nan))


def whole_numbers(column: pd.Series[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """A column of whole numbers as int64, and where it is missing; None when it holds fractions or too large ones."""
    import numpy as np
    import pandas as pd

    if pd.api.types.is_integer_dtype(column.dtype) and not pd.api.types.is_unsigned_integer_dtype(column.dtype):
        missing = column.isna().to_numpy()
        return column.fillna(0).to_numpy(dtype=np.int64) if missing.any() else column.to_numpy(dtype=np.int64), missing
    if kind_of(column) == "empty":
        return np.zeros(len(column), dtype=np.int64), np.ones(len(column), dtype=bool)
    floats = as_floats(column)
    missing = np.isnan(floats)
    rest = np.where(missing, 0.0, floats)
    if not bool(((np.abs(rest) < EXACT) & (rest == np.trunc(rest))).all()):
        return None
    return rest.astype(np.int64), missing


def moments(column: pd.Series[Any]) -> Moments | None:
    """A column as times in UTC; None when it holds something else. Text that is no time is missing, if others are."""
    import numpy as np
    import pandas as pd

    kind = kind_of(column)
    if kind == "empty":
        return Moments(np.full(len(column), "NaT", dtype="datetime64[ns]"), zoned=True)
    if kind == "number":
        floats = as_floats(column)
        size = float(np.nanmedian(np.abs(floats)))
        scale, unit = next((scale, unit) for most, scale, unit in _EPOCHS if size < most)
        scale = 1e9 if not unit else scale
        whole = whole_numbers(column)
        numbers = whole[0] * int(scale) if whole else np.where(np.isnan(floats), 0, floats * scale).astype(np.int64)
        stamps = numbers.astype("datetime64[ns]")
        return Moments(np.where(np.isnan(floats), np.datetime64("NaT"), stamps), zoned=True, unit=unit or "seconds")
    if kind == "text":
        codes, texts = seen_as_text(column)
        read = pd.to_datetime(pd.Series(texts, dtype=object), utc=True, errors="coerce", format="ISO8601")
        if float(read.notna().mean()) < 0.5:
            return None
        zoned = bool(pd.Series(texts[:100], dtype=object).astype("str").str.contains(r"(?:Z|[+-]\d\d:?\d\d)$").any())
        stamps = np.append(_plain(read), np.datetime64("NaT", "ns"))
        return Moments(stamps[codes], zoned)
    zoned = getattr(column.dtype, "tz", None) is not None
    if column.dtype == object or isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
        zoned = getattr(column.dropna().iloc[0], "tzinfo", None) is not None
    return Moments(_plain(pd.to_datetime(column, utc=True, errors="coerce")), zoned)


def seen_as_text(column: pd.Series[Any]) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Codes (missing -1) and the distinct values as text: 7 and 7.0 are `7`, True is `True`, a list is its text."""
    import numpy as np
    import pandas as pd

    try:
        codes, unique = pd.factorize(column)
    except TypeError:  # lists and arrays, as feature stores keep them
        listed = [list(value) if hasattr(value, "__iter__") else value for value in column]
        flat = [None if value is None else str(value) for value in listed]
        codes, unique = pd.factorize(pd.Series(flat, dtype=object))
    texts = np.array([_text(value) for value in unique], dtype=object)
    again, distinct = pd.factorize(pd.Series(texts, dtype=object))
    if len(distinct) < len(texts):  # 1 and '1' in one column
        codes, texts = through(again.astype(np.int64), codes), np.array(list(distinct), dtype=object)
    return codes.astype(np.int64), texts


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return str(int(value))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def through(table: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Codes translated by a table; -1 stays."""
    import numpy as np

    return np.append(table, -1)[codes]


def _plain(column: Any) -> Any:
    """A datetime column in UTC as datetime64[ns] without a zone."""
    return column.dt.tz_localize(None).to_numpy().astype("datetime64[ns]")


def seconds_of(read: Moments) -> NDArray[np.float64]:
    """Seconds since 1970 as floats, missing as nan."""
    import numpy as np

    return np.where(np.isnat(read.values), np.nan, read.values.astype(np.int64) / 1e9)


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """Two lists of texts in one."""

    translation: NDArray[np.int64]
    texts: NDArray[np.object_]


def merged(ours: NDArray[np.object_], others: NDArray[np.object_]) -> Merged:
    """One code for the texts of both sides: the first side's codes stay, the second's are translated."""
    import numpy as np
    import pandas as pd

    table = pd.Index(ours, dtype=object).get_indexer(pd.Index(others, dtype=object)).astype(np.int64)
    new = np.flatnonzero(table < 0)
    table[new] = len(ours) + np.arange(len(new))
    return Merged(table, np.concatenate([ours, others[new]]))
