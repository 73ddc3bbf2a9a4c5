"""The rollout machine: one pure decision per look. No clock, no I/O; repeating a decision's actions is harmless."""

from __future__ import annotations

from dataclasses import replace

from mlship.rollout import judge
from mlship.rollout.judge import Evidence
from mlship.rollout.plan import Plan, StepKind
from mlship.rollout.stages import (
    AGAINST,
    back,
    credit,
    entered,
    foreign,
    hold,
    leave,
    pause,
    place,
    repeat,
    say,
    start,
    wanted,
    watched,
    way_back,
)
from mlship.rollout.state import Command, Decision, Order, Outcome, Phase, Promote, Retire, RolloutState, Route, World
from mlship.rollout.waiting import step
from mlship.rollout.words import percent
from mlship.types import Observation, Routes, Verdict, VerdictKind

#: Among the accepted: a person has gone on although the evidence is against the canary.
_DOUBT = "evidence"

__all__ = ["AGAINST", "carry_on", "decide", "entered", "finish", "over", "wanted"]


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
        Routes as read back, the canary's death, a person's order, what hooks said, whether a freeze holds.
    """
    patience = watched(state, now, world.interval)
    state = credit(replace(state, looked_at=now), plan, observation, world, patience)
    return (
        _closed(state, plan, evidence)
        or _elsewhere(state, plan, evidence, world)
        or _against(state, plan, evidence, world)
        or _moving(state, plan, evidence, world)
        or _obey(state, plan, evidence, world)
        or _object(state, plan, evidence)
        or _correct(state, plan, evidence, world)
        or step(state, plan, observation, evidence, world)
    )


def finish(state: RolloutState, outcome: Outcome, reason: str) -> RolloutState:
    """The state once the last action is done."""
    return replace(state, phase=Phase.DONE, outcome=outcome, reason=reason)


def over(state: RolloutState, evidence: Evidence) -> Verdict:
    """The last word of a rollout that is done."""
    kind = VerdictKind.PROMOTE if state.outcome is Outcome.PROMOTED else VerdictKind.ROLLBACK
    return Verdict(kind, state.reason, evidence.shares)


def carry_on(state: RolloutState, evidence: Evidence, now: float) -> RolloutState:
    """The state with which the same command goes on: what was baked counts, nobody watched since, a pause is over.

    Signals that had asked for the pause are accepted: whoever goes on has read them.
    """
    state = replace(state, looked_at=now)
    return _resumed(state, evidence) if state.phase is Phase.PAUSED else state


def _resumed(state: RolloutState, evidence: Evidence) -> RolloutState:
    against = (_DOUBT,) if evidence.total >= AGAINST else ()
    accepted = tuple(dict.fromkeys((*state.accepted, *judge.objections(evidence), *against)))
    return replace(state, phase=Phase.STEPPING, outcome=None, reason="", waited=0.0, accepted=accepted)


def _closed(state: RolloutState, plan: Plan, evidence: Evidence) -> Decision | None:
    """Nothing is left to decide: it is over, or on its way back."""
    if state.final:
        return hold(state.reason, state, evidence)
    if state.phase is Phase.ROLLING_BACK:
        return say(VerdictKind.ROLLBACK, state.reason, state, evidence, *way_back(plan))
    return None


def _elsewhere(state: RolloutState, plan: Plan, evidence: Evidence, world: World) -> Decision | None:
    """A person has given all traffic to a server of neither arm, as a rollback from another machine does: it is over.

    Nothing is routed: what a person has decided stands.
    """
    server = foreign(plan, world)
    if not server or state.phase is Phase.PREPARING:
        return None
    reason = f"somebody else has moved all traffic to {server}, which is of neither arm; it is left there"
    state = replace(state, passed=entered(state), weight=0.0, verdict_at=state.looked_at)
    return say(VerdictKind.ROLLBACK, reason, finish(state, Outcome.ABORTED, reason), evidence, Retire())


def _against(state: RolloutState, plan: Plan, evidence: Evidence, world: World) -> Decision | None:
    """Whatever sends all traffic back to stable, from any phase that is not final."""
    command = world.command
    if plan.stable is None:
        reason = "there is no champion to go back to"
        if command is not None and command.order is Order.ABORT and state.phase is Phase.PREPARING:
            return back(state, plan, evidence, Outcome.ABORTED, f"aborted by {command.who}: {reason}")
        return None
    verdict = _verdict(state, plan, evidence, world)
    return back(state, plan, evidence, *verdict) if verdict else None


def _verdict(state: RolloutState, plan: Plan, evidence: Evidence, world: World) -> tuple[Outcome, str] | None:
    """How and why it ends before its promotion; None while nothing speaks for it."""
    command = world.command
    if evidence.total >= evidence.limit:
        strength = judge.number(evidence.total)
        accused = judge.accusation(evidence)
        return Outcome.ROLLED_BACK, f"{accused}; evidence {strength} against it has reached {evidence.limit:g}"
    if world.canary_down and state.phase is not Phase.PREPARING:
        return Outcome.ROLLED_BACK, f"the canary's server is down: {world.canary_down}"
    if command is not None and command.order is Order.ABORT and not world.moved:
        taken = world.routes is not None and world.routes.canary is None and wanted(state, plan).canary is not None
        since = ", when stable had all traffic back already" if taken else ""
        return Outcome.ABORTED, f"aborted by {command.who} at {place(state, plan)}{since}"
    if world.newer and state.phase in (Phase.PREPARING, Phase.STEPPING, Phase.PAUSED):
        newer = f"{plan.candidate_reference} names {world.newer} now, not version {plan.canary.version}"
        return Outcome.ABORTED, newer
    return None


def _moving(state: RolloutState, plan: Plan, evidence: Evidence, world: World) -> Decision | None:
    """The phases without traffic to observe: the start, and a promotion under way."""
    if state.phase is Phase.PROMOTING:
        return _promoting(state, plan, evidence, world)
    return start(state, plan, evidence, world) if state.phase is Phase.PREPARING else None


def _promoting(state: RolloutState, plan: Plan, evidence: Evidence, world: World) -> Decision:
    """A promotion that could not be completed at once, or was cut short: go on, unless the canary was taken off."""
    if world.moved:
        late = world.command is not None and world.command.order is Order.ABORT
        reason = f"too late to abort: version {plan.canary.version} is the champion already" if late else state.reason
        return say(VerdictKind.PROMOTE, reason, state, evidence, Promote())
    routes, stable = world.routes, plan.stable
    if stable is None or routes is None or routes.canary is not None or routes.stable != stable.server:
        return say(VerdictKind.PROMOTE, state.reason, state, evidence, Promote())
    if world.frozen:
        return hold(f"not promoting: no weight may rise until {world.frozen}", state, evidence)
    if evidence.total >= AGAINST:
        state = replace(state, weight=plan.steps[state.step].weight, passed=state.passed[:-1])
        return pause(state, evidence, f"not promoting: {judge.accusation(evidence)}, and stable has all traffic")
    return repeat(state, plan, evidence, "the promotion was cut short, and stable has had all traffic since")


def _obey(state: RolloutState, plan: Plan, evidence: Evidence, world: World) -> Decision | None:
    command = world.command
    if command is None:
        return None
    at = place(state, plan)
    if command.order in (Order.PAUSE, Order.RESUME):
        return _stand_or_go(state, evidence, command, at)
    if evidence.total >= AGAINST:
        strength = judge.number(evidence.total)
        reason = f"not promoted: evidence {strength} is against the canary; {judge.accusation(evidence)}"
        return hold(reason, state, evidence)
    if world.frozen:
        return hold(f"not promoted: no weight may rise until {world.frozen}", state, evidence)
    if state.phase is Phase.PAUSED:
        state = _resumed(state, evidence)
    full = command.order is Order.PROMOTE_FULL
    approval = plan.steps[state.step].kind is StepKind.APPROVE and not full
    waived = f"{'approved' if approval else 'promoted'} by {command.who}"
    state = replace(state, waived=waived, full=full)
    return leave(state, plan, evidence, world, f"{waived} at {at}", note="advanced")


def _stand_or_go(state: RolloutState, evidence: Evidence, command: Command, at: str) -> Decision:
    paused = state.phase is Phase.PAUSED
    if command.order is Order.PAUSE:
        if paused:
            return hold(f"it is paused already, at {at}", state, evidence)
        state = replace(state, phase=Phase.PAUSED, reason=f"by {command.who}")
        return say(VerdictKind.PAUSE, f"paused by {command.who} at {at}", state, evidence, note="paused")
    if not paused:
        return hold(f"it is not paused: {at} goes on", state, evidence)
    state = _resumed(state, evidence)
    return say(VerdictKind.HOLD, f"resumed by {command.who} at {at}", state, evidence, note="resumed")


def _object(state: RolloutState, plan: Plan, evidence: Evidence) -> Decision | None:
    """A signal that only asks for a pause has convicted the canary, and nobody has accepted that yet."""
    if state.phase is not Phase.STEPPING:
        return None
    new = [name for name in judge.objections(evidence) if name not in state.accepted]
    if not new:
        return None
    reason = f"paused at {place(state, plan)}, as the policy says: {judge.say(evidence, new[0])}"
    return pause(state, evidence, reason)


def _correct(state: RolloutState, plan: Plan, evidence: Evidence, world: World) -> Decision | None:
    """The world is as it is, not as we think: set the route again when the router reads something else.

    That gives the canary back what the guardian has taken: not in a freeze, and not with evidence against it unless a
    person has said to go on.
    """
    right, routes = wanted(state, plan), world.routes
    if routes is None or routes == right:
        return None
    reads = f"the router reads {_spell(routes)}"
    again = f"setting the route to {place(state, plan)} again"
    if right.weight <= routes.weight and (routes.canary or not right.canary):
        return hold(f"{again}: {reads}", state, evidence, Route(right))
    if world.frozen:
        return hold(f"not {again}: no weight may rise until {world.frozen}; {reads}", state, evidence)
    if evidence.total >= AGAINST and _DOUBT not in state.accepted:
        if state.phase is Phase.PAUSED:
            return None
        strength = judge.number(evidence.total)
        why = f"evidence {strength} is against the canary ({judge.accusation(evidence)}), and {reads}"
        return pause(state, evidence, f"not {again}: {why}")
    return hold(f"{again}: {reads}", state, evidence, Route(right))


def _spell(routes: Routes) -> str:
    if routes.canary and routes.weight:
        return f"{percent(routes.weight)} to {routes.canary}"
    return f"everything to {routes.stable}" if routes.stable else "nothing"
