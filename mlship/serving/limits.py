"""What one server takes on: how many may wait, how large they may be, how long they may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one server; beyond each there is an answer, never a crash."""

    max_queue: int = 1000
    """Requests that wait for the model; one more is a 503."""
    max_body: int = 32 * 10**6
    """Bytes of a request's body; more is a 413."""
    timeout: float = 5.0
    """Seconds from a request's headers to its answer: the body that does not come, the wait and the model's call."""
