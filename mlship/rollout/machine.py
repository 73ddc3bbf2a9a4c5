"""The rollout machine: one pure decision per look. No clock, no I/O; repeating a decision's actions is harmless."""

from __future__ import annotations

import math
from dataclasses import replace

from mlship.rollout import judge
from mlship.rollout.judge import Evidence
from mlship.rollout.plan import Plan, PlanStep
from mlship.rollout.state import (
    Action,
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
from mlship.rollout.words import duration, percent
from mlship.types import Observation, Routes, Verdict, VerdictKind

#: From this total e-value on, no weight rises.
AGAINST = 10.0
#: A look is expected at least this often (seconds); a longer one credits no bake.
LONGEST_LOOK = 30.0


def decide(
    state: RolloutState, plan: Plan, observation: Observation | None, evidence: Evidence, *, now: float, world: World
) -> Decision:
    """One look: what to do now, and one sentence that says why.

    Parameters
    ----------
    state
        As the previous look left it.
    observation
        What the arms did since the previous look; None when nothing could be read.
    evidence
        The judge's, with this observation in it.
    now
        Unix time.
    world
        Routes as read back, the canary's death, a person's order.
    """
    patience = _watched(state, now, world.interval)
    state = _credit(replace(state, looked_at=now), plan, observation, world, patience)
    return (
        _closed(state, plan, evidence)
        or _against(state, plan, evidence, world)
        or _moving(state, plan, evidence)
        or _obey(state, plan, evidence, world.command)
        or _correct(state, plan, evidence, world.routes)
        or _step(state, plan, observation, evidence)
    )


def finish(state: RolloutState, outcome: Outcome, reason: str) -> RolloutState:
    """The state once the last action is done."""
    return replace(state, phase=Phase.DONE, outcome=outcome, reason=reason)


def over(state: RolloutState, evidence: Evidence) -> Verdict:
    """The last word of a rollout that is done."""
    kind = VerdictKind.PROMOTE if state.outcome is Outcome.PROMOTED else VerdictKind.ROLLBACK
    return Verdict(kind, state.reason, evidence.shares)


def wanted(state: RolloutState, plan: Plan) -> Routes:
    """The routes of this state's step; everything to stable before the first, and on the way back."""
    return plan.routes(plan.steps[state.step] if state.phase in (Phase.STEPPING, Phase.PAUSED) else None)


def entered(state: RolloutState) -> tuple[tuple[float, float, int], ...]:
    """(weight, seconds observed, canary requests observed) of every step that has been entered so far."""
    if state.phase in (Phase.STEPPING, Phase.PAUSED):
        return (*state.passed, (state.weight, state.baked, state.requests))
    return state.passed


def carry_on(state: RolloutState, now: float) -> RolloutState:
    """The state with which the same command goes on: what was baked counts, nobody watched since, a pause is over."""
    state = replace(state, looked_at=now)
    if state.phase is Phase.PAUSED:
        return replace(state, phase=Phase.STEPPING, outcome=None, reason="", waited=0.0)
    return state


def _closed(state: RolloutState, plan: Plan, evidence: Evidence) -> Decision | None:
    """Nothing is left to decide: it is over, or on its way back."""
    if state.final:
        return _say(VerdictKind.HOLD, state.reason, state, evidence)
    if state.phase is Phase.ROLLING_BACK:
        return _say(VerdictKind.ROLLBACK, state.reason, state, evidence, *_way_back(plan))
    return None


def _against(state: RolloutState, plan: Plan, evidence: Evidence, world: World) -> Decision | None:
    """Whatever sends all traffic back to stable, from any phase that is not final."""
    if plan.stable is None:
        reason = "there is no champion to go back to"
        command = world.command
        if command is not None and command.order is Order.ABORT and state.phase is Phase.PREPARING:
            return _back(state, plan, evidence, Outcome.ABORTED, f"aborted by {command.who}: {reason}")
        return None
    if evidence.total >= evidence.limit:
        strength = judge.number(evidence.total)
        reason = f"{judge.accusation(evidence)}; evidence {strength} against it has reached {evidence.limit:g}"
        return _back(state, plan, evidence, Outcome.ROLLED_BACK, reason)
    if world.canary_down and state.phase is not Phase.PREPARING:
        return _back(state, plan, evidence, Outcome.ROLLED_BACK, f"the canary's server is down: {world.canary_down}")
    if world.command is not None and world.command.order is Order.ABORT:
        reason = f"aborted by {world.command.who} at {percent(state.weight)}"
        return _back(state, plan, evidence, Outcome.ABORTED, reason)
    return None


def _back(state: RolloutState, plan: Plan, evidence: Evidence, outcome: Outcome, reason: str) -> Decision:
    state = replace(
        state,
        phase=Phase.ROLLING_BACK,
        passed=entered(state),
        weight=0.0,
        outcome=outcome,
        reason=reason,
        verdict_at=state.looked_at,
    )
    return _say(VerdictKind.ROLLBACK, reason, state, evidence, *_way_back(plan))


def _way_back(plan: Plan) -> tuple[Action, ...]:
    return (Route(plan.routes(None)), Retire()) if plan.stable is not None else (Retire(),)


def _moving(state: RolloutState, plan: Plan, evidence: Evidence) -> Decision | None:
    """The phases without traffic to observe: the start, and a promotion under way."""
    if state.phase is Phase.PROMOTING:
        return _say(VerdictKind.PROMOTE, state.reason, state, evidence, Promote())
    if state.phase is not Phase.PREPARING:
        return None
    if plan.stable is None:
        return _promote(state, evidence, "first promotion: nothing to compare with")
    return _enter(state, plan, evidence, 0, "starting")


def _enter(state: RolloutState, plan: Plan, evidence: Evidence, step: int, why: str) -> Decision:
    weight = plan.steps[step].weight
    state = replace(
        state,
        passed=entered(state),
        phase=Phase.STEPPING,
        step=step,
        weight=weight,
        baked=0.0,
        requests=0,
        waited=0.0,
        outcome=None,
        reason="",
    )
    reason = f"{why}: step {step + 1} of {len(plan.steps)}, {percent(weight)} to version {plan.canary.version}"
    return _say(VerdictKind.ADVANCE, reason, state, evidence, Route(plan.routes(plan.steps[step])))


def _promote(state: RolloutState, evidence: Evidence, reason: str) -> Decision:
    state = replace(
        state,
        phase=Phase.PROMOTING,
        passed=entered(state),
        weight=1.0,
        outcome=None,
        reason=reason,
        verdict_at=state.looked_at,
    )
    return _say(VerdictKind.PROMOTE, reason, state, evidence, Promote())


def _watched(state: RolloutState, now: float, interval: float) -> float:
    """Seconds of attention since the previous look; the time while nobody watched is not the canary's fault."""
    return min(max(0.0, now - state.looked_at), _longest(interval)) if state.looked_at else 0.0


def _longest(interval: float) -> float:
    return max(LONGEST_LOOK, 5 * interval)


def _credit(
    state: RolloutState, plan: Plan, observation: Observation | None, world: World, patience: float
) -> RolloutState:
    """Credit only what was seen: both arms' counters, at this step's weight, in a look of ordinary length."""
    if state.phase is not Phase.STEPPING:
        return state
    state = replace(state, waited=state.waited + patience)
    if observation is None or observation.missing or world.routes != wanted(state, plan):
        return state
    seconds = observation.ended - observation.started
    if abs(observation.weight - state.weight) > 1e-6 or not 0 <= seconds <= _longest(world.interval):
        return state
    return replace(state, baked=state.baked + seconds, requests=state.requests + observation.canary.requests)


def _obey(state: RolloutState, plan: Plan, evidence: Evidence, command: Command | None) -> Decision | None:
    if command is None:
        return None
    if command.order in (Order.PAUSE, Order.RESUME):
        return _stand_or_go(state, evidence, command)
    if evidence.total >= AGAINST:
        reason = (
            f"not promoted: evidence {judge.number(evidence.total)} is against the canary; {judge.accusation(evidence)}"
        )
        return _say(VerdictKind.HOLD, reason, state, evidence)
    if command.order is Order.PROMOTE and state.step + 1 < len(plan.steps):
        return _enter(state, plan, evidence, state.step + 1, f"promoted by {command.who}")
    return _promote(state, evidence, f"promoted by {command.who} at {percent(state.weight)}")


def _stand_or_go(state: RolloutState, evidence: Evidence, command: Command) -> Decision:
    at, paused = percent(state.weight), state.phase is Phase.PAUSED
    if command.order is Order.PAUSE:
        if paused:
            return _say(VerdictKind.HOLD, f"it is paused already, at {at}", state, evidence)
        state = replace(state, phase=Phase.PAUSED, reason=f"by {command.who}")
        return _say(VerdictKind.PAUSE, f"paused by {command.who} at {at}", state, evidence)
    if not paused:
        return _say(VerdictKind.HOLD, f"it is not paused: {at} goes on", state, evidence)
    state = replace(state, phase=Phase.STEPPING, outcome=None, reason="", waited=0.0)
    return _say(VerdictKind.HOLD, f"resumed by {command.who} at {at}", state, evidence)


def _correct(state: RolloutState, plan: Plan, evidence: Evidence, routes: Routes | None) -> Decision | None:
    """The world is as it is, not as we think: set the route again when the router reads something else."""
    right = wanted(state, plan)
    if routes is None or routes == right:
        return None
    reason = f"setting the route to {percent(state.weight)} again: the router reads {_spell(routes)}"
    return _say(VerdictKind.HOLD, reason, state, evidence, Route(right))


def _step(state: RolloutState, plan: Plan, observation: Observation | None, evidence: Evidence) -> Decision:
    if state.phase is Phase.PAUSED:
        return _say(VerdictKind.HOLD, f"paused at {percent(state.weight)}: {state.reason}", state, evidence)
    step = plan.steps[state.step]
    progress = f"{percent(state.weight)}: {_progress(state, step)}, {judge.sentence(evidence)}"
    last = state.step + 1 == len(plan.steps)
    baked = state.baked >= step.seconds and state.requests >= max(1, step.requests)
    if baked and evidence.total < AGAINST and not (last and evidence.unseen):
        if not last:
            return _enter(state, plan, evidence, state.step + 1, f"baked at {progress}")
        return _promote(state, evidence, f"all {len(plan.steps)} steps baked: {judge.sentence(evidence)}")
    why = ""
    if observation is None:
        why = "; no counters of this window yet"
    elif observation.missing:
        why = f"; no counters from {' and '.join(observation.missing)}"
    elif baked and evidence.total >= AGAINST:
        why = f"; not advancing, since evidence is against it (rollback at {evidence.limit:g})"
    elif baked:
        why = f"; not promoting yet, since {' and '.join(evidence.unseen)} saw nothing of the canary"
    if state.waited >= plan.deadline:
        reason = f"inconclusive after {duration(state.waited)} at {progress}{why}"
        paused = replace(state, phase=Phase.PAUSED, outcome=Outcome.PAUSED, reason=reason, verdict_at=state.looked_at)
        return _say(VerdictKind.PAUSE, reason, paused, evidence)
    return _say(VerdictKind.HOLD, f"holding at {progress}{why}", state, evidence)


def _progress(state: RolloutState, step: PlanStep) -> str:
    parts = []
    if step.seconds:
        parts.append(f"{duration(math.floor(min(state.baked, step.seconds)))} of {duration(step.seconds)}")
    if step.requests or not step.seconds:
        wanted = max(1, step.requests)
        parts.append(f"{state.requests:,} of {wanted:,} requests")
    return ", ".join(parts)


def _say(kind: VerdictKind, reason: str, state: RolloutState, evidence: Evidence, *actions: Action) -> Decision:
    return Decision(Verdict(kind, reason, evidence.shares), state, actions)


def _spell(routes: Routes) -> str:
    return f"{percent(routes.weight)} to {routes.canary}" if routes.canary else f"everything to {routes.stable}"
