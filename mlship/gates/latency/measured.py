"""What a measurement found, as frozen values: the figures that the latency gate judges, and nothing that acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlship.gates.latency.agree import Agreement
from mlship.gates.latency.target import Memory
from mlship.load.capacity import Found

#: Share of the requests that is answered within, by the rule's name.
QUANTILES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its 95 % interval."""

    value: float | None
    """None when too little was seen to tell it."""
    low: float | None = None
    high: float | None = None
    """None when the requests were too few to bound it on this side."""
    worth: float = 0.0
    """How many independent requests those that were seen are worth: slow ones come together."""


@dataclass(frozen=True, slots=True)
class Arm:
    """What one version's server did."""

    version: str
    requests: int
    """Requests that were due while it was measured."""
    quantiles: Mapping[str, Figure]
    """Seconds from a request's intended time to its last byte, by the names of `QUANTILES`; of all requests but those
    that failed at once."""
    slower: Mapping[str, Figure]
    """Share of the requests that took longer than the limit of that name, or failed; for the limits that there are."""
    errors: Figure
    """Share of the requests without a good answer."""
    kinds: Mapping[str, int] = field(default_factory=dict)
    """Requests without a good answer, by kind."""
    lag: float = 0.0
    """99 % of the requests were sent at most this many seconds later than intended: the generator's own fault."""
    curve: tuple[tuple[float, float], ...] = ()
    """(share of the requests, seconds within which they were answered), ascending."""
    cold_start: float | None = None
    """Seconds from its start until it was ready."""
    memory: Memory | None = None
    said: str = ""
    """Why its load ended early, or what else a reader should know of it; empty when nothing."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that one measurement found."""

    kind: str
    """`process` or `container`."""
    candidate: Arm
    champion: Arm | None = None
    ratio: Figure | None = None
    """The candidate's p99 over the champion's; None without a champion."""
    capacity: Found | None = None
    """The highest rate inside the budget; None when the policy names no volume."""
    no_capacity: str = ""
    """Why it was not looked for though there is a volume."""
    agreement: Agreement | None = None
    """None when it is not asked for."""
    refused: str = ""
    """What the server said about the first row that it did not answer."""
    numbers: tuple[int, ...] = ()
    """Which rows of the data were asked about, counted from 1."""
    without_champion: str = ""
    """Why the champion was not measured though there is one."""
    image_size: int | None = None
    """Bytes; None where no image is served."""
