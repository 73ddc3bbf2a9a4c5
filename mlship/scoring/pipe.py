"""Whether something can be read from a pipe, however many files this process has open."""

from __future__ import annotations

import selectors


def readable(fd: int, seconds: float) -> bool:
    """Wait at most so long until there is something to read (or the other end has hung up).

    `select` refuses descriptors from 1,024 on; the system's own selector does not.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        return bool(selector.select(max(0.0, seconds)))
