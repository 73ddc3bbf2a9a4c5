"""One process's metrics and labels as an `Observer`."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

from mlship.serving.app import Identity
from mlship.serving.feedback import Feedback, read_labels
from mlship.serving.metrics import CONTENT_TYPE, Metrics
from mlship.serving.observer import Answered, Pressure
from mlship.serving.protocol import Answer, error


class Single:
    """Observes one process, in memory.

    Parameters
    ----------
    identity
        Name, version and digest of the model, for the metrics.
    tolerance
        See `Feedback`.
    """

    def __init__(self, identity: Identity, tolerance: float | None = None) -> None:
        self._metrics = Metrics(identity.model, identity.version, identity.digest)
        self._feedback = Feedback(tolerance)
        self._epoch = uuid.uuid4().hex

    def watch(self, pressure: Callable[[], Pressure]) -> None:
        """See `Observer`."""
        self._metrics.in_flight.set_function(lambda: pressure().in_flight)
        self._metrics.ready.set_function(lambda: pressure().ready)

    def called(self, rows: int) -> None:
        """See `Observer`."""
        self._metrics.called(rows)

    def answered(self, one: Answered) -> None:
        """See `Observer`."""
        if one.predictions is not None and one.status < 300:
            self._feedback.record(one.request_id, int(one.arrived), list(one.predictions))
        self._metrics.answered(one.status, one.seconds)

    async def metrics(self) -> Answer:
        """See `Observer`."""
        return Answer(200, self._metrics.text(), CONTENT_TYPE)

    async def counters(self) -> Answer:
        """See `Observer`."""
        return Answer(200, json.dumps({"epoch": self._epoch, "labels": self._feedback.seconds()}).encode())

    async def sketches(self) -> Answer:
        """See `Observer`."""
        return Answer(200, b"{}")

    async def feedback(self, body: bytes) -> Answer:
        """See `Observer`."""
        try:
            labels = read_labels(json.loads(body))
        except (ValueError, RecursionError) as fault:
            return error(400, "BAD_REQUEST", f"invalid feedback: {fault}")
        joined = [counts for counts in map(self._feedback.label, labels) if counts is not None]
        self._metrics.labels.inc(sum(rows for rows, _ in joined))
        self._metrics.wrong.inc(sum(wrong for _, wrong in joined))
        return Answer(202, json.dumps({"accepted": len(labels), "joined": len(joined)}).encode())
