"""The lease and the guardian on a Docker engine: machines that share an endpoint, and containers that are killed."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mlship.engines.docker import DockerEngine, guard, router, world
from mlship.engines.docker.hands import AGENT
from mlship.engines.docker.names import Container
from mlship.engines.docker.router import ROUTES
from mlship.engines.lease import owner
from mlship.errors import EngineError, LeaseLost
from mlship.home import Home
from mlship.types import Routes
from tests.engines.docker_support import MODEL, docker_engine, ended, release
from tests.engines.support import Callers
from tests.waiting import until

pytestmark = pytest.mark.slow

#: Seconds of the leases here, and within which the guardian acts after they ran out.
LEASE, WITHIN = 1.0, 2.0


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerEngine]:
    with ended(docker_engine(tmp_path_factory.mktemp("docker"))) as engine:
        for version in ("1", "2"):
            engine.wait_ready(engine.deploy(release(version)), 20)
        yield engine


@pytest.fixture
def arms() -> tuple[Routes, Routes]:
    """Stable alone, and half of the traffic on the canary."""
    one, two = release("1").server, release("2").server
    return Routes(one), Routes(one, two, 0.5)


@pytest.fixture(autouse=True)
def beginning(engine: DockerEngine, arms: tuple[Routes, Routes]) -> None:
    mine = owner("the test before")
    until(lambda: taken(engine, mine, 0.01))
    engine.release(mine)
    routed(engine, arms[0])


def taken(engine: DockerEngine, who: str, seconds: float) -> bool:
    try:
        engine.hold(who, seconds)
    except LeaseLost:
        return False
    return True


def routed(engine: DockerEngine, routes: Routes, who: str = "") -> None:
    engine.route(routes, who)
    until(lambda: engine.routes() == routes)


def kill(engine: DockerEngine, one: Container | None) -> None:
    """Kill a container's first process, as an accident would."""
    assert one is not None
    pid = int(world.inspect(engine.site.client, one)["State"]["Pid"])
    if not os.access(f"/proc/{pid}/root", os.R_OK):
        pytest.skip("needs a Docker engine on this machine, and root may kill its containers' processes")
    os.kill(pid, signal.SIGKILL)


def test_of_controllers_on_two_machines_one_gets_it_and_the_other_may_not_route(
    engine: DockerEngine, arms: tuple[Routes, Routes], tmp_path: Path
) -> None:
    """A machine is its state directory here: nothing but the Docker engine is shared, no lock and no file."""
    homes = [Home(tmp_path / name) for name in "ab"]
    for home in homes:
        shutil.copytree(engine.directory, home.engine(MODEL))
    machines = [DockerEngine(home, MODEL) for home in homes]
    for _ in range(5):
        names = [owner(f"of-{number}") for number in range(2)]
        with ThreadPoolExecutor(2) as pool:
            won = list(pool.map(taken, machines, names, (60.0, 60.0)))
        assert sorted(won) == [False, True]
        first = won.index(True)
        machines[first].route(arms[1], names[first])
        with pytest.raises(LeaseLost, match=f"of-{first}#"):
            machines[1 - first].route(arms[0], names[1 - first])
        machines[first].release(names[first])


def test_traffic_goes_back_when_the_holder_falls_silent_and_no_request_is_lost(
    engine: DockerEngine, arms: tuple[Routes, Routes]
) -> None:
    stable, canary = arms
    mine = owner("ann")
    engine.hold(mine, LEASE)
    with Callers(f"{engine.address}/invocations") as callers:
        routed(engine, canary, mine)
        for _ in range(4):  # for longer than the lease
            engine.hold(mine, LEASE)
            silent = time.monotonic()
            time.sleep(0.35)
            assert engine.routes() == canary
        until(lambda: engine.routes() == stable, within=LEASE + WITHIN)
        back = time.monotonic()
        callers.more(60)
    assert LEASE <= back - silent <= LEASE + WITHIN
    assert callers.lost == []
    assert callers.last("2") < back + 0.1
    with pytest.raises(LeaseLost, match="run out"):
        engine.route(canary, mine)
    found = engine.hold(mine, LEASE)
    assert found is not None
    assert found.expired_at == pytest.approx(time.time(), abs=5)


def test_a_guardian_that_is_killed_acts_in_time_though_the_router_is_away(
    engine: DockerEngine, arms: tuple[Routes, Routes]
) -> None:
    stable, canary = arms
    mine, found, api = owner("ann"), engine.site.containers(), engine.site.client.api
    one = world.router(found)
    assert one is not None
    engine.hold(mine, LEASE)
    routed(engine, canary, mine)
    kill(engine, world.guardian(found))
    kill(engine, one)
    until(lambda: engine.site.running_router(engine.site.containers()) is not None)
    api.stop(one.id, timeout=0)
    with pytest.raises(EngineError, match="does not run"):  # nobody can be asked whether this owner may
        engine.route(stable, mine)
    with pytest.raises(EngineError, match="does not run"):
        engine.hold(mine, LEASE)
    until(lambda: engine.site.router.wanted(replace(one, state="exited")) == stable, within=LEASE + WITHIN)
    api.start(one.id)
    until(lambda: engine.routes() == stable)
    assert (now := engine.lease()) is not None
    assert now.expired_at is not None


def test_an_engine_without_guardian_gets_one_with_the_next_deployment_and_shows_it_to_nobody(
    engine: DockerEngine, arms: tuple[Routes, Routes]
) -> None:
    """As one that an earlier version of mlship deployed: with another agent, and with no way back beside its routes."""
    found = engine.site.containers()
    one = world.router(found)
    assert one is not None
    guard.end(engine.site)
    old = router.code()[AGENT].replace('if "lease" in request:', "if False:")
    engine.site.router.put(one, {AGENT: old})
    engine.site.router.hands.close()
    with pytest.raises(EngineError, match="earlier version"):
        engine.hold(owner("ann"), LEASE)
    engine.deploy(release("1"))
    roles = sorted(container.role for container in engine.site.containers())
    assert roles == ["guardian", "router", "server", "server"]
    assert len(engine.servers()) == 2
    mine = owner("ann")
    engine.hold(mine, 0.3)
    routed(engine, arms[1], mine)
    until(lambda: engine.routes() == arms[0], within=LEASE + WITHIN)


def test_routes_that_are_written_anew_do_not_undo_the_way_back(
    engine: DockerEngine, arms: tuple[Routes, Routes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given somebody applies a policy, when the guardian acts between reading and writing, then stable it stays."""
    stable, canary = arms
    routed(engine, canary)
    found = engine.site.containers()
    one, files = world.router(found), engine.site.router
    assert one is not None
    read, looks = files.read, list[str]()

    def interrupted(container: Container, name: str) -> str | None:
        text = read(container, name)
        if name == ROUTES and not looks:
            looks.append(name)
            engine.route(stable)
        return text

    monkeypatch.setattr(files, "read", interrupted)
    files.reroute(one, engine.site.known(found).front, found)
    assert files.wanted(one) == stable
