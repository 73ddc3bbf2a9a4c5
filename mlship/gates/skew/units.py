"""A cause of skew in a person's words: the factors and offsets that betray a unit or a time zone."""

from __future__ import annotations

from dataclasses import dataclass

#: Factor: what online and offline may be measured in, as (offline, online). The inverse reads the other way round.
_FACTORS: tuple[tuple[float, tuple[tuple[str, str], ...]], ...] = (
    (60.0, (("hours", "minutes"), ("minutes", "seconds"))),
    (3600.0, (("hours", "seconds"),)),
    (24.0, (("days", "hours"),)),
    (1440.0, (("days", "minutes"),)),
    (86400.0, (("days", "seconds"),)),
    (7.0, (("weeks", "days"),)),
    (12.0, (("years", "months"),)),
    (100.0, (("a share", "percent"), ("euros", "cents"), ("metres", "centimetres"))),
    (1000.0, (("seconds", "milliseconds"), ("thousands", "ones"), ("kilo", "no prefix"))),
    (1e6, (("seconds", "microseconds"), ("millions", "ones"))),
    (1e9, (("seconds", "nanoseconds"),)),
    (1024.0, (("KiB", "bytes"),)),
    (1.609344, (("miles", "kilometres"),)),
    (1.852, (("nautical miles", "kilometres"),)),
    (1.15077945, (("nautical miles", "miles"), ("knots", "miles per hour"))),
    (3.28083990, (("metres", "feet"),)),
    (3.6, (("m/s", "km/h"),)),
    (2.54, (("inches", "centimetres"),)),
    (2.20462262, (("kilograms", "pounds"),)),
    (10.0, (("centimetres", "millimetres"), ("ones", "tenths"))),
)


@dataclass(frozen=True, slots=True)
class Cause:
    """What a person would suspect, and how many of the differing rows speak for it."""

    claim: str
    """`online is offline x 60`."""
    share: float
    """Of all differing rows of the column, as far as they were looked at."""
    guess: str = ""
    """What it may come from: `hours against minutes`."""


def factor_said(factor: float) -> tuple[str, str, float]:
    """The claim, the guess, and the exact factor when it is a known one."""
    for known, units in _FACTORS:
        for exact, turned in ((known, False), (1 / known, True)):
            for sign in (1, -1):
                if abs(factor - sign * exact) <= 1e-4 * exact:
                    pairs = [f"{b} against {a}" if turned else f"{a} against {b}" for a, b in units[:2]]
                    operation = f"{'/' if turned else 'x'} {'-' if sign < 0 else ''}{known:.7g}"
                    return f"online is offline {operation}", ", or ".join(pairs), sign * exact
    if abs(factor + 1) <= 1e-6:
        return "online is offline with the other sign", "counted in the other direction", -1.0
    return f"online is offline x {factor:.6g}", "another unit or currency", factor


def offset_said(offset: float, *, is_time: bool) -> tuple[str, str]:
    """The claim and the guess; `offset` is in seconds for times."""
    sign = "+" if offset > 0 else "-"
    quarter = abs(offset) % 900 == 0 and 0 < abs(offset) <= 14 * 3600
    if is_time:
        claim = f"online is offline {sign} {duration(abs(offset))}"
        return claim, "another time zone" if quarter else "a fixed delay or another clock"
    claim = f"online is offline {sign} {plain(abs(offset))}"
    if abs(offset) == 1:
        return claim, "counted from 0 on one side and from 1 on the other"
    if quarter and abs(offset) >= 3600 and abs(offset) % 3600 == 0:
        return claim, "another time zone, if these are seconds"
    return claim, "a constant added on one side only"


def plain(value: float) -> str:
    """A number with all the digits that tell: `0`, `12.5`, `1234567.25`."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.7g}"


def duration(seconds: float) -> str:
    """A time span in the largest unit that fits, to three digits: `36 h`, `12 min`."""
    for size, unit in ((2 * 86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if abs(seconds) >= size:
            return f"{seconds / (86400.0 if unit == 'days' else size):.3g} {unit}"
    return f"{seconds:.3g} s"
