"""How a rollout's end is written: a document for programs, a sentence for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlship.errors import Exit

if TYPE_CHECKING:
    from mlship.home import Home
    from mlship.rollout.watch import RolloutResult


def document(result: RolloutResult) -> dict[str, Any]:
    """The result as JSON says it; times in unix seconds."""
    from mlship.rollout import watch

    return {
        "model": result.model,
        "rollout_id": result.rollout_id,
        "candidate_version": result.candidate_version,
        "champion_version": result.champion_version,
        "verdict": result.verdict,
        "exit_code": int(result.exit_code),
        "reason": result.reason,
        "verdict_at": result.verdict_at,
        "seconds": round(result.seconds, 3),
        "steps": [
            {"weight": weight, "seconds": round(seconds, 3), "requests": requests}
            for weight, seconds, requests in result.steps
        ],
        "evidence": result.evidence,
        "signals": [watch.document(row) for row in result.signals],
        "unproved": result.unproved,
        "superseded": result.superseded or None,
    }


def interrupted(model: str, home: Home, parting: str) -> dict[str, Any]:
    """The document of a command that was interrupted.

    Parameters
    ----------
    parting
        The controller's last words; empty when it had not begun.
    """
    from mlship.rollout import journal as journals

    view = journals.latest(home, model) if parting else None
    return {
        "model": model,
        "rollout_id": view.rollout_id if view is not None else None,
        "verdict": "interrupted",
        "exit_code": int(Exit.INTERRUPTED),
        "reason": "interrupted",
        "hint": parting or "nothing has begun: run the same command again",
    }


def conclusion(result: RolloutResult) -> str:
    """How it ended, in a sentence, and what to do next if something is left to do."""
    from mlship.rollout.words import became

    if result.verdict == "served":  # nothing was decided: the candidate is the champion
        return f"{result.model}: {result.reason}"
    text = f"{result.model} version {result.candidate_version} {became(result.verdict, result.reason)}"
    if result.verdict == "paused":
        text += (
            f"\n  next: `mlship rollout POLICY` goes on, `mlship abort {result.model}` ends it; nobody watches now, so "
            "traffic goes back to stable when the lease runs out"
        )
    if result.verdict == "aborted" and result.exit_code == Exit.INCONCLUSIVE:
        text += (
            f"\n  version {result.champion_version} has all traffic; nothing was decided about the candidate (exit 4)"
        )
    return text
