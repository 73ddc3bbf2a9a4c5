"""What an endpoint has on its Docker engine, found by labels; and how it is ended."""

from __future__ import annotations

import io
import tarfile
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.engines.docker.containers import WRITABLE
from mlship.engines.docker.names import GUARDIAN, HOME, MODEL, ROUTER, Container, Names
from mlship.errors import EngineError
from mlship.images.daemon import faults

if TYPE_CHECKING:
    from docker import DockerClient

#: Lines of a container's log that a message shows, and that are kept when it is removed.
TAIL, KEPT_LINES = 20, 10_000
#: Seconds that a server has to finish its requests: longer than the server gives itself.
DRAIN = 45
#: The same for one that has only just begun: a signal in the moment of a restart is lost, and what it has not answered
#: is answered by others.
YOUNG, YOUNG_DRAIN = 5.0, 5
_WORKERS = 4


def containers(client: DockerClient, names: Names) -> list[Container]:
    """Every container of the endpoint, running or not."""
    with faults("list the containers", model=names.model):
        found = client.api.containers(all=True, filters=names.mine)
    return sorted((Container.read(one) for one in found), key=lambda one: one.name)


def router(found: Iterable[Container]) -> Container | None:
    """The router among them."""
    return next((one for one in found if one.role == ROUTER), None)


def guardian(found: Iterable[Container]) -> Container | None:
    """The guardian among them."""
    return next((one for one in found if one.role == GUARDIAN), None)


def tail(client: DockerClient, container: Container) -> str:
    """The last lines that a container wrote, indented; says so when there are none."""
    from docker.errors import DockerException

    try:
        said = client.api.logs(container.id, tail=TAIL).decode(errors="replace")
    except (DockerException, OSError):
        said = ""
    lines = said.splitlines()[-TAIL:]
    return "\n".join(f"    {line}" for line in lines) or "    (its log is empty)"


def inspect(client: DockerClient, container: Container) -> dict[str, Any]:
    """All that the engine knows of a container; empty when it has gone."""
    from docker.errors import NotFound

    with faults("look at a container"):
        try:
            return dict(client.api.inspect_container(container.id))
        except NotFound:
            return {}


def end(client: DockerClient, names: Names, container: Container, logs: Path, grace: int = DRAIN) -> None:
    """Drain, stop and remove a container with its volume; what it wrote is kept in the state directory."""
    from docker.errors import NotFound

    with faults(f"stop {container.called}", model=names.model), suppress(NotFound):
        client.api.stop(container.id, timeout=min(grace, YOUNG_DRAIN) if _is_young(client, container) else grace)
        _keep_logs(client, container, logs)
        client.api.remove_container(container.id, force=True, v=True)
        if volume := names.volume(container):
            with suppress(NotFound):
                client.api.remove_volume(volume)


def _is_young(client: DockerClient, container: Container) -> bool:
    """Whether this run of a container began just now, or the next one is about to."""
    state = inspect(client, container).get("State", {})
    try:
        age = time.time() - datetime.fromisoformat(state["StartedAt"][:19] + "+00:00").timestamp()
    except (KeyError, ValueError):
        return False
    return bool(state.get("Restarting")) or 0 <= age < YOUNG


def end_all(client: DockerClient, names: Names, logs: Path, grace: int) -> None:
    """End every container, then the network and the volumes; raises ``EngineError`` when something is left."""
    found = containers(client, names)
    if (last := guardian(found)) is not None:  # it has the router's volume, too
        end(client, names, last, logs, grace)
    if (first := router(found)) is not None:  # callers go before the servers do
        end(client, names, first, logs, grace)
    with ThreadPoolExecutor(_WORKERS) as pool:
        list(
            pool.map(
                lambda one: end(client, names, one, logs, grace), (one for one in found if one not in (first, last))
            )
        )
    with faults("remove network and volumes", model=names.model):
        for network in client.api.networks(filters=names.mine):
            client.api.remove_network(network["Id"])
        for volume in client.api.volumes(filters=names.mine)["Volumes"] or ():
            client.api.remove_volume(volume["Name"], force=True)
    if found_still := left(client, names):
        by = f"--filter label={HOME}={names.home} --filter label={MODEL}={names.model}"
        raise EngineError(
            f"something does not end: {', '.join(found_still)}",
            where=names.model,
            hint=f"docker rm -f $(docker ps -aq {by})",
        )


def left(client: DockerClient, names: Names) -> list[str]:
    """Names of all that the endpoint has on the engine: containers, networks, volumes."""
    found = [one.called for one in containers(client, names)]
    with faults("list networks and volumes", model=names.model):
        found += [str(one["Name"]) for one in client.api.networks(filters=names.mine)]
        found += [str(one["Name"]) for one in client.api.volumes(filters=names.mine)["Volumes"] or ()]
    return found


def archive(files: Mapping[str, str | bytes], owner: int, group: int) -> bytes:
    """A tar archive of files below a volume, readable by that user only; parents come first."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        made: set[str] = set()
        for name, text in files.items():
            for parent in [str(one) for one in reversed(Path(name).parents) if str(one) not in (".", "/")]:
                if parent not in made:
                    made.add(parent)
                    tar.addfile(_info(parent, owner, group, tarfile.DIRTYPE))
            content = text.encode() if isinstance(text, str) else text
            info = _info(name, owner, group, tarfile.REGTYPE)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def _info(name: str, owner: int, group: int, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, 0o700 if kind == tarfile.DIRTYPE else 0o600
    info.uid, info.gid, info.mtime = owner, group, time.time()  # a changed file is known by its time
    return info


def _keep_logs(client: DockerClient, container: Container, logs: Path) -> None:
    """Bring home what the container wrote: its log, and the prediction log where it keeps one."""
    from docker.errors import DockerException

    with suppress(DockerException, OSError):
        logs.mkdir(mode=0o700, exist_ok=True)
        (logs / f"{container.called}.log").write_bytes(client.api.logs(container.id, tail=KEPT_LINES))
    mounts = inspect(client, container).get("Mounts", ())
    if any(mount.get("Destination") == WRITABLE and mount.get("Type") == "volume" for mount in mounts):
        with suppress(EngineError):
            fetch(client, container, f"{WRITABLE}/predictions", logs / container.cluster)


def fetch(client: DockerClient, container: Container, path: str, to: Path) -> None:
    """Copy a file or a directory of a container into a directory here; one that is not there is no error."""
    from docker.errors import NotFound

    with faults(f"fetch {path} of {container.called}"), suppress(NotFound):
        stream, _ = client.api.get_archive(container.id, path)
        with tempfile.TemporaryFile() as file:
            for piece in stream:
                file.write(piece)
            file.seek(0)
            with tarfile.open(fileobj=file) as tar:
                tar.extractall(to, filter="data")
