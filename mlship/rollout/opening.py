"""How a rollout is opened: one that was cut short is carried on, when it is of the same candidate; else a new one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlship.errors import UsageError
from mlship.home import Home
from mlship.rollout import journal as journals
from mlship.rollout import judge, machine
from mlship.rollout.journal import Journal
from mlship.rollout.judge import Evidence
from mlship.rollout.plan import Plan
from mlship.rollout.state import Phase, RolloutState


@dataclass(frozen=True, slots=True)
class Opened:
    """Where a controller begins."""

    plan: Plan
    """Of the rollout that is carried on, or the new one."""
    journal: Journal
    state: RolloutState
    evidence: Evidence


def opened(home: Home, plan: Plan, now: float, say: Callable[[str], None]) -> Opened:
    """The unfinished rollout of the same candidate under the same policy, else a new one, whose plan is on disk then.

    Raises ``UsageError`` when another rollout is unfinished, ``StateError`` when its journal cannot be read.
    """
    journal = journals.current(home, plan.model)
    story = journals.story(journal) if journal is not None else None
    if journal is None or story is None or story.state.final:
        journal = journals.begin(home, plan, now)
        return Opened(plan, journal, RolloutState(), judge.begin(plan.guards, stages=len(plan.steps)))
    _same(story.plan, plan)
    plan, evidence = story.plan, story.evidence
    if story.state.phase is Phase.PAUSED:
        say(f"lifting the pause: {story.state.reason}")
    if evidence is None:
        evidence = judge.begin(plan.guards, stages=len(plan.steps))
    state = machine.carry_on(story.state, evidence, now)
    say(f"carrying on rollout {plan.rollout_id} at {state.phase.value.replace('_', ' ')}")
    return Opened(plan, journal, state, evidence)


def _same(old: Plan, new: Plan) -> None:
    """Raise ``UsageError`` unless both are of the same candidate under the same policy."""
    if (old.canary.version, old.canary.digest, old.policy_digest) == (
        new.canary.version,
        new.canary.digest,
        new.policy_digest,
    ):
        return
    what = "under another policy" if old.canary.version == new.canary.version else "which is another candidate"
    raise UsageError(
        f"the rollout of version {old.canary.version} is unfinished, {what}",
        where=new.model,
        hint=f"`mlship abort {new.model}` ends it; then run this command again",
    )
