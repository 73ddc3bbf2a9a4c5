"""The end of a rollout whose endpoint is taken down: journal and ledger say so, and nothing carries it on by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from mlship.home import Home
from mlship.ledger import Ledger
from mlship.rollout import judge, lock, machine, offline
from mlship.rollout.state import Outcome, Phase
from mlship.types import LedgerEntry


def taken_down(
    home: Home,
    model: str,
    who: str,
    *,
    ledger: Ledger,
    take_down: Callable[[], None],
    clock: Callable[[], float] = time.time,
) -> str:
    """Take the endpoint down and end its unfinished rollout, whose controller is gone; one sentence about the rollout.

    No controller can begin meanwhile. The endpoint comes first: a crash in between leaves an unfinished rollout without
    traffic, and this may be called again. A promotion is not ended, since its alias may have moved: it is carried on
    by the next rollout.

    Raises ``UsageError`` when no rollout is unfinished, ``StateError`` when a controller is at work after all, and
    whatever `take_down` raises.
    """
    with lock.held(home.rollouts(model), who, "down"):
        journal, story = offline.unfinished(home, model)
        plan, state = story.plan, story.state
        take_down()
        if state.phase is Phase.PROMOTING:
            return (
                f"the promotion of version {plan.canary.version} is unfinished: "
                f"`mlship rollout {plan.policy_path}` serves it again and completes it"
            )
        back = state.phase is Phase.ROLLING_BACK
        outcome = state.outcome if back and state.outcome else Outcome.ABORTED
        reason = state.reason if back else f"aborted by {who}: the endpoint was taken down"
        evidence = story.evidence if story.evidence is not None else judge.begin(plan.guards)
        now = clock()
        ended = machine.finish(replace(state, passed=machine.entered(state), weight=0.0), outcome, reason)
        ended = replace(ended, verdict_at=state.verdict_at if back else now)
        champion = plan.stable.version if plan.stable else None
        mine = ("rollout", plan.rollout_id)
        if not any(mine in entry.evidence.items() for entry in ledger.some(model, (outcome.value,))):
            entry = LedgerEntry(now, who, outcome.value, model, plan.canary.version, champion, reason, plan.evidence)
            ledger.append(entry)
        journal.look("outcome", now, machine.over(ended, evidence), ended, evidence)
        journal.close()
    return f"the rollout of version {plan.canary.version} has ended: {reason}"
