"""The same stories on fake time, on processes and in containers: given, when, then, and nobody loses a request."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from mlship.errors import EngineError, Exit, UsageError
from mlship.rollout import offline, rollback, warm
from mlship.rollout.rollback import Returned
from mlship.rollout.state import Order
from mlship.types import Fault, Release, Routes, Scrape
from tests.fakes.rollout import MODEL, Audience
from tests.scenarios.worlds import WORLDS, World


class Gone(BaseException):
    """kill -9 of the controller."""


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] if name != "fake" else []) for name in WORLDS]
)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with WORLDS[request.param](tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest.fixture
def world(place: World) -> Iterator[World]:
    """Version 1 serves alone; afterwards everything is as it was, and nobody has lost a request."""
    place.begin()
    yield place
    with suppress(UsageError):  # a story that has failed may have left it unfinished
        abort(place)
    here = place.stage.registry.aliases["champion"]
    if here != "1":
        champion(place, "1")
    routes, lost = place.engine.routes(), place.lost()
    for version in ("2", "3", "worse", "worse2"):
        place.engine.stop(place.server(version))
    assert lost == []
    assert routes == Routes(place.server("1"))
    assert place.servers() == {place.server("1")}


def champion(place: World, version: str) -> Returned:
    """A person goes back to this version."""
    stage = place.stage
    done = rollback.go_back(
        rollback.target(stage.ledger, MODEL, version),
        engine=stage.engine,
        registry=stage.registry,
        ledger=stage.ledger,
        directory=stage.home.rollouts(MODEL),
        alias="champion",
        who="alice",
        clock=stage.now,
        sleep=stage.rest,
    )
    for server in warm.listed(stage.home.rollouts(MODEL)):
        warm.forget(stage.home.rollouts(MODEL), server)
    return done


def abort(place: World) -> str:
    stage = place.stage
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


def die_at(place: World, look: int) -> None:
    """The controller is killed after that look."""

    def die(number: int) -> None:
        if number == look:
            raise Gone

    place.stage.audience = Audience(at_look=die)


def killed(place: World, look: int) -> None:
    """A rollout whose controller was killed after so many looks; its process is gone, and the world knows."""
    die_at(place, look)
    with pytest.raises(Gone):
        place.stage.run()
    place.stage.audience = Audience()


@pytest.mark.parametrize("kind", ["weight", "mirror", "testers"])
def test_an_abort_in_mid_step_gives_stable_everything_and_removes_copies_and_headers(world: World, kind: str) -> None:
    step = {"weight": world.step(0.5), "mirror": world.mirror(), "testers": world.testers()}[kind]
    world.plan("2", step)
    routed: list[Routes | None] = []
    world.order_at(1, Order.ABORT)
    write = world.stage.audience.at_look

    def note(number: int) -> None:
        routed.append(world.engine.routes())
        write(number)

    world.stage.audience.at_look = note
    result = world.stage.run()
    assert (result.verdict, result.exit_code) == ("aborted", Exit.INCONCLUSIVE)
    assert routed[0] == world.stage.plan.routes(step), "the step was really there"
    assert world.engine.routes() == Routes(world.server("1"))
    assert world.server("2") not in world.servers()


def test_an_abort_then_a_retry_promotes_and_weights_change_under_load(world: World) -> None:
    world.plan("2", world.step(0.05), world.step(0.3), world.step(0.9), world.step(0.5))
    world.order_at(1, Order.ABORT)
    assert world.stage.run().verdict == "aborted"
    world.stage.audience = Audience()
    assert world.stage.run().verdict == "promoted"
    world.settle()
    assert world.engine.routes() == Routes(world.server("2"))
    assert world.stage.registry.aliases["champion"] == "2"
    assert world.lost() == []


def test_bad_then_good_then_bad_again(world: World) -> None:
    """Given a bad candidate goes back, then a good one is promoted, then two bad ones in a row go back from it."""
    world.plan("worse")
    assert world.stage.run().verdict == "rolled_back"
    world.plan("2")
    assert world.stage.run().verdict == "promoted"
    for bad in ("worse", "worse2"):
        world.plan(bad, champion="2")
        result = world.stage.run()
        assert (result.verdict, result.exit_code) == ("rolled_back", Exit.ROLLED_BACK)
        assert world.engine.routes() == Routes(world.server("2"))
        assert world.stage.registry.aliases["champion"] == "2"
    assert world.servers() == {world.server("1"), world.server("2")}


def test_a_third_version_comes_while_no_canary_is_alive(world: World) -> None:
    """Given the controller and the canary were killed, when version 3 is the candidate, then 2 is in the way, once."""
    world.plan("2", world.step(0.5))
    killed(world, 1)
    world.kill("2")
    if not world.real:
        world.stage.engine.bury()
    world.plan("3", world.step(0.5))
    with pytest.raises(UsageError, match="rollout of version 2 is unfinished, which is another candidate"):
        world.stage.run()
    assert "aborted by alice" in abort(world)
    assert world.engine.routes() == Routes(world.server("1"))
    assert world.stage.run().verdict == "promoted"
    assert world.engine.routes() == Routes(world.server("3"))


def test_an_abort_when_nothing_of_the_canary_is_left(world: World) -> None:
    world.plan("2", world.step(0.5))

    def accident(number: int) -> None:
        if number == 1:
            world.kill("2")
            world.stage.order(Order.ABORT)

    world.stage.audience = Audience(at_look=accident)
    assert world.stage.run().verdict in ("aborted", "rolled_back")
    assert world.engine.routes() == Routes(world.server("1"))
    assert world.server("2") not in world.servers()


def test_the_canary_dies_in_the_moment_of_its_promotion(world: World) -> None:
    """The healthy one is kept: what is dead gets no alias, and all traffic only until that was noticed."""
    world.plan("2", world.step(0.5), candidate_reference="2")
    registry, unmoved, questions = world.stage.registry, world.stage.registry.alias, list[str]()

    def asked(model: str, alias: str) -> str | None:
        questions.append(alias)
        if len(questions) == 3:  # the first is at the start, the others are the promotion's
            world.kill("2")
        return unmoved(model, alias)

    registry.alias = asked  # type: ignore[method-assign]  # the last question before the promotion
    try:
        result = world.stage.run()
    finally:
        registry.alias = unmoved  # type: ignore[method-assign]  # as it was
    assert (result.verdict, result.exit_code) == ("rolled_back", Exit.ROLLED_BACK)
    assert result.reason.startswith("version 2 does not answer in the moment of its promotion: ")
    assert world.engine.routes() == Routes(world.server("1"))
    assert unmoved(MODEL, "champion") == "1"
    world.settle()
    assert world.lost() == []


def test_stable_dies_in_the_moment_of_the_promotion(world: World) -> None:
    """The healthy one is kept: the canary has been proved, and gets the traffic."""
    world.plan("2", world.step(0.5))
    registry, move = world.stage.registry, world.stage.registry.move_alias

    def moved(model: str, alias: str, *, expected: str | None, to: str) -> None:
        world.kill("1")
        move(model, alias, expected=expected, to=to)

    world.stage.audience = Audience()
    registry.move_alias = moved  # type: ignore[method-assign]  # at the last moment
    try:
        assert world.stage.run().verdict == "promoted"
    finally:
        registry.move_alias = move  # type: ignore[method-assign]  # as it was
    assert world.engine.routes() == Routes(world.server("2"))
    world.settle()
    assert world.lost() == []
    if not world.real:
        world.stage.engine.restart(world.server("1"))


def test_inconclusive_pauses_and_a_retry_works(world: World) -> None:
    """Given nobody calls, when the deadline has passed, then it is paused; with callers the same command promotes."""
    world.plan("2", world.step(0.5), deadline=10 * world.pace)
    world.quiet(quiet=True)
    world.stage.audience = Audience()
    result = world.stage.run()
    assert (result.verdict, result.exit_code) == ("paused", Exit.INCONCLUSIVE)
    assert result.reason.startswith("inconclusive after ")
    world.quiet(quiet=False)
    assert world.stage.run().verdict == "promoted"


def test_a_rollback_inside_and_outside_keep_warm(world: World) -> None:
    """Inside it is a route change; outside, the recorded release is started again, and serves."""
    world.plan("2", world.step(0.5))
    world.stage.audience = Audience()
    assert world.stage.run().verdict == "promoted"
    assert champion(world, "1").warm
    world.settle()
    world.plan("3", world.step(0.5))
    assert world.stage.run().verdict == "promoted"
    one: Release = world.release("1")
    world.engine.stop(one.server)
    done = champion(world, "1")
    assert not done.warm
    assert done.target.digest == one.digest
    world.settle()
    assert world.engine.routes() == Routes(one.server)


def test_no_weight_rises_in_an_abort_while_stable_comes_and_goes(world: World) -> None:
    """Given stable is killed again and again, when a person aborts, then each route is at most the one before."""
    world.plan("2", world.step(0.3), world.step(0.9))
    engine, route, weights = world.stage.engine, world.stage.engine.route, list[float]()

    def flapping(number: int) -> None:
        if number == 1:
            world.stage.order(Order.ABORT)

    def routed(routes: Routes, owner: str = "") -> None:
        weights.append(routes.weight)
        route(routes, owner)
        if len(weights) > 1:  # the way back has begun
            with suppress(EngineError):  # it is not up again yet
                engine.fail(world.server("1"), Fault.KILL, 0)

    world.stage.audience = Audience(at_look=flapping)
    engine.route = routed  # type: ignore[method-assign]  # a spy, and an accident after each route
    try:
        result = world.stage.run()
    finally:
        engine.route = route  # type: ignore[method-assign]  # as it was
    assert result.verdict == "aborted"
    assert weights[0] == 0.3, "the step was really there"
    assert weights[1:] == [0.0] * len(weights[1:])
    assert len(weights) > 1
    world.until_ready("1")
    world.until_served()
    world.begin()  # while stable was away nobody could answer: the canary was no longer allowed to


def test_an_unverified_end_keeps_the_old_version(world: World) -> None:
    """Given the proof that the policy asks for does not come, when the deadline is over, then nothing is promoted."""
    world.plan("2", world.step(0.5), deadline=5 * world.pace, on_inconclusive="rollback")
    proof = replace(world.stage.plan.guards, certify=(("errors", 1.0001),), negligible=0.0)
    world.stage.plan = replace(world.stage.plan, guards=proof)
    world.stage.audience = Audience()
    result = world.stage.run()
    assert (result.verdict, result.exit_code) == ("rolled_back", Exit.ROLLED_BACK)
    assert result.reason.startswith("inconclusive after ")
    assert "not promoting yet: " in result.reason
    assert world.engine.routes() == Routes(world.server("1"))
    assert world.stage.registry.aliases["champion"] == "1"


def test_a_pause_longer_than_any_deadline_is_no_timeout(world: World) -> None:
    """Given a person pauses, when it takes longer than a step may, then it waits for them, and goes on as told."""
    deadline = 8 * world.pace
    world.plan("2", world.step(0.5), deadline=deadline)
    paused: list[float] = []

    def hand(number: int) -> None:
        if number == 1:
            paused.append(world.stage.now())
            world.stage.order(Order.PAUSE)
        elif paused and len(paused) == 1 and world.stage.now() - paused[0] > 1.2 * deadline:
            paused.append(world.stage.now())
            world.stage.order(Order.RESUME)

    world.stage.audience = Audience(at_look=hand)
    assert world.stage.run().verdict == "promoted"
    assert [action for action, _, _ in world.stage.actions()][-3:] == ["paused", "resumed", "promoted"]


@pytest.mark.parametrize("how", ["silent", "refuses"])
def test_counters_that_cannot_be_read_are_no_bad_canary(world: World, how: str) -> None:
    """Given the source of the counters is down for a while, then nothing is credited, and nobody is convicted."""
    world.plan("2", world.step(0.5))
    engine, scrape = world.stage.engine, world.stage.engine.scrape

    def dark() -> Scrape:
        if not 1 <= len(world.stage.audience.looks) < 5:
            return scrape()
        if how == "refuses":
            raise EngineError("the router does not answer")
        return Scrape(world.stage.now(), {}, (world.server("1"), world.server("2")))

    world.stage.audience = Audience()
    engine.scrape = dark  # type: ignore[method-assign]  # the source of the counters, away for some looks
    try:
        result = world.stage.run()
    finally:
        engine.scrape = scrape  # type: ignore[method-assign]  # as it was
    looks = world.stage.audience.looks
    assert result.verdict == "promoted"
    assert {look.decision.state.requests for look in looks[:5]} == {0}
    assert any("no counters" in reason for reason in world.stage.audience.reasons)


def test_many_rollouts_in_a_row_leave_nothing_behind(world: World) -> None:
    """Twenty on fake time, on a real engine four or MLSHIP_STORIES; each leaves one server, and no route but its own.

    What the engine itself has (processes and open ports, or containers and images) is as many as after the first.
    """
    world.stage.audience = Audience()
    here, found = "1", list[dict[str, int]]()
    for number in range(int(os.environ.get("MLSHIP_STORIES", "4")) if world.real else 20):
        there = "3" if number % 2 else "2"
        world.plan(there, world.step(0.5), champion=here, keep_warm=0)
        assert world.stage.run().verdict == "promoted"
        assert world.engine.routes() == Routes(world.server(there))
        assert world.servers() == {world.server(there)}
        found.append(world.has())
        here = there
    assert found[0] == found[-1]
    sys.stdout.write(f"after {len(found)} rollouts: {found[-1]}\n")
