"""How `mlship ship` is told: by the proof that refused, or by how the rollout ended, with all that was proved."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlship.types import Status

if TYPE_CHECKING:
    from mlship.cli.telling import Told
    from mlship.home import Home
    from mlship.policy.load import LoadedPolicy
    from mlship.report.checklist import Checklist
    from mlship.rollout.watch import RolloutResult
    from mlship.types import Evaluation

#: What is said of a candidate that does not get as far as traffic.
_VERDICTS = {Status.FAILED: "refused", Status.INCONCLUSIVE: "inconclusive", Status.ERROR: "error"}
#: What the proofs say when they have passed, in their order; and the commands that bring them alone.
PROOFS, _COMMANDS = ("gates passed", "latency budget kept"), ("evaluate", "latency")


def refused(loaded: LoadedPolicy, home: Home, proofs: Sequence[Evaluation], seconds: float) -> Told:
    """The last proof did not pass."""
    from mlship.cli import evaluate

    lists = _checklists(loaded, proofs)
    document = _refusal(proofs, seconds)
    return dataclasses.replace(
        evaluate.told(proofs[-1], loaded, "ship"),
        document=lambda: document,
        checklist=lambda: _joined(lists[-1], lists[:-1], seconds),
        outputs={**_outputs(loaded, home, proofs, None), "verdict": str(document["verdict"])},
    )


def shipped(
    loaded: LoadedPolicy, home: Home, proofs: Sequence[Evaluation], result: RolloutResult, seconds: float
) -> Told:
    """All proofs passed (there are none where they were not asked for again), and this is how the rollout ended."""
    from mlship.cli import verdicts
    from mlship.cli.ended import Ended

    ended = Ended("ship", verdicts.document(result), verdicts.conclusion(result), str(loaded.path), home).told()
    return dataclasses.replace(
        ended,
        document=lambda: _document(proofs, result, seconds),
        markdown=lambda: _markdown(ended, proofs),
        checklist=lambda: _joined(ended.checklist(), _checklists(loaded, proofs), seconds),
        outputs={**(ended.outputs or {}), **_outputs(loaded, home, proofs, result)},
    )


def _refusal(proofs: Sequence[Evaluation], seconds: float) -> dict[str, Any]:
    from mlship.cli.evaluate import EXITS

    last = proofs[-1]
    candidate = last.candidate
    return {
        "model": candidate.model,
        "candidate_version": candidate.version.version,
        "champion_version": candidate.champion.version if candidate.champion else None,
        "verdict": _VERDICTS[last.status],
        "exit_code": int(EXITS[last.status]),
        "reason": _worst_reason(last),
        "seconds": seconds,
        "evaluation": _as_json(proofs[0]),
        "latency": _as_json(last) if len(proofs) > 1 else None,
        "rollout": None,
    }


def _document(proofs: Sequence[Evaluation], result: RolloutResult, seconds: float) -> dict[str, Any]:
    from mlship.cli import verdicts

    told = verdicts.document(result)
    outcome = {key: told[key] for key in ("model", "candidate_version", "champion_version", "verdict")}
    outcome |= {"exit_code": told["exit_code"], "reason": told["reason"], "seconds": seconds}
    evaluation, latency = [*map(_as_json, proofs), None, None][:2]
    return {**outcome, "evaluation": evaluation, "latency": latency, "rollout": told}


def _worst_reason(evaluation: Evaluation) -> str:
    """What the rules that decided say, named by their gate."""
    decisive = [result for result in evaluation.results if result.status is evaluation.status]
    return "; ".join(f"{result.gate} {result.rule}: {result.reason}" for result in decisive) or summary(evaluation)


def summary(evaluation: Evaluation) -> str:
    """A proof in one line."""
    from mlship.report import words

    return words.summary(evaluation)


def baseline(proofs: Sequence[Evaluation]) -> str:
    """What traffic will be held against after the promotion, in one line; empty where no baseline was made."""
    made = [one for proof in proofs if proof.baseline is not None for one in proof.results if one.gate == "monitor"]
    return f"baseline kept: {made[0].reason}" if made else ""


def _as_json(evaluation: Evaluation) -> Any:
    from mlship.report import render

    return render(evaluation, "json")


def _markdown(ended: Told, proofs: Sequence[Evaluation]) -> str:
    from mlship.report import blocks

    proved = [f"{name}: {summary(proof)}" for name, proof in zip(PROOFS, proofs, strict=False)]
    proved += filter(None, [baseline(proofs)])
    return blocks.joined(ended.markdown(), blocks.bullets(proved))


def _checklists(loaded: LoadedPolicy, proofs: Sequence[Evaluation]) -> list[Checklist]:
    from mlship.cli import evaluate, latency

    rates = (None, latency.sent(loaded))
    return [
        evaluate.told(proof, loaded, command, rate).checklist()
        for proof, command, rate in zip(proofs, _COMMANDS, rates, strict=False)
    ]


def _joined(last: Checklist, before: Sequence[Checklist], seconds: float) -> Checklist:
    """One checklist of the whole job: the verdict is that of its last part, the checks are those of all."""
    properties = {name: value for one in (*before, last) for name, value in one.properties}
    return dataclasses.replace(
        last,
        command="ship",
        checks=tuple(check for one in (*before, last) for check in one.checks),
        figures=tuple(figure for one in (*before, last) for figure in one.figures),
        properties=tuple(properties.items()),
        started=before[0].started if before else last.started,
        seconds=seconds,
    )


def _outputs(
    loaded: LoadedPolicy, home: Home, proofs: Sequence[Evaluation], result: RolloutResult | None
) -> dict[str, str]:
    """What a later step or job may ask about."""
    from mlship.ledger import Ledger, built_image

    if proofs:
        version, champion = proofs[0].candidate.version, proofs[0].candidate.champion
        image = built_image(Ledger(home.ledger).entries(version.model), version.digest, loaded.digest)
        names = (version.version, champion.version if champion else "")
        changes = champion is None or champion.digest != version.digest
    elif result is not None:
        names = (result.candidate_version, result.champion_version or "")
        changes, image = names[0] != names[1], _image(home, result)
    return {
        "candidate-version": names[0],
        "champion-version": names[1],
        "has-changes": str(changes).lower(),
        "image-digest": image,
        "rollout-id": result.rollout_id if result is not None else "",
    }


def _image(home: Home, result: RolloutResult) -> str:
    """Id of the image that the rollout's plan names; empty where processes serve."""
    from mlship.rollout import lines

    if not result.rollout_id:
        return ""
    return str(lines.plan(home.rollouts(result.model) / f"{result.rollout_id}.jsonl")["canary"].get("image") or "")
