"""What load to put on whom: targets, rates and limits, as frozen values that travel to the generator's process."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Target:
    """One server under load.

    Raises ``ValueError`` for an address that is not `http://host[:port]` or `https://host[:port]`.
    """

    base: str
    """`http://host:port`, without a path."""
    path: str = "/invocations"
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every request, beside Host and Content-Length; they may hold a secret, and are written nowhere."""
    expects: str = ""
    """Text that every good answer holds, such as `"predictions"`; an answer without it is an error. Empty: any text."""
    ca: str = ""
    """File with the authorities that vouch for an https server; empty: the system's."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.base)
        try:
            known = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            known = False
        if not known or parts.path not in {"", "/"} or parts.query or not self.path.startswith("/"):
            raise ValueError(f"no address of a server: {self.base} {self.path}")
        if any(character in f"{self.path}{text}" for text in self._texts() for character in "\r\n\0"):
            raise ValueError("a path or a header with a line break in it")

    def _texts(self) -> list[str]:
        return ["", *self.headers, *self.headers.values()]

    @property
    def host(self) -> str:
        """Name or address to connect to."""
        return urlsplit(self.base).hostname or ""

    @property
    def port(self) -> int:
        """Port to connect to."""
        parts = urlsplit(self.base)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""
        return urlsplit(self.base).scheme == "https"

    def head(self, length: int) -> bytes:
        """Request line and headers of a POST with a body of `length` bytes."""
        given = {name.lower(): value for name, value in self.headers.items()}
        lines = {"host": urlsplit(self.base).netloc, "content-type": "application/json"} | given
        lines["content-length"] = str(length)
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"POST {self.path} HTTP/1.1\r\n{text}\r\n".encode("latin-1")


@dataclass(frozen=True, slots=True)
class Hopeless:
    """When to stop early: more than `more_than` requests took longer than `slower_than` seconds, or failed."""

    slower_than: float
    more_than: int


@dataclass(frozen=True, slots=True)
class Load:
    """How each target is loaded.

    Raises ``ValueError`` for a rate, a duration or a number that cannot be.
    """

    rate: float
    """Requests per second, sent on time whatever the answers do."""
    seconds: float
    """How long each target is measured, all its slices together."""
    arrivals: Literal["poisson", "constant"] = "poisson"
    seed: int = 0
    """The same seed sends at the same moments; candidate and champion always get the same moments and bodies."""
    warmup: float = 3.0
    """Seconds of load on each target before anything is measured."""
    settle: float = 0.3
    """Seconds of load before each slice that are not measured: connections are opened, and the queue fills."""
    timeout: float = 10.0
    """Seconds from the intended send time after which nobody waits for an answer any more."""
    connections: int = 1000
    """Connections that may be open to one target at once; further requests wait, and are counted as having waited."""
    hopeless: tuple[Hopeless, ...] = ()
    """Any of these ends a target's load early."""

    def __post_init__(self) -> None:
        positive = (self.rate, self.seconds, self.timeout)
        if not all(math.isfinite(number) and number > 0 for number in positive):
            raise ValueError("the rate, the duration and the time-out of a load are above zero")
        if not all(math.isfinite(number) and number >= 0 for number in (self.warmup, self.settle)):
            raise ValueError("warm-up and settling take no less than zero seconds")
        if self.arrivals not in {"poisson", "constant"} or self.connections < 1:
            raise ValueError("arrivals are poisson or constant, over at least one connection")

    def to_json(self) -> dict[str, Any]:
        """A document that `from_json` reads back as the same value."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Load:
        """A load as `to_json` wrote it."""
        hopeless = tuple(Hopeless(**rule) for rule in document["hopeless"])
        return cls(**{**document, "hopeless": hopeless})
