"""Round dates along an axis of time: hours, days, weeks or months apart, as a calendar has them, in UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_HOUR, _DAY = 3600.0, 86400.0
#: Seconds between two dates, and how each is written.
_STEPS = (
    (_HOUR, "%H:%M"),
    (3 * _HOUR, "%H:%M"),
    (6 * _HOUR, "{day} %b %H:%M"),
    (12 * _HOUR, "{day} %b %H:%M"),
    (_DAY, "{day} %b"),
    (2 * _DAY, "{day} %b"),
    (7 * _DAY, "{day} %b"),
    (14 * _DAY, "{day} %b"),
)
#: Months between two dates.
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)
_MONDAY = datetime(2024, 1, 1, tzinfo=UTC).timestamp()


def ticks(start: float, end: float, most: int = 6) -> list[tuple[float, str]]:
    """(Unix time, name) of round dates between two moments: at most so many, unless a month has more of them."""
    span = max(end - start, 1.0)
    for step, form in _STEPS:
        if span / step <= most:
            return _even(start, end, step, form)
    months = next((each for each in _MONTHS if span / (each * 30.44 * _DAY) <= most), _MONTHS[-1])
    return _monthly(start, end, months)


def day(at: float) -> str:
    """A day as people write it: `3 September 2026`, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %B %Y").lstrip("0")


def hour(at: float) -> str:
    """A day and an hour: `3 September 2026, 14:00 UTC`."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0")


def _even(start: float, end: float, step: float, form: str) -> list[tuple[float, str]]:
    first = _MONDAY + -((_MONDAY - start) // step) * step
    found = []
    while first <= end:
        if first >= start:
            when = datetime.fromtimestamp(first, UTC)
            found.append((first, when.strftime(form).replace("{day}", str(when.day))))
        first += step
    return found


def _monthly(start: float, end: float, months: int) -> list[tuple[float, str]]:
    at = datetime.fromtimestamp(start, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = []
    while at.timestamp() <= end:
        if at.timestamp() >= start and (at.year * 12 + at.month - 1) % months == 0:
            found.append((at.timestamp(), at.strftime("%Y" if months >= 12 else "%b" if at.month > 1 else "%b %Y")))
        at = (at + timedelta(days=32)).replace(day=1)
    return found
