"""The time windows of the drift gate: which hour, day, week or month each row belongs to, and the heat map of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlship.exhibits import Heat
from mlship.gates.drift.columns import Moved, Windows
from mlship.gates.rows import times
from mlship.report.figures import count
from mlship.stats.binning import slices

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: From fine to coarse, and the most windows of each that are chosen without being asked for.
_UNITS = {"hour": 48, "day": 31, "week": 16, "month": 36}
#: Windows that a heat map can show; of more, the latest.
_MOST_SHOWN = 60
#: Rows of a heat map.
_MOST_ROWS = 20
#: numpy's day 0, 1970-01-01, was a Thursday; weeks begin on Monday.
_THURSDAY = 3


def windows(column: pd.Series[Any], unit: str | None, min_rows: int) -> Windows | None:
    """The windows of a time column, in its own time zone; None when it holds no times or numbers instead.

    Without a `unit`: the finest of hour, day, week and month that gives no more windows than a person reads, with
    `min_rows` rows in them on average; months when none does.
    """
    import numpy as np
    import pandas as pd

    kind = pd.api.types
    if kind.is_numeric_dtype(column.dtype):
        return None
    if not kind.is_datetime64_any_dtype(column.dtype):
        column = times(column)
    if column.dt.tz is not None:
        column = column.dt.tz_localize(None)
    there = int(column.notna().sum())
    if not there:
        return None
    first, last = (np.datetime64(moment, "s") for moment in (column.min(), column.max()))
    chosen = unit or _finest(first, last, there / min_rows)
    start, end = _numbered(np.array([first, last]), chosen).tolist()
    start = max(start, end - _MOST_SHOWN + 1)
    of, rows = np.full(len(column), -1, np.int32), np.zeros(end - start + 1, np.int64)
    for where in slices(len(column)):
        seconds = column.iloc[where].to_numpy(dtype="datetime64[s]")
        numbered = _numbered(seconds, chosen) - start
        numbered[np.isnat(seconds) | (numbered < 0)] = -1
        of[where] = numbered
        rows += np.bincount(numbered + 1, minlength=len(rows) + 1)[1:]
    return Windows(tuple(_name(start + i, chosen) for i in range(len(rows))), of, rows)


def _finest(first: np.datetime64, last: np.datetime64, most: float) -> str:
    import numpy as np

    for unit, shown in _UNITS.items():
        start, end = _numbered(np.array([first, last]), unit).tolist()
        if end - start + 1 <= min(shown, most):
            return unit
    return "month"


def _numbered(seconds: NDArray[Any], unit: str) -> NDArray[np.int64]:
    """The number of each moment's window, counted from 1970."""
    if unit == "month":
        return seconds.astype("datetime64[M]").astype("int64")
    if unit == "hour":
        return seconds.astype("int64") // 3600
    days = seconds.astype("int64") // 86400
    return (days + _THURSDAY) // 7 if unit == "week" else days


def _name(number: int, unit: str) -> str:
    import numpy as np

    if unit == "month":
        return str(np.datetime64(number, "M"))
    if unit == "hour":
        return str(np.datetime64(number, "h")).replace("T", " ") + ":00"
    return str(np.datetime64(number * 7 - _THURSDAY if unit == "week" else number, "D"))


def heat(title: str, found: Sequence[Moved], over: Windows, limit: float | None, min_rows: int) -> Heat:
    """One row per column, in the order given; what has too few rows is empty."""
    few = int((over.rows < min_rows).sum())
    note = "PSI of each window against the whole reference, less what chance adds"
    if limit is not None:
        note += f"; marked from {limit:g}"
    if few:
        note += f"; {count(few)} of {count(len(over.names))} windows have fewer than {count(min_rows)} rows"
    if len(found) > _MOST_ROWS:
        note += f"; the {_MOST_ROWS} first of {count(len(found))}"
    shown = found[:_MOST_ROWS]
    return Heat(title, over.names, tuple(m.column for m in shown), tuple(m.windows for m in shown), note, limit)


def worst_window(moved: Moved, over: Windows | None) -> tuple[str, float] | None:
    """The window that is furthest from the reference, and how far; None without two windows to compare."""
    measured = [
        (psi, name) for psi, name in zip(moved.windows, over.names if over else (), strict=True) if psi is not None
    ]
    if len(measured) < 2:
        return None
    psi, name = max(measured)
    return name, psi
