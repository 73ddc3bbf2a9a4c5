"""Figures as people read them, and a sentence that says each word once."""

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


def became(outcome: str, reason: str) -> str:
    """An outcome and its reason in one sentence: `aborted by alice at 10 %`, `rolled back: errors 20.0 % ...`.

    Parameters
    ----------
    outcome
        promoted | rolled_back | aborted | paused
    reason
        As the machine gives it; it may say the outcome itself.
    """
    word = outcome.replace("_", " ")
    if reason.startswith((f"{word} ", f"{word}:")):
        return reason
    return f"{word} {reason}" if reason.startswith("by ") else f"{word}: {reason}"


def counted(requests: int) -> str:
    """`1 request`, `2,000 requests`."""
    return f"{requests:,} request" + ("" if requests == 1 else "s")
