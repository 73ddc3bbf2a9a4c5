"""A promotion that is cut short, or that others meddle with: nothing is promoted unseen, no decision is undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.errors import EngineError, Exit, RegistryError, UsageError
from mlship.rollout import machine, offline
from mlship.rollout.judge import begin
from mlship.rollout.state import Command, Decision, Order, Phase, Promote, RolloutState, Route, World
from mlship.types import Routes, VerdictKind
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, PLAN, Stage, release

STABLE, CANARY = "v1-11111111", "v2-22222222"
EVERYTHING = Routes(STABLE, CANARY, 1.0)
PROMOTING = RolloutState(
    phase=Phase.PROMOTING, step=2, weight=1.0, reason="all 3 steps are done", passed=((0.5, 20, 99),)
)


class Gone(BaseException):
    """kill -9."""


def decide(world: World) -> Decision:
    return machine.decide(PROMOTING, PLAN, None, begin(PLAN.guards), now=1000.0, world=world)


@pytest.mark.parametrize(
    ("world", "kind", "phase"),
    [
        (World(EVERYTHING), VerdictKind.PROMOTE, Phase.PROMOTING),
        (World(None), VerdictKind.PROMOTE, Phase.PROMOTING),
        (World(Routes(STABLE), moved=True), VerdictKind.PROMOTE, Phase.PROMOTING),
        (World(Routes(STABLE)), VerdictKind.ADVANCE, Phase.STEPPING),
        (World(Routes(STABLE), frozen="Mon 08:00"), VerdictKind.HOLD, Phase.PROMOTING),
        (World(EVERYTHING, command=Command(Order.ABORT, "alice")), VerdictKind.ROLLBACK, Phase.ROLLING_BACK),
        (World(EVERYTHING, command=Command(Order.ABORT, "alice"), moved=True), VerdictKind.PROMOTE, Phase.PROMOTING),
        (World(Routes("v0-00000000"), moved=True), VerdictKind.ROLLBACK, Phase.DONE),
    ],
)
def test_a_promotion_goes_on_only_where_it_may(world: World, kind: VerdictKind, phase: Phase) -> None:
    decision = decide(world)
    assert (decision.verdict.kind, decision.state.phase) == (kind, phase)


def test_a_step_that_is_repeated_credits_nothing_twice() -> None:
    decision = decide(World(Routes(STABLE)))
    assert decision.actions == (Route(PLAN.routes(PLAN.steps[2])),)
    assert (decision.state.step, decision.state.baked, decision.state.requests) == (2, 0.0, 0)
    assert decision.state.passed == ()


def test_an_abort_that_comes_too_late_says_so() -> None:
    decision = decide(World(EVERYTHING, command=Command(Order.ABORT, "alice"), moved=True))
    assert decision.verdict.reason == "too late to abort: version 2 is the champion already"
    assert decision.actions == (Promote(),)


def test_while_the_alias_moves_the_guardian_has_a_way_back(tmp_path: Path) -> None:
    """Given the controller dies while it waits for the registry, then stable has all traffic after the lease."""
    stage = Stage(tmp_path)
    stage.serve_stable()

    def hangs(*_: object, **__: object) -> None:
        assert stage.engine.routes() == EVERYTHING
        raise Gone

    stage.registry.move_alias = hangs  # type: ignore[method-assign]  # it never answers
    with pytest.raises(Gone):
        stage.run()
    assert stage.registry.aliases["champion"] == "1"
    stage.clock.sleep(PLAN.lease + 2)
    assert stage.engine.routes() == Routes(STABLE)


def test_what_the_guardian_took_back_is_baked_again_before_it_is_promoted(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    move = stage.registry.move_alias

    def away(*_: object, **__: object) -> None:
        raise RegistryError("the registry does not answer", where=MODEL)

    stage.registry.move_alias = away  # type: ignore[method-assign]  # for an hour
    with pytest.raises(RegistryError):
        stage.run()
    stage.clock.sleep(3600)
    assert stage.engine.routes() == Routes(STABLE)
    stage.registry.move_alias = move  # type: ignore[method-assign]  # it is back
    looks = len(stage.audience.looks)
    assert stage.run().verdict == "promoted"
    assert stage.audience.reasons[looks].startswith("the promotion was cut short, and stable has had all traffic since")
    assert len(stage.audience.looks) - looks > PLAN.steps[-1].seconds / 2, "it was watched again"
    assert [action for action, _, _ in stage.actions()] == ["lease_expired", "promoted"]


def test_a_rollback_from_another_machine_stands(tmp_path: Path) -> None:
    """Given a person gives all traffic to an older version, then the controller ends, and touches nothing."""
    stage = Stage(tmp_path)
    stage.serve_stable()
    old = release("3")
    stage.engine.deploy(old)

    def meddle(number: int) -> None:
        if number == 30:
            stage.engine.route(Routes(old.server))

    stage.audience.at_look = meddle
    result = stage.run()
    assert (result.verdict, result.exit_code) == ("aborted", Exit.INCONCLUSIVE)
    assert result.reason.startswith(f"somebody else has moved all traffic to {old.server}")
    assert stage.engine.routes() == Routes(old.server)
    assert CANARY not in stage.engine.servers()


def test_a_canary_gets_traffic_only_under_a_lease_of_the_policys_length(tmp_path: Path) -> None:
    """The start may take minutes, and has a longer one; it ends before the first route."""
    stage = Stage(tmp_path)
    stage.serve_stable()
    engine, route = stage.engine, stage.engine.route

    def routed(routes: Routes, owner: str = "") -> None:
        route(routes, owner)
        if routes.canary is not None:
            raise Gone

    engine.route = routed  # type: ignore[method-assign]  # the controller dies with the first route
    with pytest.raises(Gone):
        stage.run()
    engine.route = route  # type: ignore[method-assign]  # as it was
    stage.clock.sleep(PLAN.lease + 2)
    assert engine.routes() == Routes(STABLE)


def test_without_a_lease_no_canary_gets_traffic(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()

    def nobody(_owner: str, _seconds: float) -> None:
        raise EngineError("the engine does not answer", where=MODEL)

    stage.engine.hold = nobody  # type: ignore[method-assign,assignment]  # it answers everything else
    with pytest.raises(EngineError, match="does not answer"):
        stage.run()
    assert stage.engine.routes() == Routes(STABLE)


def killed_at(stage: Stage, look: int) -> None:
    """A rollout whose controller dies after that look."""

    def die(number: int) -> None:
        if number == look:
            raise Gone

    stage.audience.at_look = die
    with pytest.raises(Gone):
        stage.run()
    stage.audience.at_look = lambda _number: None


def abort(stage: Stage) -> str:
    return offline.abort(
        stage.home,
        MODEL,
        "alice",
        engine=stage.engine,
        registry=stage.registry,
        ledger=stage.ledger,
        clock=stage.now,
        sleep=stage.rest,
    ).reason


def test_an_abort_after_the_guardian_has_acted_tells_the_ledger_of_both(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    killed_at(stage, 10)
    stage.clock.sleep(PLAN.lease + 5)
    assert abort(stage) == "aborted by alice at 5 %, when stable had all traffic back already"
    assert [action for action, _, _ in stage.actions()] == ["lease_expired", "aborted"]


def test_an_abort_after_a_rollback_from_another_machine_ends_it_and_begins_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    old = release("3")
    stage.engine.deploy(old)
    killed_at(stage, 10)
    stage.engine.route(Routes(old.server))
    assert abort(stage).startswith(f"somebody else has moved all traffic to {old.server}")
    assert stage.engine.routes() == Routes(old.server)
    assert CANARY not in stage.engine.servers()
    assert stage.actions() == [("aborted", "2", "1")]
    with pytest.raises(UsageError, match="the latest rollout is over"):
        abort(stage)


def test_a_candidate_that_does_not_start_is_in_the_ledger(tmp_path: Path) -> None:
    stage = Stage(tmp_path, v2=Behaviour(dies="no module named 'lightgbm'"))
    stage.serve_stable()
    with pytest.raises(EngineError, match="lightgbm"):
        stage.run()
    assert stage.actions() == [("aborted", "2", "1")]
    assert stage.ledger.entries(MODEL)[0].reason.startswith("not started: ")
