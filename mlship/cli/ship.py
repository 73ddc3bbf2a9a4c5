"""`mlship ship`: the whole job: evaluate the candidate, and when it passes, roll it out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlship.cli.common import Format, FormatOption, PolicyArgument, context, emit_json, leave, out
from mlship.types import Status

if TYPE_CHECKING:
    from mlship.home import Home
    from mlship.policy.load import LoadedPolicy
    from mlship.types import Evaluation

#: What is said of a candidate that does not get as far as traffic.
_VERDICTS = {Status.FAILED: "refused", Status.INCONCLUSIVE: "inconclusive", Status.ERROR: "error"}


def ship(
    ctx: typer.Context,
    policy: PolicyArgument,
    fmt: FormatOption = Format.TEXT,
    interval: Annotated[str, typer.Option(help="Time between two looks.", metavar="DURATION")] = "1s",
) -> None:
    """Evaluate the candidate, and when it passes every gate, roll it out.

    A rollout that was cut short is carried on without evaluating again.
    """
    from mlship.cli import evaluate, rollout
    from mlship.cli.live import watching
    from mlship.cli.progress import told_on_stderr
    from mlship.policy.load import load_policy

    seconds = rollout.parse_interval(interval)
    loaded, home = load_policy(policy), context(ctx).home
    began = time.monotonic()
    evaluation = None
    if _wants_evaluation(loaded, home):
        with told_on_stderr() as progress:
            evaluation = evaluate.run(loaded, home, progress)
        if evaluation.status is not Status.PASSED:
            if fmt is Format.JSON:
                emit_json(_refusal(evaluation, time.monotonic() - began))
            else:
                evaluate.show(evaluation, evaluate.ReportFormat.TEXT)
            leave(evaluate.EXITS[evaluation.status])
    with watching() as view:
        if evaluation is not None:
            view.say(f"gates passed: {_summary(evaluation)}")
        result = rollout.run(loaded, home, interval=seconds, view=view)
    if fmt is Format.JSON:
        told = rollout.document(result)
        outcome = {key: told[key] for key in ("model", "candidate_version", "champion_version", "verdict")}
        outcome |= {"exit_code": told["exit_code"], "reason": told["reason"], "seconds": time.monotonic() - began}
        emit_json({**outcome, "evaluation": _document(evaluation), "rollout": told})
    else:
        out().print(rollout.conclusion(result), markup=False)
    leave(result.exit_code)


def _wants_evaluation(loaded: LoadedPolicy, home: Home) -> bool:
    """Not when a rollout is under way (it was let in by its evaluation), and not when the champion is the candidate."""
    from mlship.registry import Registry
    from mlship.rollout import journal

    under_way = journal.latest(home, loaded.policy.model)
    if under_way is not None and under_way.phase != "done":
        return False
    registry, policy = Registry.connect(loaded.policy.registry.uri, home), loaded.policy
    candidate = registry.candidate(policy)
    return candidate.champion is None or candidate.champion.version != candidate.version.version


def _refusal(evaluation: Evaluation, seconds: float) -> dict[str, Any]:
    from mlship.cli.evaluate import EXITS

    candidate = evaluation.candidate
    return {
        "model": candidate.model,
        "candidate_version": candidate.version.version,
        "champion_version": candidate.champion.version if candidate.champion else None,
        "verdict": _VERDICTS[evaluation.status],
        "exit_code": int(EXITS[evaluation.status]),
        "reason": _worst_reason(evaluation),
        "seconds": seconds,
        "evaluation": _document(evaluation),
        "rollout": None,
    }


def _worst_reason(evaluation: Evaluation) -> str:
    """What the rules that decided say, named by their gate."""
    decisive = [result for result in evaluation.results if result.status is evaluation.status]
    return "; ".join(f"{result.gate} {result.rule}: {result.reason}" for result in decisive) or _summary(evaluation)


def _summary(evaluation: Evaluation) -> str:
    from mlship.report.words import summary

    return summary(evaluation)


def _document(evaluation: Evaluation | None) -> Any:
    from mlship.report import render

    return None if evaluation is None else render(evaluation, "json")
