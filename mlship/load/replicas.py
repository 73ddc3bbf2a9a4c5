"""How many servers a volume of requests needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlship.policy.units import format_rate

#: Share of its capacity up to which a server is planned to be used: what a lost replica or a burst may take.
HEADROOM = 0.8


@dataclass(frozen=True, slots=True)
class Replicas:
    """The answer, and the sentence that says it."""

    count: int
    peak_rate: float
    """Requests per second at the busiest time."""
    sentence: str


def replicas(volume: float, peak: float, capacity: float, headroom: float = HEADROOM) -> Replicas:
    """Servers for a mean of `volume` requests per second with a busiest time of `peak` times that.

    ceil(volume * peak / (capacity * headroom)), at least one, for a `capacity` in requests per second of one server.
    Raises ``ValueError`` for a capacity that is not above zero, or a head room outside (0, 1].
    """
    if capacity <= 0 or not 0 < headroom <= 1 or volume <= 0 or peak < 1:
        raise ValueError("replicas are counted for a volume, a peak of 1x and more, and a capacity above zero")
    rate = volume * peak
    count = max(1, math.ceil(rate / (capacity * headroom) - 1e-9))
    return Replicas(
        count,
        rate,
        f"{volume * 86400:,.0f} a day at {peak:g}x peak: {count:,} {'replica' if count == 1 else 'replicas'} "
        f"({_rate(rate)} at the peak; one holds {_rate(capacity)}, and is planned at {headroom:.0%} of that)",
    )


def _rate(per_second: float) -> str:
    return format_rate(round(per_second) if per_second >= 10 else round(per_second, 2))
