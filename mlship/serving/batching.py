"""Micro-batching: one worker thread, one take at a time; what arrives during a take goes into the next one together.

The queue in front of it is bounded, and every wait ends: with an answer, at the request's deadline, or with its caller.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from mlship.serving.bodies import ClientGone
from mlship.serving.limits import Limits
from mlship.serving.protocol import Answer, Request, failed, too_late, unavailable

#: Most requests in one take. A take is cut into model calls by rows; this only bounds how long the last one waits.
MAX_TAKE = 256
#: After a take, as many requests as were taken or waiting are expected to come together again. They are waited for at
#: most this share of the time that the take took, and never longer than so many seconds; trust that they come halves
#: each time they do not, down to this.
PATIENCE, MAX_PATIENCE, MIN_TRUST = 0.5, 0.01, 1 / 16
#: Seconds between two looks through a full queue for callers that have gone.
LOOK = 0.05

Work = Callable[[Sequence[Request]], Iterator[list[tuple[int, Answer]]]]


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """One request between its arrival and its answer."""

    request: Request
    answer: asyncio.Future[Answer]
    deadline: float
    """By the loop's clock."""
    gone: Callable[[], bool]
    """Whether the caller has hung up."""


def _never() -> bool:
    return False


class Batcher:
    """Hands requests of an event loop to a worker thread.

    A request that comes alone starts at once. Callers that came together are expected back together, for a moment.

    Parameters
    ----------
    work
        Answers a list of requests; runs in the worker thread.
    limits
        How many may wait, and for how long.
    """

    def __init__(self, work: Work, limits: Limits) -> None:
        self._work = work
        self._limits = limits
        self._waiting: deque[Waiting] = deque()
        self._taken: list[Waiting] = []
        self._busy = False
        self._expected = 0
        self._trust = 1.0
        self._gathering: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._takes: SimpleQueue[list[Waiting] | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._took_at = self._free_at = self._loop.time()
        self._looked_at = self._took_at - LOOK
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many requests wait for a take."""
        return len(self._waiting)

    async def answer(
        self, request: Request, gone: Callable[[], bool] = _never, deadline: float | None = None
    ) -> Answer:
        """Answer one request, together with whatever else is waiting.

        Parameters
        ----------
        request
            What came.
        gone
            Whether the caller has hung up: then it is not put to the model.
        deadline
            Until when an answer is of use, by the loop's clock; default: the timeout from now.

        Raises
        ------
        ClientGone
            Nobody is there to be answered.
        """
        if len(self._waiting) >= self._limits.max_queue and not self._make_room():
            return unavailable(f"{len(self._waiting)} requests are waiting already; try again")
        until = self._loop.time() + self._limits.timeout if deadline is None else deadline
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append(Waiting(request, future, until, gone))
        if self._alarm is None:
            self._alarm = self._loop.call_at(until, self._expire)
        if not self._busy:
            self._wake()
        return await future

    def close(self) -> None:
        """Let the worker thread end when it has done what it has."""
        if self._alarm:
            self._alarm.cancel()
        self._takes.put(None)

    def _make_room(self) -> bool:
        """Drop those whose callers have gone; whether there was one. Looks seldom: to refuse must stay cheap."""
        if self._loop.time() < self._looked_at + LOOK:
            return False
        self._looked_at = self._loop.time()
        for waiting in self._waiting:
            if not waiting.answer.done() and waiting.gone():
                waiting.answer.set_exception(ClientGone())
        before = len(self._waiting)
        self._waiting = deque(waiting for waiting in self._waiting if not waiting.answer.done())
        return len(self._waiting) < before

    def _wake(self) -> None:
        """Take what waits: now, or when those who came together before are back."""
        if len(self._waiting) >= min(self._expected, MAX_TAKE):
            # Not before the loop has read every socket that is ready by now: those requests share the take.
            self._busy = True
            if self._gathering:
                self._gathering.cancel()
                self._gathering = None
                self._trust = min(1.0, 2 * self._trust)
            self._loop.call_soon(self._take)
        elif self._gathering is None:
            patience = self._trust * min(PATIENCE * (self._free_at - self._took_at), MAX_PATIENCE)
            self._gathering = self._loop.call_at(self._free_at + patience, self._gathered)

    def _gathered(self) -> None:
        """Time is up for those who were expected."""
        self._gathering = None
        self._expected = 0
        self._trust = max(MIN_TRUST, self._trust / 2)
        if self._waiting and not self._busy:
            self._wake()

    def _take(self) -> None:
        now = self._loop.time()
        taken: list[Waiting] = []
        while self._waiting and len(taken) < MAX_TAKE:
            waiting = self._waiting.popleft()
            if waiting.answer.done():
                continue
            if waiting.gone():
                waiting.answer.set_exception(ClientGone())
            elif waiting.deadline <= now:
                _give_up(waiting)
            else:
                taken.append(waiting)
        self._taken = taken
        self._busy = bool(taken)
        if taken:
            self._took_at = now
            self._takes.put(taken)

    def _free(self) -> None:
        """The worker is done with its take."""
        self._free_at = self._loop.time()
        together = len(self._taken) + len(self._waiting)
        self._expected = together if together > 1 else 0
        self._taken = []
        self._busy = False
        if self._waiting:
            self._wake()

    def _expire(self) -> None:
        """Answer what has waited too long, and come back for the next."""
        now = self._loop.time()
        while self._waiting and (self._waiting[0].answer.done() or self._waiting[0].deadline <= now):
            _give_up(self._waiting.popleft())
        for taken in self._taken:
            if taken.deadline <= now and not taken.answer.done():
                taken.answer.set_result(too_late())
        times = [taken.deadline for taken in self._taken if not taken.answer.done()]
        times += [waiting.deadline for waiting in list(self._waiting)[:1]]
        self._alarm = self._loop.call_at(min(times), self._expire) if times else None

    def _run(self) -> None:
        while (take := self._takes.get()) is not None:
            try:
                for answered in self._work([waiting.request for waiting in take]):
                    self._post(_resolve, [(take[position].answer, answer) for position, answer in answered])
            except BaseException as raised:  # noqa: BLE001 - the worker outlives everything, even SystemExit in a model
                self._post(_resolve, [(waiting.answer, failed(raised)) for waiting in take])
            del take  # the requests of the last take need not live until the next one comes
            self._post(self._free)

    def _post(self, function: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)


def _give_up(waiting: Waiting) -> None:
    if not waiting.answer.done():
        waiting.answer.set_result(unavailable("no turn within the timeout; the model has not seen the request"))


def _resolve(answered: list[tuple[asyncio.Future[Answer], Answer]]) -> None:
    for future, answer in answered:
        if not future.done():  # the caller may have gone away, or its time may have run out
            future.set_result(answer)
