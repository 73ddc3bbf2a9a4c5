"""Two controllers at once, on one machine and on two: never do both act, and the one that lost says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.errors import LeaseLost, StateError
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.rollout import lock
from mlship.types import Routes
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, Audience, Stage
from tests.faults.audit import credited_no_more_than_sent
from tests.faults.story import SHORT, staged

STABLE, CANARY = "v1-11111111", "v2-22222222"


def elsewhere(stage: Stage, path: Path) -> Stage:
    """The same endpoint and registry, from another machine: a state directory and a ledger of its own."""
    other = Stage(path)
    other.plan = stage.plan
    other.clock, other.now, other.rest = stage.clock, stage.now, stage.rest
    other.engine, other.registry = stage.engine, stage.registry
    other.audience = Audience()
    return other


def test_a_second_controller_on_the_same_machine_is_refused_at_any_moment(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    second = elsewhere(stage, tmp_path)
    second.home, second.ledger = stage.home, stage.ledger
    refused: list[StateError] = []

    def intrude(_number: int) -> None:
        with pytest.raises(StateError) as caught:
            second.run()
        refused.append(caught.value)

    stage.audience.at_look = intrude
    assert stage.run().verdict == "promoted"
    assert len(refused) == len(stage.audience.looks)
    assert all("a rollout of this model is running already: tester" in one.what for one in refused)
    assert stage.actions() == [("promoted", "1", "2")]
    credited_no_more_than_sent(stage)


def test_a_second_controller_on_another_machine_is_refused_by_the_endpoint_itself(tmp_path: Path) -> None:
    """Given no common file system, then the lease on the engine's side refuses; the first goes on undisturbed."""
    stage = staged(tmp_path / "one")
    second = elsewhere(stage, tmp_path / "two")
    acts: list[str] = []

    def intrude(_number: int) -> None:
        before = list(stage.engine.calls)
        with pytest.raises(LeaseLost):
            second.run()
        acts.extend(call for call in stage.engine.calls[len(before) :] if not call.startswith("deploy"))

    stage.audience.at_look = intrude
    assert stage.run().verdict == "promoted"
    assert acts == []
    assert second.ledger.entries(MODEL) == []
    assert stage.engine.routes() == Routes(CANARY)
    credited_no_more_than_sent(stage)


def test_a_controller_that_hangs_is_replaced_and_does_nothing_when_it_wakes_up(tmp_path: Path) -> None:
    """Given one is silent for longer than its lease, when another takes over and ends it, then its acts fail."""
    stage = staged(tmp_path / "one")
    second = elsewhere(stage, tmp_path / "two")
    verdicts: list[str] = []
    seen: list[Routes | None] = []

    def hang(number: int) -> None:
        if number == 2:
            stage.clock.sleep(stage.plan.lease + 3)
            seen.append(stage.engine.routes())
            verdicts.append(second.run().verdict)
            stage.engine.calls.clear()

    stage.audience.at_look = hang
    with pytest.raises((LeaseLost, StateError)):
        stage.run()
    assert seen == [Routes(STABLE)], "the guardian has given the traffic back"
    assert verdicts == ["promoted"]
    assert stage.engine.calls == [], "the one that woke up has moved nothing"
    assert stage.engine.routes() == Routes(CANARY)
    assert second.actions() == [("promoted", "1", "2")]


def test_a_controller_that_hangs_for_a_while_and_comes_back_first_goes_on(tmp_path: Path) -> None:
    """Nobody else came: the guardian has given the traffic back, and the rollout says so and carries on."""
    stage = staged(tmp_path)
    stage.audience.at_look = lambda number: stage.clock.sleep(stage.plan.lease + 3) if number == 2 else None
    assert stage.run().verdict == "promoted"
    assert stage.actions() == [("lease_expired", "2", "1"), ("promoted", "1", "2")]
    credited_no_more_than_sent(stage)


def test_the_lock_of_a_process_that_was_killed_holds_nobody_up(tmp_path: Path) -> None:
    stage = staged(tmp_path, SHORT, v2=Behaviour())
    directory = stage.home.ensure(stage.home.rollouts(MODEL))
    with lock.held(directory, "bob@ci", "rollout"):
        pass
    assert "bob@ci" in (directory / "lock").read_text()
    assert stage.run().verdict == "promoted"
    assert Ledger(Home(stage.home.path).ledger).entries(MODEL)[-1].who == "tester"
