"""Handing accepted connections from the parent to its workers, and hearing when each is taken and when it has ended.

One process accepts and chooses the worker with the fewest open connections. The kernel would choose by chance when
every worker listens by itself (SO_REUSEPORT): connections are kept alive for long and are few, so chance is uneven; and
a worker that dies would take the connections of its own queue with it. Of one shared listening socket, whichever worker
wakes first takes all that wait. Here a connection stays the parent's until a worker has said that it has it, so it is
handed to another when that one dies.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress

#: What a worker says of its connections, one byte each.
TAKEN, ENDED = b"+", b"-"
#: Connections that one worker may have been sent and not taken yet.
MAX_SENT = 64


class Hand:
    """The parent's end: what one worker was given.

    Parameters
    ----------
    on_change
        Called when the worker has taken or ended connections, so that it may be given more.
    """

    def __init__(self, end: socket.socket, on_change: Callable[[], None]) -> None:
        end.setblocking(False)
        self._end = end
        self._on_change = on_change
        self._sent: deque[socket.socket] = deque()
        self.open = 0
        """Connections that the worker has, those on their way included."""
        self.given = 0
        self._gone = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(end.fileno(), self._hear)

    @property
    def free(self) -> bool:
        """Whether one more may be sent."""
        return not self._gone and len(self._sent) < MAX_SENT

    def give(self, connection: socket.socket) -> bool:
        """Send a connection; False when the worker cannot be reached, and the connection is still the caller's."""
        try:
            socket.send_fds(self._end, [b"c"], [connection.fileno()])
        except OSError:
            self._gone = True
            return False
        self._sent.append(connection)
        self.open += 1
        self.given += 1
        return True

    def close(self) -> list[socket.socket]:
        """Tell the worker that no more will come; return what it was sent and has not taken."""
        self._gone = True
        self._loop.remove_reader(self._end.fileno())
        self._end.close()
        left = list(self._sent)
        self._sent.clear()
        self.open = 0
        return left

    def finish(self) -> None:
        """Tell the worker that no more will come, and go on hearing what it takes of those on their way."""
        self._gone = True
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_WR)

    def _hear(self) -> None:
        try:
            said = self._end.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:  # it has gone; whoever waits for the process calls `close`
            self._gone = True
            self._loop.remove_reader(self._end.fileno())
            return
        for _ in range(said.count(TAKEN)):
            self._sent.popleft().close()
        self.open -= said.count(ENDED)
        self._on_change()


class Taking:
    """The worker's end.

    Parameters
    ----------
    adopt
        Serves one connection.
    on_finish
        Called when no more will come.
    """

    def __init__(
        self, end: socket.socket, adopt: Callable[[socket.socket], None], on_finish: Callable[[], None]
    ) -> None:
        end.setblocking(False)
        self._end = end
        self._adopt = adopt
        self._on_finish = on_finish
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(end.fileno(), self._take)

    def ended(self) -> None:
        """Say that one connection has ended."""
        self._say(ENDED)

    def _take(self) -> None:
        for _ in range(MAX_SENT):
            try:
                data, descriptors, *_rest = socket.recv_fds(self._end, 1, 1)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                self._loop.remove_reader(self._end.fileno())
                self._on_finish()
                return
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
                self._say(TAKEN)
                self._adopt(socket.socket(fileno=descriptor))

    def _say(self, word: bytes) -> None:
        with suppress(OSError):  # the parent has gone, or is slow beyond all measure: it must count no more
            self._end.send(word)
