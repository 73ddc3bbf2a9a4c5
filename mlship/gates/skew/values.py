"""Columns of two sides in one domain (numbers and times as floats, text as codes), and which of their rows differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlship.gates.skew.columns import (
    EXACT,
    Kind,
    Merged,
    as_floats,
    kind_of,
    merged,
    moments,
    seconds_of,
    seen_as_text,
    through,
)
from mlship.gates.skew.units import plain
from mlship.report.figures import quoted

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: Times this near (seconds) are the same: files keep micro- or nanoseconds.
_INSTANT = 1.5e-6
#: Numbers nearer than this share of the column's largest are the same: what is left of a sum that should be zero.
_RESIDUE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """One column of all compared rows."""

    name: str
    kind: Literal["number", "time", "text", "types"]
    """`types`: numbers on one side and text (or times) on the other."""
    offline: NDArray[Any]
    """float64, missing as nan (times: seconds since 1970); or codes of `texts`, missing as -1. Shape (n,)."""
    online: NDArray[Any]
    history: NDArray[Any]
    """The whole offline column in the same domain, to look up earlier values by position."""
    texts: NDArray[np.object_]
    """What the codes stand for."""
    differs: NDArray[np.bool_]
    lost: NDArray[np.bool_]
    """Of these, missing online only."""
    filled: NDArray[np.bool_]
    """Of these, missing offline only."""
    kinds: tuple[Kind, Kind] = ("number", "number")

    @property
    def share(self) -> float:
        """Share of the compared rows that differ."""
        return float(self.differs.mean()) if len(self.differs) else 0.0

    @property
    def empty(self) -> bool:
        """Whether no compared row has a value on any side."""
        import numpy as np

        if self.differs.any():
            return False
        return bool((self.offline < 0).all() if self.kind in ("text", "types") else np.isnan(self.offline).all())

    def values(self, side: Literal["offline", "online"], rows: Any) -> list[Any]:
        """Values as they stand in the data, by row among the compared; None for missing. For a few rows only."""
        import numpy as np
        import pandas as pd

        found = (self.offline if side == "offline" else self.online)[rows]
        if self.kind in ("text", "types"):
            return [self.texts[code] if code >= 0 else None for code in found]
        if self.kind == "time":
            return [None if np.isnan(value) else pd.Timestamp(round(value * 1e6), unit="us") for value in found]
        return [None if np.isnan(value) else float(value) for value in found]

    def said(self, value: Any) -> str:
        """A value of this domain as it would be typed."""
        import pandas as pd

        if self.kind in ("text", "types"):
            return quoted(self.texts[int(value)])
        if self.kind == "time":
            return f"{pd.Timestamp(round(float(value) * 1e6), unit='us')}"
        return plain(float(value))

    def largest(self) -> tuple[int, float] | None:
        """The row with the largest difference among those that have a value on both sides, and that difference."""
        import numpy as np

        if self.kind not in ("number", "time"):
            return None
        rows = np.flatnonzero(self.differs & ~self.lost & ~self.filled)
        if not rows.size:
            return None
        with np.errstate(invalid="ignore"):
            apart = np.abs(self.online[rows] - self.offline[rows])
        at = int(np.argmax(apart))
        return int(rows[at]), float(apart[at])


def compare(
    name: str,
    offline: pd.Series[Any],
    online: pd.Series[Any],
    *,
    position: NDArray[np.int64],
    rows: NDArray[np.int64],
    tolerance: float,
) -> Compared:
    """Compare `online` at `rows` with `offline` at `position`, which is as long as `rows`.

    Both missing is the same; one missing is not. Numbers (and booleans as 0 and 1) are the same up to the relative
    `tolerance`, whole numbers exactly; times to the microsecond, without a zone as UTC; text exactly. Text that reads
    as the other side's times is compared as times. Numbers against text differ in every row that has both.
    """
    import numpy as np

    kinds = kind_of(offline), kind_of(online)
    if kinds[0] == "empty" or kinds[1] == "empty":
        other = kinds[1] if kinds[0] == "empty" else kinds[0]
        kinds = (other, other) if other != "empty" else ("number", "number")
    if kinds == ("number", "number"):
        history, asked = as_floats(offline), as_floats(online)[rows]
        ours = history[position]
        differs = _numbers_differ(ours, asked, tolerance)
        wide = _wide(offline, online, position, rows)
        differs = differs if wide is None else wide
        return _compared(name, "number", (ours, asked, history), differs, kinds=kinds)
    if "time" in kinds and "number" not in kinds:
        left, right = moments(offline), moments(online)
        if left is not None and right is not None:
            history, asked = seconds_of(left), seconds_of(right)[rows]
            ours = history[position]
            with np.errstate(invalid="ignore"):
                differs = ~(np.abs(ours - asked) <= _INSTANT) & ~(np.isnan(ours) & np.isnan(asked))
            return _compared(name, "time", (ours, asked, history), differs, kinds=kinds)
    codes, values = seen_as_text(offline)
    others, seen = seen_as_text(online)
    if kinds[0] != kinds[1]:
        return _of_two_types(name, kinds, (codes[position], codes), others[rows], merged(values, seen))
    table = merged(values, seen)
    left_codes, right_codes = codes[position], through(table.translation, others[rows])
    sides = (left_codes, right_codes, codes)
    return _compared(name, "text", sides, left_codes != right_codes, kinds=kinds, texts=table.texts)


def _numbers_differ(ours: NDArray[np.float64], asked: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    import numpy as np

    with np.errstate(invalid="ignore", over="ignore"):
        differs = np.asarray(ours != asked)
        differs &= ~(np.isnan(ours) & np.isnan(asked))
        rows = np.flatnonzero(differs)
        left, right = ours[rows], asked[rows]
        apart = np.abs(left - right)
        large = np.maximum(np.abs(left), np.abs(right))
        same = apart <= tolerance * large
        # Identifiers, counts and epochs: 1,000,000 and 1,000,001 are not the same, however near.
        same &= ~((left == np.trunc(left)) & (right == np.trunc(right)) & (large < EXACT))
        if tolerance and same.size:
            finite = np.abs(ours[np.isfinite(ours)])
            same |= apart <= _RESIDUE * (float(finite.max()) if finite.size else 0.0)
        same &= np.isfinite(apart)
    differs[rows[same]] = False
    return differs


def _wide(
    offline: pd.Series[Any], online: pd.Series[Any], position: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.bool_] | None:
    """Whole numbers beyond what a float holds, compared as they are; None when there are none."""
    import numpy as np
    import pandas as pd

    for column in (offline, online):
        if not pd.api.types.is_integer_dtype(column.dtype) or column.isna().any() or not len(column):
            return None
    if max(abs(int(end)) for column in (offline, online) for end in (column.min(), column.max())) < EXACT:
        return None
    return np.asarray(offline.to_numpy()[position] != online.to_numpy()[rows])


def _of_two_types(name: str, kinds: tuple[Kind, Kind], ours: tuple[Any, Any], others: Any, table: Merged) -> Compared:
    """Every row with a value on a side differs: a model cannot take 12.5 and '12.5' alike."""
    left, right = ours[0], through(table.translation, others)
    differs = ~((left < 0) & (right < 0))
    lost, filled = differs & (right < 0), differs & (left < 0)
    return Compared(name, "types", left, right, ours[1], table.texts, differs, lost, filled, kinds)


def _compared(
    name: str,
    kind: Literal["number", "time", "text"],
    sides: tuple[Any, Any, Any],
    differs: Any,
    *,
    kinds: tuple[Kind, Kind],
    texts: Any = (),
) -> Compared:
    import numpy as np

    ours, asked, history = sides
    gone = (ours < 0, asked < 0) if kind == "text" else (np.isnan(ours), np.isnan(asked))
    texts = np.asarray(texts, dtype=object)
    return Compared(name, kind, ours, asked, history, texts, differs, differs & gone[1], differs & gone[0], kinds)
