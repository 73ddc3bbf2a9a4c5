"""One look at a rollout whose counts a person gives: decided by the real judge and the real machine. Pure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.engines.front import Front
from mlship.engines.options import Setup
from mlship.policy.faults import Fault, Source, Spot
from mlship.policy.units import parse_duration
from mlship.rollout import judge, machine
from mlship.rollout.plan import Plan, PlanStep, guards, steps
from mlship.rollout.state import Phase, RolloutState, World
from mlship.types import ArmWindow, LabelWindow, Observation, Release

if TYPE_CHECKING:
    from mlship.policy.rollout import Rollout
    from mlship.policy.schema import Policy
    from mlship.policy.trial import Look

#: When the look ends, in Unix seconds: any time will do, and none is asked of a clock.
_NOW = 1_800_000_000.0


def look(policy: Policy, given: Look, source: Source) -> tuple[str, str] | Fault:
    """The verdict of the look and its reason, or the fault that keeps it from being judged.

    Signals that no count is given for (latency, predictions, agreement) are not watched, and need not be proved.
    """
    if policy.rollout is None:
        return source.fault(given.spot, "the policy has no rollout", "leave it out of the test")
    stages = steps(policy.rollout)
    at, spot = (given.step[0] - 1, given.step[1]) if given.step else (_first(stages), given.spot)
    if not 0 <= at < len(stages):
        return source.fault(spot, f"the rollout has no step {at + 1}", f"it has {len(stages)}, counted from 1")
    step = stages[at]
    if not step.bakes:
        return source.fault(spot, f"step {at + 1} waits, and looks at no counts", "name a step that bakes")
    try:
        seconds = step.seconds if given.seconds is None else parse_duration(given.seconds.value)
    except ValueError as error:
        hint = getattr(error, "hint", "such as 10m")
        return source.fault(given.seconds.spot if given.seconds else spot, str(error), hint)
    plan = _plan(policy, policy.rollout, stages, labels="labels" in given.canary)
    observation = _observation(step, seconds, given)
    evidence = judge.begin(plan.guards, stages=sum(one.bakes for one in stages))
    evidence = judge.update(evidence, observation)
    state = RolloutState(Phase.STEPPING, at, step.weight, looked_at=observation.started)
    world = World(routes=plan.routes(step), interval=max(seconds, 1.0))
    decision = machine.decide(state, plan, observation, evidence, now=_NOW, world=world)
    return str(decision.verdict.kind), decision.verdict.reason


def _first(stages: tuple[PlanStep, ...]) -> int:
    """The first step that gives the canary traffic of its own; else the first that bakes."""
    weighed = [at for at, step in enumerate(stages) if step.bakes and step.weight]
    return next(iter(weighed or [at for at, step in enumerate(stages) if step.bakes]), 0)


def _plan(policy: Policy, rollout: Rollout, stages: tuple[PlanStep, ...], *, labels: bool) -> Plan:
    """The policy's plan for two versions that nobody has to have."""
    watched = guards(rollout)
    proofs = tuple(proof for proof in watched.certify if proof[0] == "errors" or (proof[0] == "labels" and labels))
    return Plan(
        rollout_id="policy-test",
        model=policy.model,
        canary=_release(policy.model, "candidate"),
        stable=_release(policy.model, "champion"),
        steps=stages,
        guards=replace(watched, latency=None, slow=(), predictions=None, agreement=None, certify=proofs),
        deadline=rollout.progress_deadline,
        keep_warm=rollout.keep_warm,
        engine=rollout.engine,
        setup=Setup(Front(policy.endpoint.listen, policy.endpoint.timeout)),
        candidate_reference=policy.candidate,
        champion_alias=policy.champion.removeprefix("@"),
        policy_path="",
        policy_digest="",
        registry_uri=None,
        evaluation_id="",
        run_id="",
        on_inconclusive=rollout.on_inconclusive,
    )


def _release(model: str, version: str) -> Release:
    return Release(model, version, version, Path(version))


def _observation(step: PlanStep, seconds: float, given: Look) -> Observation:
    started = _NOW - seconds
    labels: tuple[LabelWindow, ...] = ()
    if "labels" in given.canary or "labels" in given.stable:
        counted = [_labels(arm) for arm in (given.canary, given.stable)]
        labels = (LabelWindow(int(started) + 1, *counted),)
    return Observation(
        started,
        _NOW,
        step.weight,
        stable=_arm(given.stable),
        canary=_arm(given.canary),
        labels=labels,
        mirror=step.mirror,
        testers=step.testers is not None,
    )


def _labels(arm: dict[str, tuple[int, Spot]]) -> tuple[int, int]:
    return arm["labels"][0] if "labels" in arm else 0, arm["wrong"][0] if "wrong" in arm else 0


def _arm(counts: dict[str, tuple[int, Spot]]) -> ArmWindow:
    known = {name: count for name, (count, _) in counts.items()}
    return ArmWindow(
        requests=known.get("requests", 0),
        errors=known.get("errors", 0),
        timeouts=known.get("timeouts", 0),
        refused=known.get("refused", 0),
        served=known.get("requests", 0),
    )
