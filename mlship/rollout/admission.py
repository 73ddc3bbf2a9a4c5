"""What must hold before a candidate may have traffic: its evaluation, under this very policy, passed. Pure."""

from __future__ import annotations

from mlship.errors import GateFailed, Inconclusive
from mlship.ledger import evaluations
from mlship.types import LedgerEntry, ModelVersion, Status


def admit(entries: list[LedgerEntry], candidate: ModelVersion, policy_digest: str, policy_path: str) -> LedgerEntry:
    """The ledger's entry of the evaluation that lets this candidate in: the latest of these bytes under this policy.

    Raises ``Inconclusive`` when there is none, or it could not be decided; ``GateFailed`` when a gate failed.
    """
    mine = [
        entry
        for entry in evaluations(entries)
        if entry.evidence.get("model") == candidate.digest and entry.evidence.get("policy") == policy_digest
    ]
    where, hint = f"{candidate.model} version {candidate.version}", f"mlship evaluate {policy_path}"
    if not mine:
        others = any(entry.evidence.get("model") == candidate.digest for entry in evaluations(entries))
        what = "was evaluated under another policy only" if others else "has not been evaluated"
        raise Inconclusive(f"the candidate {what}, and nothing goes onto traffic untested", where=where, hint=hint)
    latest = mine[-1]
    status = latest.evidence.get("status", "")
    if status == Status.PASSED:
        return latest
    if status == Status.FAILED:
        raise GateFailed(f"the candidate did not pass its gates: {latest.reason}", where=where, hint=hint)
    raise Inconclusive(
        f"the candidate's evaluation was {status or 'not decided'}: {latest.reason}", where=where, hint=hint
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
