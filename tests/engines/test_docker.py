"""The Docker engine under constant load, and what a container may do: accidents lose nobody, and change nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import pytest

from mlship.engines.docker import DockerEngine
from mlship.engines.docker import world as found_world
from mlship.engines.docker.containers import CONFIG, ROUTER_USER
from mlship.engines.docker.names import GUARDIAN, Container
from mlship.engines.options import ServerOptions
from mlship.errors import EngineError
from mlship.telemetry.windows import observe
from mlship.types import Fault, Routes, ServerState
from tests.engines.docker_support import MODEL, docker_engine, ended, release
from tests.engines.support import Callers
from tests.waiting import until

pytestmark = pytest.mark.slow

TIMEOUT = 1.0
OPTIONS = ServerOptions(cpus=0.5, memory=256 * 10**6)


@dataclass(frozen=True)
class World:
    """An engine with two servers."""

    engine: DockerEngine
    stable: str
    canary: str

    def callers(self, **settings: object) -> Callers:
        return Callers(f"{self.engine.address}/invocations", **settings)  # type: ignore[arg-type]  # as in Callers

    def split(self, weight: float) -> Routes:
        routes = Routes(self.stable, self.canary, weight)
        routed(self.engine, routes)
        return routes

    def container(self, name: str = "") -> Container:
        found = self.engine.site.containers()
        return next(one for one in found if one.name == name and one.role != GUARDIAN)

    def inspect(self, name: str = "") -> dict[str, Any]:
        return found_world.inspect(self.engine.site.client, self.container(name))

    def ready(self) -> bool:
        return all(one.state is ServerState.READY for one in self.engine.servers().values())


@pytest.fixture(scope="module")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    engine = docker_engine(tmp_path_factory.mktemp("docker"), timeout=TIMEOUT, servers=OPTIONS)
    with ended(engine):
        stable, canary = engine.deploy(release("1")), engine.deploy(release("2"))
        for server in (stable, canary):
            engine.wait_ready(server, 20)
        yield World(engine, stable, canary)


@pytest.fixture
def world(_world: World) -> World:
    """The same engine for every test: both servers well, all traffic on stable."""
    until(_world.ready)
    routed(_world.engine, Routes(_world.stable))
    return _world


def routed(engine: DockerEngine, routes: Routes) -> None:
    engine.route(routes)
    until(lambda: engine.routes() == routes)


def test_weights_change_under_load_and_nobody_is_lost(world: World) -> None:
    with world.callers() as callers:
        for weight in (0.01, 0.5, 1.0, 0.0, 0.3, 0.0):
            world.split(weight)
            callers.more(40)
    assert not callers.lost
    assert {answer.version for answer in callers.answers} == {"1", "2"}


def test_a_canary_killed_under_load_loses_nobody_is_blamed_and_comes_back(world: World) -> None:
    routes = world.split(0.5)
    address = world.container(world.canary).address
    with world.callers() as callers:
        before = world.engine.scrape()
        world.engine.fail(world.canary, Fault.KILL, 0)
        callers.more(200)
        seen = observe(before, world.engine.scrape(), routes)
        until(world.ready)
        back = len(callers.answers)
        callers.more(100)
    assert not callers.lost
    assert seen.missing == (), "the router knows how dead it is"
    assert seen.canary.errors > 0
    assert seen.stable.errors == 0
    assert world.container(world.canary).address == address
    assert "2" in {answer.version for answer in callers.answers[back:]}, "the router has found it again"


def test_a_container_whose_first_process_is_killed_is_started_again(world: World) -> None:
    pid = int(world.inspect(world.canary)["State"]["Pid"])
    if not os.access(f"/proc/{pid}/root", os.R_OK):
        pytest.skip("needs a Docker engine on this machine, and root may kill its containers' processes")
    world.split(0.5)
    with world.callers() as callers:
        os.kill(pid, signal.SIGKILL)
        callers.more(200)
        until(world.ready)
    assert not callers.lost
    assert int(world.inspect(world.canary)["State"]["Pid"]) != pid
    assert int(world.inspect(world.canary)["RestartCount"]) > 0
    again = DockerEngine(world.engine.site.home, MODEL)
    again.wait_ready(again.deploy(release("2")), 20)  # that it was killed earlier is no death while it starts


def test_a_canary_that_hangs_is_answered_by_stable(world: World) -> None:
    world.split(0.5)
    with world.callers(callers=8) as callers:
        world.engine.fail(world.canary, Fault.HANG, 2.0)
        assert world.engine.servers()[world.canary].detail == "it runs, but does not answer"
        callers.more(60)
    assert not callers.lost
    until(world.ready)


def test_a_mirrored_canary_whose_container_has_gone_costs_nobody_anything(world: World) -> None:
    other = world.engine.deploy(release("3"))
    world.engine.wait_ready(other, 20)
    routed(world.engine, Routes(world.stable, other, mirror=1.0))
    world.engine.site.client.api.remove_container(world.container(other).id, force=True)
    with world.callers() as callers:
        callers.more(40)
        world.engine.deploy(release("1"))  # nothing to do but to look again
        until(lambda: world.engine.routes() == Routes(world.stable))
        callers.more(20)
    assert not callers.lost
    assert max(answer.done - answer.sent for answer in callers.answers) < TIMEOUT / 2
    assert set(world.engine.scrape().servers) == {world.stable, world.canary}


def test_a_restarted_router_takes_up_its_routes_and_begins_an_epoch(world: World) -> None:
    routes = Routes(world.stable, world.canary, 0.25, 0.125, ("x-canary", "1"), "cookie:uid")
    routed(world.engine, routes)
    with world.callers() as callers:
        callers.more(20)
    before = world.engine.scrape()
    world.engine.site.client.api.restart(world.container().id, timeout=5)
    until(lambda: world.engine.routes() == routes)
    after = world.engine.scrape()
    assert after.servers[world.stable].epoch != before.servers[world.stable].epoch
    assert after.servers[world.stable].requests == 0
    with world.callers() as callers:
        callers.more(20)
    assert not callers.lost


def test_routes_can_be_changed_while_the_router_does_not_run(world: World) -> None:
    client, router = world.engine.site.client, world.container().id
    client.api.stop(router, timeout=5)
    assert world.engine.routes() is None
    assert world.engine.scrape().missing == tuple(sorted((world.stable, world.canary)))
    world.engine.route(Routes(world.canary))
    world.engine.deploy(release("1"))  # starts it again
    until(lambda: world.engine.routes() == Routes(world.canary))


def test_a_route_is_applied_within_milliseconds(world: World) -> None:
    after = []
    with world.callers(callers=8, pause=0.001) as callers:
        for _ in range(5):
            world.split(0.5)
            callers.more(50)
            verdict = time.monotonic()
            world.engine.route(Routes(world.stable))
            callers.more(100)
            after.append(callers.last("2") - verdict)
    assert not callers.lost
    assert median(after) < 0.25  # the figure proper: tests/benchmarks/rollback.py


def test_containers_may_do_nothing_that_they_need_not(world: World) -> None:
    for name in ("", world.stable):
        found = world.inspect(name)
        host, config = found["HostConfig"], found["Config"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
        assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
        assert int(config["User"].partition(":")[0]) > 0
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (500_000_000, 256 * 10**6, 256 * 10**6)
    assert not host["PortBindings"], "nobody gets past the router"
    assert config["Cmd"] == OPTIONS.arguments()


def test_the_routers_files_are_its_own(world: World) -> None:
    api = world.engine.site.client.api
    made = api.exec_create(world.container().id, ["sh", "-c", f"stat -c '%a %u' {CONFIG} {CONFIG}/*.json"])
    lines = set(api.exec_start(made["Id"]).decode().split("\n")) - {""}
    owner = ROUTER_USER.partition(":")[0]
    assert lines == {f"700 {owner}", f"600 {owner}"}


def test_the_agent_ends_when_nobody_talks_to_it(world: World) -> None:
    def agents() -> int:
        top = world.engine.site.client.api.top(world.container().id)
        return sum("agent.py" in " ".join(process) for process in top["Processes"])

    world.engine.scrape()
    assert agents() == 1
    world.engine.site.router.hands.close()
    until(lambda: agents() == 0)


def test_a_server_that_dies_again_and_again_has_failed(world: World) -> None:
    server = world.engine.deploy(release("broken"))
    until(lambda: world.engine.servers()[server].state is ServerState.FAILED)
    until(lambda: "lightgbm" in world.engine.servers()[server].detail)
    until(lambda: "exit code 1" in world.engine.servers()[server].detail)
    world.engine.stop(server)
    assert "lightgbm" in (world.engine.directory / "logs" / f"{server}.log").read_text()


def test_a_release_without_an_image_is_refused(world: World) -> None:
    with pytest.raises(EngineError, match="mlship build"):
        world.engine.deploy(replace(release("1"), version="9", image=""))
    with pytest.raises(EngineError, match=r"(?i)no such image[\s\S]*mlship build"):
        world.engine.deploy(replace(release("1"), version="9", image="sha256:" + "0" * 64))
    assert set(world.engine.servers()) == {world.stable, world.canary}
