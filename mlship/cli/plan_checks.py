"""A prospect as a checklist: each proof, and each warning at its line of the policy; and as outputs of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlship.cli.plan_views import idle, place, title
from mlship.report.checklist import Check, Checklist
from mlship.types import Status

if TYPE_CHECKING:
    from mlship.policy.load import LoadedPolicy
    from mlship.rollout.outlook import Remark
    from mlship.rollout.pins import Pins
    from mlship.rollout.prospect import Proof, Prospect


def checklist(found: Prospect, loaded: LoadedPolicy) -> Checklist:
    """A plan decides nothing, so nothing in it fails: what is amiss is a warning, what is missing is left out."""
    missing = tuple(Check("plan", "not found", Status.PASSED, what, warning=True) for what in found.missing)
    checks = (*map(_proof, found.proofs), *_remarks(found.remarks, loaded), *missing)
    properties = {
        "model": found.model,
        "candidate_version": found.candidate or "",
        "champion_version": found.champion or "",
        "policy_digest": found.digest,
    }
    return Checklist(
        "plan",
        found.model,
        Status.PASSED if found.told else Status.ERROR,
        f"{title(found)}: nothing to promote" if idle(found) else title(found),
        missing if idle(found) else checks,
        file=found.policy,
        properties=tuple((name, value) for name, value in properties.items() if value),
    )


def _proof(proof: Proof) -> Check:
    status = Status.PASSED if proof.state in ("passed", "failed") else Status.SKIPPED
    return Check("proof", proof.name, status, proof.what, proof.command, warning=proof.state == "failed")


def _remarks(remarks: tuple[Remark, ...], loaded: LoadedPolicy) -> list[Check]:
    from mlship.policy.faults import Source
    from mlship.policy.tree import key_spot
    from mlship.policy.yaml import parse

    if not remarks:
        return []
    tree, _ = parse(loaded.text, Source.of(str(loaded.path), loaded.text))
    found = []
    for remark in remarks:
        spot = key_spot(tree, remark.location) if tree is not None else None
        line, column = (spot.line, spot.column) if spot is not None else (0, 0)
        what = f"{place(remark.location)}: {remark.what}"
        found.append(
            Check(
                "rollout",
                place(remark.location),
                Status.PASSED,
                what,
                remark.hint,
                line=line,
                column=column,
                warning=True,
            )
        )
    return found


def outputs(pins: Pins | None) -> dict[str, str]:
    """What a later step or job may ask about: who would replace whom, and whether that changes anything."""
    if pins is None:
        return {}
    return {
        "candidate-version": pins.candidate.version or "",
        "champion-version": pins.champion.version or "",
        "has-changes": str(pins.changes).lower(),
        "image-digest": pins.candidate.image,
    }
