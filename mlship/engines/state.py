"""What a local engine keeps on disk: which servers, which ports, which password; and the locks around it."""

from __future__ import annotations

import fcntl
import json
import os
import random
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mlship.engines.front import Front
from mlship.errors import StateError

FILE = "engine.json"
#: Holds the kind of the engine beside the state of one that is not local; so it is known when the state is damaged.
MARK = "engine.kind"
#: Below the range from which Linux takes the ports of outgoing connections, so that a restart finds its port free.
PORTS = range(20_000, 32_000)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One server as it was deployed. Its cluster's name is new at each deployment, so counters never carry over."""

    name: str
    version: str
    digest: str
    port: int
    nonce: str
    argv: tuple[str, ...]

    @property
    def cluster(self) -> str:
        """Name of the router's cluster for it."""
        return f"{self.name}-{self.nonce}"


@dataclass(frozen=True, slots=True)
class State:
    """Everything a later command needs to find the engine again."""

    model: str
    front: Front
    supervisor_port: int
    admin_port: int
    password: str
    servers: dict[str, Deployment]
    jobs_port: int = 0
    """Where the fallback program reaches the models."""
    fallback_port: int = 0
    """Where the fallback program listens; 0 while it has not been needed."""

    @classmethod
    def new(cls, model: str, front: Front) -> State:
        """A state without servers, with ports that are free now and a password of its own."""
        supervisor_port, admin_port, jobs_port = free_ports(3)
        return cls(model, front, supervisor_port, admin_port, secrets.token_urlsafe(24), {}, jobs_port)

    def with_server(self, deployment: Deployment) -> State:
        """The same state with one more server."""
        return replace(self, servers={**self.servers, deployment.name: deployment})

    def with_fallback(self) -> State:
        """The same state with a port for the fallback program."""
        return self if self.fallback_port else replace(self, fallback_port=free_ports(1)[0])

    def without_server(self, name: str) -> State:
        """The same state without that server."""
        return replace(self, servers={key: value for key, value in self.servers.items() if key != name})


def load(directory: Path) -> State | None:
    """Read the state of the engine in a directory; None when there is none.

    Raises
    ------
    StateError
        The file is there and cannot be read, or is not ours.
    """
    path = directory / FILE
    try:
        document = json.loads(path.read_text())
        if "engine" in document:
            raise StateError(
                f"the engine {document['engine']} serves this model",
                where=str(path),
                hint=f"`mlship down {document.get('model', 'MODEL')}` ends it, and its callers are cut off",
            )
        servers = {
            name: Deployment(**{**entry, "argv": tuple(entry["argv"])})
            for name, entry in document.pop("servers").items()
        }
        front = Front.from_json(document.pop("front"))
        return State(**document, front=front, servers=servers)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateError(
            f"cannot read the engine's state: {type(error).__name__}: {error}",
            where=str(path),
            hint="look for its processes with `ps`, end them, and remove this file",
        ) from error


def kind(directory: Path) -> str:
    """What kind of engine keeps its state in a directory; `local` where nothing says otherwise."""
    try:
        return (directory / MARK).read_text().strip() or "local"
    except (OSError, ValueError):
        return "local"


def model(directory: Path) -> str:
    """The model that an engine in a directory serves; empty when its state cannot be read."""
    try:
        return str(json.loads((directory / FILE).read_text())["model"])
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def save(directory: Path, state: State) -> None:
    """Write the state of an engine, readable by its owner only."""
    write(directory / FILE, json.dumps(asdict(state), indent=1), durable=True)


def write(path: Path, text: str, *, durable: bool = False) -> None:
    """Replace a file by an atomic rename, mode 0600.

    Parameters
    ----------
    durable
        Wait until the disk has it. The route file does without: a rename is seen at once, and waiting costs time.

    Raises
    ------
    StateError
        The disk or the permissions do not allow it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(descriptor)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise StateError(
            f"cannot write: {error.strerror}", where=str(path), hint="free space or permissions, then run it again"
        ) from error


@contextmanager
def locked(directory: Path, name: str) -> Iterator[None]:
    """Hold a lock of an engine; it is released by the kernel when the process dies."""
    path = directory / f"{name}.lock"
    try:
        file = path.open("w")
    except OSError as error:
        raise StateError(f"cannot lock: {error.strerror}", where=str(path)) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            return found
        if bindable("127.0.0.1", port) is None:
            found.append(port)
    raise StateError("no free port on 127.0.0.1", where=f"{PORTS.start}-{PORTS.stop}")


def bindable(host: str, port: int) -> OSError | None:
    """Try to listen on an address; None when it works, else the reason."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # A server that has just gone leaves connections in TIME_WAIT; they are no reason to refuse.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error
    return None
