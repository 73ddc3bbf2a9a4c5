"""Programs that a running rollout stands on are killed, on real engines: the router, the process manager, the guardian.

The Docker daemon itself is killed by hand only, since all tests share it (`docs/measured.md`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlship.engines.docker import DockerEngine
from mlship.engines.docker import world as containers
from mlship.engines.local import LocalEngine
from mlship.errors import Exit
from mlship.rollout.state import Order
from mlship.types import Routes
from tests.engines.support import pid_of
from tests.fakes.rollout import Audience
from tests.scenarios.worlds import WORLDS, World

pytestmark = pytest.mark.slow


@pytest.fixture(params=["local", "docker"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with WORLDS[request.param](tmp_path) as found:
        found.begin()
        yield found


@pytest.fixture
def local(tmp_path: Path) -> Iterator[World]:
    with WORLDS["local"](tmp_path) as found:
        found.begin()
        yield found


def kill(world: World, program: str) -> None:
    """`kill -9` of the router or the guardian; whatever keeps them starts them again."""
    engine = world.engine
    if isinstance(engine, LocalEngine):
        os.kill(pid_of(engine, {"router": "envoy"}.get(program, program)), signal.SIGKILL)
        return
    assert isinstance(engine, DockerEngine)
    one = next(each for each in engine.site.containers() if each.role == program)
    pid = int(containers.inspect(engine.site.client, one)["State"]["Pid"])
    if not os.access(f"/proc/{pid}/root", os.R_OK):
        pytest.skip("needs a Docker engine on this machine, and root may kill its containers' processes")
    os.kill(pid, signal.SIGKILL)


def at_look(world: World, number: int, accident: Callable[[], object]) -> None:
    def looked(look: int) -> None:
        if look == number:
            accident()

    world.stage.audience = Audience(at_look=looked)


def manager(world: World) -> int:
    assert isinstance(world.engine, LocalEngine)
    return int((world.engine.directory / "supervisord.pid").read_text())


def test_router_and_guardian_are_killed_and_the_rollout_goes_on(world: World) -> None:
    """Given both are gone in mid-step, when they are back, then counters begin anew, and it is promoted."""
    world.plan("2", world.step(0.5), world.step(0.5))

    def accident() -> None:
        kill(world, "guardian")
        kill(world, "router")

    at_look(world, 1, accident)
    result = world.stage.run()
    assert (result.verdict, result.exit_code) == ("promoted", Exit.PASSED), result.reason
    assert world.engine.routes() == Routes(world.server("2"))
    world.begin()
    world.settle()
    assert world.lost() == []
    assert world.engine.programs() == {"router": True, "guardian": True}


@pytest.mark.parametrize("end", ["promoted", "aborted", "rolled_back"])
def test_the_process_manager_is_killed_and_nobody_loses_a_request(local: World, end: str) -> None:
    """Router and servers live on without it; the next rollout finds all that is left, and begins anew."""
    local.plan("worse" if end == "rolled_back" else "2", local.step(0.5), local.step(0.5))

    def accident() -> None:
        os.kill(manager(local), signal.SIGKILL)
        if end == "aborted":
            local.stage.order(Order.ABORT)

    at_look(local, 1, accident)
    result = local.stage.run()
    assert result.verdict == end
    local.settle()
    assert local.lost() == []
    champion = "2" if end == "promoted" else "1"
    assert local.engine.routes() == Routes(local.server(champion))
    local.plan("3", local.step(0.5), champion=champion)
    local.stage.audience = Audience()
    assert local.stage.run().verdict == "promoted"
    local.begin()
    local.settle()
    assert local.lost() == []
