"""Rows as keys: equal rows get equal keys, also across two files that store a column in different types."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from mlship.gates.categories import categories

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: Beyond this, neighbouring integers are one float.
_EXACT = 1 << 53
#: Rows that are hashed at once.
_BLOCK = 1 << 19


def row_keys(frame: pd.DataFrame, columns: Sequence[str], moments: Collection[str] = ()) -> NDArray[np.uint64]:
    """One 64-bit key a row over `columns`, shape (n,); equal for equal rows, else different (but for a 2^-64 accident).

    7, 7.0 and True-as-1 are equal, as are a category and its text; missing equals missing. The columns in `moments` are
    read as times, so that text in one file equals a timestamp in another.
    """
    import numpy as np

    keys = np.full(len(frame), 0x9E3779B97F4A7C15, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for name in columns:
            hashed = _hasher(frame[name], is_moment=name in moments)
            for start in range(0, len(keys), _BLOCK):
                part = keys[start : start + _BLOCK]
                part ^= hashed(slice(start, start + _BLOCK))
                part *= np.uint64(0x100000001B3)
                part ^= part >> np.uint64(29)
    return keys


def repeats(keys: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Indices, in order, of the rows whose key occurs more than once: a search for twins need see no others."""
    import numpy as np

    ordered = np.sort(keys)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not twice.size:
        return np.empty(0, dtype=np.intp)
    found = []
    for start in range(0, len(keys), _BLOCK):
        part = keys[start : start + _BLOCK]
        place = np.minimum(np.searchsorted(twice, part), twice.size - 1)
        found.append(np.flatnonzero(twice[place] == part) + start)
    return np.concatenate(found)


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
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return pd.to_datetime(column, utc=True)
    codes, found = pd.factorize(column)  # each text is read once, however often it occurs
    moments = _parsed(pd.Series(found).astype(object)).array.take(codes, allow_fill=True)
    return pd.Series(moments, index=column.index, name=column.name)


def _parsed(texts: pd.Series[Any]) -> pd.Series[Any]:
    """Text as times in UTC: ISO 8601 in all its forms, and whatever else pandas recognises; else missing."""
    import pandas as pd

    moments = pd.to_datetime(texts, utc=True, errors="coerce", format="ISO8601")
    rest = moments.isna() & texts.notna()
    if not rest.any():
        return moments
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the formats differ: so they may
        return moments.where(~rest, pd.to_datetime(texts[rest], utc=True, errors="coerce"))


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


def _hasher(column: pd.Series[Any], *, is_moment: bool) -> Callable[[slice], NDArray[np.uint64]]:
    """What gives the hashes of some rows of the column: the work is done by the block, to need little memory."""
    import numpy as np
    import pandas as pd

    is_a = pd.api.types
    if is_a.is_numeric_dtype(column.dtype) and not is_moment:
        return lambda rows: _hashed_numbers(column.iloc[rows])
    if is_moment or is_a.is_datetime64_any_dtype(column.dtype):
        when = times(column)
        return lambda rows: np.asarray(
            pd.util.hash_array(when.iloc[rows].astype("datetime64[ns, UTC]").astype("int64").to_numpy())
        )
    if isinstance(column.dtype, pd.CategoricalDtype):
        known = np.append(_hashed_text(pd.Series(column.cat.categories)), np.uint64(1))  # code -1 is the last: missing
        codes = column.cat.codes.to_numpy()
        return lambda rows: known[codes[rows]]
    return lambda rows: _hashed_text(column.iloc[rows])


def _hashed_text(column: pd.Series[Any]) -> NDArray[np.uint64]:
    import numpy as np
    import pandas as pd

    codes, names = categories(column)
    # The last place is for code -1, which means missing.
    return np.append(pd.util.hash_array(names, categorize=False), np.uint64(1))[codes]


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
