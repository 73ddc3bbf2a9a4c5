"""What one rollout leaves behind in words: its journal, its lines in the ledger, and what people are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mlship.rollout import journal as journals
from mlship.rollout import machine
from mlship.rollout.hands import Hands
from mlship.rollout.journal import Journal
from mlship.rollout.judge import Evidence
from mlship.rollout.plan import Plan, StepKind
from mlship.rollout.state import Decision, Outcome, RolloutState
from mlship.rollout.voice import Voice
from mlship.types import Observation, Routes, VerdictKind


class Records:
    """Writes and tells for one rollout; decides nothing, and moves nothing."""

    def __init__(self, plan: Plan, journal: Journal, hands: Hands, voice: Voice, clock: Callable[[], float]) -> None:
        self._plan, self._journal, self._hands, self._voice, self._clock = plan, journal, hands, voice, clock

    @property
    def _champion(self) -> str | None:
        return self._plan.stable.version if self._plan.stable else None

    def catch_up(self) -> None:
        """Tell the ledger what the journal had decided to tell it when a controller died in between."""
        for record in journals.records(self._journal):
            if isinstance(action := record.get("ledger"), str):
                self._tell_ledger(action, record["reason"], record["at"])

    def started(self) -> None:
        """It begins."""
        self._voice.started(f"from version {self._champion or 'none'} under {self._plan.policy_path}")

    def note(self, text: str) -> None:
        """Write down what explains the rest, and changes nothing."""
        self._journal.append("note", self._clock(), note=text)

    def decided(
        self, decision: Decision, evidence: Evidence, observation: Observation | None, now: float, *, sync: bool
    ) -> None:
        """Write down what is about to be done, or that nothing is; see ``Journal.append`` for `sync`."""
        self._journal.look(
            "intent" if decision.actions else "look",
            now,
            decision.verdict,
            decision.state,
            evidence,
            sync=sync,
            observation=observation,
            **({"ledger": decision.note} if decision.note else {}),
        )

    def noted(self, decision: Decision, at: float) -> None:
        """Tell the ledger of a decision that is to stand there."""
        if decision.note:
            self._tell_ledger(decision.note, decision.verdict.reason, at)

    def routed(self, routes: Routes, seconds: float) -> None:
        """Write down that traffic has moved."""
        self._journal.append("outcome", self._clock(), routed=[routes.stable, routes.weight], seconds=seconds)

    def lease_expired(self, at: float) -> str:
        """The guardian has acted at that time: write it down everywhere; what was written."""
        plan = self._plan
        reason = f"nobody watched for {plan.lease:g} s: the guardian gave all traffic back to stable"
        self.note(reason)
        self._hands.record("lease_expired", plan.canary.version, self._champion, reason, at=at)
        self._voice.lease_expired(reason)
        return reason

    def announce(self, before: RolloutState, decision: Decision) -> None:
        """Tell people what waits for them after a decision, if anything does."""
        verdict, step = decision.verdict, decision.state.step
        approval = verdict.kind is VerdictKind.ADVANCE and self._plan.steps[step].kind is StepKind.APPROVE
        if approval and before.step != step:
            self._voice.approval(verdict.reason)
        elif verdict.kind is VerdictKind.PAUSE:
            self._voice.paused(verdict.reason)

    def ended(self, state: RolloutState, evidence: Evidence, outcome: Outcome, reason: str) -> RolloutState:
        """Write down and tell how it has ended; the last state."""
        state = machine.finish(state, outcome, reason)
        if not state.verdict_at:
            state = replace(state, verdict_at=self._clock())
        self._journal.look("outcome", self._clock(), machine.over(state, evidence), state, evidence)
        self._voice.ended(outcome, reason)
        return state

    def _tell_ledger(self, action: str, reason: str, at: float) -> None:
        self._hands.record(action, self._champion, self._plan.canary.version, reason, at=at)
