"""Slow questions beside the loop: hooks and the registry are asked in threads, so that no look waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

#: What came of an errand: its answer, or what went wrong.
Found = object


class Errands(Protocol):
    """Runs questions by name; each name once at a time."""

    def start(self, name: str, ask: Callable[[], Found]) -> None:
        """Begin to ask, unless this very question is under way."""

    def done(self) -> dict[str, Found]:
        """What has come since the last call, by name; an exception stands for a question that failed."""


class Threads:
    """Each question in a thread of its own, which nobody waits for when the command ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._found: dict[str, Found] = {}

    def start(self, name: str, ask: Callable[[], Found]) -> None:
        """See ``Errands.start``."""
        with self._lock:
            if name in self._under_way:
                return
            self._under_way.add(name)
        threading.Thread(target=self._run, args=(name, ask), name=name, daemon=True).start()

    def done(self) -> dict[str, Found]:
        """See ``Errands.done``."""
        with self._lock:
            found, self._found = self._found, {}
        return found

    def _run(self, name: str, ask: Callable[[], Found]) -> None:
        found = asked(ask)
        with self._lock:
            self._under_way.discard(name)
            self._found[name] = found


class AtOnce:
    """Asks at once and waits: for fake time, where threads have no place."""

    def __init__(self) -> None:
        self._found: dict[str, Found] = {}

    def start(self, name: str, ask: Callable[[], Found]) -> None:
        """See ``Errands.start``."""
        self._found[name] = asked(ask)

    def done(self) -> dict[str, Found]:
        """See ``Errands.done``."""
        found, self._found = self._found, {}
        return found


def asked(ask: Callable[[], Found]) -> Found:
    """The answer, or the exception that came instead."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 - told to the loop, which goes on without an answer
        return error
