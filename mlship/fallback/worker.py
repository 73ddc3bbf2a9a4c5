"""Asks the models for what callers are waiting for, as soon as they are there again."""

from __future__ import annotations

import heapq
import http.client
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from mlship.fallback.jobs import Asked, Given, Job, Jobs
from mlship.fallback.settings import Settings

#: Jobs that are asked for at the same time.
THREADS = 4
#: Seconds between two questions whether a model is there.
PROBE_SECONDS = 0.5
#: A job whose request fails so often, although a model was there, has that as its answer. The pauses in between grow
#: from one second to a minute, so a model that is only restarted costs no job.
ATTEMPTS, LONGEST_PAUSE = 10, 60.0
#: Seconds between two looks for answers that are too old.
SWEEP_SECONDS = 10.0

_FAULTS = (OSError, http.client.HTTPException)
log = logging.getLogger("mlship.fallback")


class Models:
    """The model that is stable now, by the router: without a fallback, without credentials, not counted as a caller."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            return self._send("GET", "/ping", timeout=2.0)[0] == 200
        except _FAULTS:
            return False

    def ask(self, asked: Asked) -> Given | None:
        """Its answer; None when it was too busy to try. Raises ``OSError`` or ``HTTPException`` when it gave none."""
        headers = {"content-type": asked.content_type} if asked.content_type else {}
        if asked.request_id:
            headers["x-request-id"] = asked.request_id
        timeout = self._settings().timeout + 1.0
        status, found, body = self._send("POST", asked.path, asked.body, headers, timeout=timeout)
        version = found.get("x-mlship-version", "")
        if status == 503 and version:  # its own answer, and not the router's: the queue there is full, or it drains
            return None
        return Given(status, found.get("content-type", ""), version, body)

    def _send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, *, timeout: float
    ) -> tuple[int, dict[str, str], bytes]:
        url = urlsplit(self._settings().models)
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()
        finally:
            connection.close()


class Workers:
    """Threads that work the queue off.

    Parameters
    ----------
    settings
        What holds now.
    """

    def __init__(self, jobs: Jobs, settings: Callable[[], Settings]) -> None:
        self._jobs = jobs
        self._settings = settings
        self._models = Models(settings)
        self._change = threading.Condition()
        self._end = False
        self._there = False
        self._later: list[tuple[float, str, int]] = []
        """When to try again, which job, how often it was tried."""
        self._threads = [threading.Thread(target=self._work, name=f"worker-{n}", daemon=True) for n in range(THREADS)]
        self._threads.append(threading.Thread(target=self._watch, name="watch", daemon=True))

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There is a new job."""
        with self._change:
            self._change.notify()

    def stop(self) -> None:
        """Finish what is being asked for, at most for a few seconds; the rest stays in the queue."""
        with self._change:
            self._end = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)

    def _watch(self) -> None:
        """Know whether a model is there while jobs wait, and forget what is too old."""
        swept = 0.0
        while not self._end:
            if time.monotonic() - swept > SWEEP_SECONDS:
                with suppress(sqlite3.Error):
                    self._jobs.sweep(self._settings().keep)
                swept = time.monotonic()
            there = self._jobs.pending > 0 and self._models.ready()
            with self._change:
                self._there = there
                if there:
                    self._change.notify_all()
                self._change.wait(PROBE_SECONDS)

    def _work(self) -> None:
        while not self._end:
            try:
                found = self._next() if self._there else None
                if found is not None:
                    self._try(*found)
                    continue
            except Exception:
                # A job that cannot be read, as of a damaged file, waits for a look at this; the others are answered.
                log.exception("a job cannot be worked on")
                continue
            with self._change:
                if not self._end:
                    self._change.wait(PROBE_SECONDS)

    def _next(self) -> tuple[Job, int] | None:
        """A job to try now, and how often it was tried; one that failed before comes first when its time has come."""
        with self._change:
            due = bool(self._later) and self._later[0][0] <= time.monotonic()
            _, job_id, tried = heapq.heappop(self._later) if due else (0.0, "", 0)
        try:
            job = self._jobs.again(job_id) if due else self._jobs.take()
        except sqlite3.Error as error:
            log.warning("the queue cannot be read: %s", error)
            return None
        return None if job is None else (job, tried)

    def _try(self, job: Job, tried: int) -> None:
        given, fault = None, "the model is busy"
        try:
            given = self._models.ask(job.asked)
            fault = "" if given is None else f"status {given.status}"
            tried += given is not None
        except _FAULTS as error:
            tried, fault = tried + 1, f"{type(error).__name__}: {error}"
        if given is None or given.status >= 500:
            if tried < ATTEMPTS:
                self._put_off(job, tried)
                return
            log.error("job %s is given up after %d attempts: %s", job.id, tried, fault)
            given = given or Given(504, "application/json", "", b'{"error_code": "TIMEOUT", "message": "no answer"}')
        try:
            self._jobs.finish(job.id, given)
        except sqlite3.Error as error:
            log.warning("the answer of job %s cannot be kept: %s", job.id, error)
            self._put_off(job, tried)

    def _put_off(self, job: Job, tried: int) -> None:
        pause = min(LONGEST_PAUSE, 2.0 ** max(0, tried - 1))
        with self._change:
            heapq.heappush(self._later, (time.monotonic() + pause, job.id, tried))
