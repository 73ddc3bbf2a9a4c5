"""A person changes their mind: rollback after a promotion, and orders when no controller is alive."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from mlship.errors import MovedError, RegistryError, StateError, UsageError
from mlship.ledger import Ledger
from mlship.rollout import behind, journal, lock, offline, rollback, warm
from mlship.rollout.plan import PlanStep
from mlship.rollout.rollback import Returned
from mlship.rollout.state import Order
from mlship.types import Routes, ServerState
from tests.fakes.rollout import MODEL, PLAN, Stage, digest

STABLE, CANARY = "v1-11111111", "v2-22222222"


class Gone(BaseException):
    """kill -9."""


@pytest.fixture
def promoted(tmp_path: Path) -> Stage:
    """Version 2 has replaced version 1, whose server is still warm."""
    stage = Stage(tmp_path)
    stage.serve_stable()
    assert stage.run().verdict == "promoted"
    return stage


@pytest.fixture
def halfway(tmp_path: Path) -> Stage:
    """A rollout whose controller was killed in its second step."""
    stage = Stage(tmp_path)
    stage.serve_stable()

    def die(number: int) -> None:
        if number == 30:
            raise Gone

    stage.audience.at_look = die
    with pytest.raises(Gone):
        stage.run()
    stage.audience.at_look = lambda _number: None
    assert stage.engine.routes() == PLAN.routes(PlanStep(0.25, 0, 0))
    return stage


def go_back(stage: Stage, to: str | None = None) -> Returned:
    return rollback.go_back(
        rollback.target(stage.ledger, MODEL, to, behind.read(stage.home.ensure(stage.home.rollouts(MODEL)))),
        engine=stage.engine,
        registry=stage.registry,
        ledger=stage.ledger,
        directory=stage.home.rollouts(MODEL),
        alias="champion",
        who="alice",
        clock=stage.clock,
        sleep=stage.clock.sleep,
    )


def test_a_rollback_starts_nothing_and_moves_the_alias_last(promoted: Stage) -> None:
    promoted.engine.calls.clear()
    done = go_back(promoted)
    assert promoted.engine.calls == [f"route {STABLE} None 0"]
    assert done.warm
    assert done.reason == "rolled back by alice: version 2 to version 1"
    assert promoted.engine.routes() == Routes(STABLE)
    assert promoted.registry.aliases["champion"] == "1"
    assert promoted.actions() == [("promoted", "1", "2"), ("rolled_back", "2", "1")]


def test_there_and_back_again(promoted: Stage) -> None:
    """The version that was left stays warm, and may be named; behind the first champion there is nothing."""
    go_back(promoted)
    with pytest.raises(UsageError, match="version 1 is the first champion"):
        go_back(promoted)
    assert go_back(promoted, "2").warm
    assert promoted.registry.aliases["champion"] == "2"
    assert go_back(promoted).target.version == "1", "back again, as if nothing had been"


def test_a_cold_champion_is_started_again_from_the_registry(promoted: Stage) -> None:
    promoted.engine.stop(STABLE)
    done = go_back(promoted)
    assert not done.warm
    assert promoted.engine.servers()[STABLE].state is ServerState.READY
    assert promoted.engine.routes() == Routes(STABLE)


def test_a_champion_whose_files_were_swapped_is_not_started(promoted: Stage) -> None:
    promoted.engine.stop(STABLE)
    promoted.registry.digests["1"] = digest("9")
    with pytest.raises(MovedError, match="version 1 is not what served before"):
        go_back(promoted)
    assert promoted.engine.routes() == Routes(CANARY)
    assert promoted.registry.aliases["champion"] == "2"


def test_traffic_goes_back_even_when_the_alias_was_moved_by_others(promoted: Stage) -> None:
    promoted.registry.aliases["champion"] = "4"
    with pytest.raises(MovedError, match=r"traffic went back to version 1 at [\d:]{8}, but @champion points at 4"):
        go_back(promoted)
    assert promoted.engine.routes() == Routes(STABLE)
    assert promoted.registry.aliases["champion"] == "4"
    assert promoted.actions()[-1] == ("rolled_back", "2", "1")


def test_a_rollback_that_was_killed_before_the_ledger_is_completed_by_the_same_command(promoted: Stage) -> None:
    promoted.engine.route(Routes(STABLE))
    promoted.registry.aliases["champion"] = "1"
    go_back(promoted)
    assert promoted.actions() == [("promoted", "1", "2"), ("rolled_back", "2", "1")]


def away(stage: Stage, patch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> str:
        raise RegistryError("the registry does not answer", hint="is it running?")

    for name in ("alias", "move_alias", "version"):
        patch.setattr(stage.registry, name, silent)


@pytest.mark.parametrize("again", [None, "1"])
def test_a_rollback_without_the_registry_moves_traffic_says_so_and_is_completed_later(
    promoted: Stage, again: str | None
) -> None:
    """Repeated while the registry is away, too: it goes back once."""
    for _ in range(2):
        with pytest.MonkeyPatch.context() as patch:
            away(promoted, patch)
            with pytest.raises(RegistryError) as caught:
                go_back(promoted, again if promoted.actions()[-1][0] == "rolled_back" else None)
        assert re.fullmatch(
            r"traffic went back to version 1 at [\d:]{8}, but @champion could not be set: the registry does not answer",
            caught.value.what,
        )
        assert f"`mlship rollback {MODEL} --to 1` does what is left, and goes no further back" in caught.value.hint
        assert promoted.engine.routes() == Routes(STABLE)
        assert promoted.actions() == [("promoted", "1", "2"), ("rolled_back", "2", "1")], "at once, and once"
        assert promoted.registry.aliases["champion"] == "2"
        promoted.clock.sleep(3600)
    moved = promoted.ledger.entries(MODEL)[-1].at
    done = go_back(promoted, again)
    assert done.target.begun
    assert done.since == moved
    assert promoted.registry.aliases["champion"] == "1"
    assert promoted.actions() == [("promoted", "1", "2"), ("rolled_back", "2", "1")]
    with pytest.raises(UsageError, match="first champion" if again is None else "the champion already"):
        go_back(promoted, again)


def test_a_cold_champion_cannot_come_without_the_registry_and_nothing_moves(promoted: Stage) -> None:
    promoted.engine.stop(STABLE)
    with pytest.MonkeyPatch.context() as patch:
        away(promoted, patch)
        with pytest.raises(RegistryError, match="nothing has moved: the server of version 1 is not ready, and the reg"):
            go_back(promoted)
    assert promoted.engine.routes() == Routes(CANARY)
    assert promoted.actions() == [("promoted", "1", "2")]


def test_a_second_rollback_while_the_registry_is_away_knows_where_the_alias_is(promoted: Stage) -> None:
    """There and back again, and the alias has never moved."""
    with pytest.MonkeyPatch.context() as patch:
        away(promoted, patch)
        for to in (None, "2", "1"):
            with pytest.raises(RegistryError, match="traffic went back to version"):
                go_back(promoted, to)
    assert promoted.engine.routes() == Routes(STABLE)
    go_back(promoted)
    assert promoted.registry.aliases["champion"] == "1"
    assert [action for action, _, _ in promoted.actions()] == ["promoted", *["rolled_back"] * 3]


def test_a_full_disk_does_not_keep_alias_and_traffic_apart(promoted: Stage) -> None:
    """What cannot be remembered is not begun: the same command, repeated, goes back once."""

    def full(*_: object) -> None:
        raise StateError("no space left", hint="free space")

    with pytest.MonkeyPatch.context() as patch:
        for room, name in ((behind, "write"), (warm, "keep"), (Ledger, "append")):
            patch.setattr(room, name, full)
        with pytest.raises(StateError, match=r"traffic went back to version 1 at [\d:]{8}, but no space left"):
            go_back(promoted)
    assert promoted.engine.routes() == Routes(STABLE)
    assert promoted.registry.aliases["champion"] == "1"
    go_back(promoted)
    assert promoted.actions() == [("promoted", "1", "2"), ("rolled_back", "2", "1")]


def test_an_alias_that_others_have_moved_is_not_waited_for(promoted: Stage) -> None:
    promoted.registry.aliases["champion"] = "4"
    with pytest.raises(MovedError):
        go_back(promoted)
    with pytest.raises(UsageError, match="version 1 is the first champion"):
        go_back(promoted)


def test_a_rollback_that_was_killed_before_the_alias_is_completed_by_the_same_command(promoted: Stage) -> None:
    def die(*_: object, **__: object) -> None:
        raise Gone

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(promoted.registry, "move_alias", die)
        with pytest.raises(Gone):
            go_back(promoted)
    go_back(promoted)
    assert promoted.registry.aliases["champion"] == "1"
    assert promoted.actions() == [("promoted", "1", "2"), ("rolled_back", "2", "1")]


@pytest.mark.parametrize(
    ("to", "message"),
    [("2", "version 2 is the champion already"), ("3", "version 3 never was champion; versions that were: 1")],
)
def test_a_rollback_goes_only_where_a_champion_was(promoted: Stage, to: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        go_back(promoted, to)


def test_without_a_promotion_there_is_no_way_back(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing was ever promoted"):
        go_back(Stage(tmp_path))


def abort(stage: Stage) -> str:
    return offline.abort(
        stage.home,
        MODEL,
        "alice",
        engine=stage.engine,
        registry=stage.registry,
        ledger=stage.ledger,
        clock=stage.clock,
        sleep=stage.clock.sleep,
    ).reason


def test_an_abort_needs_no_controller(halfway: Stage) -> None:
    assert abort(halfway) == "aborted by alice at 25 %"
    assert halfway.engine.routes() == Routes(STABLE)
    assert CANARY not in halfway.engine.servers()
    assert halfway.actions() == [("aborted", "2", "1")]
    with pytest.raises(UsageError, match="the latest rollout is over: version 2 was aborted"):
        abort(halfway)


def test_an_abort_that_is_killed_goes_on_going_back(halfway: Stage) -> None:
    def die(_routes: Routes, _owner: str) -> None:
        raise Gone

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(halfway.engine, "route", die)
        with pytest.raises(Gone):
            abort(halfway)
    assert halfway.run().verdict == "aborted"
    assert halfway.engine.routes() == Routes(STABLE)


def test_an_abort_comes_too_late_for_a_promotion_whose_alias_has_moved(halfway: Stage) -> None:
    def promote(_number: int) -> None:
        halfway.order(Order.PROMOTE_FULL)

    def die(*_: object) -> None:
        raise Gone

    halfway.audience.at_look = promote
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "append", die)
        with pytest.raises(Gone):
            halfway.run()
    assert halfway.registry.aliases["champion"] == "2"
    with pytest.raises(UsageError, match="version 2 is being promoted already"):
        abort(halfway)


def test_a_pause_without_a_controller_is_remembered_and_the_same_command_goes_on(halfway: Stage) -> None:
    assert offline.pause(halfway.home, MODEL, "alice", halfway.ledger, halfway.clock) == "paused by alice at 25 %"
    view = journal.latest(halfway.home, MODEL)
    assert view is not None
    assert (view.phase, view.running, view.reason) == ("paused", False, "by alice")
    assert offline.pause(halfway.home, MODEL, "bob", halfway.ledger, halfway.clock) == "it is paused already, at 25 %"
    assert halfway.actions() == [("paused", "1", "2")]
    assert halfway.run().verdict == "promoted"


def test_nobody_interferes_while_a_controller_is_at_work(halfway: Stage) -> None:
    with lock.held(halfway.home.rollouts(MODEL), "bob", "rollout"), pytest.raises(StateError, match="bob"):
        abort(halfway)


def test_a_rollback_may_follow_an_abort_of_the_next_rollout(promoted: Stage) -> None:
    """The next candidate is on canary when people find out that the present champion is bad, too."""
    promoted.registry.aliases["challenger"] = "3"

    def die(number: int) -> None:
        if len(promoted.audience.looks) == number and promoted.engine.routes() == Routes(CANARY, "v3-33333333", 0.05):
            raise Gone

    promoted.audience.at_look = die
    with pytest.raises(Gone):
        promoted.run(stable=PLAN.canary, canary=replace(PLAN.canary, version="3", digest=digest("3")))
    abort(promoted)
    go_back(promoted)
    assert promoted.engine.routes() == Routes(STABLE)
    assert promoted.actions()[-2:] == [("aborted", "3", "2"), ("rolled_back", "2", "1")]
