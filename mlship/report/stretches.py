"""Stretches of a rollout's time, joined until there are few enough to be drawn or read. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from mlship.report.account import Arm, Stretch


def thinned(stretches: list[Stretch], most: int) -> list[Stretch]:
    """At most so many: neighbours become one, until there are few enough."""
    while len(stretches) > most:
        pairs = [stretches[i : i + 2] for i in range(0, len(stretches), 2)]
        stretches = [pair[0] if len(pair) == 1 else joined(*pair) for pair in pairs]
    return stretches


def joined(left: Stretch, right: Stretch) -> Stretch:
    """Two neighbours as one; the evidence is that of the end."""
    seconds = left.seconds + right.seconds
    arms = [_plus(a, b) for a, b in ((left.stable, right.stable), (left.canary, right.canary))]
    return replace(right, start=left.start, seconds=seconds, stable=arms[0], canary=arms[1])


def _plus(left: Arm, right: Arm) -> Arm:
    latency = Counter(dict(left.latency))
    latency.update(dict(right.latency))
    return Arm(
        left.requests + right.requests,
        left.errors + right.errors,
        left.timeouts + right.timeouts,
        left.refused + right.refused,
        tuple(sorted(latency.items())),
    )
