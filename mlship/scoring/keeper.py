"""The thread that keeps one model's process: starts it, loads the model once, asks it in turn, and ends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import BoundedSemaphore, Thread

from mlship.errors import DataError, MlshipError
from mlship.home import Home
from mlship.policy.gates import SecurityGate
from mlship.scan.scan import require
from mlship.scoring import kept as store
from mlship.scoring.kept import Predictions
from mlship.scoring.worker import Process
from mlship.types import ModelVersion


def named(version: ModelVersion) -> str:
    """A version as messages call it."""
    return f"{version.model} version {version.version}"


class Job:
    """One table for one model: where its rows are, where to write, and where the result belongs."""

    def __init__(self, source: Path, made: Path, target: Path, count: int | None) -> None:
        self.source, self.made, self.target, self.count = source, made, target, count


#: Told where the result belongs, and the result or the error.
Landed = Callable[[Path, "Predictions | BaseException"], None]


class Keeper:
    """The thread that starts one model's process, speaks with it and ends it: no other may (see `scorer.die_with`)."""

    def __init__(
        self, version: ModelVersion, section: SecurityGate, home: Home, threads: int, working: BoundedSemaphore
    ) -> None:
        self._version, self._section, self._home = version, section, home
        self._threads, self._working = threads, working
        self._jobs: SimpleQueue[tuple[Job, Landed] | None] = SimpleQueue()
        self._process: Process | None = None
        self._loaded = False
        self._closing = False
        self._thread = Thread(target=self._run, name=f"keeper of {named(version)}", daemon=True)
        self._thread.start()

    def ask(self, job: Job, landed: Landed) -> None:
        """Have the model predict a table when its turn comes; `landed` hears the result, or the error."""
        self._jobs.put((job, landed))

    def close(self) -> None:
        """End the process, at work or not, and wait for it."""
        self._closing = True
        if (process := self._process) is not None:
            process.kill()
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._begin()
            while (asked := self._jobs.get()) is not None:
                job, landed = asked
                try:
                    with self._working:
                        result: Predictions | BaseException = self._done(job)
                except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
                    result = error
                    if not isinstance(error, DataError):
                        self._end()
                landed(job.target, result)
        finally:
            self._end()

    def _begin(self) -> Process:
        if self._process is None:
            self._process, self._loaded = Process(self._version, self._section, self._threads), False
            if self._closing:
                self._process.kill()
        return self._process

    def _done(self, job: Job) -> Predictions:
        process = self._begin()
        try:
            if not self._loaded:
                require(self._version, self._section, self._home)
                process.load()
                self._loaded = True
            writer = store.Writer(job.made)
            for message, parts in process.predict(job.source):
                writer.take(message, parts)
        except MlshipError as error:
            error.where = error.where or named(self._version)
            raise
        store.place(job.made, job.target)
        predictions = store.load(job.target, job.count)
        if predictions is None:
            raise OSError(f"predictions in {job.target} cannot be read back")
        return predictions

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None
