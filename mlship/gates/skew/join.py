"""Which offline row each online row meets: the one of its key, and with a time the last one that is not later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from mlship.gates.skew.columns import moments, seen_as_text
from mlship.gates.skew.keys import ROOM, KeyProblem, key_codes
from mlship.report.figures import quoted

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


class Met(IntEnum):
    """What became of an online row."""

    MATCHED = 0
    NO_KEY = 1
    """Its key or its time is missing, or its time cannot be read."""
    UNKNOWN = 2
    """No offline row has its key."""
    LATER = 3
    """All offline rows of its key are later."""
    TOO_OLD = 4
    """The last offline row of its key that is not later is older than `max_age`."""
    AMBIGUOUS = 5
    """Several offline rows have its key (and the same time), and they do not agree."""


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """The offline row of each online row."""

    met: NDArray[np.int8]
    """One of `Met` per online row, shape (n,)."""
    offline: NDArray[np.int64]
    """Position of the offline row, shape (n,); -1 where there is none, and the last of them where it is ambiguous."""
    ages: NDArray[np.float64] | None
    """Seconds from the offline row to the online row, shape (n,); negative to the first later row; nan without one.
    None without a time."""
    notes: tuple[str, ...]
    """What was assumed about types and time zones."""
    stamps: tuple[Any, Any]
    """The times of both sides, datetime64[ns] in UTC; None and None without a time."""
    _order: NDArray[np.int64]
    _place: NDArray[np.int64]
    _codes: NDArray[np.int64]

    _tied: NDArray[np.bool_]
    """Per place in the order: equal in key and time to the place before it."""

    def earlier(self, rows: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
        """Positions of the offline rows that come `steps` before those of `rows` in their entity's history, or -1."""
        import numpy as np

        here = self._place[rows]
        there = here - steps
        known = (here >= 0) & (there >= 0)
        known[known] = self._codes[here[known]] == self._codes[there[known]]
        return (
            np.where(known, self._order[np.where(known, there, 0)], -1) if self._order.size else np.full(len(rows), -1)
        )

    def twins(self, row: int) -> NDArray[np.int64]:
        """Positions of the offline rows that compete for an ambiguous online row, in the order of the file."""
        import numpy as np

        at = int(self._place[row])
        return np.sort(self._order[int(self._ties_begin(at)) : at + 1])

    def _ties_begin(self, at: int) -> int:
        first = at
        while first > 0 and self._tied[first]:
            first -= 1
        return first


def match(
    offline: pd.DataFrame,
    online: pd.DataFrame,
    keys: Sequence[str],
    *,
    time: str | None = None,
    max_age: float | None = None,
    values: Sequence[str] = (),
) -> Match:
    """Give each online row its offline row: the same `keys`, and with `time` the last one at or before its time.

    A later offline row is never used, however near. `max_age` is in seconds. Offline rows that agree in keys and time
    are ambiguous when they differ in one of the columns `values`; when they do not, the last one stands for all.
    Times without a zone are read as UTC. Cost: two sorts. Raises ``KeyProblem`` when keys or times cannot be compared.
    """
    import numpy as np

    codes, theirs, notes = key_codes(offline, online, keys)
    stamps = stamped = None
    if time is not None:
        stamps, stamped, told = _stamps(offline[time], online[time], time)
        notes += told
        codes = np.where(np.isnat(stamps), -1, codes)
        theirs = np.where(np.isnat(stamped), -1, theirs)
    usable = np.flatnonzero(codes >= 0)
    ours, asked = _composite(codes, theirs, stamps, stamped)
    order = usable[np.argsort(ours[usable], kind="stable")]
    ranked, grouped = ours[order], codes[order]
    place = _last_not_after(ranked, asked)
    met = np.zeros(len(online), dtype=np.int8)
    found = place >= 0
    found[found] = grouped[place[found]] == theirs[found]
    after = np.minimum(place + 1, max(len(order) - 1, 0))
    follows = (place + 1 < len(order)) & (theirs >= 0)
    if len(order):
        follows &= grouped[after] == theirs
    met[~found] = Met.UNKNOWN
    met[~found & follows] = Met.LATER
    met[theirs < 0] = Met.NO_KEY
    found &= theirs >= 0
    place[~found] = -1
    position = np.full(len(online), -1, dtype=np.int64)
    position[found] = order[place[found]]
    ages = None
    if stamps is not None and stamped is not None:
        ages = np.full(len(online), np.nan)
        ages[found] = (stamped[found] - stamps[position[found]]).astype(np.int64) / 1e9
        later = met == Met.LATER
        ages[later] = (stamped[later] - stamps[order[after[later]]]).astype(np.int64) / 1e9
        if max_age is not None:
            met[found & (ages > max_age)] = Met.TOO_OLD
    tied = np.zeros(len(order), dtype=bool)
    tied[1:] = ranked[1:] == ranked[:-1]
    unclear = _conflicts(offline, order, tied, values)
    if unclear is not None:
        found = met == Met.MATCHED
        found[found] = unclear[place[found]]
        met[found] = Met.AMBIGUOUS
    position[(met == Met.TOO_OLD)] = -1
    return Match(met, position, ages, tuple(notes), (stamps, stamped), order, place, grouped, tied)


