"""What the tests of the Docker engine share: images of tiny servers, and engines that leave nothing behind."""

from __future__ import annotations

import io
import os
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
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


#: What the fallback program needs, and a server's image has: pure Python will do.
_PACKAGES = ("uvicorn", "uvloop", "httptools", "click", "h11")


@cache
def standin_image(version: str, *, packages: bool = False) -> str:
    """Id of an image whose server starts in milliseconds and says that it is this version.

    Parameters
    ----------
    packages
        With those that the fallback program needs, copied from this environment.
    """
    dockerfile = _DOCKERFILE.format(base=base_image(), label=LABEL, name=image.BASE_NAME, version=version)
    if packages:
        dockerfile += "COPY packages /usr/local/lib/python3.11/dist-packages\n"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in (("Dockerfile", dockerfile.encode()), ("standin.py", STANDIN.read_bytes())):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
        for name in _PACKAGES if packages else ():
            spec = find_spec(name)
            assert spec is not None
            assert spec.origin is not None
            tar.add(Path(spec.origin).parent, f"packages/{name}", filter=_no_bytecode)
    packed.seek(0)
    tag = f"mlship-test/standin:{version}{'-full' if packages else ''}"
    built, _ = docker_client().images.build(fileobj=packed, custom_context=True, network_mode="none", tag=tag, rm=True)
    return str(built.id)


def _no_bytecode(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    info.mtime = 0
    return None if "__pycache__" in info.name else info


def release(version: str, *, packages: bool = False) -> Release:
    identity = standin_image(version, packages=packages)
    return Release(MODEL, version, f"sha256:{version:0>64}", Path("/nowhere"), identity)


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
        engine.site.client.close()
