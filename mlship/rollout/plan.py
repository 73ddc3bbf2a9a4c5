"""The plan of one rollout: everything that is decided before the first request is moved, frozen and written down."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlship.engines.options import Setup
from mlship.errors import PolicyError
from mlship.rollout.judge import Guards
from mlship.types import Candidate, ModelVersion, Release, Routes

if TYPE_CHECKING:  # pydantic is not needed to read a plan
    from mlship.policy.schema import Policy


#: Where processes serve, nobody needs an image.
_NO_IMAGES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One stage: the canary's share of traffic, and what to observe before the next."""

    weight: float
    seconds: float
    requests: int


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

    def routes(self, weight: float) -> Routes:
        """The routes that give the canary this share of the traffic."""
        if self.stable is None:
            return Routes(self.canary.server)
        if weight <= 0:
            return Routes(self.stable.server)
        return Routes(self.stable.server, self.canary.server, weight)

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
    guard = rollout.guard
    return Plan(
        rollout_id=new_id(now),
        model=policy.model,
        canary=release(candidate.version, images),
        stable=release(candidate.champion, images) if candidate.champion else None,
        steps=tuple(PlanStep(step.weight, step.bake.for_, step.bake.requests) for step in rollout.steps),
        guards=Guards(
            errors=guard.errors.max_ratio if guard.errors else None,
            latency=guard.latency.max_ratio if guard.latency else None,
            labels=guard.labels.max_ratio if guard.labels else None,
            false_rollback=guard.false_rollback,
        ),
        deadline=rollout.progress_deadline,
        keep_warm=rollout.keep_warm,
        engine=rollout.engine,
        setup=setup,
        candidate_reference=policy.candidate,
        champion_alias=policy.champion.removeprefix("@"),
        policy_path=str(policy_path.absolute()),
        policy_digest=policy_digest,
        registry_uri=None if registry_uri is None or urlsplit(registry_uri).username is not None else registry_uri,
        evaluation_id=evaluation_id,
        run_id=run_id,
    )


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
            "steps": tuple(PlanStep(**step) for step in document["steps"]),
            "guards": Guards(**document["guards"]),
            "setup": Setup.from_json(document["setup"]),
        }
    )


def _release(document: dict[str, Any]) -> Release:
    return Release(**{**document, "path": Path(document["path"])})
