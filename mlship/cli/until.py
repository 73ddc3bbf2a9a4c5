"""`--until`: what a watcher waits for, read from its text and looked for in a moment."""

from __future__ import annotations

from dataclasses import dataclass

from mlship.errors import UsageError
from mlship.policy.units import parse_percent
from mlship.rollout.plan import Plan, StepKind
from mlship.rollout.scene import Moment
from mlship.rollout.state import Outcome, Phase
from mlship.rollout.words import percent

WORDS = ("promoted", "paused", "approval", "end")


@dataclass(frozen=True, slots=True)
class Until:
    """What to wait for."""

    text: str
    step: int = 0
    """From 1."""
    weight: float = 0.0

    def reached(self, moment: Moment, plan: Plan) -> bool:
        """Whether it is there, or past. The end is never reached: it has a code of its own."""
        state = moment.state
        if self.text == "promoted":
            return state.outcome is Outcome.PROMOTED
        if self.text == "paused":
            return state.phase is Phase.PAUSED
        under_way = state.phase in (Phase.STEPPING, Phase.PAUSED)
        if self.text == "approval":
            waits = under_way and plan.steps[state.step].kind is StepKind.APPROVE
            return waits and not state.waived
        past = state.phase is Phase.PROMOTING or state.outcome is Outcome.PROMOTED
        if self.step:
            return past or (under_way and state.step + 1 >= self.step)
        if self.weight:
            return past or (under_way and state.weight >= self.weight - 1e-9)
        return False


def parse(text: str, plan: Plan) -> Until:
    """What `--until` says. Raises ``UsageError`` when it says nothing, or what this rollout cannot reach."""
    word, colon, value = text.partition(":")
    if text in WORDS:
        if text == "approval" and not any(step.kind is StepKind.APPROVE for step in plan.steps):
            raise _wrong(text, "this rollout has no step that is approved")
        return Until(text)
    if colon and word == "step":
        if not value.isdecimal() or not 1 <= int(value) <= len(plan.steps):
            raise _wrong(text, f"this rollout has steps 1 to {len(plan.steps)}")
        return Until(text, step=int(value))
    if colon and word == "weight":
        try:
            share = parse_percent(value)
        except ValueError as error:
            raise _wrong(text, str(error)) from None
        if share <= 0 or share > max(step.weight for step in plan.steps):
            highest = percent(max(step.weight for step in plan.steps))
            raise _wrong(text, f"the highest weight of this rollout is {highest}")
        return Until(text, weight=share)
    raise _wrong(text, "there is no such thing to wait for")


def _wrong(text: str, what: str) -> UsageError:
    return UsageError(f"--until {text}: {what}", hint="promoted, step:2, weight:10%, paused, approval or end")
