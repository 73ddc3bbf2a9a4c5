"""Figures as people read them."""

from __future__ import annotations


def percent(share: float) -> str:
    """A weight as people read it: `10 %`, `0.5 %`."""
    return f"{100 * share:.4g} %"


def duration(seconds: float) -> str:
    """A time span as people read it: `0.5 s`, `45 s`, `10 min`, `1.5 h`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
