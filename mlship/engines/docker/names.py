"""What belongs to which endpoint on a Docker engine: names, and the labels by which everything is found again."""

from __future__ import annotations

import hashlib
import platform
import re
from dataclasses import dataclass
from pathlib import Path

#: On every object that is made: the state directory that it belongs to, and the model that it serves.
HOME, MODEL = "mlship.home", "mlship.model"
#: On containers: `router`, `fallback`, `guardian` (the digest is its code's), or `server` with what it serves.
ROLE, SERVER, VERSION, DIGEST = "mlship.role", "mlship.server", "mlship.version", "mlship.digest"
#: On servers: new at each deployment. On all: the address in the endpoint's network, which survives a restart.
NONCE, ADDRESS = "mlship.nonce", "mlship.address"
ROUTER, MODEL_SERVER, FALLBACK, GUARDIAN = "router", "server", "fallback", "guardian"
#: Port of every program inside its container, and the router's for the fallback program.
PORT, JOBS_PORT = 8080, 8081


def home_id(path: Path) -> str:
    """What objects of a state directory are labelled with: this machine and the directory, hashed.

    Two people who share an engine keep apart; one who removes `engine.json` by accident finds everything again.
    """
    return hashlib.sha256(f"{platform.node()}\0{path.absolute()}".encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Names:
    """Names of one endpoint's objects, unique on an engine for a state directory and a model."""

    home: str
    model: str

    @property
    def base(self) -> str:
        """Name of the network and of the volume, and what the containers' names begin with."""
        plain = re.sub(r"[^a-z0-9_.-]+", "-", self.model.lower()).strip("-_.")[:40] or "model"
        return f"mlship-{plain}-{hashlib.sha256(f'{self.home}/{self.model}'.encode()).hexdigest()[:8]}"

    @property
    def router(self) -> str:
        """Name of the router's container."""
        return f"{self.base}-{ROUTER}"

    @property
    def fallback(self) -> str:
        """Name of the fallback program's container, and of its volume."""
        return f"{self.base}-{FALLBACK}"

    @property
    def guardian(self) -> str:
        """Name of the guardian's container, which shares the router's volume."""
        return f"{self.base}-{GUARDIAN}"

    def server(self, name: str) -> str:
        """Name of a server's container, and of its volume."""
        return f"{self.base}-{name}"

    def volume(self, container: Container) -> str:
        """Name of the volume that goes with a container, if it has one; empty for the guardian."""
        others = {ROUTER: self.base, FALLBACK: self.fallback, GUARDIAN: ""}
        return others[container.role] if container.role in others else self.server(container.name)

    @property
    def labels(self) -> dict[str, str]:
        """What every object of the endpoint carries."""
        return {HOME: self.home, MODEL: self.model}

    @property
    def mine(self) -> dict[str, list[str]]:
        """The filter that finds them all."""
        return {"label": [f"{key}={value}" for key, value in self.labels.items()]}


@dataclass(frozen=True, slots=True)
class Container:
    """A container of an endpoint, as the engine lists it."""

    id: str
    state: str
    """created | running | restarting | paused | exited | removing | dead"""
    role: str
    name: str
    """The server's name; empty for the router, the fallback program and the guardian."""
    version: str
    digest: str
    nonce: str
    address: str

    @property
    def cluster(self) -> str:
        """Name of the router's cluster for it; new at each deployment, so that counters never carry over."""
        return f"{self.name}-{self.nonce}"

    @property
    def called(self) -> str:
        """What it is called in messages and logs."""
        return self.name or self.role

    @classmethod
    def read(cls, listed: dict[str, object]) -> Container:
        """A container from an entry of the engine's list."""
        labels = listed["Labels"]
        assert isinstance(labels, dict)
        told = [str(labels.get(key, "")) for key in (ROLE, SERVER, VERSION, DIGEST, NONCE, ADDRESS)]
        return cls(str(listed["Id"]), str(listed["State"]), *told)
