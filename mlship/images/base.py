"""The base image: found or pulled, pinned by its digest, and asked once which Python it has."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.errors import EngineError
from mlship.home import Home
from mlship.images.daemon import faults, where
from mlship.images.progress import Told, Watch, bytes_done, silent, unsaid

if TYPE_CHECKING:
    from docker import DockerClient

#: What the Docker engine calls an architecture -> what Python calls it.
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
#: Run by the base's own Python. `libc_ver` reads the interpreter's file, and knows glibc only.
_PROBE = (
    "import glob, json, platform, sys, sysconfig; musl = glob.glob('/lib/ld-musl-*'); "
    "print(json.dumps({'version': platform.python_version(), 'machine': platform.machine(), "
    "'libc': ['musl', ''] if musl else list(platform.libc_ver()), 'abi': sysconfig.get_config_var('SOABI') or '', "
    "'implementation': sys.implementation.name}))"
)


@dataclass(frozen=True, slots=True)
class Base:
    """An image to build on, pinned."""

    name: str
    """As the policy, or the default, calls it."""
    pin: str
    """What `FROM` says: `name@sha256:...`, or the local id of an image that came from no registry."""
    id: str
    """`sha256:...` of its configuration."""
    platform: str
    """Such as `linux/amd64`."""
    python: str
    """Full version of its Python, such as `3.11.2`."""
    machine: str
    """As Python calls it: `x86_64` or `aarch64`."""
    libc: str
    """`glibc` or `musl`."""
    libc_version: str
    """Such as `2.36`; empty for musl."""

    @property
    def digest(self) -> str:
        """`sha256:...` in its registry, else the local id."""
        return self.pin.rpartition("@")[2]


def resolve(
    client: DockerClient, name: str, platform: str | None, home: Home, *, say: Told = unsaid, watch: Watch = silent
) -> Base:
    """The base by that name for a platform (None: the engine's own), pulled when the engine does not have it.

    Raises ``EngineError`` when it cannot be had, is of another platform, or has no Python that a wheel fits.
    """
    wanted = platform or _native(client)
    found = _present(client, name)
    if found is None or _platform(found) != wanted:
        found = _pull(client, name, wanted, found, say=say, watch=watch)
    if (is_of := _platform(found)) != wanted:
        raise EngineError(
            f"the base {name} is {is_of}, and the image is to be {wanted}",
            where=where(),
            hint=f"name a base for {wanted} under `image: {{base: ...}}`, or that platform under image.platform",
        )
    identity = str(found["Id"])
    facts = _facts(client, name, identity, wanted, home)
    if facts["implementation"] != "cpython":
        raise EngineError(f"the base's Python is {facts['implementation']}, and CPython is needed", where=name)
    return Base(
        name=name,
        pin=_pin(name, found),
        id=identity,
        platform=wanted,
        python=str(facts["version"]),
        machine=str(facts["machine"]),
        libc=str(facts["libc"][0] or "unknown"),
        libc_version=str(facts["libc"][1]),
    )


def _native(client: DockerClient) -> str:
    """The engine's own platform."""
    with faults("ask the Docker engine for its platform"):
        told = client.version()
    return f"{told.get('Os', 'linux')}/{told.get('Arch', 'amd64')}"


def _present(client: DockerClient, name: str) -> dict[str, Any] | None:
    from docker.errors import ImageNotFound

    with faults(f"look at the base {name}"):
        try:
            return dict(client.api.inspect_image(name))
        except ImageNotFound:
            return None


def _platform(found: dict[str, Any]) -> str:
    return f"{found.get('Os', 'linux')}/{found.get('Architecture', 'amd64')}"


def _pull(
    client: DockerClient, name: str, platform: str, present: dict[str, Any] | None, *, say: Told, watch: Watch
) -> dict[str, Any]:
    """The base, pulled for the platform; the one that is there already where no other can be had."""
    from docker.utils import parse_repository_tag

    say(f"pulling the base {name} for {platform}")
    repository, tag = parse_repository_tag(name)
    try:
        with faults(f"pull the base {name}"):
            stream = client.api.pull(repository, tag=tag or "latest", stream=True, decode=True, platform=platform)
            bytes_done(stream, watch, "pull")
    except EngineError as error:
        if present is not None:  # the caller says that it is of another platform
            return present
        raise EngineError(
            error.what,
            where=error.where,
            hint=error.hint
            or f"`docker pull {name}`, or name another image under `image: {{base: ...}}` in the policy",
        ) from error
    found = _present(client, name)
    if found is None:
        raise EngineError(f"the base {name} was pulled, and is not there", where=where())
    return found


def _pin(name: str, found: dict[str, Any]) -> str:
    """The registry's digest of the image, by the repository that was asked for where it has several."""
    from docker.utils import parse_repository_tag

    repository = parse_repository_tag(name)[0]
    digests = [str(one) for one in found.get("RepoDigests") or []]
    digests.sort(key=lambda one: one.partition("@")[0] != repository)
    return digests[0] if digests else str(found["Id"])


def _facts(client: DockerClient, name: str, identity: str, platform: str, home: Home) -> dict[str, Any]:
    """What the base's Python says of itself, without network; asked once for each image."""
    path = home.cache / "bases" / f"{identity.removeprefix('sha256:')}.json"
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # never asked, or the file is damaged
        facts = _asked(client, name, identity, platform)
        home.ensure(path.parent)
        path.write_text(json.dumps(facts), encoding="utf-8")
        return facts
    return kept


def _asked(client: DockerClient, name: str, identity: str, platform: str) -> dict[str, Any]:
    from docker.errors import APIError

    def run() -> bytes:
        container = client.containers.create(
            identity, ["-I", "-c", _PROBE], entrypoint=["python3"], network_mode="none", user="0"
        )
        try:
            container.start()
            code = int(container.wait()["StatusCode"])
            said = bytes(container.logs(stdout=True, stderr=bool(code)))
        finally:
            container.remove(force=True)  # also one that never started
        if code:
            raise _unfit(name, platform, said.decode(errors="replace"))
        return said

    with faults(f"start the base {name}"):
        try:
            facts: dict[str, Any] = json.loads(run().splitlines()[-1])
        except APIError as error:
            raise _unfit(name, platform, str(error.explanation or error)) from error
        except (ValueError, IndexError) as error:
            raise _unfit(name, platform, "its Python does not answer") from error
    return facts


def _unfit(name: str, platform: str, text: str) -> EngineError:
    if "exec format error" in text:
        return EngineError(
            f"the Docker engine cannot run {platform}",
            where=where(),
            hint="build on an engine of that platform, or install QEMU's binfmt handlers on its host",
        )
    if "executable file not found" in text or "no such file" in text.lower():
        return EngineError(
            f"the base {name} has no python3",
            hint="name one that has under `image: {base: ...}` in the policy, such as python:3.11-slim",
        )
    return EngineError(f"the base {name} does not run: {' '.join(text.split())[:300]}", where=where())
