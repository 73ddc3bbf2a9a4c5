"""`mlship ship`: the whole job: evaluate the candidate, build its image, prove its latency, and roll it out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlship.cli.common import Format, FormatOption, PolicyArgument, context, emit_json, leave, out
from mlship.types import Status

if TYPE_CHECKING:
    from mlship.home import Home
    from mlship.policy.load import LoadedPolicy
    from mlship.types import Evaluation, ModelVersion

#: What is said of a candidate that does not get as far as traffic.
_VERDICTS = {Status.FAILED: "refused", Status.INCONCLUSIVE: "inconclusive", Status.ERROR: "error"}


def ship(
    ctx: typer.Context,
    policy: PolicyArgument,
    fmt: FormatOption = Format.TEXT,
    interval: Annotated[str, typer.Option(help="Time between two looks.", metavar="DURATION")] = "1s",
) -> None:
    """The whole job: evaluate, build, prove the latency budget, and roll out.

    Each step only when the one before it passed. The image is built where the policy has an `image` section or the
    Docker engine; the budget is proved where it has `gates.latency`. A rollout that was cut short is carried on, and
    none of it is done again.
    """
    from mlship.cli import evaluate, rollout, verdicts
    from mlship.cli.live import watching
    from mlship.cli.reports import ReportFormat
    from mlship.policy.load import load_policy

    seconds = rollout.parse_interval(interval)
    loaded, home = load_policy(policy), context(ctx).home
    began = time.monotonic()
    while True:
        proofs = _proofs(loaded, home) if _wants_evaluation(loaded, home) else []
        refused = next((proof for proof in proofs if proof.status is not Status.PASSED), None)
        if refused is not None:
            if fmt is Format.JSON:
                emit_json(_refusal(proofs, time.monotonic() - began))
            else:
                evaluate.show(refused, ReportFormat.TEXT)
            leave(evaluate.EXITS[refused.status])
        parting = ""
        try:
            with watching() as view:
                for name, proof in zip(("gates passed", "latency budget kept"), proofs, strict=False):
                    view.say(f"{name}: {_summary(proof)}")
                try:
                    result = rollout.run(loaded, home, interval=seconds, view=view)
                finally:
                    parting = view.parting
                if not rollout.again(loaded, result):
                    break
                view.say(f"{result.reason}: beginning with {result.superseded}, as the policy says")
        except KeyboardInterrupt:
            if fmt is Format.JSON:
                emit_json(verdicts.interrupted(loaded.policy.model, home, parting))
            raise
    if fmt is Format.JSON:
        told = verdicts.document(result)
        outcome = {key: told[key] for key in ("model", "candidate_version", "champion_version", "verdict")}
        outcome |= {"exit_code": told["exit_code"], "reason": told["reason"], "seconds": time.monotonic() - began}
        evaluation, latency = [*map(_document, proofs), None, None][:2]
        emit_json({**outcome, "evaluation": evaluation, "latency": latency, "rollout": told})
    else:
        out().print(verdicts.conclusion(result), markup=False)
    leave(result.exit_code)


def _proofs(loaded: LoadedPolicy, home: Home) -> list[Evaluation]:
    """The evaluation, and after the build the latency budget where there is one; nothing after one that failed."""
    from mlship.cli import build, evaluate, latency
    from mlship.cli.progress import told_on_stderr

    policy = loaded.policy
    with told_on_stderr() as progress:
        proofs = [evaluate.run(loaded, home, progress)]
    if proofs[-1].status is not Status.PASSED:
        return proofs
    ships_images = policy.rollout is not None and policy.rollout.engine != "local"
    if policy.image is not None or ships_images:
        with build.told_on_stderr() as told:
            build.run(loaded, home, told, candidate=proofs[0].candidate.version.version)
            champion = proofs[0].candidate.champion
            if champion is not None and ships_images and not _has_image(champion, loaded, home):
                told(f"the champion, version {champion.version}, has no image yet")
                build.run(loaded, home, told, candidate=champion.version)
    if policy.gates.latency is not None:
        with told_on_stderr("measuring") as progress:
            proofs.append(latency.run(loaded, home, progress))
    return proofs


def _has_image(champion: ModelVersion, loaded: LoadedPolicy, home: Home) -> bool:
    from mlship.ledger import Ledger, serving_image

    return bool(serving_image(Ledger(home.ledger).entries(champion.model), champion.digest, loaded.digest))


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


def _refusal(proofs: list[Evaluation], seconds: float) -> dict[str, Any]:
    from mlship.cli.evaluate import EXITS

    refused = proofs[-1]
    candidate = refused.candidate
    return {
        "model": candidate.model,
        "candidate_version": candidate.version.version,
        "champion_version": candidate.champion.version if candidate.champion else None,
        "verdict": _VERDICTS[refused.status],
        "exit_code": int(EXITS[refused.status]),
        "reason": _worst_reason(refused),
        "seconds": seconds,
        "evaluation": _document(proofs[0]),
        "latency": _document(refused) if len(proofs) > 1 else None,
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
