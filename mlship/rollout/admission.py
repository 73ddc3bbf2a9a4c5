"""What must hold before a candidate may have traffic: its evaluation, and its latency budget, passed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from mlship.errors import GateFailed, Inconclusive
from mlship.types import LedgerEntry, ModelVersion, Status


def admit(entries: list[LedgerEntry], candidate: ModelVersion, policy_digest: str, policy_path: str) -> LedgerEntry:
    """The ledger's entry of the evaluation that lets this candidate in: the latest of these bytes under this policy.

    Raises ``Inconclusive`` when there is none, or it could not be decided; ``GateFailed`` when a gate failed.
    """
    return _latest(entries, candidate, policy_digest, _EVALUATED, f"mlship evaluate {policy_path}")


def within_budget(
    entries: list[LedgerEntry], candidate: ModelVersion, policy_digest: str, image: str, policy_path: str
) -> LedgerEntry:
    """The ledger's entry that proves the latency budget of these bytes under this policy, on this very image.

    Parameters
    ----------
    image
        Id of the image that will be served; empty where processes serve.

    Raises ``Inconclusive`` when there is none, it could not be decided, or it was proved of another image;
    ``GateFailed`` when the budget was not kept.
    """
    command = f"mlship latency {policy_path}"
    latest = _latest(entries, candidate, policy_digest, _MEASURED, command)
    measured = latest.evidence.get("image", "")
    if image and measured != image:
        raise Inconclusive(
            f"the latency budget was proved of {measured or 'a process'}, and {image} would be served",
            where=f"{candidate.model} version {candidate.version}",
            hint=command,
        )
    return latest


@dataclass(frozen=True, slots=True)
class _Proof:
    """A kind of proof, in words."""

    action: str
    missing: str
    failed: str
    noun: str


_EVALUATED = _Proof(
    "evaluated",
    "has not been evaluated, and nothing goes onto traffic untested",
    "did not pass its gates",
    "evaluation",
)
_MEASURED = _Proof(
    "measured",
    "has not been measured against its latency budget",
    "did not keep its latency budget",
    "latency measurement",
)


def _latest(
    entries: list[LedgerEntry], candidate: ModelVersion, policy_digest: str, proof: _Proof, command: str
) -> LedgerEntry:
    same_bytes = [
        entry for entry in entries if entry.action == proof.action and entry.evidence.get("model") == candidate.digest
    ]
    mine = [entry for entry in same_bytes if entry.evidence.get("policy") == policy_digest]
    where = f"{candidate.model} version {candidate.version}"
    if not mine:
        what = f"the candidate {proof.missing}"
        if same_bytes:
            what = f"the candidate was {proof.action} under another policy only, and nothing goes onto traffic untested"
        raise Inconclusive(what, where=where, hint=command)
    latest = mine[-1]
    status = latest.evidence.get("status", "")
    if status == Status.PASSED:
        return latest
    if status == Status.FAILED:
        raise GateFailed(f"the candidate {proof.failed}: {latest.reason}", where=where, hint=command)
    raise Inconclusive(
        f"the candidate's {proof.noun} was {status or 'not decided'}: {latest.reason}", where=where, hint=command
    )


def same_champion(evaluated: LedgerEntry, champion: ModelVersion | None, policy_path: str) -> None:
    """The champion is still the one that the candidate was compared with.

    Raises ``Inconclusive`` when it is another: what was proved is that the candidate is no worse than somebody else.
    """
    compared = evaluated.evidence.get("champion")
    if compared == (champion.digest if champion else None):
        return
    then = f"champion {evaluated.from_version}" if evaluated.from_version else "no champion"
    now = f"version {champion.version}" if champion else "nobody"
    raise Inconclusive(
        f"the candidate was compared with {then}, but the champion is {now} by now",
        where=f"{evaluated.model} version {evaluated.to_version}",
        hint=f"mlship evaluate {policy_path}",
    )
