"""The observer of one worker: counts in the event loop, notes beside it, and answers for all workers of its server."""

from __future__ import annotations

import asyncio
import json
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qs

from mlship.serving.exposition import CONTENT_TYPE, ROWS, SECONDS, Described, exposition, process
from mlship.serving.feedback import Feedback, Label, read_labels
from mlship.serving.notes import LabelCame, Notes, Subject
from mlship.serving.observer import Answered, Pressure
from mlship.serving.others import Alone, Joined, Others
from mlship.serving.protocol import Answer, error
from mlship.serving.state import State, merged
from mlship.serving.tally import MAX_ANSWERS, Tally, summed, together

if TYPE_CHECKING:
    from mlship.serving.predictionlog import PredictionLog

Result = TypeVar("Result")
#: What the answer to labels says when some were not joined: no server knows what the others have.
ELSEWHERE = (
    "joined counts what this server has predicted; every other server of the endpoint has a copy of these labels, "
    "and joins what it has predicted"
)


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
        self._tally: Final = Tally()
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
                self._feedback.record(one.request_id, int(one.arrived), one.predictions)
                self._tally.add(one.request_id, one.predictions, one.arrived)
            self._notes.answered(one)

    def close(self, timeout: float) -> None:
        """Write what waits for the log."""
        self._notes.close(timeout)

    # What others ask

    async def metrics(self) -> Answer:
        """See ``Observer.metrics``."""
        total = await self._total()
        return Answer(200, await _aside(exposition, self._described, total, self._others.started), CONTENT_TYPE)

    async def counters(self, query: bytes) -> Answer:
        """See ``Observer.counters``."""
        try:
            answers = _answers(query)
        except ValueError:
            return error(400, "BAD_REQUEST", f"`answers` must be a whole number from 1 to {MAX_ANSWERS}")
        own = self.tally(answers)
        tallies = (*await self._others.tallies(own, answers), own)
        document = {
            "epoch": self._others.epoch,
            "labels": summed(tally["labels"] for tally in tallies),
            "predictions": merged(State({"predicted": tally["predicted"]}) for tally in tallies).counts["predicted"],
        }
        if answers:
            document["answers"] = together(tally["answers"] for tally in tallies)
        return Answer(200, json.dumps(document).encode())

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
        told: dict[str, Any] = {"accepted": len(labels), "joined": known}
        if known < len(labels):
            told["note"] = ELSEWHERE
        return Answer(202, json.dumps(told).encode())

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

    def tally(self, answers: int) -> dict[str, Any]:
        """What of this worker's state the judge reads, as JSON; a higher `sequence` is later, as of `state`.

        Parameters
        ----------
        answers
            How many of the latest predictions by request id; with 0 none, and nobody has asked for them.
        """
        self._sequence += 1
        latest = self._tally.asked(time.time(), answers) if answers else {}
        return {
            "sequence": self._sequence,
            "labels": self._feedback.seconds(),
            "predicted": self._tally.counts(),
            "answers": latest,
        }

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
                "predicted": self._tally.counts(),
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


def _answers(query: bytes) -> int:
    """How many answers a query asks for; raises ``ValueError`` for what is no such number."""
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("answers")
    if given is None:
        return 0
    if not 0 < int(given[-1]) <= MAX_ANSWERS:
        raise ValueError(given[-1])
    return int(given[-1])


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
