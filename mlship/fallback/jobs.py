"""Requests that wait for a model, and the answers of those that had one: one SQLite file, which no crash robs.

The queue is litequeue's. Its messages are the jobs; what it has no place for, the answers, is a table beside it,
written in the same transaction that takes the job from the queue. A commit waits for the disk.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from litequeue import LiteQueue

from mlship.errors import StateError


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    path: str
    content_type: str
    request_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Job:
    """A request that waits."""

    id: str
    asked: Asked


@dataclass(frozen=True, slots=True)
class Given:
    """What a model answered to a job."""

    status: int
    content_type: str
    version: str
    """Of the model; empty when none answered."""
    body: bytes


class Pending:
    """The job waits, or a model is at it."""


class Gone:
    """The job was done, and its answer is no longer kept."""


_ANSWERS = """CREATE TABLE IF NOT EXISTS answers (
    job TEXT PRIMARY KEY, status INTEGER NOT NULL, content_type TEXT NOT NULL, version TEXT NOT NULL, body BLOB,
    at REAL NOT NULL)"""


class Jobs:
    """The durable queue. Its methods may be called from any thread; they wait for the disk.

    Parameters
    ----------
    path
        The SQLite file, for its owner only; made unless it is there. Jobs that were being asked for when the former
        process died are asked for again.

    Raises ``StateError`` when the file cannot be used.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.path = path
        try:
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._queue = LiteQueue(self._connection)
            self._connection.execute("PRAGMA synchronous = FULL")  # or a power cut could take what was acknowledged
            self._connection.execute(_ANSWERS)
            self._connection.execute("CREATE INDEX IF NOT EXISTS answers_at ON answers (at)")
            for message in list(self._queue.list_locked(-(10**9))):
                self._queue.retry(message.message_id)
            self.pending = self._queue.qsize()
        except (OSError, sqlite3.Error) as error:
            raise StateError(
                f"cannot use the queue: {error}", where=str(path), hint="free space or permissions; or move it away"
            ) from error

    def add(self, requests: Sequence[Asked], max_jobs: int) -> list[str | None]:
        """Keep requests, all in one commit; their ids, None for those beyond `max_jobs` waiting ones."""
        with self._lock:
            free = max(0, max_jobs - self.pending)
            with self._queue.transaction("IMMEDIATE"):
                ids = [self._queue.put(_text(asked)).message_id for asked in requests[:free]]
            self.pending += len(ids)
        return [*ids, *[None] * (len(requests) - len(ids))]

    def take(self) -> Job | None:
        """The oldest job that nobody is at; it is the caller's until `finish`, or until the process dies."""
        with self._lock:
            message = self._queue.pop()
        return None if message is None else Job(message.message_id, _asked(message.data))

    def again(self, job_id: str) -> Job | None:
        """A job that was taken already, as it was."""
        with self._lock:
            message = self._queue.get(job_id)
        return None if message is None else Job(job_id, _asked(message.data))

    def finish(self, job_id: str, given: Given) -> None:
        """Keep the answer, and take the job from the queue, in one commit."""
        row = (job_id, given.status, given.content_type, given.version, given.body, self._clock())
        with self._lock, self._queue.transaction("IMMEDIATE"):
            self._connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", row)
            self._queue.done(job_id)
            self.pending -= 1

    def look(self, job_id: str, keep: float) -> Given | Pending | Gone | None:
        """What has become of a job; None when there is none of that id."""
        query = "SELECT status, content_type, version, body, at FROM answers WHERE job = ?"
        with self._lock:
            row = self._connection.execute(query, (job_id,)).fetchone()
            waiting = row is None and self._queue.get(job_id) is not None
        if row is None:
            return Pending() if waiting else None
        if row["body"] is None or row["at"] + keep <= self._clock():
            return Gone()
        return Given(row["status"], row["content_type"], row["version"], bytes(row["body"]))

    def sweep(self, keep: float) -> None:
        """Forget requests that are done, answers older than `keep` seconds, and after as long again that they were."""
        now = self._clock()
        with self._lock, self._queue.transaction("IMMEDIATE"):
            self._queue.prune()
            self._connection.execute("UPDATE answers SET body = NULL WHERE at <= ? AND body NOT NULL", (now - keep,))
            self._connection.execute("DELETE FROM answers WHERE at <= ?", (now - 2 * keep,))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def _text(asked: Asked) -> str:
    return json.dumps([asked.path, asked.content_type, asked.request_id, asked.body.decode("latin-1")])


def _asked(text: str) -> Asked:
    path, content_type, request_id, body = json.loads(text)
    return Asked(path, content_type, request_id, body.encode("latin-1"))
