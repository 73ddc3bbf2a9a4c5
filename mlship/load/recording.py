"""What became of the requests that one target was sent: slices, and all of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from mlship.load import histogram

#: Kinds of failed requests that are not a status.
TIMEOUT = "timeout"
REFUSED = "refused"
BROKEN = "broken"
CONTENT = "content"


@dataclass(frozen=True, slots=True)
class Slice:
    """One stretch of load on one target."""

    index: int
    """Slices of the same index ran beside each other, under the same arrivals."""
    seconds: float
    """How long it was meant to take: no request was intended later than this after its start."""
    sent: int
    """Requests whose time came in it; each has exactly one outcome."""
    latency: str
    """HDR histogram of microseconds, from the intended send time to the last byte: of the good answers, and of the
    requests that timed out, which count as the time that was waited for them."""
    lag: str
    """HDR histogram of microseconds: how much later than intended the generator itself turned to a request."""
    errors: dict[str, int] = field(default_factory=dict)
    """Requests without a good answer by kind: `timeout`, `refused` (no connection), `broken` (a connection ended before
    the answer did, or spoke no HTTP), `content`, or `status NNN`."""
    lasted: float = 0.0
    """Seconds from its start to the last request that was really sent."""
    waited: int = 0
    """Requests that had to wait because every connection that may be open was in use."""
    resent: int = 0
    """Requests sent once more because the server closed a kept connection before it answered a byte."""

    @property
    def failed(self) -> int:
        """Requests without a good answer."""
        return sum(self.errors.values())


@dataclass(frozen=True)
class Recording:
    """All slices of one target."""

    target: str
    rate: float
    """Requests per second that were asked for."""
    slices: tuple[Slice, ...]
    connections: int = 0
    """Connections that were open at the same time, at most."""
    stopped: str = ""
    """Why the load ended early; empty when it did not. Then the last slice is cut short."""

    @property
    def n(self) -> int:
        """Requests that were due."""
        return sum(part.sent for part in self.slices)

    @property
    def seconds(self) -> float:
        """How long all slices together were meant to take."""
        return sum(part.seconds for part in self.slices)

    @property
    def achieved(self) -> float:
        """Requests really sent per second; 0 without any."""
        lasted = sum(max(part.lasted, part.seconds) for part in self.slices)
        return self.n / lasted if lasted else 0.0

    @property
    def errors(self) -> dict[str, int]:
        """Requests without a good answer, by kind."""
        return dict(sum((Counter(part.errors) for part in self.slices), Counter[str]()))

    @property
    def failed(self) -> int:
        """Requests without a good answer."""
        return sum(part.failed for part in self.slices)

    @property
    def waited(self) -> int:
        """Requests that waited for a connection."""
        return sum(part.waited for part in self.slices)

    @property
    def resent(self) -> int:
        """Requests that were sent a second time."""
        return sum(part.resent for part in self.slices)

    @cached_property
    def latency(self) -> str:
        """HDR histogram of all slices' latencies."""
        return histogram.merged(part.latency for part in self.slices)

    @cached_property
    def lag(self) -> str:
        """HDR histogram of the generator's own lag in all slices."""
        return histogram.merged(part.lag for part in self.slices)

    @property
    def bounded(self) -> str:
        """One sentence when the number of connections held requests back; empty otherwise."""
        if not self.waited:
            return ""
        return (
            f"{self.waited:,} of {self.n:,} requests waited because all {self.connections:,} connections were in use: "
            "the server had fewer requests at once than callers would have sent"
        )

    def to_json(self) -> dict[str, Any]:
        """A document that `from_json` reads back as the same value."""
        return {
            "target": self.target,
            "rate": self.rate,
            "connections": self.connections,
            "stopped": self.stopped,
            "slices": [asdict(part) for part in self.slices],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Recording:
        """A recording as `to_json` wrote it."""
        return cls(**{**document, "slices": tuple(Slice(**part) for part in document["slices"])})


def merged(recordings: Iterable[Recording]) -> Recording:
    """Several recordings of one target as one; their slices are numbered anew.

    Raises ``ValueError`` for none, or for recordings of different targets.
    """
    parts = list(recordings)
    if len({part.target for part in parts}) != 1:
        raise ValueError("recordings of one target can be merged")
    slices = [piece for part in parts for piece in part.slices]
    numbered = tuple(Slice(**{**asdict(piece), "index": index}) for index, piece in enumerate(slices))
    rate = sum(part.rate * part.seconds for part in parts) / (sum(part.seconds for part in parts) or 1.0)
    most = max(part.connections for part in parts)
    stopped = next((part.stopped for part in parts if part.stopped), "")
    return Recording(parts[0].target, rate, numbered, most, stopped)
