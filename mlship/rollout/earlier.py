"""What became of the very same candidate before: whether it was rolled back, when, and by what. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mlship.rollout.entries import by_hand, version_of
from mlship.types import LedgerEntry, ModelVersion


def rolled_back(entries: Sequence[LedgerEntry], candidate: ModelVersion, policy: str) -> str:
    """In a sentence, when and why these very files were taken off traffic last; empty unless that is how it stands.

    Parameters
    ----------
    policy
        Digest of the policy under which they would be tried now.
    """
    for entry in reversed(entries):
        if by_hand(entry) and entry.from_version == candidate.version:  # the entry has the digest of who came back
            return f"{_told(entry, candidate)} by hand, by {entry.who}; this is another try, with evidence of its own"
        if entry.evidence.get("model") != candidate.digest or by_hand(entry):
            continue
        if entry.action == "promoted":
            return ""
        if entry.action == "rolled_back":
            other = "" if entry.evidence.get("policy") == policy else " under another policy"
            return f"{_told(entry, candidate)}{other}: {entry.reason}; this is another try, with evidence of its own"
    return ""


def _told(entry: LedgerEntry, candidate: ModelVersion) -> str:
    version = version_of(entry) if not by_hand(entry) else entry.from_version
    same = "" if version == candidate.version else f", the same files as version {candidate.version},"
    at = time.strftime("%Y-%m-%d %H:%M", time.gmtime(entry.at))
    return f"version {version}{same} was rolled back {at} UTC"
