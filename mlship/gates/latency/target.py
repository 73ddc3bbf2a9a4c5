"""What is measured: a model server that is started for the measurement alone, looked at, and always ended."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Protocol

from mlship.errors import ModelFault

#: Seconds between two looks at a server that starts: the resolution of the cold start.
_LOOK = 0.01
#: Seconds between two looks at its memory. A look walks the server's page tables, which must not show in its latency.
_WEIGH = 1.0
#: Lines of a server's log that are shown when it ends.
LAST_LINES = 8


@dataclass(frozen=True, slots=True)
class Ready:
    """A server that answers."""

    address: str
    """`host:port`, plain HTTP."""
    seconds: float
    """From the command that started it until it said that it is ready: the cold start."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The most that a server took while it was watched."""

    peak: int
    """Bytes."""
    what: str
    """Which figure it is, in words."""


class Target(Protocol):
    """One server of one version. It is started once, and `close` leaves nothing of it."""

    kind: str
    """`process` or `container`."""

    def start(self, patience: float) -> Ready:
        """Start it and wait until it is ready.

        Raises ``ModelFault`` with the last lines of its log when it ends or is not ready within `patience` seconds,
        ``EngineError`` when it cannot be started here at all.
        """

    def memory(self) -> Memory | None:
        """The most that it took between its being ready and now; None when this machine does not tell."""

    def ended(self) -> str:
        """Why it ended, with the last lines of its log; empty while it runs."""

    def close(self) -> None:
        """End it, and remove everything that was made for it. May be called twice."""


class Gauge:
    """Looks at a server's memory once a second, and remembers the most.

    Parameters
    ----------
    read
        Bytes in use now; None when it cannot be told at this moment.
    """

    def __init__(self, read: Callable[[], int | None]) -> None:
        self._read = read
        self._done = Event()
        self._peak: int | None = None
        self._thread = Thread(target=self._watch, name="memory", daemon=True)
        self._thread.start()

    def peak(self) -> int | None:
        """Bytes, with a last look now."""
        self._look()
        return self._peak

    def close(self) -> None:
        """Look no more."""
        self._done.set()
        self._thread.join(timeout=10)

    def _watch(self) -> None:
        while not self._done.wait(_WEIGH):
            self._look()

    def _look(self) -> None:
        if (now := self._read()) is not None:
            self._peak = max(now, self._peak or 0)


def wait_ready(address: str, started: float, patience: float, ended: Callable[[], str], where: str) -> Ready:
    """Look at a starting server until it says that it is ready; `started` is when it was started (monotonic).

    Raises ``ModelFault`` when it ends first (`ended` says why), or is not ready within `patience` seconds.
    """
    while True:
        if is_ready(address):
            return Ready(address, time.monotonic() - started)
        if why := ended():
            raise not_started(why, where)
        if time.monotonic() - started > patience:
            raise ModelFault(f"the server is not ready after {patience:g} s", where=where)
        time.sleep(_LOOK)


def not_started(why: str, where: str) -> ModelFault:
    """The error of a server that ended before it was ready."""
    return ModelFault(f"the server does not start: {why}", where=where)


def is_ready(address: str) -> bool:
    """Whether the server answers 200 to `GET /ping`."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=2)
    with suppress(OSError, http.client.HTTPException):
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == http.client.OK
        finally:
            connection.close()
    return False


def last_lines(text: str) -> str:
    """The end of a server's log, in one line."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return " | ".join(line if len(line) <= 300 else line[:297] + "..." for line in lines[-LAST_LINES:])
