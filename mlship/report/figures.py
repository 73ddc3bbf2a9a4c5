"""Figures as a person writes them: `0.763`, `1.2%`, `28,293`; used by reasons, reports and nothing else."""

from __future__ import annotations

import math


def number(value: float | None) -> str:
    """Three significant digits, never an exponent between a millionth and 10^15; `-` for no value."""
    if value is None or math.isnan(value):
        return "-"
    if value == 0 or math.isinf(value):
        return "0" if value == 0 else str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.3g}"
    if abs(value) < 0.99e-6:
        return f"{value:.1e}"
    text = f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def share(value: float | None) -> str:
    """A share between 0 and 1 in percent: `1.2%`; a share that is not zero never reads `0%`."""
    return "-" if value is None else f"{number(value * 100)}%"


def count(value: int) -> str:
    """Whole things with thousands separated: `28,293`."""
    return f"{value:,}"


def things(value: int, singular: str, plural: str = "") -> str:
    """A count with its noun: `1 row`, `28,293 rows`."""
    return f"{count(value)} {singular if value == 1 else plural or singular + 's'}"


def listed(names: list[str], most: int = 5) -> str:
    """Names in one phrase, the rest counted: `a, b and c`, `a, b, c, d, e and 7 more`."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {count(len(names) - most)} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def nearest(name: str, known: list[str]) -> str:
    """`; did you mean 'x'?` for the nearest known name, else nothing."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def digest(text: str) -> str:
    """A digest as people compare it: `sha256:3f9c1a2b77e0`; what is none stays as it is."""
    return text[: len("sha256:") + 12] if text.startswith("sha256:") else text


def evidence(value: float) -> str:
    """An e-value as people read it: `0.03`, `0.3`, `23`, `1,234`, `4e+12`."""
    if value < 0.095:
        return f"{value:.2f}" if value >= 0.005 else "0.00"
    return f"{value:.1f}" if value < 9.95 else (f"{value:,.0f}" if value < 1e6 else f"{value:.0e}")


def quoted(value: object) -> str:
    """A value of the data as it would be typed: `1`, `'late'`; cut when it is long."""
    item = getattr(value, "item", None)
    text = repr(item() if callable(item) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
