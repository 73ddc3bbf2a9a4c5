"""Rollouts as stories: given a world, when a rollout runs, then this is what people find afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlship.errors import EngineError, Exit, MovedError, StateError, UsageError
from mlship.rollout import journal, lock
from mlship.rollout.judge import Guards
from mlship.rollout.plan import PlanStep
from mlship.rollout.state import Order
from mlship.types import Release, Routes, ServerState
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, PLAN, Stage, digest

STABLE, CANARY = "v1-11111111", "v2-22222222"


def test_a_better_candidate_is_promoted(tmp_path: Path) -> None:
    """Given a serving champion, when an equally good candidate is rolled out, then it becomes champion."""
    stage = Stage(tmp_path)
    stage.serve_stable()
    result = stage.run()
    assert (result.verdict, result.exit_code) == ("promoted", Exit.PASSED)
    assert result.reason.startswith("all 3 steps are done: errors ")
    assert [step[0] for step in result.steps] == [0.05, 0.25, 0.5]
    assert all(seconds >= 20 and requests >= 50 for _, seconds, requests in result.steps)
    assert [route.weight for _, route in stage.engine.history] == [0.0, 0.05, 0.25, 0.5, 1.0, 0.0]
    assert stage.engine.routes() == Routes(CANARY)
    assert stage.registry.aliases["champion"] == "2"
    assert stage.actions() == [("promoted", "1", "2")]
    assert stage.engine.servers()[STABLE].state is ServerState.READY, "kept warm, for the way back"
    entry = stage.ledger.entries(MODEL)[0]
    assert entry.evidence["model"] == digest("2")
    assert entry.evidence["champion"] == digest("1")
    assert entry.evidence["evaluation"] == "evaluation-1"


def test_the_alias_moves_last(tmp_path: Path) -> None:
    """Given a promotion, then every request is on the new champion before the registry says so, with a way back."""
    stage = Stage(tmp_path)
    stage.serve_stable()
    routed_at_move: list[Routes | None] = []
    move = stage.registry.move_alias

    def watched(model: str, alias: str, *, expected: str | None, to: str) -> None:
        routed_at_move.append(stage.engine.routes())
        move(model, alias, expected=expected, to=to)

    stage.registry.move_alias = watched  # type: ignore[method-assign]  # a spy
    stage.run()
    assert routed_at_move == [Routes(STABLE, CANARY, 1.0)]


@pytest.mark.parametrize(
    ("behaviour", "accused"),
    [
        (Behaviour(errors=0.06), "errors "),
        (Behaviour(latency_ms=45), "latency: "),
        (Behaviour(errors=1.0), "errors 100.0 % against"),
    ],
    ids=["errors", "latency", "outage"],
)
def test_a_worse_candidate_goes_back_by_itself(tmp_path: Path, behaviour: Behaviour, accused: str) -> None:
    """Given a candidate that fails or dawdles, then stable has all traffic again and the alias never moved."""
    stage = Stage(tmp_path, v2=behaviour)
    stage.serve_stable()
    result = stage.run()
    assert (result.verdict, result.exit_code) == ("rolled_back", Exit.ROLLED_BACK)
    assert result.reason.startswith(accused)
    assert result.reason.endswith("has reached 100")
    assert stage.engine.routes() == Routes(STABLE)
    assert stage.registry.calls == []
    assert stage.actions() == [("rolled_back", "2", "1")]
    assert CANARY not in stage.engine.servers()


def test_a_candidate_whose_answers_are_wrong_goes_back_on_what_the_labels_say(tmp_path: Path) -> None:
    """Given a skewed candidate that answers fast and without errors, when labels arrive late, then they convict it."""
    good = Behaviour(wrong=0.115, labelled=0.9, label_delay=5)
    stage = Stage(tmp_path, v1=good, v2=replace(good, wrong=0.243))
    stage.plan = replace(PLAN, guards=Guards(errors=1.25, latency=1.25, labels=1.1), steps=(PlanStep(0.2, 60, 200),))
    stage.serve_stable()
    result = stage.run()
    assert result.verdict == "rolled_back"
    assert result.reason.startswith("labels: 2")
    assert " wrong of " in result.reason
    assert result.evidence["labels"] > 100 > result.evidence["errors"]


def test_without_labels_a_labels_guard_is_inconclusive(tmp_path: Path) -> None:
    """Given a policy that watches labels, when none arrive, then no data is not a pass."""
    stage = Stage(tmp_path)
    stage.plan = replace(PLAN, guards=Guards(errors=1.25, labels=1.1), steps=(PlanStep(0.2, 5, 20),), deadline=60)
    stage.serve_stable()
    result = stage.run()
    assert (result.verdict, result.exit_code) == ("paused", Exit.INCONCLUSIVE)
    assert result.reason.endswith("; not promoting yet, since labels saw nothing of the canary")
    assert stage.actions() == [("paused", "1", "2")]


def test_a_worse_model_that_turns_bad_late_goes_back_from_a_later_step(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    stage.audience.at_look = lambda number: stage.engine.change("2", errors=0.3) if number == 30 else None
    result = stage.run()
    assert result.verdict == "rolled_back"
    assert [step[0] for step in result.steps] == [0.05, 0.25]


def test_no_traffic_never_promotes(tmp_path: Path) -> None:
    """Given nobody calls, when the deadline passes, then the rollout is paused as inconclusive; it can go on later."""
    stage = Stage(tmp_path, rate=0)
    stage.serve_stable()
    result = stage.run()
    assert (result.verdict, result.exit_code) == ("paused", Exit.INCONCLUSIVE)
    assert result.reason.startswith("inconclusive after 10 min at 5 %: 20 s of 20 s, 0 of 50 requests")
    assert stage.engine.routes() == PLAN.routes(PlanStep(0.05, 0, 0)), "traffic stays as it is"
    stage.engine.rate = 200
    assert stage.run().verdict == "promoted"
    assert stage.audience.said[-3].startswith("carrying on rollout ")
    assert stage.actions() == [("paused", "1", "2"), ("promoted", "1", "2")]


def test_missing_counters_hold_and_never_convict(tmp_path: Path) -> None:
    """Given the counters of both arms cannot be read for a minute, then nothing is credited and nothing is decided."""
    stage = Stage(tmp_path)
    stage.serve_stable()

    def blink(number: int) -> None:
        if number == 5:
            stage.engine.hidden = {STABLE, CANARY}
        if number == 65:
            stage.engine.hidden = set()

    stage.audience.at_look = blink
    result = stage.run()
    assert result.verdict == "promoted"
    assert result.seconds > 120, "the minute in the dark was not credited"
    assert any(reason.endswith("; no counters from stable and canary") for reason in stage.audience.reasons)


def test_a_canary_that_is_killed_goes_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    stage.audience.at_look = lambda number: stage.engine.kill(CANARY) if number == 10 else None
    result = stage.run()
    assert result.verdict == "rolled_back"
    assert stage.engine.routes() == Routes(STABLE)


def test_a_killed_canary_whose_counters_died_with_it_goes_back_too(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()

    def die(number: int) -> None:
        if number == 10:
            stage.engine.kill(CANARY)
            stage.engine.hidden = {CANARY}

    stage.audience.at_look = die
    assert stage.run().reason == "the canary's server is down: killed by signal 9"


def test_the_first_promotion_needs_no_champion(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    del stage.registry.aliases["champion"]
    result = stage.run(stable=None)
    assert (result.verdict, result.reason) == ("promoted", "first promotion: nothing to compare with")
    assert stage.engine.routes() == Routes(CANARY)
    assert stage.registry.aliases["champion"] == "2"
    assert stage.actions() == [("promoted", None, "2")]


def test_after_down_the_champion_serves_again_before_the_canary(tmp_path: Path) -> None:
    """Given an engine that serves something that is not the champion, then the champion comes first."""
    stage = Stage(tmp_path)
    stage.engine.deploy(replace(PLAN.canary, version="4"))
    stage.engine.route(Routes("v4-22222222"))
    stage.run()
    assert [route.stable for _, route in stage.engine.history][:2] == ["v4-22222222", STABLE]


def test_a_candidate_that_does_not_load_changes_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, v2=Behaviour(dies="no module named 'lightgbm'"))
    stage.serve_stable()
    with pytest.raises(EngineError, match="lightgbm"):
        stage.run()
    assert stage.engine.routes() == Routes(STABLE)
    assert list(stage.engine.servers()) == [STABLE], "no half-started server is left"
    view = journal.latest(stage.home, MODEL)
    assert view is not None
    assert (view.phase, view.outcome, view.reason) == ("done", "aborted", view.reason)
    assert view.reason.startswith("not started: ")


def test_a_first_server_that_does_not_load_leaves_no_engine_behind(tmp_path: Path) -> None:
    stage = Stage(tmp_path, v2=Behaviour(dies="bad model"))
    del stage.registry.aliases["champion"]
    with pytest.raises(EngineError, match="bad model"):
        stage.run(stable=None)
    assert stage.engine.calls[-1] == "down"


def test_a_plan_that_is_overtaken_before_it_begins_touches_nothing(tmp_path: Path) -> None:
    """Given another rollout has moved the champion since this plan was made, then no traffic moves."""
    stage = Stage(tmp_path)
    stage.serve_stable()
    stage.registry.aliases["champion"] = "3"
    calls = list(stage.engine.calls)
    with pytest.raises(MovedError, match="@champion of flight-delay points at version 3 now, not at version 1"):
        stage.run()
    assert stage.engine.calls == calls


@pytest.mark.parametrize("what", ["champion moved", "artifact swapped", "moved at the last moment"])
def test_a_world_that_changed_stops_the_promotion(tmp_path: Path, what: str) -> None:
    """Given an alias moved or an artifact was swapped meanwhile, then traffic is back on stable and no alias moved."""
    stage = Stage(tmp_path)
    stage.serve_stable()
    move = stage.registry.move_alias

    def meanwhile(number: int) -> None:
        if number == 40 and what == "champion moved":
            stage.registry.aliases["champion"] = "3"
        if number == 40 and what == "artifact swapped":
            stage.registry.digests["2"] = digest("9")

    def late(model: str, alias: str, *, expected: str | None, to: str) -> None:
        stage.registry.aliases["champion"] = "3"
        move(model, alias, expected=expected, to=to)

    stage.audience.at_look = meanwhile
    if what == "moved at the last moment":
        stage.registry.move_alias = late  # type: ignore[method-assign]  # somebody else was faster
    with pytest.raises(MovedError):
        stage.run()
    assert stage.engine.routes() == Routes(STABLE)
    assert stage.registry.aliases["champion"] in ("1", "3")
    assert stage.actions() == [("aborted", "2", "1")]
    view = journal.latest(stage.home, MODEL)
    assert view is not None
    assert view.outcome == "aborted"


def test_another_candidate_meanwhile_ends_the_rollout_of_this_one(tmp_path: Path) -> None:
    """Given the challenger alias moves to a third version, then the rollout of the second ends at stable, at once."""
    stage = Stage(tmp_path)
    stage.serve_stable()

    def meanwhile(number: int) -> None:
        if number == 10:
            stage.registry.aliases["challenger"] = "3"

    stage.audience.at_look = meanwhile
    result = stage.run()
    assert (result.verdict, result.exit_code, result.superseded) == ("aborted", Exit.INCONCLUSIVE, "version 3")
    assert result.reason == "@challenger names version 3 now, not version 2"
    assert len(stage.audience.looks) < 30, "not at the end: within one question to the registry"
    assert stage.engine.routes() == Routes(STABLE)
    assert stage.registry.aliases["champion"] == "1"
    assert stage.actions() == [("aborted", "2", "1")]


@pytest.mark.parametrize(
    ("orders", "verdict", "answer"),
    [
        ([(5, Order.ABORT)], "aborted", "aborted by alice at 5 %"),
        ([(5, Order.PROMOTE)], "promoted", "promoted by alice at 5 %: step 2 of 3, 25 % to version 2"),
        ([(5, Order.PROMOTE_FULL)], "promoted", "promoted by alice at 5 %"),
        ([(5, Order.PAUSE), (90, Order.RESUME)], "promoted", "paused by alice at 5 %"),
        ([(5, Order.PAUSE), (90, Order.ABORT)], "aborted", "paused by alice at 5 %"),
    ],
)
def test_a_persons_hand(tmp_path: Path, orders: list[tuple[int, Order]], verdict: str, answer: str) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    letters: list[str] = []

    def write(number: int) -> None:
        letters.extend(stage.order(order) for at, order in orders if at == number)

    stage.audience.at_look = write
    result = stage.run()
    assert result.verdict == verdict
    assert stage.mailbox.wait(letters[0], 0) == answer
    if verdict == "aborted":
        assert result.exit_code is Exit.INCONCLUSIVE
        assert stage.engine.routes() == Routes(STABLE)
        assert stage.actions()[-1] == ("aborted", "2", "1")


def test_a_pause_while_servers_start_holds_the_first_step(tmp_path: Path) -> None:
    """It was obeyed too late once: the canary got its traffic, and the person an answer that said nothing of it."""
    stage = Stage(tmp_path)
    stage.serve_stable()
    deploy, letters = stage.engine.deploy, list[str]()

    def early(release: Release) -> str:
        if not letters:
            letters.append(stage.order(Order.PAUSE))
        return deploy(release)

    stage.engine.deploy = early  # type: ignore[method-assign]  # the order comes in the middle of the start
    stage.audience.at_look = lambda number: letters.append(stage.order(Order.RESUME)) if number == 60 else None
    result = stage.run()
    assert stage.mailbox.wait(letters[0], 0) == "paused by alice at 5 %"
    assert stage.mailbox.wait(letters[1], 0) == "resumed by alice at 5 %"
    assert result.verdict == "promoted"
    assert [action for action, _, _ in stage.actions()] == ["paused", "resumed", "promoted"]


def test_a_second_controller_is_refused_and_told_who_is_at_work(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.home.ensure(stage.home.rollouts(MODEL))
    with (
        lock.held(stage.home.rollouts(MODEL), "bob@ci", "rollout of version 2"),
        pytest.raises(StateError, match=r"bob@ci \(rollout of version 2, process \d+"),
    ):
        stage.run()
    assert stage.engine.calls == []


def test_an_unfinished_rollout_of_another_candidate_is_in_the_way(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rate=0)
    stage.serve_stable()
    stage.run()
    with pytest.raises(UsageError, match="rollout of version 2 is unfinished, which is another candidate") as caught:
        stage.run(canary=replace(PLAN.canary, version="3", digest=digest("3")))
    assert caught.value.hint.startswith("`mlship abort flight-delay`")
    with pytest.raises(UsageError, match="unfinished, under another policy"):
        stage.run(policy_digest="sha256:other")


def test_servers_kept_warm_are_stopped_when_their_time_is_over(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    stage.run()
    stage.clock.sleep(PLAN.keep_warm + 1)
    stage.registry.aliases["challenger"] = "3"
    third = replace(PLAN.canary, version="3", digest=digest("3"))
    assert stage.run(stable=PLAN.canary, canary=third).verdict == "promoted"
    assert set(stage.engine.servers()) == {CANARY, "v3-33333333"}


def test_ctrl_c_leaves_traffic_as_it_is_and_says_how_to_go_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()

    def interrupt(number: int) -> None:
        if number == 30:
            raise KeyboardInterrupt

    stage.audience.at_look = interrupt
    with pytest.raises(KeyboardInterrupt):
        stage.run()
    assert "`mlship rollout /project/mlship.yaml` carries on, `mlship abort flight-delay` goes back" in str(
        stage.audience.said[-1]
    )
    assert stage.engine.routes() == PLAN.routes(PlanStep(0.25, 0, 0))
    assert lock.holder(stage.home.rollouts(MODEL)) is None
    stage.audience.at_look = lambda _number: None
    assert stage.run().verdict == "promoted"


def test_a_rollout_of_a_week_is_decided_in_moments(tmp_path: Path) -> None:
    """Time is an argument: one look a minute, a bake of a week, and a regression on its fifth day."""
    stage = Stage(tmp_path, rate=0.2)
    stage.plan = replace(
        PLAN, steps=(PlanStep(0.1, 7 * 86400, 0),), deadline=14 * 86400, lease=86400, guards=Guards(errors=1.25)
    )
    stage.serve_stable()
    controller = stage.controller()
    controller.interval = 3600.0
    stage.audience.at_look = lambda number: stage.engine.change("2", errors=0.2) if number == 120 else None
    result = controller.run()
    assert result.verdict == "rolled_back"
    assert 5 * 86400 < result.seconds < 7 * 86400