def _last_not_after(ranked: NDArray[np.int64], asked: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each value the last place in `ranked` that is not greater, or -1; sorted look-ups are kind to the cache."""
    import numpy as np

    if len(asked) < 2 or bool((asked[1:] >= asked[:-1]).all()):
        return np.searchsorted(ranked, asked, side="right") - 1
    by = np.argsort(asked)
    place = np.empty(len(asked), dtype=np.int64)
    place[by] = np.searchsorted(ranked, asked[by], side="right") - 1
    return place


def _conflicts(
    offline: pd.DataFrame, order: NDArray[np.int64], tied: NDArray[np.bool_], values: Sequence[str]
) -> NDArray[np.bool_] | None:
    """Per place in the order: does its group of equal keys and times disagree in one of `values`? None: nowhere."""
    import numpy as np

    if not tied.any():
        return None
    second = np.flatnonzero(tied)
    group = np.cumsum(~tied)
    bad = np.zeros(int(group[-1]) + 1, dtype=bool)
    pairs = np.concatenate([order[second - 1], order[second]])
    for name in values:
        codes = seen_as_text(offline[name].iloc[pairs])[0]
        half = len(second)
        bad[group[second[codes[:half] != codes[half:]]]] = True
    return np.asarray(bad[group]) if bad.any() else None


def _composite(
    codes: NDArray[np.int64], theirs: NDArray[np.int64], stamps: Any, stamped: Any
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Key and time as one whole number on each side that sorts by key, then by time; exact, never rounded."""
    import numpy as np

    if stamps is None:
        return codes, theirs
    ours, asked = stamps.astype(np.int64), stamped.astype(np.int64)
    here, there = codes >= 0, theirs >= 0
    if not here.any() or not there.any():
        return np.where(here, codes, -1), np.where(there, theirs, -1)
    unit = next(
        size for size in (10**9, 10**6, 10**3, 1) if not (ours[here] % size).any() and not (asked[there] % size).any()
    )
    start = min(int(ours[here].min()), int(asked[there].min())) // unit
    span = max(int(ours[here].max()), int(asked[there].max())) // unit - start + 1
    kinds = max(int(codes.max()), int(theirs.max())) + 1
    if kinds * span < ROOM:
        ours, asked = ours // unit - start, asked // unit - start
    else:  # too far apart for nanoseconds: their ranks sort alike
        ranks = np.unique(np.concatenate([ours[here], asked[there]]))
        span = len(ranks)
        ours, asked = np.searchsorted(ranks, ours), np.searchsorted(ranks, asked)
    return np.where(here, codes * span + ours, -1), np.where(there, theirs * span + asked, -1)


def _stamps(ours: pd.Series[Any], asked: pd.Series[Any], name: str) -> tuple[Any, Any, list[str]]:
    """The times of both sides as datetime64[ns] in UTC, and what was assumed."""
    import numpy as np

    sides, notes, naive = [], list[str](), list[str]()
    for column, side in ((ours, "offline"), (asked, "online")):
        read = moments(column)
        if read is None:
            example = quoted(column.dropna().iloc[0])
            raise KeyProblem(f"the {side} column '{name}' holds no times, such as {example}")
        if read.unit:
            notes.append(f"the {side} times are numbers and were read as {read.unit}")
        if not read.zoned:
            naive.append(side)
        if len(column) and bool(np.isnat(read.values).all()):
            raise KeyProblem(f"the {side} column '{name}' has no time that can be read")
        sides.append(read.values)
    if len(naive) == 1:
        notes.append(f"the {naive[0]} times have no time zone and were read as UTC")
    return sides[0], sides[1], notes
