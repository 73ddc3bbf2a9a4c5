"""When nothing may move: weekly windows such as `Fri 16:00 - Mon 08:00 Europe/Berlin`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
#: A day of the week and a time, twice, and where: `Fri 16:00 - Mon 08:00 Europe/Berlin`.
FREEZE_PATTERN = (
    r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([01][0-9]|2[0-3]):[0-5][0-9] - "
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([01][0-9]|2[0-3]):[0-5][0-9]( [A-Za-z][A-Za-z_+\-0-9/]*)?$"
)
EXAMPLE = "Fri 16:00 - Mon 08:00 Europe/Berlin"

_WEEK = timedelta(days=7)
_MOMENT = r"([a-z]+)\.?,?\s*(\d{1,2})(?::(\d{2}))?\s*h?"
#: How people write it otherwise.
_LIKE = re.compile(
    rf"\s*{_MOMENT}\s*(?:-|\u2013|\u2014|to|until|till|\.\.+)\s*{_MOMENT}(?:\s+\(?([^\s()]+)\)?)?\s*", re.I
)


class Window(NamedTuple):
    """One weekly window, in the clock time of its zone."""

    begin: timedelta
    """Since Monday 00:00."""
    length: timedelta
    """More than nothing, at most a week."""
    zone: str
    until: str
    """Its end as the policy writes it: `Mon 08:00 Europe/Berlin`."""


def window(text: str) -> Window:
    """A window as the policy writes it; one that ends where it begins holds all week.

    Raises ``ValueError`` for text that is no window; whether there is such a time zone is not asked.
    """
    if not re.fullmatch(FREEZE_PATTERN, text):
        raise ValueError(f"'{text}' is not written like '{EXAMPLE}'")
    first, _, rest = text.partition(" - ")
    day, clock, *zone = rest.split(" ")
    begin, end = _since_monday(*first.split(" ")), _since_monday(day, clock)
    return Window(begin, (end - begin) % _WEEK or _WEEK, zone[0] if zone else "UTC", rest)


def meant(text: str) -> str:
    """The window that somebody meant who wrote it in another way: `fri 16h - monday 8:00`; empty when nobody knows."""
    match = _LIKE.fullmatch(text)
    if match is None:
        return ""
    moments = []
    for day, hour, minute in (match.groups()[0:3], match.groups()[3:6]):
        at = DAYS.index(day[:3].title()) if day[:3].title() in DAYS and _is_day(day) else -1
        hours, minutes = int(hour), int(minute or 0)
        if (hours, minutes) == (24, 0):
            at, hours = (at + 1) % 7 if at >= 0 else at, 0
        if at < 0 or hours > 23 or minutes > 59:
            return ""
        moments.append(f"{DAYS[at]} {hours:02}:{minutes:02}")
    zone = "UTC" if (match[7] or "").upper() in ("Z", "GMT", "UTC") else match[7]
    found = " - ".join(moments) + (f" {zone}" if zone else "")
    return found if re.fullmatch(FREEZE_PATTERN, found) else ""


def frozen(windows: Sequence[str], now: float) -> str:
    """Until when no weight may rise at this Unix time, as the policy writes it: `Mon 08:00 Europe/Berlin`.

    Empty outside of all windows. A window holds from its first minute up to, and without, its last, by the clock of its
    zone. An hour that is lost in spring is no time at all: a moment in it is the moment of the change. An hour that
    comes twice in autumn interrupts no window: it begins when its beginning comes first, and ends when its end comes
    last. Windows that overlap or follow on each other are one: the end of the last is named.

    Raises ``ValueError`` for text that is no window, or names no time zone.
    """
    parsed = [window(text) for text in windows]
    until, at = "", now
    for _ in range(2 * len(parsed)):  # a chain that goes on longer than this holds all week
        ends = [(end, one.until) for one in parsed if (end := _end(one, at)) is not None]
        if not ends:
            break
        at, until = max(ends)
    return until


def always(windows: Sequence[str], now: float) -> bool:
    """Whether nothing may move for a whole week from this Unix time on. Raises like ``frozen``."""
    parsed, at = [window(text) for text in windows], now
    while at < now + _WEEK.total_seconds():
        ends = [end for one in parsed if (end := _end(one, at)) is not None]
        if not ends:
            return False
        at = max(ends)
    return True


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """The time zone of a name. Raises ``ValueError`` that says why there is none."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, available_timezones

    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # not found; a directory of them; a name with `..`
        if not available_timezones():
            raise ValueError("this machine has no time zones: neither its system nor the package tzdata") from error
        raise ValueError(f"there is no time zone '{name}'") from error


def _end(one: Window, now: float) -> float | None:
    """When the occurrence of a window that holds now is over; None outside of it."""
    zone = zone_of(one.zone)
    for begin in _begins(one, datetime.fromtimestamp(now, zone)):
        if _instant(begin, zone, last=False) <= now < (end := _instant(begin + one.length, zone, last=True)):
            return end
    return None


def _begins(one: Window, local: datetime) -> Iterator[datetime]:
    """The clock times at which a window begins around this time, the latest first."""
    midnight = local.replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0, fold=0)
    monday = midnight - timedelta(days=local.weekday())
    for week in (1, 0, -1, -2):  # a clock that is set back over midnight brings last week again
        yield monday + week * _WEEK + one.begin


def _instant(clock: datetime, zone: tzinfo, *, last: bool) -> float:
    """The Unix time at which a zone's clocks show this: the first or the last of two; of none, that of the change."""
    first, second = (clock.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if first <= second:
        return second if last else first
    low, high = int(second), int(first)  # PEP 495: in a gap, fold 0 is told by the clock before the change
    before = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return float(high)


def _is_day(word: str) -> bool:
    names = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    return len(word) >= 3 and any(name.startswith(word.lower()) for name in names)


def _since_monday(day: str, clock: str) -> timedelta:
    hour, _, minute = clock.partition(":")
    return timedelta(days=DAYS.index(day), hours=int(hour), minutes=int(minute))
