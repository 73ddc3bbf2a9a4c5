"""What is said of a column that moved: since when, how far, and in which direction. Pure."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from mlship.report import figures
from mlship.stats import shift
from mlship.types.monitoring import Column, Counts, Finding

_NAMES = {"psi": "PSI", "wasserstein": "Wasserstein distance", "missing": "missing", "unseen": "unseen categories"}
_SHARES = ("missing", "unseen")
#: Parts of a distribution that are named.
_NAMED = 2


def day(at: float, zone: str) -> str:
    """A moment to the hour, as people on call say it: `3 September 2013, 16:00`."""
    there = datetime.fromtimestamp(at, ZoneInfo(zone))
    return f"{there.day} {there:%B %Y, %H:%M}"


def figure(what: str, value: float | None) -> str:
    """`PSI 0.091`, `2.1 % missing`; `-` without a value."""
    if value is None:
        return f"{_NAMES[what]} -"
    return f"{figures.share(value)} {_NAMES[what]}" if what in _SHARES else f"{_NAMES[what]} {value:.3f}"


def drifted(finding: Finding, column: Column, counts: Counts | None, zone: str) -> str:
    """One sentence about one limit of one column."""
    name = finding.subject
    if counts is None or finding.since is None:
        return f"{name}: nothing has moved that chance would not move"
    said = f"{name} {'have' if finding.kind == 'predictions' else 'has'} moved since {day(finding.since, zone)}: "
    said += figure(finding.what, finding.value)
    if finding.limit:
        said += f" ({'limit' if finding.over else 'within'} {finding.limit.rpartition('<= ')[2]})"
    return f"{said}; {moved_most(counts, column)}"


def moved_most(counts: Counts, column: Column) -> str:
    """The bins whose shares changed most: `19 % were above 0.5, and now 11 % are`."""
    parts = [part for part in shift.parts(counts, column.counts, column.bins) if part[3] > 0][:_NAMED]
    told = [f"{figures.share(then)} were {name}, now {figures.share(now)} are" for name, then, now, _ in parts]
    return ", and ".join(told) if told else "every part of it is as large as before"
