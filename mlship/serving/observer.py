"""What the application tells of each answer, and whom it asks for metrics, counters and labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class Pressure:
    """What the application holds at this moment."""

    ready: bool
    in_flight: int
    """Requests for predictions that are not yet answered, the waiting ones included."""
    waiting: int
    """Of these, requests that wait for a model call."""


class Observer(Protocol):
    """Counts, samples and joins; every method but `called` runs in the event loop, and all are quick."""

    def watch(self, pressure: Callable[[], Pressure]) -> None:
        """Whom to ask for the present state when somebody wants metrics; the application says so once, at its start."""

    def called(self, rows: int) -> None:
        """Count one model call of `rows` rows, 0 for a request that MLflow's parser handled alone. From any thread."""

    def answered(self, one: Answered) -> None:
        """Take note of one answer. Called after it was handed to the connection, so it delays nobody's answer."""

    async def metrics(self) -> Answer:
        """The answer of `GET /metrics`, for all workers of this server together."""

    async def counters(self, query: bytes) -> Answer:
        """The answer of `GET /counters`: labels by second of the request, and predictions, for all workers together.

        Parameters
        ----------
        query
            `answers=N` asks for the latest predictions by request id, too.
        """

    async def sketches(self) -> Answer:
        """The answer of `GET /sketches`: mergeable distributions of features and predictions, of all workers."""

    async def feedback(self, body: bytes) -> Answer:
        """The answer of `POST /feedback`: joins labels with predictions, whichever worker made them."""
