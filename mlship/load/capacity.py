"""The highest rate inside a latency budget: which rate to try next, and when the search is over. Decisions only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mlship.policy.units import format_duration, format_percent, format_rate


class Held(StrEnum):
    """How one rate went."""

    WITHIN = "within"
    OUTSIDE = "outside"
    UNCLEAR = "unclear"
    """It did not hold, but the load generator itself was late: that says nothing about the server."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a server must keep to at any rate that counts."""

    quantiles: tuple[tuple[float, float], ...] = ()
    """(share, seconds): the `share` quantile of the latency must not be above this."""
    errors: float = 0.0
    """Largest share of requests without a good answer."""

    def __str__(self) -> str:
        limits = [f"p{share * 100:g} within {format_duration(seconds)}" for share, seconds in self.quantiles]
        return ", ".join([*limits, f"errors at most {format_percent(self.errors)}"])


@dataclass(frozen=True, slots=True)
class Probe:
    """One rate that was tried."""

    rate: float
    held: Held
    why: str = ""
    """The figures that decided, such as `p99 312 ms, over 200 ms`."""
    p99: float | None = None
    """Seconds, as measured in this short time; None when nothing was answered."""
    errors: float = 0.0
    """Share of the requests without a good answer."""


@dataclass(frozen=True, slots=True)
class Search:
    """How to search."""

    start: float
    """First rate, in requests per second."""
    factor: float = 2.0
    """By how much the rate grows until it does not hold, and falls until it does."""
    precision: float = 0.1
    """The search ends when the lowest rate outside is at most this share above the highest within."""
    least: float = 0.5
    """A server that does not hold this rate has no capacity worth a figure."""
    most: float = 20_000.0
    """Nothing above this rate is tried."""
    probes: int = 16
    """Most probes in all."""

    def __post_init__(self) -> None:
        if not (0 < self.least <= self.start <= self.most and self.factor > 1 and self.precision > 0 and self.probes):
            raise ValueError("a search starts between its least and its most, and grows by more than 1")


@dataclass(frozen=True, slots=True)
class Found:
    """The end of a search."""

    rate: float
    """Highest rate that held, in requests per second; 0 when none did."""
    ceiling: float | None
    """Lowest rate that did not hold; None when none was seen: then the capacity is at least `rate`."""
    sentence: str
    probes: tuple[Probe, ...] = ()
    """All rates that were tried, in their order."""

    @property
    def at_least(self) -> bool:
        """Whether the true capacity may be far above `rate`."""
        return self.ceiling is None and self.rate > 0


def next_probe(probes: Sequence[Probe], search: Search) -> float | Found:
    """The rate to try next, or the end.

    The rate grows by `factor` from `start` while it holds, falls by it while it does not, and is then bisected (at the
    geometric mean) between the highest that held and the lowest that did not. A rate that does not hold is tried a
    second time before it counts, because one hiccup of the machine is not the server's limit; and a rate above one that
    does not hold never counts. A rate at which the generator itself was late twice bounds the search too, and the
    sentence says so.
    """
    missed = [probe.rate for probe in probes if probe.held is not Held.WITHIN]
    counted = [probe for probe in probes if missed.count(probe.rate) > 1]
    ceiling = min((probe.rate for probe in counted if probe.held is Held.OUTSIDE), default=math.inf)
    limit = min((probe.rate for probe in counted if probe.held is not Held.WITHIN), default=math.inf)
    floor = max((probe.rate for probe in probes if probe.held is Held.WITHIN and probe.rate < limit), default=0.0)
    if len(probes) >= search.probes:
        return _found(floor, ceiling, probes, f"after {len(probes)} probes")
    if probes and probes[-1].held is not Held.WITHIN and missed.count(probes[-1].rate) == 1:
        return probes[-1].rate
    if floor >= search.most or limit <= search.least or limit <= floor * (1 + search.precision):
        return _found(floor, ceiling, probes, "")
    if math.isinf(limit):
        return min(floor * search.factor, search.most) if floor else search.start
    return math.sqrt(floor * limit) if floor else max(limit / search.factor, search.least)


def _found(rate: float, ceiling: float, probes: Sequence[Probe], note: str) -> Found:
    reason = next((probe.why for probe in reversed(probes) if probe.rate == ceiling and probe.why), "over the budget")
    ended = f" ({note})" if note else ""
    late = any(probe.held is Held.UNCLEAR for probe in probes)
    why = "the load generator cannot send more on this machine" if late else "nothing higher was tried"
    if math.isfinite(ceiling):
        said = f"holds {_rate(rate)}, not {_rate(ceiling)}" if rate else f"does not hold {_rate(ceiling)}"
        return Found(rate, ceiling, f"{said}: {reason}{ended}", tuple(probes))
    said = f"holds {_rate(rate)} at least" if rate else "no rate could be measured"
    return Found(rate, None, f"{said}: {why}{ended}", tuple(probes))


def _rate(per_second: float) -> str:
    return format_rate(round(per_second) if per_second >= 10 else round(per_second, 2))
