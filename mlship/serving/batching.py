"""Micro-batching: one worker thread, one take at a time; what arrives during a take goes into the next one together."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue

from mlship.serving.protocol import Answer, Request, failed

#: Most requests in one take. A take is cut into model calls by rows; this only bounds how long the last one waits.
MAX_TAKE = 256

Work = Callable[[Sequence[Request]], Iterator[list[tuple[int, Answer]]]]
Waiting = tuple[Request, "asyncio.Future[Answer]"]


class Batcher:
    """Hands requests of an event loop to a worker thread. A lone request starts at once; there is no waiting window.

    Parameters
    ----------
    work
        Answers a list of requests; runs in the worker thread.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._waiting: deque[Waiting] = deque()
        self._busy = False
        self._takes: SimpleQueue[list[Waiting] | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many requests wait for a take."""
        return len(self._waiting)

    async def answer(self, request: Request) -> Answer:
        """Answer one request, together with whatever else is waiting."""
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append((request, future))
        if not self._busy:
            # Not before the loop has read every socket that is ready by now: those requests share the take.
            self._busy = True
            self._loop.call_soon(self._take)
        return await future

    def close(self) -> None:
        """Let the worker thread end when it has done what it has."""
        self._takes.put(None)

    def _take(self) -> None:
        size = min(len(self._waiting), MAX_TAKE)
        self._busy = size > 0
        if size:
            self._takes.put([self._waiting.popleft() for _ in range(size)])

    def _run(self) -> None:
        while (take := self._takes.get()) is not None:
            try:
                for answered in self._work([request for request, _ in take]):
                    self._post(_resolve, [(take[position][1], answer) for position, answer in answered])
            except BaseException as raised:  # noqa: BLE001 - the worker outlives everything, even SystemExit in a model
                self._post(_resolve, [(future, failed(raised)) for _, future in take])
            self._post(self._take)

    def _post(self, function: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)


def _resolve(answered: list[tuple[asyncio.Future[Answer], Answer]]) -> None:
    for future, answer in answered:
        if not future.done():  # the caller may have gone away
            future.set_result(answer)
