"""Whatever is cut short or lost, the next deploy or down finds everything on the engine, and ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlship.engines import table
from mlship.engines.docker import DockerEngine, image, look, world
from mlship.engines.docker.kept import Kept
from mlship.engines.docker.names import Names, home_id
from mlship.engines.front import Front
from mlship.engines.guard import Guarded
from mlship.engines.local import LocalEngine
from mlship.errors import EngineError, StateError
from mlship.home import Home
from mlship.types import Routes, ServerState
from tests.docker import docker_client
from tests.engines import docker_support
from tests.engines.docker_support import docker_engine, ended, release, standin_image

#: A deployment in a process of its own, which dies where it is told: before MODULE.FUNCTION is called.
_DIES = """
import os, sys
from pathlib import Path
from tests.engines import docker_support
from mlship.engines.docker import containers, network, router, start, world
directory, model, listen, where = sys.argv[1:]
docker_support.MODEL = model
module, name = where.split(".")
setattr(globals()[module], name, lambda *_, **__: os._exit(9))
front = docker_support.Front(listen, 2.0)
docker_support.docker_engine(Path(directory), front=front).deploy(docker_support.release("1"))
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DockerEngine]:
    with ended(docker_engine(tmp_path)) as found:
        yield found


def left(engine: DockerEngine) -> list[str]:
    return world.left(engine.site.client, engine.site.names)


def in_service(engine: DockerEngine, version: str) -> str:
    server = engine.deploy(release(version))
    engine.wait_ready(server, 20)
    engine.route(Routes(server))
    return server


def die(engine: DockerEngine, directory: Path, where: str) -> None:
    """Begin to deploy version 1 in another process, which is gone when it comes to `where`."""
    listen = engine.address.removeprefix("http://")
    argv = [sys.executable, "-c", _DIES, str(directory), docker_support.MODEL, listen, where]
    done = subprocess.run(argv, timeout=60, check=False, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "where",
    [
        "network.ensure",
        "network._subnet",
        "containers.create_server",
        "network.free_address",
        "containers.create_router",
        "router.static_files",
        "router.route_files",
        "start.settle",
    ],
)
def test_a_deployment_that_died_is_carried_on_or_ended(engine: DockerEngine, tmp_path: Path, where: str) -> None:
    die(engine, tmp_path, where)
    server = in_service(engine, "1")
    assert engine.servers()[server].state is ServerState.READY
    engine.down()
    assert left(engine) == []


