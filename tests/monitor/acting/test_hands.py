"""What the monitor does to traffic: back only while the incident's version serves, once; and a pause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlship.errors import EngineError
from mlship.monitor.acting import hands
from mlship.monitor.acting.delivery import Action, Delivery, Outcome
from mlship.rollout import handle, journal, lock, ordering
from mlship.rollout.plan import PlanStep
from mlship.rollout.state import Order
from mlship.types import Routes
from tests.fakes.rollout import MODEL, PLAN, Stage, digest

ONE, TWO = "v1-11111111", "v2-22222222"


class Gone(BaseException):
    """kill -9."""


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Nothing has been promoted yet."""
    found = Stage(tmp_path)
    found.plan = replace(PLAN, steps=(PlanStep(0.05, 5, 10),))
    monkeypatch.setattr(handle, "engine_of", lambda *_: found.engine)
    monkeypatch.setattr(handle, "LazyRegistry", lambda *_: found.registry)
    monkeypatch.setenv("MLSHIP_ACTOR", "alice")
    found.engine.lag = 0.0
    return found


@pytest.fixture
def promoted(stage: Stage) -> Stage:
    """Version 2 has replaced version 1, whose server is still warm."""
    stage.serve_stable(5)
    assert stage.run().verdict == "promoted"
    return stage


def delivery(version: str = "2", attempts: int = 0, action: Action = "rollback") -> Delivery:
    facts = {"reason": "recall 0.41 since 3 September"}
    return Delivery(
        "mlship-1", action, action, "i", "performance", "recall", version, "rollback", facts, attempts=attempts
    )


class Begun:
    """Counts how often something was about to be done."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def begun() -> Iterator[Begun]:
    return Begun()  # type: ignore[return-value]  # a fixture may as well return


def test_it_goes_back_once(promoted: Stage, begun: Begun) -> None:
    found = hands.roll_back(promoted.home, MODEL, delivery(), begun)
    assert found == Outcome("done", "version 1 serves again", facts={"to": "1"})
    assert promoted.engine.routes() == Routes(ONE)
    assert promoted.registry.alias(MODEL, "champion") == "1"
    entry = promoted.ledger.entries(MODEL)[-1]
    assert (entry.action, entry.from_version, entry.to_version) == ("rolled_back", "2", "1")
    assert entry.who.startswith("mlship monitor of alice@")
    assert entry.reason.endswith(": version 2 to version 1; recall 0.41 since 3 September")
    again = hands.roll_back(promoted.home, MODEL, delivery(), begun)
    assert again == Outcome("moot", "version 2 is not the champion")
    assert begun.count == 1


def test_of_another_version_than_the_one_that_serves_nothing_is_done(promoted: Stage, begun: Begun) -> None:
    found = hands.roll_back(promoted.home, MODEL, delivery("3"), begun)
    assert found == Outcome("moot", "version 3 is not the champion")
    assert promoted.engine.routes() == Routes(TWO)
    assert begun.count == 0


def test_there_may_be_nothing_to_go_back_to(stage: Stage, begun: Begun) -> None:
    assert hands.roll_back(stage.home, MODEL, delivery(), begun).result == "moot"
    stage.serve_stable(5)
    assert hands.roll_back(stage.home, MODEL, delivery("1"), begun).result == "moot"
    assert begun.count == 0


def test_a_rollout_under_way_is_waited_for(promoted: Stage, begun: Begun) -> None:
    promoted.registry.aliases["challenger"] = "3"
    said: list[Outcome] = []

    def at_look(number: int) -> None:
        if number == 2:
            said.append(hands.roll_back(promoted.home, MODEL, delivery(), begun))

    promoted.audience.looks.clear()
    promoted.audience.at_look = at_look
    canary, stable = replace(PLAN.canary, version="3", digest=digest("3")), PLAN.canary
    promoted.run(canary=canary, stable=stable)
    assert said[0].result == "later"
    assert "a rollout of version 3 is under way" in said[0].said
    assert begun.count == 0


def test_a_controller_at_work_is_waited_for(promoted: Stage, begun: Begun) -> None:
    with lock.held(promoted.home.rollouts(MODEL), "bob", "rollback to version 1"):
        found = hands.roll_back(promoted.home, MODEL, delivery(), begun)
    assert found.result == "refused"
    assert "bob" in found.said
    assert promoted.engine.routes() == Routes(TWO)


STEPS = ("routed", "noted", "written", "named", "cleared")


@pytest.mark.parametrize("step", STEPS)
def test_what_an_attempt_that_was_killed_has_left_is_done_and_nothing_twice(
    promoted: Stage, begun: Begun, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlship.rollout import behind, rollback

    def die(*_args: object, **_more: object) -> None:
        raise Gone

    with monkeypatch.context() as patch:
        spoil = {
            "routed": lambda: patch.setattr(rollback, "apply", die),
            "noted": lambda: patch.setattr(behind, "write", die),
            "written": lambda: patch.setattr(rollback, "_name", die),
            "named": lambda: patch.setattr(behind, "clear", die),
            "cleared": lambda: patch.setattr(hands, "_returned", die),
        }
        spoil[step]()
        with pytest.raises(Gone):
            hands.roll_back(promoted.home, MODEL, delivery(), begun)
    found = hands.roll_back(promoted.home, MODEL, delivery(attempts=1), begun)
    assert (found.result, found.facts) == ("done", {"to": "1"})
    assert promoted.engine.routes() == Routes(ONE)
    assert promoted.registry.alias(MODEL, "champion") == "1"
    assert promoted.actions().count(("rolled_back", "2", "1")) == 1
    after = hands.roll_back(promoted.home, MODEL, delivery("1"), begun)
    assert after.result == "moot", "it goes no further back"


def test_an_engine_that_is_away_is_told(promoted: Stage, begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise EngineError("the router does not answer", hint="start it")

    monkeypatch.setattr(promoted.engine, "route", away)
    found = hands.roll_back(promoted.home, MODEL, delivery(), begun)
    assert found == Outcome("refused", "the router does not answer; next: start it")


def test_without_a_rollout_there_is_nothing_to_pause(promoted: Stage, begun: Begun) -> None:
    assert hands.pause(promoted.home, MODEL, begun) == Outcome("moot", "no rollout is under way")
    assert begun.count == 0


def test_a_rollout_that_nobody_drives_is_paused_in_its_journal(stage: Stage, begun: Begun) -> None:
    stage.serve_stable(5)

    def at_look(number: int) -> None:
        if number == 2:
            raise Gone

    stage.audience.at_look = at_look
    with pytest.raises(Gone):
        stage.run()
    stage.audience.at_look = lambda _number: None
    found = hands.pause(stage.home, MODEL, begun)
    assert found.result == "done"
    assert "paused by mlship monitor of alice@" in found.said
    view = journal.latest(stage.home, MODEL)
    assert view is not None
    assert view.phase == "paused"
    assert hands.pause(stage.home, MODEL, begun).said.endswith("it is paused already, at 5 %")


def test_a_running_controller_gets_an_order(stage: Stage, begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.serve_stable(5)
    said: list[object] = []

    def send(_home: object, _model: str, order: Order, by: str) -> str:
        said.extend((order, by.partition("@")[0]))
        return "paused at 5 %"

    monkeypatch.setattr(ordering, "send", send)

    def at_look(number: int) -> None:
        if number == 2:
            said.append(hands.pause(stage.home, MODEL, begun))

    stage.audience.at_look = at_look
    stage.run()
    assert said == [
        Order.PAUSE,
        "mlship monitor of alice",
        Outcome("done", "the rollout of version 2: paused at 5 %"),
    ]
