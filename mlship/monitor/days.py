"""Windows of traffic put together by local day, and which of these days have all the labels they will get. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from mlship.stats.reached import merged
from mlship.types.monitoring import Counts, Tally


@dataclass(frozen=True, slots=True)
class Cut:
    """How time is cut into days: at midnight by the clock of a zone, to whole windows."""

    zone: str
    window: float
    """Seconds; windows longer than a day are days of their own."""

    def day(self, start: float) -> tuple[float, float]:
        """First moment and end, Unix time, of the day that the window with this start belongs to.

        A window belongs to the day that its middle is in, so that a day may begin and end half a window off midnight.
        """
        if self.window > 86400:
            return start, start + self.window
        first, following = _midnights(int((start + self.window / 2) // 1), self.zone)
        return self._from(first), self._from(following)

    def _from(self, midnight: float) -> float:
        """Start of the first window whose middle is not before midnight."""
        return self.window * math.ceil((midnight - self.window / 2) / self.window)


@lru_cache(4096)
def _midnights(at: int, zone: str) -> tuple[float, float]:
    there = datetime.fromtimestamp(at, ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    return there.replace(fold=0).timestamp(), (there + timedelta(days=1)).replace(fold=0).timestamp()


class Days:
    """Windows as they are known now, by day and slice. A window that comes again takes the place of the former one."""

    def __init__(self, zone: str, window: float) -> None:
        self._cut = Cut(zone, window)
        self._windows: dict[tuple[str, float], dict[float, Tally]] = {}
        self._known: dict[tuple[str, float], Tally] = {}

    def put(self, windows: Iterable[Tally]) -> None:
        """Take windows in, in any order: new ones, and known ones with more labels."""
        for window in windows:
            key = (window.slice, self._cut.day(window.start)[0])
            self._windows.setdefault(key, {})[window.start] = window
            self._known.pop(key, None)

    def until(self, now: float) -> dict[str, list[Tally]]:
        """By slice, the days whose traffic is over by `now`, oldest first: features are left out."""
        found: dict[str, list[Tally]] = {"": []}
        for name, start in sorted(self._windows):
            day = self._day((name, start))
            if day.end <= now:
                found.setdefault(name, []).append(day)
        return found

    def following(self, now: float, delay: float) -> float:
        """The next moment at which a day is over, or has its labels complete; infinite when there is none."""
        ends = (self._day(key).end for key in self._windows)
        return min((at for end in ends for at in (end, end + delay) if at > now), default=math.inf)

    def _day(self, key: tuple[str, float]) -> Tally:
        if key not in self._known:
            parts = [self._windows[key][start] for start in sorted(self._windows[key])]
            start, end = self._cut.day(parts[0].start)
            labelled = [part.labelled for part in parts if part.labelled is not None]
            self._known[key] = Tally(
                start,
                end - start,
                sum(part.rows for part in parts),
                answers=_added([part.answers for part in parts]),
                scores=_added([part.scores for part in parts]),
                labelled=merged(labelled) if labelled else None,
                slice=key[0],
            )
        return self._known[key]


def complete(days: Sequence[Tally], now: float, delay: float) -> tuple[list[Tally], list[Tally]]:
    """(Days whose labels are complete, days whose labels are still to come), both oldest first."""
    ends = [day.end for day in days]
    at = bisect_right(ends, now - delay)
    return list(days[:at]), list(days[at:])


def _added(counts: Sequence[Counts | None]) -> Counts | None:
    told = [one for one in counts if one is not None]
    return tuple(map(sum, zip(*told, strict=True))) if told else None
