"""A column of times, whatever its form, as Unix seconds; times that name no zone are in the zone that is given."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: Numbers from this size on are milliseconds, microseconds, nanoseconds since 1970: as seconds they are year 5138 on.
_UNITS = ((1e11, 1e3), (1e14, 1e6), (1e17, 1e9))
#: Seconds before this (April 1970) are no times, but numbers of something else.
_FIRST = 1e7
#: Text that says its zone: after the minutes comes Z, UTC, GMT or an offset.
_ZONED = r":\d\d[\d.,:]*\s*(?:[zZ]|UTC|GMT|[+-]\d\d(?::?\d\d)?)\s*$"


def moments(column: pd.Series[Any], zone: str) -> NDArray[np.float64] | None:
    """Unix seconds, shape (rows,), NaN where a cell holds no time; None when the column holds no times at all.

    Times, text (ISO 8601, and what else pandas recognises) and numbers (seconds since 1970, or thousandths, millionths,
    billionths of them) are read. A time that a clock shows twice, as in autumn, is the first; one that it skips, as in
    spring, is the moment after.
    """
    import numpy as np
    import pandas as pd

    kind = pd.api.types
    if kind.is_bool_dtype(column.dtype):
        return None
    if kind.is_numeric_dtype(column.dtype):
        found = _of_numbers(column.to_numpy(dtype="float64", na_value=np.nan))
    elif kind.is_datetime64_any_dtype(column.dtype):
        found = _unix(column, zone)
    else:
        found = _of_texts(column, zone)
    return None if found is None or np.isnan(found).all() else found


def _of_numbers(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    import numpy as np

    there = values[np.isfinite(values)]
    if not there.size or (middle := float(np.median(there))) < _FIRST:
        return None
    parts = max((part for least, part in _UNITS if middle >= least), default=1.0)
    return np.where(np.isfinite(values), values / parts, np.nan)


def _of_texts(column: pd.Series[Any], zone: str) -> NDArray[np.float64]:
    import numpy as np
    import pandas as pd

    places, distinct = pd.factorize(column)  # each text is read once, however often it occurs
    texts = pd.Series(distinct).astype(str)
    zoned = texts.str.contains(_ZONED, regex=True).to_numpy(dtype=bool)
    known = np.full(len(texts) + 1, np.nan)  # the last place is for -1, which means missing
    known[:-1][zoned] = _unix(_parsed(texts[zoned]), "UTC")
    known[:-1][~zoned] = _unix(_parsed(texts[~zoned]).dt.tz_localize(None), zone)
    return known[places]


def _parsed(texts: pd.Series[Any]) -> pd.Series[Any]:
    """Text as times in UTC; what is none is missing."""
    import pandas as pd

    found = pd.to_datetime(texts, utc=True, errors="coerce", format="ISO8601")
    rest = found.isna()
    if not rest.any():
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the formats differ: so they may
        return found.where(~rest, pd.to_datetime(texts[rest], utc=True, errors="coerce"))


def _unix(times: pd.Series[Any], zone: str) -> NDArray[np.float64]:
    import numpy as np

    if times.dt.tz is None and zone != "UTC":
        first = np.ones(len(times), dtype=bool)
        times = times.dt.tz_localize(zone, ambiguous=first, nonexistent="shift_forward")
    if times.dt.tz is not None:
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    whole = times.to_numpy(dtype="datetime64[us]")
    return np.where(np.isnat(whole), np.nan, whole.astype("int64") / 1e6)
