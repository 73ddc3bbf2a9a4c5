"""The server as a container of the image that ships, inside the policy's limits, its memory as Docker counts it."""

from __future__ import annotations

import os
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.engines.docker.containers import SERVER_USER, WRITABLE
from mlship.engines.options import ServerOptions
from mlship.errors import EngineError
from mlship.gates.latency.target import Gauge, Memory, Ready, last_lines, not_started, wait_ready
from mlship.images.daemon import connect, faults, remote_host
from mlship.policy.units import format_size
from mlship.types import ModelVersion

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

#: On every container that a measurement starts: the command's host and process, so that what a killed command left
#: behind is found by the next one.
OWNER = "mlship.latency"
_PORT = "8080/tcp"
#: Between SIGTERM and SIGKILL, in seconds: nobody waits for its answers any more.
_GRACE = 2
WHAT = "memory of its container without the page cache (docker stats), looked at once a second"


@dataclass(frozen=True, slots=True)
class Shipped:
    """An image that the engine has."""

    id: str
    """`sha256:...`"""
    size: int
    """Bytes, as the engine counts them."""


def shipped(identity: str) -> Shipped | None:
    """The image with this id; None when the engine does not have it (any more). Raises ``EngineError`` without one."""
    from docker.errors import ImageNotFound

    client = connect()
    try:
        with faults("look for the image"):
            return Shipped(identity, int(client.images.get(identity).attrs["Size"]))
    except EngineError as error:
        if isinstance(error.__cause__, ImageNotFound):
            return None
        raise
    finally:
        client.close()


class InContainer:
    """A container of an image of one version; see ``Target``.

    Parameters
    ----------
    image
        Id of the image, `sha256:...`.
    """

    kind = "container"

    def __init__(self, version: ModelVersion, servers: ServerOptions, image: str) -> None:
        self._version = version
        self._servers = servers
        self._image = image
        self._client: DockerClient | None = None
        self._name = ""
        self._container: Container | None = None
        self._gauge: Gauge | None = None

    def start(self, patience: float) -> Ready:
        """See ``Target.start``. Raises ``EngineError`` also when the engine is on another machine."""
        version = self._version
        where = f"{version.model} version {version.version}"
        if (host := remote_host()) is not None:
            raise EngineError(
                "the latency budget is measured where the Docker engine is: from here the network would be measured",
                where=host,
                hint="run `mlship latency` on that machine",
            )
        self._client = connect()
        with faults(f"start a container of version {version.version}", model=version.model):
            _sweep(self._client)
            # The name is known before the container is there: an interruption in between leaves nothing unknown.
            self._name = f"mlship-latency-{os.getpid()}-{secrets.token_hex(4)}"
            self._container = self._client.containers.create(
                self._image, name=self._name, **self._settings(self._client)
            )
            started = time.monotonic()
            self._container.start()
            address = self._address(self._container)
        if address is None:
            raise not_started(self.ended(), where)
        ready = wait_ready(address, started, patience, self.ended, where)
        self._gauge = Gauge(self._weigh)
        return ready

    def memory(self) -> Memory | None:
        """See ``Target.memory``."""
        peak = self._gauge.peak() if self._gauge else None
        return None if peak is None else Memory(peak, WHAT)

    def ended(self) -> str:
        """See ``Target.ended``."""
        if self._container is None:
            return ""
        with faults("look at the container", model=self._version.model):
            self._container.reload()
            state = self._container.attrs["State"]
            if state["Running"]:
                return ""
            said = last_lines(self._container.logs(tail=50).decode(errors="replace"))
        how = f"it ended with exit code {state['ExitCode']}"
        if state.get("OOMKilled"):
            limit = self._servers.memory
            bound = f" of {format_size(limit)} (`serving: {{memory: ...}}`)" if limit else ""
            how = f"it was killed because it took more than its memory{bound}"
        return f"{how}: {said}" if said else how

    def close(self) -> None:
        """See ``Target.close``."""
        if self._gauge is not None:
            self._gauge.close()
        client, self._client, self._container = self._client, None, None
        if client is None:
            return
        from docker.errors import NotFound

        with faults("remove the container"), suppress(NotFound):
            if self._name:
                _remove(client.containers.get(self._name))
        client.close()

    def _settings(self, client: DockerClient) -> dict[str, Any]:
        """How the container runs: as the Docker engine runs servers, but reached from here, and not started again."""
        from docker.types import Mount

        servers = self._servers
        user = str(client.images.get(self._image).attrs["Config"].get("User") or "")
        more: dict[str, Any] = {"tmpfs": {"/tmp": "mode=1777", WRITABLE: "mode=1777"}}
        if servers.log_sample:  # as the engine does: what is logged goes to the disk, not into the container's memory
            more = {"tmpfs": {"/tmp": "mode=1777"}, "mounts": [Mount(WRITABLE, None, type="volume")]}
        if servers.cpus is not None:
            more["nano_cpus"] = round(servers.cpus * 1e9)
        if servers.memory is not None:
            more |= {"mem_limit": servers.memory, "memswap_limit": servers.memory}
        return {
            "command": servers.arguments(),
            "user": SERVER_USER if user.partition(":")[0] in ("", "0", "root") else user,
            "ports": {_PORT: ("127.0.0.1", None)},
            "labels": {OWNER: f"{socket.gethostname()} {os.getpid()}"},
            "init": True,
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            **more,
        }

    def _address(self, container: Container) -> str | None:
        """Where this machine reaches it; None when it has ended already."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            container.reload()
            published = (container.ports or {}).get(_PORT)
            if published:
                return f"127.0.0.1:{published[0]['HostPort']}"
            if not container.attrs["State"]["Running"]:
                return None
            time.sleep(0.01)
        raise EngineError("the container's port is not published", where=self._version.model)

    def _weigh(self) -> int | None:
        container = self._container
        if container is None:
            return None
        with suppress(Exception):  # a look that fails is a look less; the server's end is told by `ended`
            return without_cache(container.stats(stream=False, one_shot=True).get("memory_stats", {}))
        return None


def without_cache(stats: dict[str, Any]) -> int | None:
    """Bytes that a container uses beside the page cache of files, of `memory_stats` as Docker gives them.

    Under cgroup v1 the figures of the whole group are called `total_...`. None when Docker tells nothing.
    """
    detail = stats.get("stats") or {}
    cache = sum(detail.get(f"total_{name}", detail.get(name, 0)) for name in ("active_file", "inactive_file"))
    return max(0, int(stats["usage"]) - cache) if "usage" in stats else None


def _remove(container: Container) -> None:
    """Stop and remove, whatever state it is in; it is the engine's word that nothing is left."""
    from docker.errors import NotFound

    with suppress(NotFound):
        container.stop(timeout=_GRACE)
        container.remove(force=True, v=True)


def _sweep(client: DockerClient) -> None:
    """Remove what commands that were killed on this machine have left behind."""
    here = socket.gethostname()
    for container in client.containers.list(all=True, filters={"label": OWNER}):
        host, _, pid = str(container.labels.get(OWNER, "")).rpartition(" ")
        if host == here and pid.isdigit() and not _alive(int(pid)):
            _remove(container)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