@pytest.mark.slow
def test_down_ends_what_a_dead_command_left(engine: DockerEngine, tmp_path: Path) -> None:
    die(engine, tmp_path, "router.static_files")
    assert len(left(engine)) == 4, "a server, a router without files, a network and a volume"
    assert table.running(engine.site.home) == [docker_support.MODEL]
    table.found(engine.site.home, docker_support.MODEL).down()
    assert left(engine) == []
    assert table.running(engine.site.home) == []


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["lost", "damaged", "all lost"])
def test_an_engine_is_found_without_its_state(engine: DockerEngine, damage: str) -> None:
    server, home = in_service(engine, "1"), engine.site.home
    address = engine.address
    if damage == "damaged":
        (engine.directory / "engine.json").write_text("{")
    else:
        (engine.directory / "engine.json").unlink()
    if damage == "all lost":
        (engine.directory / "engine.kind").unlink()
        again = DockerEngine(home, docker_support.MODEL)
        assert again.address == address
    else:
        found = table.found(home, docker_support.MODEL)
        assert isinstance(found, Guarded)
        assert found.routes() == Routes(server)
        if damage == "damaged":
            with pytest.raises(StateError, match="cannot read the engine's state"):
                found.route(Routes(server))
            found.down()
            assert left(engine) == []
            return
        again = DockerEngine(home, docker_support.MODEL)
    again.route(Routes(server))
    again.down()
    assert left(engine) == []


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_message_and_leaves_nothing(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        front = Front(f"127.0.0.1:{taken.getsockname()[1]}", 2.0)
        with ended(docker_engine(tmp_path, front=front)) as engine:
            with pytest.raises(EngineError, match=r"cannot start the router: another (program|container)"):
                engine.deploy(release("1"))
            assert left(engine) == []
            assert table.running(engine.site.home) == []


@pytest.mark.slow
def test_a_second_model_on_the_same_address_leaves_the_first_alone(engine: DockerEngine, tmp_path: Path) -> None:
    server = in_service(engine, "1")
    front = Front(engine.address.removeprefix("http://"), 2.0)
    with ended(docker_engine(tmp_path / "other", front=front)) as other:
        with pytest.raises(EngineError, match="another container publishes the same port"):
            other.deploy(release("1"))
        assert left(other) == []
    assert engine.routes() == Routes(server)


@pytest.mark.slow
def test_the_engine_moves_to_another_address_once_its_router_does_not_run(engine: DockerEngine) -> None:
    server, before = in_service(engine, "1"), engine.address
    moved = docker_engine(engine.directory.parent.parent.parent)
    with pytest.raises(EngineError, match=r"endpoint .* is http://127\.0\.0\.1"):
        moved.deploy(release("1"))
    router = world.router(engine.site.containers())
    assert router is not None
    engine.site.client.api.stop(router.id, timeout=5)
    moved.deploy(release("1"))
    assert moved.address != before
    assert moved.routes() == Routes(server), "callers get what they got before"


@pytest.mark.slow
def test_the_local_engine_does_not_serve_what_docker_serves(engine: DockerEngine) -> None:
    in_service(engine, "1")
    with pytest.raises(StateError, match="the engine docker serves this model"):
        LocalEngine(engine.site.home, docker_support.MODEL).route(Routes("v1-00000000"))


@pytest.mark.slow
def test_the_routers_image_is_built_once(engine: DockerEngine, tmp_path: Path) -> None:
    in_service(engine, "1")
    client, log = docker_client(), tmp_path / "log"
    first = image.ensure(client, standin_image("1"), log)
    assert image.ensure(client, standin_image("2"), log) == first
    assert not log.exists(), "nothing was built"


def test_an_engine_that_was_deployed_elsewhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlship.engines.docker import kept

    engine = docker_engine(tmp_path)
    engine.site.home.ensure(engine.directory)
    front = Front("127.0.0.1:8080", 1.0)
    kept.save(engine.directory, Kept(docker_support.MODEL, "0" * 12, "tcp://elsewhere:2376", front))
    with pytest.raises(EngineError, match=r"deployed on tcp://elsewhere:2376[\s\S]*export DOCKER_HOST"):
        engine.route(Routes("v1-00000000"))


def test_an_endpoint_on_a_remote_engine_is_reached_by_its_hosts_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlship.engines.options import Setup

    monkeypatch.setenv("DOCKER_HOST", "ssh://me@gpu.example.com")
    for listen, address in (
        ("0.0.0.0:8080", "http://gpu.example.com:8080"),
        ("127.0.0.1:8080", "http://gpu.example.com:8080"),
        ("192.0.2.7:8080", "http://192.0.2.7:8080"),
    ):
        assert DockerEngine(Home(tmp_path), "m", Setup(Front(listen, 1.0))).address == address


def test_names_are_unique_for_a_home_and_a_model_and_good_for_docker() -> None:
    names = [
        Names(home, model).base for home in ("a", "b") for model in ("flight delay", "flight-delay", "Ö/ö", "x" * 99)
    ]
    assert len(set(names)) == len(names)
    for name in names:
        assert name.replace("-", "").replace("_", "").replace(".", "").isalnum()
        assert name.isascii()
        assert len(name) < 60
    assert home_id(Path("/a")) != home_id(Path("/b"))


def test_a_memory_limit_is_named_as_the_cause() -> None:
    assert "serving: {memory" in look.cause({"State": {"OOMKilled": True, "ExitCode": 137}})
    assert look.cause({"State": {"ExitCode": 3}}) == "ended with exit code 3"
    assert look.cause({"State": {"Running": True, "ExitCode": 0}, "RestartCount": 1}).startswith(
        "ended, and began again"
    )
    assert look.cause({}) == "was removed"
