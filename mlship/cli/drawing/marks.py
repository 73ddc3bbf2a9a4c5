"""The signs that pictures are made of, for terminals that know them and for those that know ASCII only; bars, sparks.

Strings in, strings out: nothing here knows of a terminal's colours or size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlship.types import LATENCY_BOUNDS_MS


@dataclass(frozen=True, slots=True)
class Marks:
    """One alphabet."""

    here: str
    done: str
    open: str
    failed: str
    paused: str
    branch: str
    corner: str
    trunk: str
    full: str
    empty: str
    sparks: str
    """From the lowest to the highest."""
    gap: str
    """A look without a value."""
    more: str
    """Where something was cut off."""


UNICODE = Marks("●", "✓", "○", "✗", "‖", "├─ ", "└─ ", "│  ", "█", "░", "▁▂▃▄▅▆▇█", "·", "…")
ASCII = Marks("*", "+", "o", "x", "=", "|- ", "`- ", "|  ", "#", ".", "_.-=+*%#", " ", "~")


def bar(value: float, limit: float, width: int, marks: Marks) -> str:
    """A bar of an e-value: empty at 1 and below, full at the limit, logarithmic between them."""
    if limit <= 1:
        return marks.empty * width
    share = math.log(max(value, 1.0)) / math.log(limit) if math.isfinite(value) else 1.0
    filled = min(width, max(0, round(width * share)))
    if value < limit:
        filled = min(filled, width - 1)  # full means: it has been reached
    return marks.full * filled + marks.empty * (width - filled)


def progress(share: float, width: int, marks: Marks) -> str:
    """A bar of a share from 0 to 1, full only when all of it is there."""
    filled = min(width, max(0, math.floor(width * share)))
    return marks.full * filled + marks.empty * (width - filled)


def sparkline(values: Sequence[float | None], width: int, marks: Marks, top: float | None = None) -> str:
    """The last values as a line of small bars from 0 to the largest (or `top`), the newest at the right.

    None is a look without a value. More values than columns: the newest are shown.
    """
    shown = list(values)[-width:]
    finite = [value for value in shown if value is not None and math.isfinite(value)]
    highest = max([*finite, top or 0.0]) if finite or top else 0.0
    letters = "".join(_spark(value, highest, marks) for value in shown)
    return letters.rjust(width)


def _spark(value: float | None, highest: float, marks: Marks) -> str:
    if value is None:
        return marks.gap
    if not math.isfinite(value):
        return marks.sparks[-1]
    share = value / highest if highest > 0 else 0.0
    return marks.sparks[min(len(marks.sparks) - 1, max(0, math.ceil(share * len(marks.sparks)) - 1))]


def milliseconds(value: float | None) -> str:
    """A latency as people read it; `-` without one."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return f"> {LATENCY_BOUNDS_MS[-1] / 1000:g} s"
    return f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"


def share(bad: int, of: int) -> str:
    """A share in percent; `-` without counts."""
    if not of:
        return "-"
    percent = 100 * bad / of
    return f"{percent:.2f} %" if 0 < percent < 9.995 else f"{percent:.0f} %" if percent else "0 %"


def rate(count: float, seconds: float) -> str:
    """Requests a second; `-` without time."""
    if seconds <= 0:
        return "-"
    value = count / seconds
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def plain(text: str) -> str:
    """One line without control characters: what a model, a server or a person wrote must not steer a terminal."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
