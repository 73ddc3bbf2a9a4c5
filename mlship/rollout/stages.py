"""How a rollout moves from stage to stage: what a look credits, who is asked, and the moves themselves. Pure."""

from __future__ import annotations

from dataclasses import replace

from mlship.rollout.judge import Evidence
from mlship.rollout.plan import Plan, StepKind
from mlship.rollout.state import Action, Ask, Decision, Outcome, Phase, Promote, Retire, RolloutState, Route, World
from mlship.rollout.words import percent
from mlship.types import Observation, Routes, Verdict, VerdictKind

#: From this total e-value on, no weight rises.
AGAINST = 10.0
#: A look is expected at least this often (seconds); a longer one credits no bake.
LONGEST_LOOK = 30.0


def say(
    kind: VerdictKind, reason: str, state: RolloutState, evidence: Evidence, *actions: Action, note: str = ""
) -> Decision:
    """A decision with its sentence."""
    return Decision(Verdict(kind, reason, evidence.shares), state, actions, note)


def hold(reason: str, state: RolloutState, evidence: Evidence, *actions: Action) -> Decision:
    """Nothing moves."""
    return say(VerdictKind.HOLD, reason, state, evidence, *actions)


def pause(state: RolloutState, evidence: Evidence, reason: str) -> Decision:
    """Inconclusive: the rollout stands still, and the command ends."""
    state = replace(
        state,
        phase=Phase.PAUSED,
        outcome=Outcome.PAUSED,
        reason=reason,
        verdict_at=state.looked_at,
        waived="",
        full=False,
    )
    return say(VerdictKind.PAUSE, reason, state, evidence, note="paused")


def wanted(state: RolloutState, plan: Plan) -> Routes:
    """The routes of this state's step; everything to stable before the first, and on the way back."""
    return plan.routes(plan.steps[state.step] if state.phase in (Phase.STEPPING, Phase.PAUSED) else None)


def entered(state: RolloutState) -> tuple[tuple[float, float, int], ...]:
    """(weight, seconds observed, canary requests observed) of every step that has been entered so far."""
    if state.phase in (Phase.STEPPING, Phase.PAUSED):
        return (*state.passed, (state.weight, state.baked, state.requests))
    return state.passed


def place(state: RolloutState, plan: Plan) -> str:
    """Where it stands, by its traffic: `10 %`, `mirror 100 %`, `testers (x-canary: 1)`."""
    step = plan.steps[min(state.step, len(plan.steps) - 1)]
    if state.phase in (Phase.STEPPING, Phase.PAUSED):
        return traffic(step.weight, step.mirror, step.testers)
    return percent(state.weight)


def traffic(weight: float, mirror: float, testers: tuple[str, str] | None) -> str:
    """What traffic the canary gets, as people read it."""
    if mirror:
        return f"mirror {percent(mirror)}"
    return f"testers ({testers[0]}: {testers[1]})" if testers and not weight else percent(weight)


def watched(state: RolloutState, now: float, interval: float) -> float:
    """Seconds of attention since the previous look; the time while nobody watched is not the canary's fault."""
    return min(max(0.0, now - state.looked_at), _longest(interval)) if state.looked_at else 0.0


def _longest(interval: float) -> float:
    return max(LONGEST_LOOK, 5 * interval)


def credit(
    state: RolloutState, plan: Plan, observation: Observation | None, world: World, patience: float
) -> RolloutState:
    """Credit only what was seen: both arms' counters, at this step's traffic, in a look of ordinary length.

    While a freeze holds, a step that bakes does not come nearer to its deadline: nothing could follow it.
    """
    if state.phase is not Phase.STEPPING:
        return state
    if not (world.frozen and plan.steps[state.step].bakes):
        state = replace(state, waited=state.waited + patience)
    if observation is None or observation.missing or world.routes != wanted(state, plan):
        return state
    seconds = observation.ended - observation.started
    if abs(observation.weight - state.weight) > 1e-6 or not 0 <= seconds <= _longest(world.interval):
        return state
    requests = max(observation.canary.requests, observation.canary.served)
    return replace(state, baked=state.baked + seconds, requests=state.requests + requests)


def start(state: RolloutState, plan: Plan, evidence: Evidence, world: World) -> Decision:
    """Both servers are up, and the canary has no traffic yet."""
    if world.frozen:
        return hold(f"not starting: no weight may rise until {world.frozen}", state, evidence)
    asked = _asked(state, evidence, world, "before:0" if plan.hooks[0] else "", "starting")
    if isinstance(asked, Decision):
        vetoed = asked.verdict.kind is VerdictKind.PAUSE
        return back(state, plan, evidence, Outcome.ABORTED, f"not started: {asked.state.reason}") if vetoed else asked
    if plan.stable is None:
        return promote(asked, evidence, "first promotion: nothing to compare with")
    return _enter(asked, plan, evidence, 0, "starting")


