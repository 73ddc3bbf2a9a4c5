"""For every policy, state and observation: what a rollout never does, found out by a machine that tries everything."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlship.policy.rollout import Rollout
from mlship.rollout import judge, machine, plan, state
from mlship.rollout.plan import Plan
from mlship.rollout.state import (
    Ask,
    Command,
    Decision,
    HookAnswer,
    Order,
    Outcome,
    Phase,
    Promote,
    Retire,
    RolloutState,
    Route,
    World,
)
from mlship.telemetry.windows import observe
from mlship.types import LATENCY_BOUNDS_MS, Observation, Routes, Scrape, ServerCounters, VerdictKind
from tests.fakes.rollout import PLAN

STABLE = Routes("v1-11111111")
BUCKETS = len(LATENCY_BOUNDS_MS) + 1

bakes = st.fixed_dictionaries({"for": st.sampled_from(["0s", "3s", "10s"]), "requests": st.sampled_from([0, 1, 60])})
percents = st.sampled_from(["0.5%", "5%", "20%", "50%", "100%"])
steps = st.one_of(
    st.fixed_dictionaries({"weight": percents, "bake": bakes}),
    st.fixed_dictionaries({"weight": percents, "bake": bakes}),
    st.fixed_dictionaries({"mirror": percents, "bake": bakes}),
    st.fixed_dictionaries({"testers": st.just({"header": "x-canary"}), "bake": bakes}),
    st.fixed_dictionaries(
        {"approve": st.fixed_dictionaries({"within": st.just("20s"), "on_expiry": st.sampled_from(["pause", "abort"])})}
    ),
    st.just({"pause": "5s"}),
)
ratio = st.sampled_from([None, {"max_ratio": 1.25}])
guards = st.fixed_dictionaries(
    {
        "errors": st.just({"max_ratio": 1.25}),
        "timeouts": ratio,
        "refusals": ratio,
        "latency": ratio,
        "predictions": st.sampled_from([None, None, {"action": "pause"}]),
    }
)
policies = st.fixed_dictionaries(
    {
        "steps": st.lists(steps, min_size=1, max_size=4),
        "guard": guards,
        "certify": st.sampled_from([None, {"errors": "3x"}, {"errors": "1.5x", "negligible": "0.1%"}]),
        "on_inconclusive": st.sampled_from(["pause", "promote", "rollback"]),
        "progress_deadline": st.sampled_from(["15s", "60s"]),
    }
)


def planned(policy: dict[str, Any], hooks: tuple[bool, bool]) -> Plan:
    rollout = Rollout.model_validate(policy)
    return replace(
        PLAN,
        steps=plan.steps(rollout),
        guards=plan.guards(rollout),
        deadline=rollout.progress_deadline,
        on_inconclusive=rollout.on_inconclusive,
        hooks=hooks,
    )


class Rollouts(RuleBasedStateMachine):
    """A controller without a clock or a disk: the real machine and judge, a router that obeys when it can."""

    @initialize(policy=policies, hooks=st.tuples(st.booleans(), st.booleans()))
    def begin(self, policy: dict[str, Any], hooks: tuple[bool, bool]) -> None:
        self.plan = planned(policy, hooks)
        self.now = 1000.0
        self.state = RolloutState()
        history = [0] * BUCKETS
        history[15] = 2000
        self.evidence = judge.begin(self.plan.guards, tuple(history), stages=len(self.plan.steps))
        self.routes = STABLE
        self.counters = {server: [0, 0] for server in (self.plan.canary.server, STABLE.stable)}
        self.before: Scrape | None = None
        self.answers: dict[str, HookAnswer] = {}
        self.asked: set[str] = set()
        self.by_hand = self.doubt_accepted = False
        self.seen: dict[int, tuple[float, int]] = {}
        """By step: seconds and canary requests that were really there to be observed."""

    # What happens in the world

    @rule(
        requests=st.sampled_from([0, 1, 40, 2000]),
        errors=st.sampled_from([0.0, 0.0, 0.02, 0.3, 1.0]),
        seconds=st.sampled_from([0.5, 2.0, 10.0, 45.0]),
        missing=st.sampled_from([(), (), (), ("canary",), ("canary", "stable")]),
        frozen=st.sampled_from(["", "", "", "Monday"]),
        obeys=st.sampled_from([True, True, True, False]),
    )
    def look(
        self, *, requests: int, errors: float, seconds: float, missing: tuple[str, ...], frozen: str, obeys: bool
    ) -> None:
        """Traffic for a while, then one look."""
        self.now += seconds
        self._serve(requests, errors)
        self._decide(World(interval=1.0, frozen=frozen), missing, obeys=obeys)

    @rule(order=st.sampled_from(Order), frozen=st.sampled_from(["", "", "Monday"]))
    def command(self, order: Order, frozen: str) -> None:
        self._decide(World(interval=1.0, command=Command(order, "alice"), frozen=frozen))

    @rule()
    def canary_dies(self) -> None:
        self._decide(World(interval=1.0, canary_down="exit status 137"))

    @rule()
    def candidate_moves(self) -> None:
        self._decide(World(interval=1.0, newer="version 3"))

    @precondition(lambda self: self.asked)
    @rule(agreed=st.sampled_from([True, True, False]))
    def hooks_answer(self, agreed: bool) -> None:
        self.answers[self.asked.pop()] = HookAnswer(agreed, "" if agreed else "no")

    @rule()
    def controller_is_killed_and_started_again(self) -> None:
        """All that is left is what the journal holds."""
        restored = state.from_json(json.loads(json.dumps(state.to_json(self.state))))
        assert restored == self.state
        remembered = judge.from_json(json.loads(json.dumps(judge.to_json(self.evidence))))
        assert remembered == self.evidence
        self.doubt_accepted |= self.state.phase is Phase.PAUSED and self.evidence.total >= machine.AGAINST
        self.state = machine.carry_on(restored, remembered, self.now)
        self.before, self.answers, self.asked = None, {}, set()

    @rule()
    def guardian_acts(self) -> None:
        if self.routes.stable == STABLE.stable:
            self.routes = STABLE

    # What is checked at every decision

    def _decide(self, world: World, missing: tuple[str, ...] = (), *, obeys: bool = True) -> None:
        before, plan_ = self.state, self.plan
        if before.final:
            return
        world = replace(world, routes=self.routes, answers=dict(self.answers))
        observation = self._observe(missing)
        if observation is not None:
            self.evidence = judge.update(self.evidence, observation)
        evidence = self.evidence
        decision = machine.decide(before, plan_, observation, evidence, now=self.now, world=world)
        assert machine.decide(before, plan_, observation, evidence, now=self.now, world=world) == decision, "idempotent"
        assert decision.verdict.reason, "every decision says why"
        if world.command is not None and world.command.order in (Order.RESUME, Order.PROMOTE, Order.PROMOTE_FULL):
            self.doubt_accepted |= before.phase is Phase.PAUSED
        self._check_routes(before, decision, world)
        self._check_promotion(before, decision, world)
        self._check_way_back(before, world)
        self._check_credit(before, decision, observation)
        self._follow(decision, obeys=obeys)

    def _check_routes(self, before: RolloutState, decision: Decision, world: World) -> None:
        against = self.evidence.total >= machine.AGAINST
        for action in decision.actions:
            if not isinstance(action, Route):
                continue
            routes = action.routes
            assert routes.stable == STABLE.stable
            assert routes.canary in (None, self.plan.canary.server)
            assert 0 <= routes.weight <= 1
            assert 0 <= routes.mirror <= 1
            assert routes.canary or not (routes.weight or routes.mirror or routes.testers)
            rises = routes.weight > self.routes.weight
            assert not (rises and world.frozen), "no weight rises in a freeze"
            assert not (rises and against and not self.doubt_accepted), "no weight rises against the evidence"
            assert not (rises and self.evidence.total >= self.evidence.limit)
        if against and before.phase in (Phase.STEPPING, Phase.PAUSED):
            assert decision.state.weight <= before.weight

    def _check_promotion(self, before: RolloutState, decision: Decision, world: World) -> None:
        if world.command is not None and world.command.order in (Order.PROMOTE, Order.PROMOTE_FULL):
            self.by_hand |= decision.verdict.kind is not VerdictKind.ROLLBACK
        if Promote() not in decision.actions or before.phase is Phase.PROMOTING:
            return
        at = decision.state
        assert self.evidence.total < machine.AGAINST
        assert not world.frozen
        if not self.by_hand:
            assert len(at.passed) == len(self.plan.steps), "every step was gone through"
            assert at.unproved or not judge.unproved(self.evidence), "a certificate, or an explicit inconclusive"
            assert not at.unproved or self.plan.on_inconclusive == "promote"
            assert not self.evidence.unseen
            for step, (_, seconds, requests) in zip(self.plan.steps, at.passed, strict=True):
                assert not step.bakes or (seconds >= step.seconds and requests >= max(1, step.requests))
        if self.plan.hooks[1]:
            assert f"after:{before.step}" in at.agreed, "whoever has a veto was asked"

    def _check_way_back(self, before: RolloutState, world: World) -> None:
        abort = replace(world, command=Command(Order.ABORT, "bob"))
        back = machine.decide(before, self.plan, None, self.evidence, now=self.now, world=abort)
        assert back.state.phase is Phase.ROLLING_BACK
        assert back.actions == (Route(STABLE), Retire())
        assert back.state.weight == 0

    def _check_credit(self, before: RolloutState, decision: Decision, observation: Observation | None) -> None:
        if observation is not None and not observation.missing and before.phase is Phase.STEPPING:
            had = self.seen.get(before.step, (0.0, 0))
            seconds = observation.ended - observation.started
            self.seen[before.step] = (had[0] + seconds, had[1] + observation.canary.served)
        for number, (_, seconds, requests) in enumerate(machine.entered(decision.state)):
            had = self.seen.get(number, (0.0, 0))
            assert seconds <= had[0] + 1e-6
            assert requests <= had[1]

    # The rest of the world

    def _serve(self, requests: int, errors: float) -> None:
        stable, canary = self.counters[STABLE.stable], self.counters[self.plan.canary.server]
        share = max(self.routes.weight, self.routes.mirror, 0.05 if self.routes.testers else 0.0)
        mine = round(requests * share) if self.routes.canary else 0
        stable[0] += requests - (0 if self.routes.mirror else mine)
        canary[0] += mine
        canary[1] += round(mine * errors)

    def _observe(self, missing: tuple[str, ...]) -> Observation | None:
        right = machine.wanted(self.state, self.plan)
        if self.state.phase not in (Phase.STEPPING, Phase.PAUSED) or self.routes != right:
            self.before = None
            return None
        names = {"stable": STABLE.stable, "canary": self.plan.canary.server}
        gone = tuple(names[arm] for arm in missing)
        counted = {
            server: ServerCounters("1", total, bad, _latency(total, bad), mirrored=(total, bad))
            for server, (total, bad) in self.counters.items()
            if server not in gone
        }
        after, before = Scrape(self.now, counted, gone), self.before
        if before is None:
            self.before = after if not gone else None
            return None
        found = observe(before, after, right)
        if not found.missing:
            self.before = after
        return found

    def _follow(self, decision: Decision, *, obeys: bool) -> None:
        if decision.verdict.kind is VerdictKind.ADVANCE:
            self.evidence = judge.restart(self.evidence)
        self.state = decision.state
        for action in decision.actions:
            if isinstance(action, Ask):
                self.asked.add(action.point)
            elif not obeys:
                return  # the engine does not do it, and the next look sees that
            elif isinstance(action, Route):
                self.routes, self.before = action.routes, None
            elif isinstance(action, Promote):
                self.routes = Routes(self.plan.canary.server)
                self.state = machine.finish(self.state, Outcome.PROMOTED, self.state.reason)
            else:
                self.state = machine.finish(self.state, self.state.outcome or Outcome.ABORTED, self.state.reason)

    @invariant()
    def a_state_says_how_it_ends(self) -> None:
        if not hasattr(self, "state"):
            return
        assert not self.state.final or self.state.outcome is not None
        assert 0 <= self.state.weight <= 1


def _latency(total: int, bad: int) -> tuple[int, ...]:
    counts = [0] * BUCKETS
    counts[14], counts[-1] = total - bad, bad
    return tuple(counts)


Rollouts.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestRollouts = Rollouts.TestCase
