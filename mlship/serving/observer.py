"""What the application tells of each answer, and whom it asks for metrics, counters and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mlship.serving.protocol import Answer


@dataclass(frozen=True, slots=True)
class Answered:
    """One finished request for predictions, by whichever protocol it came."""

    request_id: str
    arrived: float
    """Unix time."""
    seconds: float
    """From its headers to its answer."""
    status: int
    features: Mapping[str, Sequence[Any]] | None = None
    """Columns of the request's rows by name, where they are known; values as they came, not copied."""
    predictions: Sequence[Any] | None = None
    """One JSON value a row, where the model gave a list."""


class Observer(Protocol):
    """Counts, samples and joins; every method runs in the event loop and is quick."""

    def answered(self, one: Answered) -> None:
        """Take note of one answer. Called after it was handed to the connection, so it delays nobody's answer."""

    async def metrics(self) -> Answer:
        """The answer of `GET /metrics`, for all workers of this server together."""

    async def counters(self) -> Answer:
        """The answer of `GET /counters`: labels by second of the request, for all workers together."""

    async def feedback(self, body: bytes) -> Answer:
        """The answer of `POST /feedback`: joins labels with predictions, whichever worker made them."""
