"""The observer of one worker: counts in the event loop, notes beside it, and answers for all workers of its server."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from mlship.serving.exposition import CONTENT_TYPE, ROWS, SECONDS, Described, exposition, process
from mlship.serving.feedback import Feedback, Label, read_labels
from mlship.serving.notes import LabelCame, Notes, Subject
from mlship.serving.observer import Answered, Pressure
from mlship.serving.protocol import Answer, error
from mlship.serving.state import State, merged

if TYPE_CHECKING:
    from mlship.serving.predictionlog import PredictionLog

Result = TypeVar("Result")
#: Rows labelled and rows wrong, for each label that was joined; None for one that was not.
Joined = list[tuple[int, int] | None]


class Others(Protocol):
    """The other workers of this server."""

    epoch: str
    """New when the counters of the server begin again at zero."""
    started: float
    """Unix time of the server's start."""

    async def states(self, own: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The states of all others, and of workers that have gone; `own` is kept for when this one has gone."""

    async def label(self, labels: Sequence[Label]) -> Joined:
        """Join labels that are not ours with the predictions of others."""


class Alone:
    """A server of one worker."""

    def __init__(self) -> None:
        self.epoch = uuid.uuid4().hex
        self.started = time.time()

    async def states(self, own: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
        """There are none."""
        del own
        return ()

    async def label(self, labels: Sequence[Label]) -> Joined:
        """Nobody else has made predictions."""
        return [None] * len(labels)


class Observing:
    """Implements ``observer.Observer``.

    Parameters
    ----------
    log
        The prediction log that `notes` writes, for its counters.
    """

    def __init__(
        self,
        described: Described,
        notes: Notes,
        log: PredictionLog | None,
        feedback: Feedback,
        others: Others,
    ) -> None:
        self._described: Final = described
        self._notes: Final = notes
        self._log: Final = log
        self._feedback: Final = feedback
        self._others: Final = others
        self._outcomes = dict.fromkeys(("ok", "rejected", "refused", "late", "failed"), 0)
        self._seconds = [0] * (len(SECONDS) + 1)
        self._seconds_sum = 0.0
        self._rows = [0] * (len(ROWS) + 1)
        self._rows_sum = self._not_batched = 0
        self._labelled = self._wrong = 0
        self._sequence = 0
        self._one_at_a_time = asyncio.Lock()
        self._pressure: Callable[[], Pressure] = lambda: Pressure(ready=False, in_flight=0, waiting=0)

    # What the application tells

    def watch(self, pressure: Callable[[], Pressure]) -> None:
        """See ``Observer.watch``."""
        self._pressure = pressure

    def called(self, rows: int) -> None:
        """See ``Observer.called``. One thread calls the model, so that nothing is counted by two at once."""
        if rows:
            self._rows[bisect_left(ROWS, rows)] += 1
            self._rows_sum += rows
        else:
            self._not_batched += 1

    def answered(self, one: Answered) -> None:
        """See ``Observer.answered``."""
        self._outcomes[outcome(one.status)] += 1
        self._seconds[bisect_left(SECONDS, one.seconds)] += 1
        self._seconds_sum += one.seconds
        if one.status < 300:
            if one.predictions is not None:
                self._feedback.record(one.request_id, int(one.arrived), list(one.predictions))
            self._notes.answered(one)

    def close(self, timeout: float) -> None:
        """Write what waits for the log."""
        self._notes.close(timeout)

    # What others ask

    async def metrics(self) -> Answer:
        """See ``Observer.metrics``."""
        total = await self._total()
        return Answer(200, await _aside(exposition, self._described, total, self._others.started), CONTENT_TYPE)

    async def counters(self) -> Answer:
        """See ``Observer.counters``."""
        labels = (await self._total()).counts["labels"]
        rows = [[int(second), *labels[second]] for second in sorted(labels, key=int)]
        return Answer(200, json.dumps({"epoch": self._others.epoch, "labels": rows}).encode())

    async def sketches(self) -> Answer:
        """See ``Observer.sketches``."""
        total = await self._total()
        document = total.to_json()
        body = {
            "model": self._described.model,
            "version": self._described.version,
            "digest": self._described.digest,
            "epoch": self._others.epoch,
            "rows_missed": total.counts["rows_missed"],
            "rows_thinned": total.counts["rows_thinned"],
            "features": document["features"],
            "outputs": document["outputs"],
        }
        return Answer(200, json.dumps(body).encode())

    async def feedback(self, body: bytes) -> Answer:
        """See ``Observer.feedback``."""
        try:
            labels = read_labels(json.loads(body))
        except (ValueError, RecursionError) as fault:
            return error(400, "BAD_REQUEST", f"invalid feedback: {fault}")
        joined = self.join(labels)
        unknown = [position for position, counts in enumerate(joined) if counts is None]
        if unknown:
            found = await self._others.label([labels[position] for position in unknown])
            for position, counts in zip(unknown, found, strict=True):
                if counts is None:  # perhaps forgotten in memory, but not in the log
                    label = labels[position]
                    self._notes.label(LabelCame(label.request_id, time.time(), label.values, joined=False))
                else:
                    joined[position] = counts
        known = sum(counts is not None for counts in joined)
        return Answer(202, json.dumps({"accepted": len(labels), "joined": known}).encode())

    # What this worker has

    def join(self, labels: Sequence[Label]) -> Joined:
        """Join labels with the predictions of this worker, and log those of them that are sampled."""
        joined = [self._feedback.label(label) for label in labels]
        for label, counts in zip(labels, joined, strict=True):
            if counts is not None:
                self._labelled += counts[0]
                self._wrong += counts[1]
                self._notes.label(LabelCame(label.request_id, time.time(), label.values, joined=True))
        return joined

    async def state(self) -> dict[str, Any]:
        """The state of this worker, as JSON; see `State`. One with a higher `sequence` is later in all its parts."""
        async with self._one_at_a_time:
            noted = await _aside(self._notes.snapshot)
            return self._state(noted)

    def _state(self, noted: dict[str, Any]) -> dict[str, Any]:
        log, pressure = self._log, self._pressure()
        spent, present = process()
        self._sequence += 1
        return {
            "sequence": self._sequence,
            "counts": {
                "outcomes": dict(self._outcomes),
                "seconds": list(self._seconds),
                "seconds_sum": self._seconds_sum,
                "rows": list(self._rows),
                "rows_sum": self._rows_sum,
                "not_batched": self._not_batched,
                "labelled": self._labelled,
                "wrong": self._wrong,
                "labels": {str(second): [known, wrong] for second, known, wrong in self._feedback.seconds()},
                "rows_missed": self._notes.missed,
                "rows_thinned": noted["rows_thinned"],
                "classes": noted["classes"],
                "log": {
                    "lines": log.written if log else 0,
                    "dropped": log.dropped if log else 0,
                    "bytes": log.bytes if log else 0,
                },
                "cpu_seconds": spent,
                "deaths": 0,
            },
            "present": {
                "ready": int(pressure.ready),
                "in_flight": pressure.in_flight,
                "waiting": pressure.waiting,
                "workers": 1,
                "log_stopped": int(log.stopped) if log else 0,
                "process": present,
            },
            "features": noted["features"],
            "outputs": noted["outputs"],
        }

    async def _total(self) -> State:
        own = await self.state()
        states = (*await self._others.states(own), own)
        return await _aside(lambda: merged(map(State.from_json, states)))


async def _aside(work: Callable[..., Result], *arguments: Any) -> Result:
    """Do what takes milliseconds in a thread, so that requests are answered meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def alone(described: Described, tolerance: float | None = None) -> Observing:
    """The observer of a server of one worker without a prediction log; `tolerance` as of `Feedback`."""
    return Observing(
        described, Notes(Subject(described.model, described.version), None), None, Feedback(tolerance), Alone()
    )


def outcome(status: int) -> str:
    """Name the outcome of a request for predictions.

    `ok`; `rejected` (the caller's fault); `refused` (not ready, or too many wait: 503); `late` (504); `failed`.
    """
    if status < 400:
        return "ok"
    if status < 500:
        return "rejected"
    return {503: "refused", 504: "late"}.get(status, "failed")
