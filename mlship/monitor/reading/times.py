"""When the rows of a log were asked for: a column of any type as Unix time, and how windows lie in it."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: Microseconds in a second: times are whole numbers of them, so that no window loses a row to rounding.
MICRO = 1_000_000
#: What stands for a time that is missing, or cannot be read.
UNREADABLE = -(1 << 63)
#: Numbers stand for a time: below these sizes in seconds, milliseconds, microseconds; larger ones in nanoseconds.
_UNITS = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0))
#: Beyond it (some 200,000 years) nothing is a time.
_LARGEST = 1 << 62


def instants(column: pd.Series[Any], zone: str) -> NDArray[np.int64]:
    """Unix time of every cell in microseconds, `UNREADABLE` where there is none, shape (rows,).

    Times and ISO 8601 texts that name no zone are in `zone`: a moment of an hour that comes twice in autumn is the
    first of the two, and one of the hour that is left out in spring is that of the change. Numbers are seconds since
    1970, or, by their size, milliseconds, microseconds or nanoseconds.
    """
    import numpy as np
    import pandas as pd

    dtype: Any = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        table = np.append(instants(pd.Series(dtype.categories), zone), UNREADABLE)
        return table[column.cat.codes.to_numpy()]
    if pd.api.types.is_datetime64_any_dtype(dtype):
        aware = isinstance(dtype, pd.DatetimeTZDtype)
        return _whole(column.dt.tz_convert("UTC").dt.tz_localize(None)) if aware else _localised(column, zone)
    if pd.api.types.is_bool_dtype(dtype):
        return np.full(len(column), UNREADABLE, dtype=np.int64)
    if pd.api.types.is_numeric_dtype(dtype):
        return _of_numbers(column.to_numpy(dtype=np.float64, na_value=np.nan), column)
    if isinstance(dtype, pd.StringDtype) or pd.api.types.infer_dtype(column, skipna=True) == "string":
        return _of_texts(column, zone)
    return np.array([_one(cell, zone) for cell in column], dtype=np.int64)


def _whole(naive: pd.Series[Any]) -> NDArray[np.int64]:
    """Times in UTC, without a zone, as microseconds; NaT is the number that stands for it already."""
    import numpy as np

    values = naive.to_numpy()
    return np.asarray(values.astype("datetime64[us]").view(np.int64))


def _localised(naive: pd.Series[Any], zone: str) -> NDArray[np.int64]:
    import numpy as np
    import pandas as pd

    if zone == "UTC":
        return _whole(naive)
    first = np.ones(len(naive), dtype=bool)
    index = pd.DatetimeIndex(naive).tz_localize(zone, ambiguous=first, nonexistent="shift_forward")
    return _whole(index.tz_convert("UTC").tz_localize(None).to_series())


def _of_numbers(floats: NDArray[np.float64], column: pd.Series[Any]) -> NDArray[np.int64]:
    import numpy as np

    size = np.abs(floats)
    scale = np.full(len(floats), 1e-3)
    for most, factor in reversed(_UNITS):
        scale[size < most] = factor
    fits = size * scale < _LARGEST  # false for nan, too
    found = np.full(len(floats), UNREADABLE, dtype=np.int64)
    found[fits] = np.floor(floats[fits] * scale[fits])
    whole = fits & (scale <= 1.0)
    if column.dtype.kind in "iu" and whole.any():  # exactly, where a float would not be
        exact = column.to_numpy()[whole].astype(np.int64)
        found[whole] = np.where(scale[whole] == 1.0, exact, exact // 1000)
    return found


def _of_texts(column: pd.Series[Any], zone: str) -> NDArray[np.int64]:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    for kind in (pa.timestamp("us", "UTC"), pa.timestamp("us")):  # all with an offset, or all without
        try:
            read = pc.cast(pa.array(column, pa.large_string(), from_pandas=True), kind)
        except (pa.ArrowException, UnicodeError):
            continue
        numbers = read.cast(pa.int64()).fill_null(UNREADABLE).to_numpy()
        return numbers if kind.tz else _localised(pd.Series(numbers.view("datetime64[us]")), zone)
    texts = column.astype(object)
    read = pd.to_datetime(texts, utc=True, errors="coerce", format="ISO8601")
    plain = read.dt.tz_localize(None)
    found = _whole(plain)
    if zone != "UTC":
        naive = ~texts.astype("str").str.contains(r"(?:[Zz]|[+-]\d\d:?\d\d|[+-]\d\d)\s*$").fillna(False).to_numpy(bool)
        # `2013-07-01` ends like an offset, and has none.
        naive |= texts.astype("str").str.fullmatch(r"\s*\d{4}-\d\d-\d\d\s*").fillna(False).to_numpy(bool)
        naive &= found != UNREADABLE
        found[naive] = _localised(plain[naive], zone)
    return np.asarray(found)


def _one(cell: Any, zone: str) -> int:
    """A cell of a column of several types."""
    import pandas as pd

    if isinstance(cell, datetime.date | datetime.datetime | pd.Timestamp | str):
        made = pd.Series([pd.Timestamp(cell)] if not isinstance(cell, str) else [cell])
    elif isinstance(cell, int | float) and not isinstance(cell, bool):
        made = pd.Series([float(cell)])
    else:
        return UNREADABLE
    return int(instants(made, zone)[0])
