"""What the fault tests share: a stage with a witness, what people find afterwards, and the same command again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlship.errors import MlshipError
from mlship.rollout import journal, offline, warm
from mlship.rollout.plan import Plan, PlanStep
from mlship.rollout.watch import RolloutResult
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, PLAN, Stage
from tests.faults.audit import AuditedEngine

#: Two steps, each over after a few looks.
SHORT = replace(PLAN, steps=(PlanStep(0.3, 2, 50), PlanStep(0.5, 2, 50)))


def staged(path: Path, plan: Plan = SHORT, **behaviours: Behaviour) -> Stage:
    """A stage whose champion serves, if the plan has one."""
    stage = Stage(path, engine=AuditedEngine)
    stage.engine.behaviours.update({name.removeprefix("v"): one for name, one in behaviours.items()})
    stage.plan = plan
    if plan.stable is None:
        del stage.registry.aliases["champion"]
    else:
        stage.serve_stable()
    return stage


def found(stage: Stage) -> dict[str, Any]:
    """What people find afterwards."""
    view = journal.latest(stage.home, MODEL)
    return {
        "outcome": (view.phase, view.outcome) if view is not None else None,
        "routes": stage.engine.routes(),
        "aliases": stage.registry.aliases,
        "ledger": stage.actions(),
        "servers": set(stage.engine.servers()),
        "warm": set(warm.listed(stage.home.rollouts(MODEL))),
    }


def over(stage: Stage) -> bool:
    """Whether the latest rollout is over, as its journal says."""
    view = journal.latest(stage.home, MODEL)
    return view is not None and view.phase == "done"


def until_over(
    stage: Stage, command: Callable[[], object], times: int = 8
) -> tuple[RolloutResult | None, list[MlshipError]]:
    """The same command until the rollout is over, as a person would run it again; the last result, and the errors."""
    errors: list[MlshipError] = []
    for _ in range(times):
        try:
            result = command()
        except MlshipError as error:
            errors.append(error)
            stage.clock.sleep(2.0)
            if over(stage):
                return None, errors
        else:
            return result if isinstance(result, RolloutResult) else None, errors
    raise AssertionError(f"not over after {times} times: {errors}")


def abort(stage: Stage) -> RolloutResult:
    """A person ends the rollout whose controller is gone."""
    return offline.abort(
        stage.home,
        MODEL,
        "alice",
        engine=stage.engine,
        registry=stage.registry,
        ledger=stage.ledger,
        clock=stage.clock,
        sleep=stage.clock.sleep,
    )
