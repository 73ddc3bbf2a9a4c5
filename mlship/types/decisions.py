"""What a rollout decides, and what the ledger keeps of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class VerdictKind(StrEnum):
    """The decisions a rollout can take at a look."""

    HOLD = "hold"
    ADVANCE = "advance"
    PROMOTE = "promote"
    PAUSE = "pause"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision of one look, in one sentence a person would say."""

    kind: VerdictKind
    reason: str
    shares: dict[str, float] = field(default_factory=dict)
    """Each signal's e-value, by its name."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of the append-only ledger: who did what, when, on which evidence."""

    at: float
    who: str
    action: str
    """evaluated | built | measured (the latency budget) | promoted | rolled_back | aborted | paused | resumed |
    advanced (a step before its bake, by hand) | lease_expired (nobody watched, and the guardian gave all traffic back
    to stable) | served (a champion that was named by hand, or whose endpoint was down, got all traffic) | drilled (a
    server was taken away for a moment, see `mlship drill`) | applied (the policy's endpoint section, to a running
    router)"""
    model: str
    from_version: str | None
    to_version: str | None
    reason: str
    evidence: dict[str, str] = field(default_factory=dict)
    """Digests and ids: model, policy, data, evaluation, run, rollout."""
