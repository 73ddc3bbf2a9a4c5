"""What an engine serves: releases and images, servers, routes between them, and the lease on all that."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Release:
    """What an engine is asked to serve."""

    model: str
    version: str
    digest: str
    path: Path
    image: str = ""
    """Id of the image that was built of it, `sha256:...`; empty where an engine needs none."""

    @property
    def server(self) -> str:
        """Name of the server that serves it; the same release always has the same name."""
        return f"v{self.version}-{self.digest.removeprefix('sha256:')[:8]}"


@dataclass(frozen=True, slots=True)
class Image:
    """A serving image, as it was built."""

    reference: str
    """Name and tag, such as `ghcr.io/acme/flight-delay:7-3f9c1a2b`."""
    id: str
    """`sha256:...` of its configuration: what an engine runs."""
    context: str
    """sha256 over everything that it was built of: the same inputs, the same context."""
    size: int
    """Bytes, as the engine counts them."""
    model: str
    """Digest of the model's files in it."""
    evaluation_id: str = ""
    """The evaluation that its label names; empty when it was built without one."""
    pushed: str = ""
    """`repository@sha256:...` in its registry; empty when it was not pushed."""


class Fault(StrEnum):
    """Ways in which a drill takes a server away."""

    KILL = "kill"
    """It dies at once, and whoever keeps it starts it again."""
    HANG = "hang"
    """It does not answer for a while, and then goes on."""


class ServerState(StrEnum):
    """What a model server is doing."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Server:
    """A model server of an engine, as found in the world."""

    name: str
    version: str
    digest: str
    state: ServerState
    detail: str = ""
    """Why it failed, with the last lines of its log; empty otherwise."""
    pid: int | None = None
    """Its process, where it is one of this machine's."""


@dataclass(frozen=True, slots=True)
class Routes:
    """Which servers play which role. Roles belong to routes, so a promotion or a rollback is a route change."""

    stable: str
    canary: str | None = None
    weight: float = 0.0
    """Share of the traffic (0 to 1) that goes to the canary."""
    mirror: float = 0.0
    """Share of the requests (0 to 1) that the canary gets a copy of; its answers are discarded."""
    testers: tuple[str, str] | None = None
    """Name and value of a header: requests that carry it go to the canary, whatever the weight."""
    sticky: str = ""
    """`header:NAME` or `cookie:NAME`: who names the same user there stays with the same arm. Empty: nobody stays."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may move an endpoint's traffic now, as found on the engine's side."""

    owner: str
    """The controller that holds it; empty when it was given up."""
    seconds: float
    """Silence after which the guardian gives all traffic back to stable."""
    silent: float
    """Seconds since its owner's last sign of life, by the engine's own clock."""
    expired_at: float | None = None
    """Unix time at which it ran out and the guardian acted (or found nothing to do); None while it holds."""
