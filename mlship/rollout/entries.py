"""What one entry of the ledger tells of a version: digests, outcomes, whether it came back, who acted. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mlship.types import LedgerEntry, Status


def came_back(entry: LedgerEntry) -> bool:
    """A rollout ended without its candidate: the entry leads from the candidate to the champion."""
    return entry.action in ("rolled_back", "aborted", "lease_expired") and "rollout" in entry.evidence


def version_of(entry: LedgerEntry) -> str | None:
    """The version that an entry is about: where it went, but for a rollout that came back, whose candidate it was."""
    return entry.from_version if came_back(entry) else entry.to_version


def digests(entries: Sequence[LedgerEntry], version: str) -> list[tuple[str, LedgerEntry]]:
    """Every digest that was recorded for a version, with its entry."""
    found = []
    for entry in entries:
        ends = (entry.from_version, entry.to_version)
        mine, other = ends if came_back(entry) else ends[::-1]
        for which, key in ((mine, "model"), (other, "champion")):
            if which == version and entry.evidence.get(key):
                found.append((entry.evidence[key], entry))
    return found


def evaluated(entries: Sequence[LedgerEntry], evaluation: str) -> LedgerEntry | None:
    """The entry of an evaluation, by its id."""
    mine = (one for one in reversed(entries) if one.action == "evaluated")
    return next((one for one in mine if one.evidence.get("evaluation") == evaluation), None)


def status_of(entry: LedgerEntry) -> Status:
    """What an evaluation or a measurement came to."""
    try:
        return Status(entry.evidence.get("status", ""))
    except ValueError:
        return Status.INCONCLUSIVE


def outcome(entry: LedgerEntry) -> str:
    """An evaluation's outcome, without the words that name it: `1 of 17 rules failed: leakage unavailable`."""
    return entry.reason.partition("): ")[2] or entry.reason


def by_hand(entry: LedgerEntry) -> bool:
    """A person went back to an earlier champion."""
    return entry.action == "rolled_back" and "rollout" not in entry.evidence


def left(entry: LedgerEntry, version: str) -> bool:
    """The entry took all traffic from this version, which was champion."""
    return entry.from_version == version and moves(entry)


def moves(entry: LedgerEntry) -> bool:
    """The entry took all traffic from one champion to another; serving one again after an outage does not."""
    named = entry.action == "served" and entry.from_version not in (None, entry.to_version)
    return named or entry.action == "promoted" or by_hand(entry)
