"""What people and hooks are told of one rollout."""

from __future__ import annotations

from collections.abc import Callable

from mlship.notify import Event, Kind, Notifier
from mlship.rollout import judge
from mlship.rollout.judge import Evidence
from mlship.rollout.plan import Plan
from mlship.rollout.state import Decision, Outcome


class Voice:
    """Puts a rollout's events into words for its notifier, and its facts for hooks."""

    def __init__(self, plan: Plan, notifier: Notifier, clock: Callable[[], float]) -> None:
        self._plan, self._notifier, self._clock = plan, notifier, clock

    def started(self, text: str) -> None:
        """The rollout begins."""
        self._tell("started", text)

    def approval(self, text: str) -> None:
        """A person has to agree."""
        self._tell("approval", text)

    def paused(self, text: str) -> None:
        """It stands still."""
        self._tell("paused", text)

    def lease_expired(self, text: str) -> None:
        """The guardian has acted."""
        self._tell("lease_expired", text)

    def halted(self, text: str) -> None:
        """The command ends with an error, and the rollout is not over."""
        self._tell("halted", text)

    def ended(self, outcome: Outcome, text: str) -> None:
        """It is over."""
        kinds: dict[Outcome, Kind] = {
            Outcome.PROMOTED: "promoted",
            Outcome.ROLLED_BACK: "rolled_back",
            Outcome.ABORTED: "aborted",
            Outcome.PAUSED: "paused",
        }
        self._tell(kinds[outcome], text)

    def facts(self, point: str, decision: Decision, evidence: Evidence) -> dict[str, str]:
        """What a hook is told of this moment, by name."""
        plan, state = self._plan, decision.state
        when, _, number = point.partition(":")
        step = plan.steps[int(number)]
        return {
            "model": plan.model,
            "version": plan.canary.version,
            "digest": plan.canary.digest,
            "champion": plan.stable.version if plan.stable else "",
            "rollout": plan.rollout_id,
            "point": f"{when}_step",
            "step": str(int(number) + 1),
            "steps": str(len(plan.steps)),
            "kind": step.kind.value,
            "weight": f"{step.weight:g}",
            "present_weight": f"{state.weight:g}",
            "evidence": judge.number(evidence.total),
            "reason": decision.verdict.reason,
            "policy": plan.policy_path,
        }

    def _tell(self, kind: Kind, text: str) -> None:
        self._notifier.tell(Event(kind, self._plan.model, self._plan.canary.version, text, self._clock()))
