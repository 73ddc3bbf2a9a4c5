"""What is made of what was gathered: a model's row, and whether it lacks a policy or a registry. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlship.champions import TELLING, champions
from mlship.estate.due import overdue
from mlship.estate.known import Known
from mlship.policy.schema import Policy
from mlship.report.monitor_words import bound
from mlship.rollout.words import became
from mlship.types import LedgerEntry
from mlship.types.estate import LastVerdict, ModelSeen, Orphan
from mlship.types.monitoring import Finding

#: Actions of the ledger that decide something, and what they say.
_VERDICTS = {
    "promoted": "passed",
    "rolled_back": "failed",
    "aborted": "inconclusive",
    "paused": "inconclusive",
    "lease_expired": "error",
}


def row(known: Known, now: float) -> ModelSeen:
    """One model, with all that is overdue; the orphan that it is, where it is one.

    Parameters
    ----------
    now
        Unix time.
    """
    found = known.policies[0] if known.policies else None
    policy = found.loaded.policy if found else None
    version, told_by = champion(known, policy)
    made = known.registered.made if known.registered and told_by == "registry" else None
    worst = nearest(known.watched.findings)
    running = known.running or {}
    owner = policy.owner if policy else None
    seen = ModelSeen(
        model=known.model,
        policy=found.path if found else "",
        others=tuple(one.path for one in known.policies[1:]),
        team=owner.team if owner else "",
        contact=owner.contact if owner else "",
        runbook=(owner.runbook or "") if owner else "",
        review_by=owner.review_by.isoformat() if owner and owner.review_by else "",
        registry=known.registry,
        registered=(known.registered is not None) if known.reached else None,
        champion=version,
        told_by=told_by,
        made=made,
        promoted=promoted(known.entries, version) or known.watched.since,
        serving=_text(running.get("stable")) or None,
        endpoint=_text(running.get("endpoint")),
        rollout=_rollout(running),
        verdict=verdict(known.entries),
        monitored=policy is not None and policy.monitor is not None,
        looked=known.watched.at,
        looked_verdict=known.watched.verdict,
        looked_summary=known.watched.summary,
        worst=worst,
        strain=strain(worst) if worst else None,
        incidents=known.watched.open,
        past=known.watched.past,
        drift=known.watched.drift,
        performance=known.watched.performance,
        troubles=known.watched.troubles,
        fault="\n".join(filter(None, (_text(running.get("fault")), known.watched.fault))),
    )
    return _with(seen, known, policy, now)


def champion(known: Known, policy: Policy | None) -> tuple[str | None, Any]:
    """(version, who says so): the registry's alias; while it cannot be asked, what the ledger or the monitor knows."""
    alias = (policy.champion if policy else "@champion").removeprefix("@")
    if known.registered is not None:
        version = known.registered.aliases.get(alias)
        return version, "registry" if version is not None else ""
    if stack := champions([entry for entry in known.entries if entry.action in TELLING]):
        return stack[-1], "ledger"
    return known.watched.champion, "monitor" if known.watched.champion is not None else ""


def promoted(entries: Sequence[LedgerEntry], version: str | None) -> float | None:
    """Unix time from which the version has been champion; None when the ledger does not say."""
    found = [entry.at for entry in entries if entry.action in TELLING and entry.to_version == version]
    return found[-1] if found and version is not None else None


def verdict(entries: Sequence[LedgerEntry]) -> LastVerdict | None:
    """The last decision that the ledger has of a model."""
    for entry in reversed(entries):
        status = entry.evidence.get("status", "") if entry.action == "evaluated" else _VERDICTS.get(entry.action, "")
        if status:
            return LastVerdict(entry.action, status, entry.to_version or "", entry.at, entry.who, entry.reason)
    return None


def strain(finding: Finding) -> float | None:
    """A finding's value as a share of its limit, so that 1 is at the limit; None when it cannot be told."""
    limit = bound(finding.limit)
    if limit is None or finding.value is None:
        return None
    above, below = (limit, finding.value) if ">" in finding.limit else (finding.value, limit)
    return above / below if below > 0 and above >= 0 else None


def nearest(findings: Sequence[Finding]) -> Finding | None:
    """The finding to look at: in breach first, then the furthest beyond its limit, or the nearest to it."""
    judged = [one for one in findings if one.value is not None]
    return max(
        judged, key=lambda one: (one.breach, one.severity, strain(one) or 0.0, one.evidence, one.subject), default=None
    )


def orphan(seen: ModelSeen) -> Orphan | None:
    """What it lacks: a registered model, a policy, or nothing."""
    if seen.serving is not None and seen.registered is False:
        what = f"{seen.model} serves version {seen.serving} here, and {seen.registry} does not know it"
        return Orphan("unregistered", seen.model, what, seen.policy)
    if seen.policy and seen.registered is False:
        return Orphan(
            "no model", seen.model, f"{seen.policy} is for {seen.model}, which {seen.registry} lacks", seen.policy
        )
    if not seen.policy and (seen.champion is not None or seen.serving is not None):
        which = f"has a champion, version {seen.champion}," if seen.champion else f"serves version {seen.serving} here"
        what = f"{seen.model} {which} and no policy was found for it: nobody answers for it"
        return Orphan("no policy", seen.model, what.replace(" here and", " here, and"))
    return None


def _with(seen: ModelSeen, known: Known, policy: Policy | None, now: float) -> ModelSeen:
    return replace(seen, orphan=orphan(seen), overdue=overdue(seen, known, policy, now))


def _rollout(running: Mapping[str, Any]) -> str:
    """Where a rollout under way stands."""
    view = running.get("rollout")
    if not isinstance(view, Mapping):
        return ""
    phase, reason = str(view.get("phase", "")), str(view.get("reason", ""))
    said = became("paused", reason) if phase == "paused" else reason
    return f"version {view.get('candidate_version')}: {said}"


def _text(value: object) -> str:
    return "" if value is None else str(value)
