"""The plan of one rollout: everything that is decided before the first request is moved, frozen and written down."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mlship.engines.options import Setup
from mlship.errors import PolicyError
from mlship.rollout.judge import Guards
from mlship.types import Candidate, ModelVersion, Release, Routes

if TYPE_CHECKING:  # pydantic is not needed to read a plan
    from mlship.policy.rollout import Rollout
    from mlship.policy.schema import Policy


#: Where processes serve, nobody needs an image.
_NO_IMAGES: Mapping[str, str] = MappingProxyType({})


class StepKind(StrEnum):
    """What a stage does."""

    WEIGHT = "weight"
    MIRROR = "mirror"
    TESTERS = "testers"
    APPROVE = "approve"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One stage: what traffic the canary gets, and what to observe before the next.

    A stage that waits (approve, pause) has the traffic of the stage before it.
    """

    weight: float
    seconds: float
    """To be observed; of a pause: to be waited."""
    requests: int
    kind: StepKind = StepKind.WEIGHT
    mirror: float = 0.0
    """Share of the requests that is copied."""
    testers: tuple[str, str] | None = None
    """Name and value of the header."""
    within: float = 0.0
    """Watched seconds that a person has to approve."""
    expiry: str = "pause"
    """pause | abort: when nobody has approved."""

    @property
    def bakes(self) -> bool:
        """Whether it observes something; else it waits."""
        return self.kind in (StepKind.WEIGHT, StepKind.MIRROR, StepKind.TESTERS)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rollout will do, whatever happens to the policy file meanwhile."""

    rollout_id: str
    model: str
    canary: Release
    """Serves the candidate."""
    stable: Release | None
    """Serves the champion; None at the first promotion."""
    steps: tuple[PlanStep, ...]
    guards: Guards
    deadline: float
    """Seconds that a step may take before the rollout is paused as inconclusive."""
    keep_warm: float
    """Seconds that the previous champion's server stays after a promotion."""
    engine: str
    setup: Setup
    """What the policy says about serving."""
    candidate_reference: str
    champion_alias: str
    """The alias that is moved at promotion, without its `@`."""
    policy_path: str
    policy_digest: str
    registry_uri: str | None
    """None when it names a user or a password: a secret is never written down, but read again when it is needed."""
    evaluation_id: str
    run_id: str
    lease: float = 60.0
    """Seconds without a controller after which the guardian gives all traffic back to stable."""
    on_inconclusive: str = "pause"
    """pause | promote | rollback"""
    on_new_candidate: str = "refuse"
    """refuse | restart"""
    sticky: str = ""
    """`header:NAME` or `cookie:NAME`."""
    freeze: tuple[str, ...] = ()
    """When no weight may rise, as the policy writes it."""
    tolerance: float = 0.0
    """Numeric predictions that differ by no more than this agree."""
    hooks: tuple[bool, bool] = (False, False)
    """Whether somebody is asked before, and after, each step."""

    def routes(self, step: PlanStep | None) -> Routes:
        """The routes of a step; without one, everything to stable (to the canary, at the first promotion)."""
        if self.stable is None:
            return Routes(self.canary.server)
        if step is None or not (step.weight or step.mirror or step.testers):
            return Routes(self.stable.server)
        return Routes(self.stable.server, self.canary.server, step.weight, step.mirror, step.testers, self.sticky)

    @property
    def evidence(self) -> dict[str, str]:
        """The chain of digests and ids that a ledger entry carries."""
        chain = {
            "model": self.canary.digest,
            "champion": self.stable.digest if self.stable else "",
            "image": self.canary.image,
            "policy": self.policy_digest,
            "evaluation": self.evaluation_id,
            "run": self.run_id,
            "rollout": self.rollout_id,
        }
        return {key: value for key, value in chain.items() if value}


def make(
    policy: Policy,
    candidate: Candidate,
    *,
    setup: Setup,
    images: Mapping[str, str] = _NO_IMAGES,
    policy_path: Path,
    policy_digest: str,
    registry_uri: str | None,
    evaluation_id: str,
    run_id: str,
    now: float,
) -> Plan:
    """The plan for one candidate under one policy.

    Parameters
    ----------
    images
        Id of the image by digest of the model, where the engine runs images.

    Raises ``PolicyError`` when the policy has no `rollout` section.
    """
    rollout = policy.rollout
    if rollout is None:
        raise PolicyError(
            "the policy has no rollout section",
            where=str(policy_path),
            hint="add `rollout: {steps: [{weight: 10%, bake: {for: 10m, requests: 1000}}]}`",
        )
    from mlship.registry import connection

    secret = registry_uri is not None and connection.safe(registry_uri) != registry_uri
    return Plan(
        rollout_id=new_id(now),
        model=policy.model,
        canary=release(candidate.version, images),
        stable=release(candidate.champion, images) if candidate.champion else None,
        steps=steps(rollout),
        guards=guards(rollout),
        deadline=rollout.progress_deadline,
        keep_warm=rollout.keep_warm,
        engine=rollout.engine,
        setup=setup,
        candidate_reference=policy.candidate,
        champion_alias=policy.champion.removeprefix("@"),
        policy_path=str(policy_path.absolute()),
        policy_digest=policy_digest,
        registry_uri=None if secret else registry_uri,
        evaluation_id=evaluation_id,
        run_id=run_id,
        lease=rollout.lease,
        on_inconclusive=rollout.on_inconclusive,
        on_new_candidate=rollout.on_new_candidate,
        sticky=_sticky(rollout),
        freeze=rollout.freeze,
        tolerance=rollout.guard.agreement.tolerance if rollout.guard.agreement else 0.0,
        hooks=(bool(rollout.hooks.before_step), bool(rollout.hooks.after_step)),
    )


