"""What a step waits for: its bake, a person, a time, a proof; and what happens when it has waited too long. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from mlship.rollout import judge
from mlship.rollout.judge import Evidence
from mlship.rollout.plan import Plan, PlanStep, StepKind
from mlship.rollout.stages import AGAINST, back, hold, leave, pause, place
from mlship.rollout.state import Decision, Outcome, Phase, RolloutState, World
from mlship.rollout.words import became, counted, duration
from mlship.types import Observation, VerdictKind

#: Watched seconds without any request after which a person is told to look at the address.
SILENCE = 15.0
#: The signal that only a mirror step can feed.
AGREEMENT = "agreement"


@dataclass(frozen=True, slots=True)
class _Scene:
    """Everything that a step's decision looks at."""

    state: RolloutState
    plan: Plan
    observation: Observation | None
    evidence: Evidence
    world: World

    @property
    def here(self) -> PlanStep:
        return self.plan.steps[self.state.step]

    @property
    def at(self) -> str:
        return place(self.state, self.plan)

    def hold(self, reason: str) -> Decision:
        return hold(reason, self.state, self.evidence)

    def leave(self, why: str, *, note: str = "") -> Decision:
        return leave(self.state, self.plan, self.evidence, self.world, why, note=note, last="" if note else self._all())

    def _all(self) -> str:
        count = len(self.plan.steps)
        steps = "its one step is" if count == 1 else f"all {count} steps are"
        return f"{steps} done: {judge.sentence(self.evidence)}"


def step(
    state: RolloutState, plan: Plan, observation: Observation | None, evidence: Evidence, world: World
) -> Decision:
    """Whether this step has what it asked for."""
    scene = _Scene(state, plan, observation, evidence, world)
    if state.phase is Phase.PAUSED:
        return scene.hold(f"{_paused(scene)}; `mlship resume {plan.model}` goes on")
    if state.waived and evidence.total < AGAINST:
        return scene.leave(f"{state.waived} at {scene.at}", note="advanced")
    if scene.here.kind is StepKind.APPROVE:
        return _approve(scene)
    return _pause(scene) if scene.here.kind is StepKind.PAUSE else _bake(scene)


def _paused(scene: _Scene) -> str:
    """Why it stands still, and where."""
    reason = scene.state.reason
    if reason.startswith("by "):  # a person: any other reason says where
        return f"paused {reason} at {scene.at}"
    return became("paused", reason)


def _approve(scene: _Scene) -> Decision:
    state, plan, within = scene.state, scene.plan, scene.here.within
    if state.waited >= within:
        reason = f"nobody approved within {duration(within)} at {scene.at}"
        if scene.here.expiry == "abort" and plan.stable is not None:
            return back(state, plan, scene.evidence, Outcome.ABORTED, reason)
        return pause(state, scene.evidence, reason)
    waited = f"{duration(math.floor(state.waited))} of {duration(within)}"
    said = judge.sentence(scene.evidence)
    return scene.hold(f"waiting for `mlship promote {plan.model}` at {scene.at}: {waited}, {said}")


def _pause(scene: _Scene) -> Decision:
    seconds, said = scene.here.seconds, judge.sentence(scene.evidence)
    if scene.state.waited < seconds:
        waited = f"{duration(math.floor(scene.state.waited))} of {duration(seconds)}"
        return scene.hold(f"waiting at {scene.at}: {waited}, {said}")
    missing = _missing(scene)
    if missing:
        return _overdue(scene, f"{scene.at}: {said}", missing, baked=True)
    return scene.leave(f"waited at {scene.at}: {said}")


def _bake(scene: _Scene) -> Decision:
    state, here, observation = scene.state, scene.here, scene.observation
    progress = f"{scene.at}: {_progress(state, here)}, {judge.sentence(scene.evidence)}"
    baked = state.baked >= here.seconds and state.requests >= max(1, here.requests)
    why = _missing(scene) if baked else ""
    if baked and not why:
        return scene.leave(f"baked at {progress}")
    if observation is None:
        why = "no counters of this window yet"
    elif observation.missing:
        why = f"no counters from {' and '.join(observation.missing)}"
    elif not (baked or state.requests or observation.stable.requests) and state.waited >= SILENCE:
        why = "no request has reached the endpoint: is this where callers go?"
    return _overdue(scene, progress, why, baked=baked)


def _missing(scene: _Scene) -> str:
    """What is in the way of the next step although this one has what it asked for; empty when nothing is."""
    state, plan, evidence = scene.state, scene.plan, scene.evidence
    if evidence.total >= AGAINST:
        return f"not advancing, since evidence is against it (rollback at {evidence.limit:g})"
    if scene.here.kind is StepKind.MIRROR and AGREEMENT in evidence.unseen:
        return "the answers to the copies cannot be compared yet"  # and later there is nothing to compare
    if state.step + 1 < len(plan.steps):
        return ""
    if evidence.unseen:
        return f"not promoting yet, since {' and '.join(evidence.unseen)} saw nothing of the canary"
    unproved = judge.unproved(evidence)
    return f"not promoting yet: {unproved}" if unproved else ""


def _overdue(scene: _Scene, progress: str, why: str, *, baked: bool) -> Decision:
    """Hold, until the step has taken too long: then it is inconclusive, and the policy says what that means."""
    state, plan, evidence = scene.state, scene.plan, scene.evidence
    why = f"; {why}" if why else ""
    begins = scene.here.seconds if scene.here.kind is StepKind.PAUSE else 0.0
    if state.waited - begins < plan.deadline:
        return scene.hold(f"holding at {progress}{why}")
    reason = f"inconclusive after {duration(state.waited)} at {progress}{why}"
    if plan.on_inconclusive == "rollback" and plan.stable is not None:
        return back(state, plan, evidence, Outcome.ROLLED_BACK, reason)
    only_unproved = baked and state.step + 1 == len(plan.steps) and evidence.total < AGAINST and not evidence.unseen
    if plan.on_inconclusive == "promote" and only_unproved:
        left = leave(state, plan, evidence, scene.world, reason, last=f"{reason}; the policy promotes it all the same")
        promoted = left.verdict.kind is VerdictKind.PROMOTE  # else it waits for hooks, or a freeze
        return replace(left, state=replace(left.state, unproved=True)) if promoted else left
    return pause(state, evidence, reason)


def _progress(state: RolloutState, here: PlanStep) -> str:
    parts = []
    if here.seconds:
        parts.append(f"{duration(math.floor(min(state.baked, here.seconds)))} of {duration(here.seconds)}")
    if here.requests or not here.seconds:
        needed = max(1, here.requests)
        parts.append(f"{state.requests:,} of {counted(needed)}")
    return ", ".join(parts)
