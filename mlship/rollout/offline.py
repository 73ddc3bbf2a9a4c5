"""A person's hand on a rollout whose controller is gone: pause it, or end it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from mlship.engines.base import Engine
from mlship.errors import UsageError
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.notify import Notifier
from mlship.rollout import journal as journals
from mlship.rollout import judge, lock, machine
from mlship.rollout.controller import Controller
from mlship.rollout.hands import Aliases, Hands
from mlship.rollout.journal import Journal, Story
from mlship.rollout.state import Command, Order, Outcome, Phase, World
from mlship.rollout.watch import RolloutResult, result
from mlship.rollout.words import percent
from mlship.types import LedgerEntry, Verdict, VerdictKind


def pause(home: Home, model: str, who: str, ledger: Ledger, clock: Callable[[], float] = time.time) -> str:
    """Mark the unfinished rollout as paused; one sentence that says so.

    Raises ``UsageError`` when there is none, ``StateError`` when a controller is at work after all.
    """
    with lock.held(home.rollouts(model), who, "pause"):
        journal, story = unfinished(home, model)
        state = story.state
        if state.phase is Phase.PAUSED:
            return f"it is paused already, at {percent(state.weight)}"
        if state.phase is not Phase.STEPPING or story.evidence is None:
            raise UsageError(
                f"the rollout is {state.phase.value.replace('_', ' ')}, which cannot be paused",
                where=model,
                hint=f"`mlship rollout {story.plan.policy_path}` carries it on",
            )
        reason = f"paused by {who} at {percent(state.weight)}"
        paused = replace(state, phase=Phase.PAUSED, reason=f"by {who}")
        journal.look("outcome", clock(), Verdict(VerdictKind.PAUSE, reason), paused, story.evidence)
        journal.close()
        plan = story.plan
        champion = plan.stable.version if plan.stable else None
        ledger.append(LedgerEntry(clock(), who, "paused", model, champion, plan.canary.version, reason, plan.evidence))
        return reason


def abort(
    home: Home,
    model: str,
    who: str,
    *,
    engine: Engine,
    registry: Aliases,
    ledger: Ledger,
    notifier: Notifier | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> RolloutResult:
    """End the unfinished rollout: all traffic to stable, the canary's server stopped, journal and ledger written.

    The order goes into the journal first, so that a crash in the middle leaves a rollout that carries on going back.
    Raises ``UsageError`` when there is none, or when its promotion is too far to be aborted.
    """
    with lock.held(home.rollouts(model), who, "abort"):
        journal, story = unfinished(home, model)
        plan, now = story.plan, clock()
        evidence = story.evidence if story.evidence is not None else judge.begin(plan.guards)
        moved = (
            story.state.phase is Phase.PROMOTING and registry.alias(model, plan.champion_alias) == plan.canary.version
        )
        world = World(engine.routes(), command=Command(Order.ABORT, who), moved=moved)
        decision = machine.decide(story.state, plan, None, evidence, now=now, world=world)
        if moved or decision.state.phase not in (Phase.ROLLING_BACK, Phase.DONE):
            raise UsageError(
                f"version {plan.canary.version} is being promoted already",
                where=model,
                hint=f"`mlship rollout {plan.policy_path}` completes it; then `mlship rollback {model}` goes back",
            )
        if decision.state.final:  # somebody else has moved the traffic, so there is no way back to be carried out
            hands = Hands(
                plan,
                engine=engine,
                registry=registry,
                ledger=ledger,
                directory=home.rollouts(model),
                who=who,
                clock=clock,
                sleep=sleep,
            )
            hands.retire(Outcome.ABORTED, decision.verdict.reason)
            journal.look("outcome", now, decision.verdict, decision.state, evidence)
            journal.close()
            return result(plan, decision.state, evidence, clock() - now, "")
        journal.look("intent", now, decision.verdict, decision.state, evidence)
        journal.close()
    return Controller(
        plan,
        home=home,
        engine=engine,
        registry=registry,
        ledger=ledger,
        who=who,
        notifier=notifier,
        clock=clock,
        sleep=sleep,
    ).run()


def unfinished(home: Home, model: str) -> tuple[Journal, Story]:
    """The model's rollout that is not over.

    Raises ``UsageError`` when there is none.
    """
    journal = journals.current(home, model)
    if journal is None:
        raise UsageError(
            "there is no rollout",
            where=model,
            hint="`mlship rollout POLICY` begins one; `mlship status` shows what runs",
        )
    story = journals.story(journal)
    if story.state.final:
        outcome = story.state.outcome.value.replace("_", " ") if story.state.outcome else "over"
        raise UsageError(
            f"the latest rollout is over: version {story.plan.canary.version} was {outcome}",
            where=model,
            hint=f"`mlship history {model}` shows what happened; `mlship rollback {model}` goes back after a promotion",
        )
    return journal, story
