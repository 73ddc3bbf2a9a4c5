"""The lease and the guardian on a local engine: who may move the traffic, and what happens when nobody does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlship.engines import files, processes, state, supervisor
from mlship.engines.front import Front
from mlship.engines.lease import owner
from mlship.engines.local import LocalEngine
from mlship.engines.state import Deployment, State
from mlship.errors import EngineError, LeaseLost
from mlship.guardian import lease as guardian
from mlship.home import Home
from mlship.types import Routes
from tests.engines.support import Callers, local_engine, pid_of, release, routed

pytestmark = pytest.mark.slow

#: Seconds of the leases here, and within which the guardian acts after they ran out.
LEASE, WITHIN = 1.0, 2.0


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEngine]:
    engine = local_engine(tmp_path_factory.mktemp("lease"))
    try:
        for version in ("1", "2"):
            engine.wait_ready(engine.deploy(release(version)), 20)
        yield engine
    finally:
        engine.down()
        assert processes.marked(engine.directory) == []


ONE, TWO = release("1").server, release("2").server
CANARY, STABLE = Routes(ONE, TWO, 0.5), Routes(ONE)


@pytest.fixture(autouse=True)
def beginning(engine: LocalEngine) -> None:
    (engine.directory / guardian.LEASE).unlink(missing_ok=True)
    routed(engine, STABLE)


def wait_for_stable(engine: LocalEngine, since: float, within: float = LEASE + WITHIN) -> float:
    """Seconds from `since` until the router applies stable only."""
    while engine.routes() != STABLE:
        assert time.monotonic() - since < within, "the guardian does not act"
        time.sleep(0.005)
    return time.monotonic() - since


def test_traffic_goes_back_when_the_holder_falls_silent_and_no_request_is_lost(engine: LocalEngine) -> None:
    mine = owner("ann")
    with Callers(f"{engine.address}/invocations") as callers:
        engine.hold(mine, LEASE)
        engine.route(CANARY, mine)
        for _ in range(3):  # for longer than the lease
            time.sleep(LEASE / 2)
            engine.hold(mine, LEASE)
            assert engine.routes() == CANARY
        assert wait_for_stable(engine, time.monotonic()) > LEASE - 0.3
        back = time.monotonic()
        callers.more(60)
    assert callers.lost == []
    assert callers.last("2") < back + 0.1
    with pytest.raises(LeaseLost, match="run out"):
        engine.route(CANARY, mine)
    found = engine.hold(mine, LEASE)
    assert found is not None
    assert found.owner == mine
    assert found.expired_at == pytest.approx(time.time(), abs=3)
    assert (found := engine.hold(mine, LEASE)) is not None
    assert found.expired_at is None
    engine.route(CANARY, mine)  # it may begin again
    engine.release(mine)
    wait_for_stable(engine, time.monotonic())


@contextmanager
def holder(engine: LocalEngine, seconds: float) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A controller in a process of its own, which has the lease and half of the traffic on the canary; and its name."""
    program = Path(__file__).with_name("holder.py")
    arguments = ["local", engine.directory.parent.parent, engine.directory.name, f"{seconds}", "0.1", ONE, TWO]
    process = subprocess.Popen([sys.executable, program, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("held "), said
        yield process, said.removeprefix("held ").strip()
    finally:
        process.kill()
        process.wait()


def test_a_controller_that_is_stopped_loses_the_endpoint_though_it_lives(engine: LocalEngine) -> None:
    with holder(engine, LEASE) as (process, name):
        process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        with pytest.raises(LeaseLost, match="holder#"):
            engine.hold(owner("bob"), LEASE)
        wait_for_stable(engine, stopped)
        found = engine.hold(owner("bob"), 60.0)
        assert found is not None
        assert found.owner == name
        assert found.expired_at is not None
        process.send_signal(signal.SIGCONT)
        assert process.wait(10) != 0, "it finds the endpoint in other hands, and ends"
    assert engine.routes() == STABLE


def test_a_controller_that_is_killed_holds_nothing_and_another_goes_on_at_once(engine: LocalEngine) -> None:
    with holder(engine, 60.0) as (process, name):
        process.kill()
        process.wait()
        mine = owner("bob")
        found = engine.hold(mine, 60.0)
        assert found is not None
        assert (found.owner, found.expired_at) == (name, None)
        assert engine.routes() == CANARY, "traffic stays where it is"
        engine.route(STABLE, mine)


def test_of_many_controllers_one_gets_it(engine: LocalEngine) -> None:
    def hold(name: str) -> str:
        try:
            LocalEngine(Home(engine.directory.parent.parent), "m").hold(name, 60.0)
        except LeaseLost:
            return ""
        return name

    with ThreadPoolExecutor(8) as pool:
        won = [name for name in pool.map(hold, [owner("ann") for _ in range(16)]) if name]
    now = engine.lease()
    assert now is not None
    assert won == [now.owner]


def test_a_promotion_is_not_taken_back(engine: LocalEngine) -> None:
    mine = owner("ann")
    engine.hold(mine, 0.2)
    engine.route(Routes(TWO), mine)
    deadline = time.monotonic() + 3
    while (now := engine.lease()) is None or now.expired_at is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert engine.routes() == Routes(TWO)


def test_a_guardian_that_is_killed_is_there_again_and_acts_in_time(engine: LocalEngine) -> None:
    mine, before = owner("ann"), pid_of(engine, supervisor.GUARDIAN)
    engine.hold(mine, LEASE)
    engine.route(CANARY, mine)
    os.kill(before, signal.SIGKILL)
    wait_for_stable(engine, time.monotonic())
    assert pid_of(engine, supervisor.GUARDIAN) not in (before, 0)


def test_it_acts_though_nothing_else_of_mlship_lives(engine: LocalEngine) -> None:
    """The process manager is killed, too; the next deployment starts everything anew, with a guardian."""
    mine = owner("ann")
    engine.hold(mine, LEASE)
    routed(engine, CANARY)
    os.kill(int((engine.directory / "supervisord.pid").read_text()), signal.SIGKILL)
    wait_for_stable(engine, time.monotonic())
    engine.deploy(release("1"))
    for server in (ONE, TWO):
        engine.wait_ready(server, 20)
    assert engine.routes() == STABLE
    assert guardian.guarded(str(engine.directory))


def test_an_engine_of_an_earlier_version_gets_a_guardian_with_the_next_deployment(engine: LocalEngine) -> None:
    known = state.load(engine.directory)
    assert known is not None
    manager = engine.site.manager(known)
    manager.remove(supervisor.GUARDIAN)
    supervisor.render(engine.directory, known.supervisor_port, known.password, [supervisor.ROUTER, ONE, TWO])
    for path in engine.directory.glob("envoy/back-*"):
        path.unlink()
    mine = owner("ann")
    engine.hold(mine, 0.2)
    time.sleep(0.8)
    assert (now := engine.lease()) is not None
    assert now.expired_at is None, "nobody guards"
    engine.deploy(release("1"))
    time.sleep(0.6)
    assert (now := engine.lease()) is not None
    assert now.expired_at is not None
    assert set(engine.servers()) == {ONE, TWO}


def test_a_lease_that_cannot_be_written_is_one_clear_error(engine: LocalEngine) -> None:
    (engine.directory / guardian.LEASE).mkdir()
    try:
        with pytest.raises(EngineError, match="the lease cannot be kept"):
            engine.hold(owner("ann"), 60.0)
        with pytest.raises(EngineError, match="the lease cannot be kept"):
            engine.lease()
    finally:
        (engine.directory / guardian.LEASE).rmdir()


def test_the_way_back_names_only_clusters_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "envoy").mkdir()
    servers = {
        version: Deployment(version, version, f"sha256:{version}", 20_000, f"n{version}", ()) for version in "123"
    }
    known = State("m", Front("127.0.0.1:8080", 1.0), 1, 2, "secret", servers)
    for there, wanted in (
        (known, Routes("1", "2", 0.5)),
        (known, Routes("1", "2", mirror=0.5)),
        (known, Routes("1", "2", testers=("x-tester", "1"))),
        (known.without_server("3"), Routes("1", "2", 0.25)),
    ):
        files.render_routes(tmp_path, there, wanted)
        back = guardian.way_back(str(tmp_path / "envoy"))
        assert back is not None
        text = Path(back).read_text()
        assert '"1-n1' in text
        assert ("3-n3" in text) == ("3" in there.servers)
        assert guardian.go_back(str(tmp_path / "envoy"))
        assert files.wanted_routes(tmp_path) == Routes("1")
        files.render_routes(tmp_path, there, Routes("1"))
        assert (tmp_path / "envoy" / guardian.ROUTES).read_text() == text, "what the engine itself would write"
        assert guardian.way_back(str(tmp_path / "envoy")) is None
