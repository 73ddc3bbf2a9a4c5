"""Stable is several workers of one server, and one of them is not ready when a rollout goes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mlship.engines.local import LocalEngine
from mlship.rollout.state import Order
from mlship.types import Release, Routes
from tests.engines.support import pid_of, standin
from tests.fakes.rollout import Audience
from tests.scenarios.worlds import World, local
from tests.waiting import until

pytestmark = pytest.mark.slow


def two_workers(release: Release, listen: str) -> list[str]:
    return ["env", "STANDIN_WORKERS=2", *standin(release, listen)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with local(tmp_path, command=two_workers) as found:
        found.begin()
        yield found


def workers(world: World, version: str) -> list[int]:
    assert isinstance(world.engine, LocalEngine)
    pid = pid_of(world.engine, world.server(version))
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_an_abort_while_one_of_stables_workers_is_not_ready_loses_nothing(world: World) -> None:
    """Given one worker of two was killed this moment, when a person aborts, then the other one answers everybody."""
    world.plan("2", world.step(0.5))
    one_away: list[bool] = []

    def accident(number: int) -> None:
        if number == 1:
            before = workers(world, "1")
            os.kill(before[0], signal.SIGKILL)
            until(lambda: not _runs(before[0]))
            world.stage.order(Order.ABORT)
            one_away.append(sum(map(_runs, workers(world, "1"))) == 1)

    world.stage.audience = Audience(at_look=accident)
    assert world.stage.run().verdict == "aborted"
    assert one_away == [True]
    assert world.engine.routes() == Routes(world.server("1"))
    assert world.server("2") not in world.servers()
    world.settle()
    assert world.lost() == []


def _runs(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return False
