"""What the tests of the Docker engine share: images of tiny servers, and engines that leave nothing behind."""

from __future__ import annotations

import io
import os
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from mlship.engines.docker import DockerEngine, image, world
from mlship.engines.front import Front
from mlship.engines.options import ServerOptions, Setup
from mlship.home import Home
from mlship.types import Release
from tests.docker import LABEL, base_image, docker_client
from tests.engines.support import STANDIN, free_port

#: No other run of these tests has a model of this name on the same engine.
MODEL = f"m-{uuid.uuid4().hex[:6]}"

_DOCKERFILE = """\
FROM {base}
LABEL {label}=standin {name}="{base}"
COPY standin.py /standin.py
ENV STANDIN_HOST=0.0.0.0
USER 10001:0
ENTRYPOINT ["python3", "/standin.py", "{version}", "8080"]
"""


@cache
def standin_image(version: str) -> str:
    """Id of an image whose server starts in milliseconds and says that it is this version."""
    dockerfile = _DOCKERFILE.format(base=base_image(), label=LABEL, name=image.BASE_NAME, version=version)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in (("Dockerfile", dockerfile.encode()), ("standin.py", STANDIN.read_bytes())):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    packed.seek(0)
    built, _ = docker_client().images.build(
        fileobj=packed, custom_context=True, network_mode="none", tag=f"mlship-test/standin:{version}", rm=True
    )
    return str(built.id)


def release(version: str) -> Release:
    return Release(MODEL, version, f"sha256:{version:0>64}", Path("/nowhere"), standin_image(version))


def docker_engine(
    directory: Path, *, timeout: float = 2.0, front: Front | None = None, servers: ServerOptions | None = None
) -> DockerEngine:
    docker_client()  # or skip
    setup = Setup(front or Front(f"127.0.0.1:{free_port()}", timeout), servers or ServerOptions())
    setup = Setup(setup.front, setup.servers, os.environ.get("MLSHIP_TEST_ROUTER", ""))
    return DockerEngine(Home(directory / ".mlship"), MODEL, setup)


@contextmanager
def ended(engine: DockerEngine) -> Iterator[DockerEngine]:
    """The engine, and nothing of it afterwards."""
    try:
        yield engine
    finally:
        engine.down()
        assert world.left(engine.site.client, engine.site.names) == []
