"""An outbox: passes messages on in a thread of its own, so that whoever puts one in never waits and never fails."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

#: Messages that wait; a service that takes none must not fill the memory.
KEPT = 100
#: Seconds before the second attempt, the third, and so on.
WAITS = (1.0, 3.0, 9.0)

Message = TypeVar("Message")


class Outbox(Generic[Message]):
    """Messages for one receiver, in their order.

    Parameters
    ----------
    name
        Of the receiver, for sentences.
    send
        Sends one message, and returns what went wrong, or nothing; an exception counts as that.
    say
        Told in one sentence of the first message that did not get through, and of those that never will; called from
        the outbox's thread.
    limit
        Seconds for one message with all its attempts. An attempt that takes longer is left behind, and nothing else is
        tried until it has ended.
    """

    def __init__(
        self, name: str, send: Callable[[Message], str], say: Callable[[str], None], limit: float, kept: int = KEPT
    ) -> None:
        self._name, self._send, self._say, self._limit = name, send, say, limit
        self._waiting: deque[Message] = deque(maxlen=kept)
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._dropped = 0
        self._told = False

    def put(self, message: Message) -> None:
        """Pass a message on, as soon as those before it are through; the oldest gives way when too many wait."""
        with self._changed:
            if self._stopped.is_set():
                return
            self._dropped += len(self._waiting) == self._waiting.maxlen
            self._waiting.append(message)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"outbox {self._name}", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self, deadline: float) -> None:
        """Wait until all are through, or until this time of the monotonic clock; then no more are tried."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._busy, max(0.0, deadline - time.monotonic()))
            left = len(self._waiting) + self._busy + self._dropped
            self._dropped = 0
            self._stopped.set()
            self._waiting.clear()
            self._changed.notify_all()
        if left:
            self._tell(f"{left} notification{'s' if left > 1 else ''} by {self._name} did not get through in time")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._stopped.is_set())
                if self._stopped.is_set():
                    return
                message, self._busy = self._waiting.popleft(), True
            if (why := self._deliver(message)) and not self._told and not self._stopped.is_set():
                self._told = True
                self._tell(f"a notification by {self._name} did not get through: {why}")

    def _deliver(self, message: Message) -> str:
        """Try until it is through or its time is over; returns what went wrong."""
        deadline = time.monotonic() + self._limit
        waits = iter(WAITS)
        while True:
            attempt = _Attempt(self._send, message)
            attempt.thread.start()
            attempt.thread.join(max(0.0, deadline - time.monotonic()))
            if attempt.thread.is_alive():
                if not self._told:
                    self._told = True
                    self._tell(
                        f"a notification by {self._name} did not get through: no answer within {self._limit:g} s"
                    )
                attempt.thread.join()
                return ""
            wait = next(waits, None)
            if not attempt.why or wait is None or time.monotonic() + wait >= deadline or self._stopped.wait(wait):
                return attempt.why

    def _tell(self, sentence: str) -> None:
        try:
            self._say(sentence)
        except Exception:  # noqa: BLE001 - whoever listens may be gone; a rollout must not end for that
            return


class _Attempt(Generic[Message]):
    """One try, in a thread that can be left behind."""

    def __init__(self, send: Callable[[Message], str], message: Message) -> None:
        self.why = ""
        self._send, self._message = send, message
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.why = self._send(self._message)
        except Exception as error:  # noqa: BLE001 - its text may quote a URL with its secrets
            self.why = type(error).__name__