def steps(rollout: Rollout) -> tuple[PlanStep, ...]:
    """The stages of a policy; one that waits keeps the traffic of the one before it."""
    found: list[PlanStep] = []
    before = PlanStep(0.0, 0.0, 0)
    for step in rollout.steps:
        seconds, requests = (step.bake.for_, step.bake.requests) if step.bake else (0.0, 0)
        if step.mirror is not None:
            one = PlanStep(0.0, seconds, requests, StepKind.MIRROR, mirror=step.mirror)
        elif step.testers is not None:
            who = (step.testers.header, step.testers.value)
            one = PlanStep(0.0, seconds, requests, StepKind.TESTERS, testers=who)
        elif step.approve is not None:
            waits = dataclasses.replace(before, seconds=0.0, requests=0, kind=StepKind.APPROVE)
            one = dataclasses.replace(waits, within=step.approve.within, expiry=step.approve.on_expiry)
        elif step.pause is not None:
            one = dataclasses.replace(before, seconds=step.pause, requests=0, kind=StepKind.PAUSE)
        else:
            one = PlanStep(step.weight or 0.0, seconds, requests)
        found.append(one)
        before = one
    return tuple(found)


def guards(rollout: Rollout) -> Guards:
    """What the judge watches, and what it has to prove."""
    guard, certify = rollout.guard, rollout.certify
    latency, predictions, agreement = guard.latency, guard.predictions, guard.agreement
    limits = ((0.5, latency.p50), (0.99, latency.p99)) if latency else ()
    proofs = {} if certify is None else {name: getattr(certify, name) for name in ("errors", "latency", "labels")}
    return Guards(
        errors=guard.errors.max_ratio if guard.errors else None,
        timeouts=guard.timeouts.max_ratio if guard.timeouts else None,
        refusals=guard.refusals.max_ratio if guard.refusals else None,
        latency=latency.max_ratio if latency else None,
        slow=tuple((share, 1000 * limit) for share, limit in limits if limit is not None),
        predictions=predictions.max_ratio if predictions else None,
        predictions_action=predictions.action if predictions else "warn",
        agreement=agreement.min if agreement else None,
        agreement_action=agreement.action if agreement else "rollback",
        labels=guard.labels.max_ratio if guard.labels else None,
        false_rollback=guard.false_rollback,
        certify=tuple((name, factor) for name, factor in proofs.items() if factor is not None),
        negligible=certify.negligible if certify is not None else 0.0,
    )


def _sticky(rollout: Rollout) -> str:
    if rollout.sticky is None:
        return ""
    return f"header:{rollout.sticky.header}" if rollout.sticky.header else f"cookie:{rollout.sticky.cookie}"


def release(version: ModelVersion, images: Mapping[str, str] = _NO_IMAGES) -> Release:
    """What an engine is asked to serve for this version; `images` holds an image's id by digest of the model."""
    return Release(version.model, version.version, version.digest, version.path, images.get(version.digest, ""))


def new_id(now: float) -> str:
    """An id that sorts by time: `20261121-031500-9f3c1a`."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(3)}"


def to_json(plan: Plan) -> dict[str, Any]:
    """A document that `from_json` reads back as the same value."""
    document = dataclasses.asdict(plan)
    document["setup"] = plan.setup.to_json()
    for arm in ("canary", "stable"):
        if document[arm] is not None:
            document[arm]["path"] = str(document[arm]["path"])
    return document


def from_json(document: dict[str, Any]) -> Plan:
    """A plan as `to_json` wrote it."""
    return Plan(
        **{
            **document,
            "canary": _release(document["canary"]),
            "stable": _release(document["stable"]) if document["stable"] else None,
            "steps": tuple(map(_step, document["steps"])),
            "guards": Guards.from_json(document["guards"]),
            "freeze": tuple(document["freeze"]),
            "hooks": tuple(document["hooks"]),
            "setup": Setup.from_json(document["setup"]),
        }
    )


def _release(document: dict[str, Any]) -> Release:
    return Release(**{**document, "path": Path(document["path"])})


def _step(document: dict[str, Any]) -> PlanStep:
    testers = document["testers"]
    return PlanStep(**{**document, "kind": StepKind(document["kind"]), "testers": tuple(testers) if testers else None})
