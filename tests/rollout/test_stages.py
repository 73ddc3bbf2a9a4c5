"""Stages of every kind: mirror, testers, approve, pause; freezes, hooks, proofs, and candidates that change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlship.rollout import judge, machine
from mlship.rollout.judge import Evidence
from mlship.rollout.plan import Plan, PlanStep, StepKind
from mlship.rollout.state import (
    Ask,
    Command,
    Decision,
    HookAnswer,
    Order,
    Outcome,
    Phase,
    Promote,
    RolloutState,
    Route,
    World,
)
from mlship.types import ArmWindow, Observation, Routes, VerdictKind
from tests.fakes.rollout import PLAN

STABLE, CANARY = "v1-11111111", "v2-22222222"
EVIDENCE = judge.update(
    judge.update(
        judge.begin(PLAN.guards, (0,) * 15 + (1000,) + (0,) * 52),
        Observation(1.0, 2.0, 0.05, ArmWindow(500, 2, (0,) * 68), ArmWindow(30, 0, (0,) * 68)),
    ),
    Observation(2.0, 3.0, 0.05, ArmWindow(500, 2, (0,) * 68), ArmWindow(30, 0, (0,) * 68)),
)
MIRROR = PlanStep(0.0, 10, 100, StepKind.MIRROR, mirror=1.0)
TESTERS = PlanStep(0.0, 0, 5, StepKind.TESTERS, testers=("x-canary", "1"))
TEN = PlanStep(0.1, 20, 50)
APPROVE = replace(TEN, kind=StepKind.APPROVE, seconds=0, requests=0, within=600.0)
PAUSE = replace(TEN, kind=StepKind.PAUSE, seconds=120.0, requests=0)
HALF = PlanStep(0.5, 20, 100)
STAGES = replace(PLAN, steps=(MIRROR, TESTERS, TEN, APPROVE, PAUSE, HALF))


def at(number: int, plan: Plan = STAGES, **changes: object) -> RolloutState:
    """A rollout that stands at this step."""
    weight = plan.steps[number].weight
    state = RolloutState(Phase.STEPPING, step=number, weight=weight, looked_at=100.0)
    return replace(state, **changes)  # type: ignore[arg-type]  # fields of a state


def decide(
    state: RolloutState,
    plan: Plan = STAGES,
    *,
    canary: int = 0,
    order: Order | None = None,
    evidence: Evidence = EVIDENCE,
    **world: object,
) -> Decision:
    """One look after a second in which the canary had so many requests."""
    step = plan.steps[state.step]
    seen = Observation(
        100.0, 101.0, step.weight, ArmWindow(100), ArmWindow(canary), mirror=step.mirror, testers=bool(step.testers)
    )
    routes = machine.wanted(state, plan)
    given = World(routes, command=Command(order, "alice") if order else None, **world)  # type: ignore[arg-type]
    return machine.decide(state, plan, seen, evidence, now=101.0, world=given)


def test_a_mirror_step_counts_copies_and_gives_the_canary_no_traffic() -> None:
    first = machine.decide(RolloutState(), STAGES, None, EVIDENCE, now=1.0, world=World())
    assert first.verdict.reason == "starting: step 1 of 6, mirror 100 % to version 2"
    assert first.actions == (Route(Routes(STABLE, CANARY, 0.0, 1.0)),)
    held = decide(at(0, baked=9.5, requests=40), canary=30)
    assert held.verdict.reason.startswith("holding at mirror 100 %: 10 s of 10 s, 70 of 100 requests")
    moved = decide(at(0, baked=9.5, requests=80), canary=30)
    assert moved.actions == (Route(Routes(STABLE, CANARY, 0.0, 0.0, ("x-canary", "1"))),)
    assert moved.verdict.reason.endswith("step 2 of 6, testers (x-canary: 1) to version 2")


def test_a_step_that_waits_keeps_the_traffic_of_the_one_before() -> None:
    moved = decide(at(2, baked=30.0, requests=60))
    assert moved.actions == (Route(Routes(STABLE, CANARY, 0.1)),)
    assert "waiting for approval (`mlship promote flight-delay`), 10 % to version 2 meanwhile" in moved.verdict.reason
    waiting = decide(at(3, waited=60.0))
    assert waiting.verdict.reason.startswith("waiting for `mlship promote flight-delay` at 10 %: 61 s of 10 min, ")
    assert decide(at(4, waited=60.0)).verdict.reason.startswith("waiting at 10 %: 61 s of 2 min, ")
    assert decide(at(4, waited=119.5)).actions == (Route(Routes(STABLE, CANARY, 0.5)),)


def test_an_approval_moves_on_and_is_remembered_as_one() -> None:
    approved = decide(at(3), order=Order.PROMOTE)
    assert approved.verdict.reason.startswith("approved by alice at 10 %: step 5 of 6, waiting, 10 % to version 2")
    assert (approved.state.step, approved.note) == (4, "advanced")


@pytest.mark.parametrize(
    ("expiry", "phase", "outcome"), [("pause", Phase.PAUSED, "paused"), ("abort", Phase.ROLLING_BACK, "aborted")]
)
def test_an_approval_that_nobody_gives_expires_as_the_policy_says(expiry: str, phase: Phase, outcome: str) -> None:
    plan = replace(STAGES, steps=(TEN, replace(APPROVE, expiry=expiry), HALF))
    late = decide(at(1, plan, waited=599.5), plan)
    assert (late.state.phase, late.state.outcome) == (phase, Outcome(outcome))
    assert late.verdict.reason == "nobody approved within 10 min at 10 %"


def test_nothing_rises_in_a_freeze_and_everything_goes_back() -> None:
    until = "Mon 08:00 Europe/Berlin"
    start = machine.decide(RolloutState(), PLAN, None, EVIDENCE, now=1.0, world=World(frozen=until))
    assert start.actions == ()
    assert start.verdict.reason == f"not starting: no weight may rise until {until}"
    baked = at(2, baked=30.0, requests=60, waited=5.0)
    held = decide(baked, frozen=until)
    assert (held.actions, held.state.waited) == ((), 5.0), "the deadline waits too"
    assert held.verdict.reason.endswith(f"; no weight may rise until {until}")
    for order in (Order.PROMOTE, Order.PROMOTE_FULL):
        assert (
            decide(baked, order=order, frozen=until).verdict.reason == f"not promoted: no weight may rise until {until}"
        )
    assert decide(baked, order=Order.ABORT, frozen=until).actions[0] == Route(Routes(STABLE))


def test_hooks_are_asked_after_a_step_and_before_the_next() -> None:
    plan = replace(STAGES, hooks=(True, True))
    start = machine.decide(RolloutState(), plan, None, EVIDENCE, now=1.0, world=World())
    assert start.actions == (Ask("before:0"),)
    baked = at(2, plan, baked=30.0, requests=60)
    asks = decide(baked, plan)
    assert asks.actions == (Ask("after:2"),)
    assert asks.verdict.reason.endswith("; asking the hooks after step 3")
    agreed = {"after:2": HookAnswer(agreed=True)}
    again = decide(asks.state, plan, answers=agreed)
    assert again.actions == (Ask("before:3"),)
    both = {**agreed, "before:3": HookAnswer(agreed=True)}
    moved = decide(again.state, plan, answers=both)
    assert (moved.state.step, moved.state.agreed) == (3, ("after:2", "before:3"))


def test_a_veto_pauses_and_is_asked_again_when_somebody_goes_on() -> None:
    plan = replace(STAGES, hooks=(False, True))
    baked = at(2, plan, baked=30.0, requests=60)
    vetoed = decide(baked, plan, answers={"after:2": HookAnswer(agreed=False, said="check.sh: exit code 1")})
    assert (vetoed.state.phase, vetoed.state.outcome, vetoed.note) == (Phase.PAUSED, Outcome.PAUSED, "paused")
    assert vetoed.verdict.reason == "a hook after step 3 has a veto: check.sh: exit code 1"
    resumed = decide(vetoed.state, plan, order=Order.RESUME)
    assert (resumed.state.phase, resumed.note) == (Phase.STEPPING, "resumed")
    assert decide(resumed.state, plan).actions == (Ask("after:2"),)


def test_a_hook_before_the_first_step_can_keep_all_traffic_where_it_is() -> None:
    plan = replace(STAGES, hooks=(True, False))
    world = World(answers={"before:0": HookAnswer(agreed=False, said="a change is under way")})
    refused = machine.decide(RolloutState(), plan, None, EVIDENCE, now=1.0, world=world)
    assert (refused.state.phase, refused.state.outcome) == (Phase.ROLLING_BACK, Outcome.ABORTED)
    assert refused.verdict.reason == "not started: a hook before step 1 has a veto: a change is under way"


@pytest.mark.parametrize("order", [Order.PROMOTE, Order.PROMOTE_FULL])
def test_a_person_waives_a_bake_but_no_hook(order: Order) -> None:
    plan = replace(STAGES, hooks=(False, True))
    asked = decide(at(2, plan), plan, order=order)
    assert asked.actions == (Ask("after:2"),)
    assert asked.verdict.reason.startswith("promoted by alice at 10 %; asking the hooks after step 3")
    moved = decide(asked.state, plan, answers={"after:2": HookAnswer(agreed=True)})
    expected = (Promote(),) if order is Order.PROMOTE_FULL else (Route(Routes(STABLE, CANARY, 0.1)),)
    assert moved.actions == expected
    assert moved.verdict.reason.startswith("promoted by alice at 10 %")


@pytest.mark.parametrize(
    ("says", "kind", "unproved"),
    [
        ("pause", VerdictKind.PAUSE, False),
        ("rollback", VerdictKind.ROLLBACK, False),
        ("promote", VerdictKind.PROMOTE, True),
    ],
)
def test_what_is_not_proved_is_inconclusive_and_the_policy_says_what_that_means(
    monkeypatch: pytest.MonkeyPatch, says: str, kind: VerdictKind, *, unproved: bool
) -> None:
    monkeypatch.setattr(judge, "unproved", lambda _evidence: "errors not yet proved below 3x stable's")
    plan = replace(STAGES, on_inconclusive=says)
    baked = at(5, plan, baked=30.0, requests=200, waited=30.0)
    held = decide(baked, plan)
    assert held.verdict.kind is VerdictKind.HOLD
    assert held.verdict.reason.endswith("; not promoting yet: errors not yet proved below 3x stable's")
    late = decide(replace(baked, waited=plan.deadline), plan)
    assert (late.verdict.kind, late.state.unproved) == (kind, unproved)
    assert late.verdict.reason.startswith("inconclusive after 10 min at 50 %")


@pytest.mark.parametrize("says", ["pause", "promote"])
def test_silence_never_promotes(says: str) -> None:
    """`on_inconclusive: promote` is about proofs; a step that saw nothing has not baked."""
    plan = replace(STAGES, on_inconclusive=says)
    late = decide(at(5, plan, waited=plan.deadline), plan)
    assert late.verdict.kind is VerdictKind.PAUSE


def test_a_signal_that_asks_for_a_pause_gets_one_until_somebody_has_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "objections", lambda _evidence: ("predictions",))
    paused = decide(at(2))
    assert (paused.state.phase, paused.verdict.kind) == (Phase.PAUSED, VerdictKind.PAUSE)
    assert paused.verdict.reason.startswith("paused at 10 %, as the policy says: predictions")
    on = machine.carry_on(paused.state, EVIDENCE, 200.0)
    assert on.accepted == ("predictions",)
    assert decide(on).verdict.kind is VerdictKind.HOLD


def test_another_candidate_ends_the_rollout_of_this_one() -> None:
    ended = decide(at(2), newer="version 3")
    assert (ended.state.outcome, ended.actions[0]) == (Outcome.ABORTED, Route(Routes(STABLE)))
    assert ended.verdict.reason == "@challenger names version 3 now, not version 2"
    promoting = replace(at(5), phase=Phase.PROMOTING, reason="all done")
    assert machine.decide(promoting, STAGES, None, EVIDENCE, now=1.0, world=World(newer="version 3")).actions == (
        Promote(),
    ), "what has begun is completed, or refused by the registry's own compare-and-set"


def test_an_address_that_nobody_calls_is_told() -> None:
    state = at(2, waited=20.0)
    nobody = Observation(100.0, 101.0, 0.1, ArmWindow(), ArmWindow())
    world = World(machine.wanted(state, STAGES))
    held = machine.decide(state, STAGES, nobody, EVIDENCE, now=101.0, world=world)
    assert held.verdict.reason.endswith("; no request has reached the endpoint: is this where callers go?")
