"""Why a version serves, or does not: the chain of evidence, from the ledger's entries and what journals tell. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlship.champions import champions
from mlship.report.account import Account, Why
from mlship.report.cells import shortened
from mlship.rollout import links
from mlship.rollout.entries import by_hand, evaluated, left, moves, outcome, status_of, version_of
from mlship.rollout.links import Chain
from mlship.types import LedgerEntry, Status

#: What decides about a version.
DECIDING = ("evaluated", "measured", "promoted", "rolled_back", "aborted")
_ENDED = ("promoted", "rolled_back", "aborted")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about."""

    version: str
    rollout: str = ""
    """Id of the rollout that is asked about; empty: the version."""
    evaluation: str = ""
    """Id of the evaluation that is asked about."""
    asked: str = ""
    """The question as it was put; empty for the latest decision."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about one model: the ledger's sound entries, its rollouts, kept evaluations, the registry."""

    model: str
    entries: tuple[LedgerEntry, ...]
    accounts: tuple[Account, ...] = ()
    """Of the version that is asked about, oldest first."""
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Evaluations as they were kept (`evaluation.json`), by run id."""
    registry: Mapping[str, str] | None = None
    """What the registry says (`champion`, `digest`), or `fault`: why it could not be asked. None: it was not asked."""


def latest(entries: Sequence[LedgerEntry], open_: Account | None) -> Subject | None:
    """What the latest decision was about; an unfinished rollout, once it has begun, is the latest.

    None when nothing was decided yet.
    """
    last = next((entry for entry in reversed(entries) if entry.action in DECIDING and version_of(entry)), None)
    if open_ is not None and not open_.over and (last is None or open_.ended >= last.at):
        return Subject(open_.candidate)
    return Subject(version_of(last) or "") if last is not None else None


def serving(entries: Sequence[LedgerEntry]) -> str | None:
    """The champion, as the ledger knows it: promoted or returned to, else the one that was compared with last."""
    if stack := champions(list(entries)):
        return stack[-1]
    compared = [entry.from_version for entry in entries if entry.action == "evaluated" and entry.from_version]
    return compared[-1] if compared else None


def tell(subject: Subject, known: Known) -> Why:
    """The decision about the subject, and every link behind it."""
    entries, version = known.entries, subject.version
    anchor = _anchor(subject, known.accounts)
    champion = serving(entries)
    decision = _decision(subject, known, anchor, champion)
    chain = Chain(
        version=version,
        entries=entries,
        accounts=known.accounts,
        anchor=anchor,
        documents=known.documents,
        registry=known.registry,
        champion=champion,
        evaluation=subject.evaluation,
    )
    return Why(
        model=known.model,
        version=version,
        champion=champion,
        status=decision.status,
        headline=decision.headline,
        reason=decision.reason,
        at=decision.at,
        who=decision.who,
        links=links.of(chain),
        accounts=known.accounts,
        asked=subject.asked,
        beside=_beside(entries, champion, version),
        general=links.swapped(chain),
    )


@dataclass(frozen=True, slots=True)
class _Decision:
    status: Status
    headline: str
    reason: str
    at: float | None = None
    who: str = ""


def _anchor(subject: Subject, accounts: Sequence[Account]) -> Account | None:
    """The rollout that decided: the one that is asked about, else the last (under the evaluation, if one is)."""
    found = [
        one
        for one in accounts
        if subject.rollout in ("", one.rollout_id) and subject.evaluation in ("", dict(one.ids).get("evaluation"))
    ]
    return found[-1] if found else None


def _decision(subject: Subject, known: Known, anchor: Account | None, champion: str | None) -> _Decision:
    version, entries = subject.version, known.entries
    if subject.rollout and anchor is not None:
        return _of_rollout(version, anchor, entries)
    if subject.evaluation:
        entry = evaluated(entries, subject.evaluation)
        if entry is not None:
            return _of_evaluation(version, entry, "its evaluation")
    if anchor is not None and not anchor.over:
        return _of_rollout(version, anchor, entries)
    if champion == version:
        return _serves(version, entries)
    return _does_not_serve(version, entries, champion)


def _of_rollout(version: str, account: Account, entries: Sequence[LedgerEntry]) -> _Decision:
    entry = next((one for one in reversed(entries) if _ended_by(one, account.rollout_id)), None)
    words = {
        "promoted": "was promoted",
        "rolled_back": "was rolled back",
        "aborted": "was taken off traffic",
        "paused": "is on traffic in part, and its rollout is paused",
        "running": "is being let onto traffic",
        "unattended": "is in a rollout that nobody drives",
    }
    so_far = "" if account.over else "so far: "
    at, who = (entry.at, entry.who) if entry is not None else (account.ended, "")
    said = words.get(account.outcome, account.outcome)
    return _Decision(account.status, f"version {version} {said}", f"{so_far}{account.sentence}", at, who)


def _ended_by(entry: LedgerEntry, rollout: str) -> bool:
    return entry.action in _ENDED and entry.evidence.get("rollout") == rollout


def _of_evaluation(version: str, entry: LedgerEntry, what: str) -> _Decision:
    status = status_of(entry)
    verb = {Status.PASSED: "passed", Status.FAILED: "failed"}.get(status, "was not decided by")
    return _Decision(status, f"version {version} {verb} {what}", outcome(entry), entry.at, entry.who)


def _serves(version: str, entries: Sequence[LedgerEntry]) -> _Decision:
    entry = _arrival(entries, version)
    headline = f"version {version} serves"
    if entry is None:
        why = "how it became champion is not recorded here; it was champion when others were compared with it"
        return _Decision(Status.PASSED, headline, why)
    word = "promoted" if entry.action == "promoted" else "returned to"
    plain = entry.action == "served" or entry.reason.startswith("rolled back")
    reason = entry.reason if plain else f"{word}: {entry.reason}"
    return _Decision(Status.PASSED, headline, reason, entry.at, entry.who)


def _arrival(entries: Sequence[LedgerEntry], version: str | None) -> LedgerEntry | None:
    """The entry that made this version champion last; if none did, the one that let it serve."""
    mine = [one for one in reversed(entries) if one.to_version == version]
    return next(filter(moves, mine), next((one for one in mine if one.action == "served"), None))


def _does_not_serve(version: str, entries: Sequence[LedgerEntry], champion: str | None) -> _Decision:
    about = [one for one in entries if version_of(one) == version or left(one, version)]
    deciding = [one for one in about if one.action in DECIDING or left(one, version)]
    if not deciding:
        return _Decision(Status.INCONCLUSIVE, f"version {version} does not serve", "nothing was decided about it here")
    last, not_ = deciding[-1], f"version {version} does not serve"
    if left(last, version):
        promoted = last.action == "promoted"
        what = f"version {last.to_version} was promoted: {last.reason}" if promoted else last.reason
        status = Status.FAILED if by_hand(last) else Status.SKIPPED
        return _Decision(status, f"{not_} any more", what, last.at, last.who)
    if last.action in _ENDED:
        status = Status.FAILED if last.action == "rolled_back" else Status.INCONCLUSIVE
        reason = f"it was promoted, but {champion} is champion" if last.action == "promoted" else _told(last)
        return _Decision(status, not_, reason, last.at, last.who)
    what = "its latency budget" if last.action == "measured" else "its evaluation"
    status = status_of(last)
    if status is Status.PASSED:
        reason = f"{what} passed, and no rollout of it has begun since"
        return _Decision(Status.INCONCLUSIVE, f"{not_} yet", reason, last.at, last.who)
    word = "failed" if status is Status.FAILED else "was not decided"
    return _Decision(status, not_, f"{what} {word}: {outcome(last)}", last.at, last.who)


def _told(entry: LedgerEntry) -> str:
    word = entry.action.replace("_", " ")
    return entry.reason if entry.reason.startswith(word) else f"{word}: {entry.reason}"


def _beside(entries: Sequence[LedgerEntry], champion: str | None, version: str) -> str:
    """What serves instead."""
    if champion is None or champion == version:
        return ""
    entry = _arrival(entries, champion)
    how = {"promoted": "promoted", "rolled_back": "returned to"}.get(entry.action, "") if entry else ""
    by = f", {how} by {entry.who} ({shortened(entry.reason, 90)})" if entry and how else ""
    return f"version {champion} is champion{by}"
