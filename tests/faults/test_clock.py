"""The clock of the machine is stepped by hours: nothing is credited that was not seen, and nothing is waited for."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from mlship.types import Routes, Scrape
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import PLAN, Stage
from tests.faults.audit import credited_no_more_than_sent
from tests.faults.story import staged

HOUR = 3600.0
LONG = replace(PLAN, deadline=1200)


class Wall:
    """A wall clock that somebody sets; the world itself goes on at its pace."""

    def __init__(self, stage: Stage) -> None:
        self.offset = 0.0
        self._true = stage.clock
        self._scrape = stage.engine.scrape
        stage.engine.scrape = self.scrape  # type: ignore[method-assign]  # counters are stamped by the same wall clock
        stage.now = self

    def __call__(self) -> float:
        return self._true() + self.offset

    def scrape(self) -> Scrape:
        found = self._scrape()
        return replace(found, at=found.at + self.offset)


@pytest.mark.parametrize("hours", [-5.0, 5.0, -0.01, 0.01], ids=["back", "forward", "back a bit", "forward a bit"])
@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
def test_a_step_of_the_clock_is_neither_bake_nor_delay(tmp_path: Path, hours: float, bad: bool) -> None:
    """Given the clock is set in the middle of each step, then the end is the same, and comes at about the same time."""
    stage = staged(tmp_path, LONG, v2=Behaviour(latency_ms=45) if bad else Behaviour())
    began, wall = stage.clock(), Wall(stage)

    def step(number: int) -> None:
        if number % 15 == 5:
            wall.offset += hours * HOUR

    stage.audience.at_look = step
    result = stage.run()
    assert result.verdict == ("rolled_back" if bad else "promoted")
    assert (0 if bad else 60) <= stage.clock() - began < 150, "in true time"
    credited_no_more_than_sent(stage)


@pytest.mark.parametrize("hours", [-5.0, 5.0])
def test_a_clock_that_is_set_while_the_command_rests_keeps_nobody_waiting(tmp_path: Path, hours: float) -> None:
    """It is set between two readings of one rest: the next look comes within the interval all the same."""
    stage = staged(tmp_path, LONG)
    wall, sleep, looks = Wall(stage), stage.clock.sleep, list[float]()
    pieces = 0

    def rest(seconds: float) -> None:
        nonlocal pieces
        pieces += 1
        sleep(seconds)
        if pieces == 150:
            wall.offset += hours * HOUR

    stage.rest = rest
    stage.audience.at_look = lambda _number: looks.append(stage.clock())
    assert stage.run().verdict == "promoted"
    assert max(after - before for before, after in pairwise(looks)) < 10


def test_no_clock_makes_a_pause_a_timeout(tmp_path: Path) -> None:
    """A person's pause has no deadline: not after a day, and not by a clock that is a year ahead."""
    from mlship.rollout.state import Order

    stage = staged(tmp_path, replace(LONG, deadline=60))
    wall = Wall(stage)
    controller = stage.controller()

    def hand(number: int) -> None:
        if number == 5:
            stage.order(Order.PAUSE)
        if number == 10:
            wall.offset += 365 * 24 * HOUR
        if number == 500:
            stage.order(Order.RESUME)

    stage.audience.at_look = hand
    assert controller.run().verdict == "promoted"
    assert stage.engine.routes() == Routes("v2-22222222")
