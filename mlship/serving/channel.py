"""Questions and answers between the processes of one server: JSON lines over a socket pair, both ends alike."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any

#: A longer line ends the channel. Far above the state of a worker with hundreds of columns.
MAX_LINE = 2**27

Handler = Callable[[Any], Awaitable[Any]]


class Closed(Exception):
    """The other end has gone, or did not answer in time."""


class Channel:
    """One end. `run` reads until the other end has gone; each question is answered in a task of its own.

    Parameters
    ----------
    handlers
        What answers a question, by its name.
    """

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._numbers = count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter | None = None
        self.closed = False

    async def run(self, end: socket.socket) -> None:
        """Read and answer until the other end has gone."""
        reader, self._writer = await asyncio.open_unix_connection(sock=end, limit=MAX_LINE)
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if "what" in message:
                    task = asyncio.ensure_future(self._answer(message))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                elif (future := self._asked.pop(message["reply"], None)) is not None and not future.done():
                    future.set_result(message["document"])
        except (OSError, ValueError):
            pass  # the other end died in the middle of a line
        finally:
            self.closed = True
            self._writer.close()
            for future in self._asked.values():
                if not future.done():
                    future.set_exception(Closed())
            self._asked.clear()

    def tell(self, what: str, document: Any = None) -> None:
        """Say something that needs no answer; nothing happens when the other end has gone."""
        self._write({"what": what, "document": document})

    async def ask(self, what: str, document: Any = None, *, timeout: float) -> Any:
        """Ask the other end; raises `Closed` when it has gone, or does not answer within `timeout` seconds."""
        if self.closed or self._writer is None:
            raise Closed
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        self._write({"what": what, "number": number, "document": document})
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise Closed from None
        finally:
            self._asked.pop(number, None)

    async def _answer(self, message: dict[str, Any]) -> None:
        document = await self._handlers[message["what"]](message["document"])
        if "number" in message:
            self._write({"reply": message["number"], "document": document})

    def _write(self, message: dict[str, Any]) -> None:
        if not self.closed and self._writer is not None:
            self._writer.write(json.dumps(message).encode() + b"\n")
