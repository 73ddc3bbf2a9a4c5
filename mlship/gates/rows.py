"""Rows as keys: equal rows get equal keys, also across two files that store a column in different types."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: Beyond this, neighbouring integers are one float.
_EXACT = 1 << 53


def row_keys(frame: pd.DataFrame, columns: Sequence[str], moments: Collection[str] = ()) -> NDArray[np.uint64]:
    """One 64-bit key a row over `columns`, shape (n,); equal for equal rows, else different (but for a 2^-64 accident).

    7, 7.0 and True-as-1 are equal, as are a category and its text; missing equals missing. The columns in `moments` are
    read as times, so that text in one file equals a timestamp in another.
    """
    import numpy as np

    keys = np.full(len(frame), 0x9E3779B97F4A7C15, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for name in columns:
            keys = (keys ^ _hashed(frame[name], is_moment=name in moments)) * np.uint64(0x100000001B3)
            keys ^= keys >> np.uint64(29)
    return keys


def moments(*frames: pd.DataFrame) -> set[str]:
    """Columns that at least one of the files stores as times."""
    import pandas as pd

    return {
        str(name)
        for frame in frames
        for name in frame.columns
        if pd.api.types.is_datetime64_any_dtype(frame[name].dtype)
    }


def times(column: pd.Series[Any]) -> pd.Series[Any]:
    """A column as times in UTC, or as the numbers it holds; what is neither is missing."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype("float64")
    return pd.to_datetime(column, utc=True, errors="coerce")


def as_numbers(column: pd.Series[Any]) -> NDArray[np.float64] | None:
    """Numbers and times as floats, missing as nan; None for text and the like."""
    import numpy as np
    import pandas as pd

    kind = pd.api.types
    if kind.is_numeric_dtype(column.dtype):
        return np.asarray(column.to_numpy(dtype="float64", na_value=np.nan), dtype=float)
    if kind.is_datetime64_any_dtype(column.dtype) or kind.is_timedelta64_dtype(column.dtype):
        return np.where(column.isna(), np.nan, column.astype("int64").to_numpy(dtype=float))
    return None


def _hashed(column: pd.Series[Any], *, is_moment: bool) -> NDArray[np.uint64]:
    import numpy as np
    import pandas as pd

    kind = pd.api.types
    if kind.is_numeric_dtype(column.dtype) and not is_moment:
        return _hashed_numbers(column)
    if is_moment or kind.is_datetime64_any_dtype(column.dtype):
        return np.asarray(pd.util.hash_array(times(column).astype("datetime64[ns, UTC]").astype("int64").to_numpy()))
    text = column.astype(object)
    missing = text.isna().to_numpy()
    plain = np.array(["" if gone else str(value) for value, gone in zip(text, missing, strict=True)], dtype=object)
    hashed = pd.util.hash_array(plain, categorize=True)
    hashed[missing] = np.uint64(1)
    return np.asarray(hashed)


def _hashed_numbers(column: pd.Series[Any]) -> NDArray[np.uint64]:
    import numpy as np
    import pandas as pd

    floats = column.to_numpy(dtype="float64", na_value=np.nan) + 0.0  # -0.0 becomes 0.0
    floats[np.isnan(floats)] = np.nan  # one bit pattern for all that is missing
    hashed = pd.util.hash_array(floats)
    if pd.api.types.is_integer_dtype(column.dtype) and len(column):
        large = (np.abs(floats) >= _EXACT) & ~np.isnan(floats)
        if large.any():
            whole = column.to_numpy(dtype="object")[large].astype(str)
            hashed[large] = pd.util.hash_array(whole.astype(object))
    return np.asarray(hashed)
