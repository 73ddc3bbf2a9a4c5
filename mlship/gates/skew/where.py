"""Where differences sit: since a moment, until one, or only where another column has one value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlship.report.figures import quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Fewer differing rows than this may sit anywhere by chance.
_FEWEST = 30
#: A place that holds more of all rows than this is no place.
_MOST = 0.9
#: Of the rows at the place, so many differ at least.
_FILLED = 0.5


def where(
    differs: NDArray[np.bool_],
    times: Any,
    categories: Mapping[str, tuple[NDArray[np.integer[Any]], NDArray[np.object_]]],
) -> str:
    """`only from 2026-07-14 12:00 on`, `only where origin is 'JFK'`, or nothing when the differences are all over.

    `times` are the rows' times (datetime64, or None); `categories` are codes (missing -1) and texts by column. Named is
    a place that holds all differing rows (of a value: 99 %), at most 90 % of all rows, and of whose rows at least half
    differ.
    """
    rows = int(differs.sum())
    if rows < _FEWEST or rows > _MOST * len(differs):
        return ""
    return _when(differs, times, rows) or _which(differs, categories, rows)


def _when(differs: NDArray[np.bool_], times: Any, rows: int) -> str:
    import pandas as pd

    if times is None:
        return ""
    first, last = times[differs].min(), times[differs].max()
    inside = (times >= first) & (times <= last)
    if inside.mean() > _MOST or rows < _FILLED * inside.sum():
        return ""
    begins, ends = (f"{pd.Timestamp(moment):%Y-%m-%d %H:%M}" for moment in (first, last))
    if last == times.max():
        return f"only from {begins} UTC on"
    return f"only up to {ends} UTC" if first == times.min() else f"only between {begins} and {ends} UTC"


def _which(
    differs: NDArray[np.bool_],
    categories: Mapping[str, tuple[NDArray[np.integer[Any]], NDArray[np.object_]]],
    rows: int,
) -> str:
    import numpy as np

    for name, (codes, texts) in categories.items():
        known = codes >= 0
        here = np.bincount(codes[differs & known], minlength=len(texts))
        everywhere = np.bincount(codes[known], minlength=len(texts))
        if not here.size:
            continue
        value = int(here.argmax())
        filled = here[value] >= _FILLED * everywhere[value]
        if here[value] >= 0.99 * rows and everywhere[value] <= _MOST * len(differs) and filled:
            return f"only where {name} is {quoted(texts[value])}"
    return ""
