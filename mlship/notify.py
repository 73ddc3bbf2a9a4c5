"""Who is told what a rollout does: the events, and what tells them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

#: What people are told of.
Kind = Literal["started", "approval", "promoted", "rolled_back", "aborted", "paused", "halted", "lease_expired"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that people want to know at 3 am."""

    kind: Kind
    model: str
    version: str
    """Of the candidate."""
    text: str
    """One sentence that says what happened and why; no secret is in it."""
    at: float
    """Unix time."""


class Notifier(Protocol):
    """Tells people; never waits, never raises."""

    def tell(self, event: Event) -> None:
        """Pass an event on."""

    def close(self, seconds: float) -> None:
        """Wait at most so long for what is under way."""


class Nobody:
    """Nobody wants to know."""

    def tell(self, event: Event) -> None:
        """Drop it."""

    def close(self, seconds: float) -> None:
        """Nothing is under way."""
