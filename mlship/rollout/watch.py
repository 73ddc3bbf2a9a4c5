"""What a rollout shows to whoever watches it, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from mlship.errors import Exit
from mlship.rollout import judge
from mlship.rollout.judge import Evidence
from mlship.rollout.plan import Plan
from mlship.rollout.stages import entered
from mlship.rollout.state import Decision, Outcome, RolloutState
from mlship.types import Observation

EXITS: dict[Outcome, Exit] = {
    Outcome.PROMOTED: Exit.PASSED,
    Outcome.ROLLED_BACK: Exit.ROLLED_BACK,
    Outcome.ABORTED: Exit.INCONCLUSIVE,
    Outcome.PAUSED: Exit.INCONCLUSIVE,
}


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """How the command ended."""

    model: str
    rollout_id: str
    candidate_version: str
    champion_version: str | None
    verdict: str
    """promoted | rolled_back | paused | aborted | served (the candidate is the champion: nothing was decided)"""
    exit_code: Exit
    reason: str
    verdict_at: float
    """Unix time of the decision, before anything was done about it."""
    seconds: float
    steps: tuple[tuple[float, float, int], ...] = ()
    """(weight, seconds observed, canary requests observed) of every step that was entered."""
    evidence: dict[str, float] = field(default_factory=dict)
    signals: tuple[judge.Row, ...] = ()
    """What each signal counted and says."""
    unproved: bool = False
    """Promoted although something that was to be proved was not, as the policy's `on_inconclusive` says."""
    superseded: str = ""
    """What became the candidate meanwhile, such as `version 9`; empty when nothing did."""


def result(plan: Plan, state: RolloutState, evidence: Evidence, seconds: float, newer: str) -> RolloutResult:
    """How a rollout ended that is done, or stands still."""
    outcome = state.outcome or Outcome.ABORTED
    return RolloutResult(
        model=plan.model,
        rollout_id=plan.rollout_id,
        candidate_version=plan.canary.version,
        champion_version=plan.stable.version if plan.stable else None,
        verdict=outcome.value,
        exit_code=EXITS[outcome],
        reason=state.reason,
        verdict_at=state.verdict_at,
        seconds=seconds,
        steps=entered(state),
        evidence=evidence.shares,
        signals=judge.rows(evidence),
        unproved=state.unproved,
        superseded=newer if outcome is Outcome.ABORTED else "",
    )


def document(row: judge.Row) -> dict[str, Any]:
    """One signal as JSON says it."""
    return {
        "name": row.name,
        "e_value": row.e_value,
        "share": row.share_of_budget,
        "action": row.action,
        "canary": {"bad": row.canary[0], "counted": row.canary[1]},
        "stable": {"bad": row.stable[0], "counted": row.stable[1]},
        "sentence": row.sentence,
    }


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw and decided, for whoever watches."""

    plan: Plan
    decision: Decision
    evidence: Evidence
    observation: Observation | None
    at: float


class View(Protocol):
    """Somebody who watches a rollout."""

    def say(self, text: str) -> None:
        """A sentence about what is going on."""

    def look(self, look: Look) -> None:
        """One look has been taken."""


class Silent:
    """Nobody watches."""

    def say(self, text: str) -> None:
        """Drop it."""

    def look(self, look: Look) -> None:
        """Drop it."""
