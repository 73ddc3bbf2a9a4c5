"""The machine decides what a careful person would, says so in one sentence, and can always go back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlship.rollout import judge, machine, stages, state
from mlship.rollout.judge import Evidence
from mlship.rollout.plan import PlanStep
from mlship.rollout.state import (
    Command,
    Decision,
    Order,
    Outcome,
    Phase,
    Promote,
    Retire,
    RolloutState,
    Route,
    World,
)
from mlship.types import ArmWindow, Observation, Routes, VerdictKind
from tests.fakes.rollout import PLAN

NEUTRAL = judge.update(
    judge.begin(PLAN.guards, (0,) * 15 + (1000,) + (0,) * 52),
    Observation(1.0, 2.0, 0.05, ArmWindow(500, 2, (0,) * 68), ArmWindow(30, 0, (0,) * 68)),
)
LATENCY_SEEN = judge.update(
    NEUTRAL, Observation(2.0, 3.0, 0.05, ArmWindow(500, 2, (0,) * 68), ArmWindow(30, 0, (0,) * 68))
)


def evidence_of(total: float) -> Evidence:
    """Evidence whose total is about this."""
    import math

    signals = tuple(
        replace(one, processes=tuple(replace(p, sums=(math.log(total),) * len(p.sums)) for p in one.processes))
        if one.action == "rollback"
        else one
        for one in LATENCY_SEEN.signals
    )
    return replace(LATENCY_SEEN, signals=signals)


def look(
    requests: int = 10, weight: float = 0.05, *, at: float = 100.0, seconds: float = 1.0, missing: tuple[str, ...] = ()
) -> Observation:
    return Observation(at, at + seconds, weight, ArmWindow(190), ArmWindow(requests), missing=missing)


def decide(
    at: RolloutState,
    observation: Observation | None = None,
    evidence: Evidence = LATENCY_SEEN,
    *,
    order: Order | None = None,
    routes: Routes | None = None,
    down: str = "",
    now: float = 101.0,
) -> Decision:
    world = World(
        routes=routes if routes is not None else PLAN.routes(PlanStep(at.weight, 0, 0)),
        canary_down=down,
        command=Command(order, "alice") if order else None,
    )
    return machine.decide(at, PLAN, observation, evidence, now=now, world=world)


STEP_1 = RolloutState(Phase.STEPPING, step=0, weight=0.05, looked_at=100.0)
STEP_3 = replace(STEP_1, step=2, weight=0.5)


def test_the_first_look_routes_the_first_step() -> None:
    first = decide(RolloutState())
    assert first.verdict.reason == "starting: step 1 of 3, 5 % to version 2"
    assert first.actions == (Route(Routes("v1-11111111", "v2-22222222", 0.05)),)
    assert first.state.phase is Phase.STEPPING


def test_holding_says_what_is_still_to_be_seen() -> None:
    held = decide(replace(STEP_1, baked=4.0, requests=20), look(12))
    assert held.verdict.kind is VerdictKind.HOLD
    assert held.verdict.reason == (
        "holding at 5 %: 5 s of 20 s, 32 of 50 requests, errors 0.0 % against 0.4 %, evidence 0.7 of 100"
    )
    assert held.actions == ()


def test_a_baked_step_advances_and_says_why() -> None:
    advanced = decide(replace(STEP_1, baked=19.5, requests=45), look(12))
    assert advanced.verdict.kind is VerdictKind.ADVANCE
    assert advanced.verdict.reason.startswith("baked at 5 %: 20 s of 20 s, 57 of 50 requests")
    assert advanced.verdict.reason.endswith("step 2 of 3, 25 % to version 2")
    assert advanced.actions == (Route(PLAN.routes(PlanStep(0.25, 0, 0))),)
    assert (advanced.state.step, advanced.state.baked, advanced.state.requests) == (1, 0.0, 0)
    assert advanced.state.passed == ((0.05, 20.5, 57),)


def test_the_last_baked_step_promotes() -> None:
    promoted = decide(replace(STEP_3, baked=30, requests=900), look(100, 0.5))
    assert promoted.verdict.kind is VerdictKind.PROMOTE
    assert promoted.verdict.reason.startswith("all 3 steps are done: errors 0.0 % against 0.4 %")
    assert promoted.actions == (Promote(),)


def test_a_bake_without_a_single_request_is_none() -> None:
    """No data is never a pass, even when the policy asks for time only."""
    plan = replace(PLAN, steps=(replace(PLAN.steps[0], requests=0), *PLAN.steps[1:]))
    at = replace(STEP_1, baked=100.0)
    held = machine.decide(at, plan, look(0), LATENCY_SEEN, now=101.0, world=World(plan.routes(PlanStep(0.05, 0, 0))))
    assert held.verdict.kind is VerdictKind.HOLD
    moved = machine.decide(at, plan, look(1), LATENCY_SEEN, now=101.0, world=World(plan.routes(PlanStep(0.05, 0, 0))))
    assert moved.verdict.kind is VerdictKind.ADVANCE


def test_no_promotion_while_a_signal_has_seen_nothing_of_the_canary() -> None:
    held = decide(replace(STEP_3, baked=30, requests=900), look(100, 0.5), NEUTRAL)
    assert held.verdict.reason.endswith("; not promoting yet, since latency saw nothing of the canary")


def test_evidence_at_the_limit_goes_back_at_once() -> None:
    back = decide(replace(STEP_1, baked=3.0), look(), evidence_of(150))
    assert back.verdict.kind is VerdictKind.ROLLBACK
    assert back.verdict.reason == "errors 0.0 % against 0.4 %; evidence 150 against it has reached 100"
    assert back.actions == (Route(Routes("v1-11111111")), Retire())
    assert (back.state.phase, back.state.weight, back.state.outcome) == (Phase.ROLLING_BACK, 0.0, Outcome.ROLLED_BACK)
    assert back.state.verdict_at == 101.0


def test_evidence_against_holds_a_baked_step_and_refuses_a_promotion_by_hand() -> None:
    baked = replace(STEP_1, baked=40.0, requests=400)
    held = decide(baked, look(), evidence_of(23))
    assert held.verdict.reason.endswith("; not advancing, since evidence is against it (rollback at 100)")
    for order in (Order.PROMOTE, Order.PROMOTE_FULL):
        refused = decide(baked, look(), evidence_of(23), order=order)
        assert refused.verdict.reason.startswith("not promoted: evidence 23 is against the canary; ")
        assert refused.actions == ()


def test_a_dead_canary_goes_back_but_missing_counters_only_hold() -> None:
    dead = decide(STEP_1, look(missing=("canary",)), down="exit status 137")
    assert dead.verdict.reason == "the canary's server is down: exit status 137"
    assert dead.actions[0] == Route(PLAN.routes(None))
    blind = decide(STEP_1, look(missing=("canary", "stable")))
    assert blind.verdict.reason.endswith("; no counters from canary and stable")
    assert (blind.state.baked, blind.state.requests) == (0.0, 0)


@pytest.mark.parametrize(
    ("observation", "routes"),
    [
        (None, PLAN.routes(PlanStep(0.05, 0, 0))),
        (look(missing=("stable",)), PLAN.routes(PlanStep(0.05, 0, 0))),
        (look(weight=0.25), PLAN.routes(PlanStep(0.05, 0, 0))),
        (look(), PLAN.routes(PlanStep(0.25, 0, 0))),
        (look(seconds=3600.0), PLAN.routes(PlanStep(0.05, 0, 0))),
    ],
    ids=["no look", "an arm missing", "another weight", "other routes", "a look of an hour"],
)
def test_what_was_not_seen_at_this_weight_is_not_credited(observation: Observation | None, routes: Routes) -> None:
    at = decide(STEP_1, observation, routes=routes).state
    assert (at.baked, at.requests) == (0.0, 0)


def test_a_route_that_is_not_as_it_should_be_is_set_again() -> None:
    corrected = decide(STEP_1, look(), routes=Routes("v1-11111111"))
    assert corrected.verdict.reason == "setting the route to 5 % again: the router reads everything to v1-11111111"
    assert corrected.actions == (Route(PLAN.routes(PlanStep(0.05, 0, 0))),)


def test_the_deadline_pauses_as_inconclusive_and_names_what_was_missing() -> None:
    late = decide(replace(STEP_1, waited=599.5), look(0))
    assert late.verdict.kind is VerdictKind.PAUSE
    assert late.verdict.reason.startswith("inconclusive after 10 min at 5 %: 1 s of 20 s, 0 of 50 requests")
    assert (late.state.phase, late.state.outcome) == (Phase.PAUSED, Outcome.PAUSED)
    again = machine.carry_on(late.state, LATENCY_SEEN, now=9999.0)
    assert (again.phase, again.waited, again.baked) == (Phase.STEPPING, 0.0, 1.0)


def test_time_while_nobody_watched_does_not_count_towards_the_deadline() -> None:
    after_a_week = decide(STEP_1, None, now=100.0 + 7 * 86400)
    assert after_a_week.state.waited <= stages.LONGEST_LOOK
    assert after_a_week.verdict.kind is VerdictKind.HOLD


def test_a_person_pauses_and_resumes() -> None:
    paused = decide(replace(STEP_1, baked=5.0), look(), order=Order.PAUSE)
    assert paused.verdict.reason == "paused by alice at 5 %"
    still = decide(replace(paused.state, baked=25.0, requests=999), look())
    assert still.verdict.reason == "paused by alice at 5 %; `mlship resume flight-delay` goes on"
    assert still.actions == ()
    resumed = decide(paused.state, look(), order=Order.RESUME)
    assert resumed.verdict.reason == "resumed by alice at 5 %"
    assert resumed.state.phase is Phase.STEPPING


def test_evidence_is_watched_while_paused() -> None:
    paused = replace(STEP_1, phase=Phase.PAUSED, reason="by alice")
    assert decide(paused, look(), evidence_of(1000)).verdict.kind is VerdictKind.ROLLBACK


def test_a_person_promotes_to_the_next_step_and_to_the_end() -> None:
    next_step = decide(STEP_1, look(), order=Order.PROMOTE)
    assert next_step.verdict.reason == "promoted by alice at 5 %: step 2 of 3, 25 % to version 2"
    assert decide(STEP_1, look(), order=Order.PROMOTE_FULL).verdict.reason == "promoted by alice at 5 %"
    assert decide(STEP_3, look(), order=Order.PROMOTE).actions == (Promote(),)


def test_a_person_aborts() -> None:
    aborted = decide(STEP_1, look(), order=Order.ABORT)
    assert aborted.verdict.reason == "aborted by alice at 5 %"
    assert aborted.state.outcome is Outcome.ABORTED
    assert aborted.actions == (Route(PLAN.routes(None)), Retire())


def test_the_first_promotion_has_nothing_to_compare_with() -> None:
    plan = replace(PLAN, stable=None)
    first = machine.decide(RolloutState(), plan, None, judge.begin(plan.guards), now=1.0, world=World())
    assert first.verdict.reason == "first promotion: nothing to compare with"
    assert first.actions == (Promote(),)


states = st.builds(
    RolloutState,
    phase=st.sampled_from(Phase),
    step=st.integers(0, 2),
    weight=st.sampled_from([0.0, 0.05, 0.25, 0.5]),
    baked=st.floats(0, 100),
    requests=st.integers(0, 2000),
    passed=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 9), st.integers(0, 9)), max_size=2).map(tuple),
    waited=st.floats(0, 700),
    looked_at=st.floats(0, 200),
    outcome=st.sampled_from([None, *Outcome]),
    reason=st.text(max_size=5),
    verdict_at=st.floats(0, 200),
)
situations = st.tuples(
    states,
    st.one_of(st.none(), st.builds(look, st.integers(0, 900), st.sampled_from([0.05, 0.25, 0.5]))),
    st.sampled_from([0.1, 1.0, 9.9, 10.1, 99.0, 101.0, 1e9]).map(evidence_of),
    st.sampled_from([None, *Order]),
    st.sampled_from([PLAN.routes(PlanStep(w, 0, 0)) for w in (0.0, 0.05, 0.25, 0.5)]),
    st.sampled_from(["", "exit status 1"]),
)


@given(situations)
def test_the_way_back_is_open_from_every_state_that_is_not_final(
    situation: tuple[RolloutState, Observation | None, Evidence, Order | None, Routes, str],
) -> None:
    at, observation, evidence, order, routes, down = situation
    decided = decide(at, observation, evidence, order=Order.ABORT, routes=routes, down=down)
    worse = decide(at, observation, evidence_of(1e6), order=order, routes=routes, down=down)
    for decision in (decided, worse):
        if at.final:
            assert decision.actions == ()
        else:
            assert decision.state.phase is Phase.ROLLING_BACK
            assert decision.actions[0] == Route(Routes("v1-11111111"))


@given(situations)
def test_no_decision_raises_a_weight_while_evidence_is_against(
    situation: tuple[RolloutState, Observation | None, Evidence, Order | None, Routes, str],
) -> None:
    at, observation, evidence, order, routes, down = situation
    decision = decide(at, observation, evidence, order=order, routes=routes, down=down)
    assert 0.0 <= decision.state.weight <= 1.0
    for action in decision.actions:
        if isinstance(action, Route):
            assert 0.0 <= action.routes.weight <= 1.0
    if evidence.total >= machine.AGAINST and at.phase in (Phase.STEPPING, Phase.PAUSED):
        assert decision.state.weight <= at.weight
        assert Promote() not in decision.actions


@given(situations)
def test_deciding_again_after_a_crash_repeats_the_same_actions(
    situation: tuple[RolloutState, Observation | None, Evidence, Order | None, Routes, str],
) -> None:
    """The state that a decision leaves, met by a world in which nothing was done yet, asks for it again."""
    at, observation, evidence, order, routes, down = situation
    assume(at.phase is not Phase.PREPARING or evidence.total < machine.AGAINST)  # nobody has seen anything yet
    decision = decide(at, observation, evidence, order=order, routes=routes, down=down)
    again = decide(machine.carry_on(decision.state, evidence, 101.0), None, evidence, routes=routes, now=101.0)
    undone = [action for action in decision.actions if action != Route(routes)]
    if at.phase is Phase.PAUSED and order is None and decision.state.phase is Phase.PAUSED:
        return  # nothing was decided; the same command means: carry on
    if decision.state.phase is Phase.PROMOTING and routes.canary is None:
        assert Promote() not in again.actions, "stable has all traffic: the step before is baked again"
        return
    assert [action for action in undone if action in again.actions] == undone
    if order in (Order.PAUSE, Order.RESUME):
        return  # it took the place of what this look would have decided, and the next one decides that
    assert again.state.weight == decision.state.weight or again.state.phase is Phase.ROLLING_BACK


@given(states)
def test_a_state_survives_json(at: RolloutState) -> None:
    assert state.from_json(json.loads(json.dumps(state.to_json(at)))) == at


def test_resuming_what_goes_on_and_pausing_what_stands_change_nothing() -> None:
    """Or each resume would give the step a new deadline, and each pause a new line in the ledger."""
    going = decide(replace(STEP_1, waited=300.0), look(), order=Order.RESUME)
    assert going.verdict.reason == "it is not paused: 5 % goes on"
    assert going.verdict.kind is VerdictKind.HOLD
    assert going.state.waited >= 300.0
    paused = replace(STEP_1, phase=Phase.PAUSED, reason="by alice")
    again = decide(paused, look(), order=Order.PAUSE)
    assert again.verdict.reason == "it is paused already, at 5 %"
    assert again.verdict.kind is VerdictKind.HOLD
    assert again.state.reason == "by alice"
