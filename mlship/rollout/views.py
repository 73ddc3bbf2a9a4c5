"""Where a rollout stands, told from the last words of its journal; for `status`, which must start in an instant."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlship.home import Home
from mlship.rollout import lines, lock


@dataclass(frozen=True, slots=True)
class RolloutView:
    """Where a rollout stands, as its journal tells it; for `status` and for people."""

    rollout_id: str
    model: str
    candidate_version: str
    champion_version: str | None
    phase: str
    """preparing | stepping | paused | promoting | rolling_back | done"""
    outcome: str | None
    """promoted | rolled_back | aborted | paused; None while it is open."""
    step: int
    """Index of the present step."""
    steps: int
    weight: float
    """The canary's share that is wanted now."""
    reason: str
    """The sentence of the last look."""
    at: float
    """Unix time of the last record."""
    running: bool
    """A controller is alive."""
    evidence: dict[str, float] = field(default_factory=dict)
    """Each signal's e-value."""
    kind: str = "weight"
    """What the present step does: weight | mirror | testers | approve | pause."""
    traffic: str = ""
    """What the canary gets at the present step beside a weight: `mirror 20 %`, `testers (x-canary: 1)`."""
    lease: float = 0.0
    """Seconds without a controller after which the guardian gives all traffic back to stable."""
    policy_path: str = ""
    damage: str = ""
    """What of the journal cannot be read; empty when nothing is in the way."""


def latest(home: Home, model: str) -> RolloutView | None:
    """Where the model's latest rollout stands; None when there was none.

    Raises ``StateError`` when its journal does not begin with a plan.
    """
    path = lines.latest(home, model)
    if path is None:
        return None
    running = lock.holder(home.rollouts(model)) is not None
    plan, (last, damaged) = lines.plan(path), lines.last(path)
    # Whoever runs may be writing this very moment, and writes over damage at the next look.
    return _view(path, model, plan, last, running=running, damaged=0 if running else damaged)


def _view(
    path: Path, model: str, plan: dict[str, Any], last: dict[str, Any] | None, *, running: bool, damaged: int
) -> RolloutView:
    state: dict[str, Any] = last["state"] if last else {}
    number = _whole(state.get("step"))
    step = plan["steps"][number] if 0 <= number < len(plan["steps"]) else {}
    step = step if isinstance(step, dict) else {}
    outcome = state.get("outcome")
    return RolloutView(
        rollout_id=plan["rollout_id"],
        model=model,
        candidate_version=plan["canary"]["version"],
        champion_version=plan["stable"]["version"] if plan["stable"] else None,
        phase=str(state.get("phase", "preparing")),
        outcome=str(outcome) if outcome else None,
        step=number,
        steps=len(plan["steps"]),
        weight=_number(state.get("weight")),
        reason=str(state.get("reason") or last.get("reason", "")) if last else "starting",
        at=_number(last.get("at")) if last else path.stat().st_mtime,
        running=running,
        evidence=_numbers(last.get("shares")) if last else {},
        kind=str(step.get("kind", "weight")),
        traffic=_traffic(step),
        lease=_number(plan.get("lease")),
        policy_path=str(plan.get("policy_path", "")),
        damage=_damage(path, damaged),
    )


def _traffic(step: dict[str, Any]) -> str:
    from mlship.rollout.words import percent

    testers = step.get("testers")
    if _number(step.get("mirror")):
        return f"mirror {percent(_number(step['mirror']))}"
    if isinstance(testers, list) and len(testers) == 2 and not _number(step.get("weight")):
        return f"testers ({testers[0]}: {testers[1]})"
    return ""


def _damage(path: Path, damaged: int) -> str:
    if not damaged:
        return ""
    what = "the last line of its journal" if damaged == 1 else f"the last {damaged:,} lines of its journal"
    return f"{what} cannot be read, and what is told here is older ({path})"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _numbers(value: object) -> dict[str, float]:
    return {str(name): _number(each) for name, each in value.items()} if isinstance(value, dict) else {}