def leave(
    state: RolloutState, plan: Plan, evidence: Evidence, world: World, why: str, *, note: str = "", last: str = ""
) -> Decision:
    """This step is done, or waived by a person: on to the next, or to promotion, when nobody has a veto.

    Parameters
    ----------
    why
        What the sentence begins with.
    note
        What the ledger is to say of it.
    last
        The sentence of the promotion, where it differs from `why`.
    """
    here, ends = state.step, state.full or state.step + 1 == len(plan.steps)
    if world.frozen:
        return hold(f"{why}; no weight may rise until {world.frozen}", state, evidence)
    points = [f"after:{here}"] if plan.hooks[1] else []
    points += [f"before:{here + 1}"] if plan.hooks[0] and not ends else []
    for point in points:
        asked = _asked(state, evidence, world, point, why)
        if isinstance(asked, Decision):
            return asked
        state = asked
    if ends:
        return promote(state, evidence, last or why)
    moved = _enter(state, plan, evidence, here + 1, why)
    return replace(moved, note=note)


def _asked(state: RolloutState, evidence: Evidence, world: World, point: str, why: str) -> RolloutState | Decision:
    """The state once the hooks of a point have agreed; the decision to wait, or to pause, while they have not."""
    if not point or point in state.agreed:
        return state
    answer = world.answers.get(point)
    when, _, number = point.partition(":")
    if answer is None:
        return hold(f"{why}; asking the hooks {when} step {int(number) + 1}", state, evidence, Ask(point))
    if not answer.agreed:
        return pause(state, evidence, f"a hook {when} step {int(number) + 1} has a veto: {answer.said}")
    return replace(state, agreed=(*state.agreed, point))


def _enter(state: RolloutState, plan: Plan, evidence: Evidence, number: int, why: str) -> Decision:
    step = plan.steps[number]
    state = replace(
        state,
        passed=entered(state),
        phase=Phase.STEPPING,
        step=number,
        weight=step.weight,
        baked=0.0,
        requests=0,
        waited=0.0,
        outcome=None,
        reason="",
        waived="",
        full=False,
    )
    where = f"step {number + 1} of {len(plan.steps)}"
    what = f"{traffic(step.weight, step.mirror, step.testers)} to version {plan.canary.version}"
    if step.kind is StepKind.APPROVE:
        what = f"waiting for approval (`mlship promote {plan.model}`), {what} meanwhile"
    elif step.kind is StepKind.PAUSE:
        what = f"waiting, {what} meanwhile"
    return say(VerdictKind.ADVANCE, f"{why}: {where}, {what}", state, evidence, Route(plan.routes(step)))


def promote(state: RolloutState, evidence: Evidence, reason: str) -> Decision:
    """The canary becomes stable."""
    state = replace(
        state,
        phase=Phase.PROMOTING,
        passed=entered(state),
        weight=1.0,
        outcome=None,
        reason=reason,
        verdict_at=state.looked_at,
    )
    return say(VerdictKind.PROMOTE, reason, state, evidence, Promote())


def foreign(plan: Plan, world: World) -> str:
    """The server that has all traffic although it is of neither arm, which only a person can have done; else empty."""
    stable = world.routes.stable if world.routes is not None else ""
    ours = {release.server for release in (plan.stable, plan.canary) if release is not None}
    return stable if plan.stable is not None and stable not in ours else ""


def repeat(state: RolloutState, plan: Plan, evidence: Evidence, why: str) -> Decision:
    """The step that a promotion came from, once more from its beginning."""
    return _enter(replace(state, passed=state.passed[:-1]), plan, evidence, state.step, why)


def back(state: RolloutState, plan: Plan, evidence: Evidence, outcome: Outcome, reason: str) -> Decision:
    """All traffic to stable, and the canary's server ends."""
    state = replace(
        state,
        phase=Phase.ROLLING_BACK,
        passed=entered(state),
        weight=0.0,
        outcome=outcome,
        reason=reason,
        verdict_at=state.looked_at,
    )
    return say(VerdictKind.ROLLBACK, reason, state, evidence, *way_back(plan))


def way_back(plan: Plan) -> tuple[Action, ...]:
    """What sends all traffic back; may be repeated."""
    return (Route(plan.routes(None)), Retire()) if plan.stable is not None else (Retire(),)
