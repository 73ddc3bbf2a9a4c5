"""An event loop that wakes up on time: asyncio's own rounds every wait up to a whole millisecond."""

from __future__ import annotations

import asyncio
import select
import selectors


class FineSelector(selectors.DefaultSelector):
    """The system's selector, with waits as exact as the kernel's.

    `epoll` counts in milliseconds, and asyncio rounds up; `select` counts in microseconds. An epoll descriptor can
    itself be waited for, so one `select` on it gives both: many connections and exact waits.
    """

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As the base class; a positive `timeout` is kept to the microsecond."""
        if timeout is not None and timeout > 0:
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


def event_loop() -> asyncio.AbstractEventLoop:
    """A loop whose timers are late by some ten microseconds where the system has epoll or kqueue."""
    selector = FineSelector if hasattr(selectors.DefaultSelector, "fileno") else selectors.DefaultSelector
    return asyncio.SelectorEventLoop(selector())
