"""When nothing may move: weekly windows such as `Fri 16:00 - Mon 08:00 Europe/Berlin`. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from mlship.policy.rollout import FREEZE_PATTERN

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WEEK = 7 * 24 * 60


def frozen(windows: Sequence[str], now: float) -> str:
    """Until when no weight may rise at this Unix time, as the policy writes it: `Mon 08:00 Europe/Berlin`.

    Empty outside of all windows. A window holds from its first minute up to, and without, its last; one that ends
    where it begins holds all week. Raises ``ValueError`` for text that is no window, or names no time zone.
    """
    for text in windows:
        if not re.fullmatch(FREEZE_PATTERN, text):
            raise ValueError(f"'{text}' is not written like 'Fri 16:00 - Mon 08:00 Europe/Berlin'")
        first, _, rest = text.partition(" - ")
        day, clock, *zone = rest.split(" ")
        begin, end = _minute(*first.split(" ")), _minute(day, clock)
        at = datetime.fromtimestamp(now, _zone(zone[0] if zone else "UTC"))
        minute = (at.weekday() * 24 + at.hour) * 60 + at.minute
        if (minute - begin) % _WEEK < ((end - begin) % _WEEK or _WEEK):
            return rest
    return ""


def _minute(day: str, clock: str) -> int:
    hour, _, minute = clock.partition(":")
    return (_DAYS.index(day) * 24 + int(hour)) * 60 + int(minute)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError) as error:
        raise ValueError(f"there is no time zone '{name}'") from error
