"""Moments and times as people read them; a moment is in UTC unless it says where it is."""

from __future__ import annotations

from datetime import UTC, datetime

#: (name of the axis, seconds of one unit), the largest that gives the axis some ticks.
_UNITS = (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


def moment(at: float) -> str:
    """A moment on a page: `7 June 2026, 09:05:00 UTC`."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %B %Y, %H:%M:%S UTC").lstrip("0")


def stamp(at: float) -> str:
    """A moment in a table: `2026-06-07 09:05:00 UTC`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def local(at: float) -> str:
    """A moment as the clock of this machine shows it, with its zone: `2026-06-07T11:05:00+02:00`."""
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(timespec="seconds")


def iso(at: float) -> str:
    """A moment for machines: `2026-06-07T09:05:00+00:00`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def span(seconds: float) -> str:
    """A time span: `42 s`, `5.6 min`, `1.5 h`."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} d"


def clock(seconds: float) -> str:
    """How long after the beginning: `4.2 s`, `1:05 min`, `2:30 h`."""
    name, size = unit(seconds)
    if size == 1.0:
        return f"{seconds:.1f} s"
    whole, rest = divmod(round(seconds / (size / 60 if size < 86400 else 3600)), 60 if size < 86400 else 24)
    return f"{whole}:{rest:02d} {'min' if name == 'minutes' else 'h'}" if size < 86400 else f"{whole} d {rest} h"


def unit(span: float) -> tuple[str, float]:
    """(name, seconds) of the unit in which a time span is drawn."""
    return next(((name, size) for name, size in _UNITS if span >= 2 * size), _UNITS[-1])
