"""Sends requests at their times, whatever the answers do, and notes what became of each."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter, deque
from collections.abc import Sequence

from mlship.load.connections import Flight, Pool
from mlship.load.histogram import encoded
from mlship.load.plan import Hopeless, Load, Target
from mlship.load.recording import TIMEOUT, Slice

#: How often time-outs and hopelessness are looked for, in seconds.
_SWEEP = 0.02
#: After as many requests that are overdue, answers are read first: they free connections for the next.
_BURST = 32
#: A waking loop needs some microseconds to get ready; the first request is due this much later.
_START = 0.005


class _Block:
    """What is noted of one slice while it runs."""

    def __init__(self) -> None:
        self.latencies, self.lags = array("d"), array("d")
        self.errors: Counter[str] = Counter()
        self.sent = self.waited = self.resent = 0
        self.last = 0.0


class Sender:
    """Loads one target, stretch by stretch, over connections that are kept in between."""

    def __init__(self, target: Target, address: str, bodies: list[bytes], load: Load) -> None:
        self._pool = Pool(target, address, bodies, load.connections, self._landed)
        self._load = load
        self._bodies = len(bodies)
        self._blocks: list[_Block] = []
        self._flights: deque[Flight] = deque()
        self._under_way = 0
        self._times: Sequence[float] = ()
        self._next = self._first_body = 0
        self._begin = self._width = 0.0
        self._over: asyncio.Event
        self._timer: asyncio.TimerHandle | None = None
        self._slow = [0] * len(load.hopeless)
        self._failed = 0
        self.stopped = ""
        """Why the load ended early; empty when it did not."""

    @property
    def connections(self) -> int:
        """Connections that were open at the same time, at most."""
        return self._pool.peak

    async def stretch(self, times: Sequence[float], settle: float, width: float, blocks: int, body: int) -> list[Slice]:
        """Send one request at each of `times` (seconds from now), and wait until each is answered or has timed out.

        What is due in the first `settle` seconds is sent and not noted; the rest belongs to `blocks` slices of `width`
        seconds each. `body` is the number of the first request's body; the others follow, round and round.
        """
        loop = asyncio.get_running_loop()
        self._blocks = [_Block() for _ in range(blocks)]
        self._times, self._next, self._first_body = times, 0, body
        start = loop.time() + _START
        self._begin, self._width = start + settle, width
        self._start = start
        self._over = asyncio.Event()
        self._send_due()
        sweeper = loop.create_task(self._sweep())
        try:
            await self._over.wait()
        finally:
            sweeper.cancel()
            if self._timer is not None:
                self._timer.cancel()
        return [self._slice(number, block) for number, block in enumerate(self._blocks)]

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    def _send_due(self) -> None:
        loop = asyncio.get_running_loop()
        times, start = self._times, self._start
        now = loop.time()
        last = min(len(times), self._next + _BURST)
        while self._next < last and start + times[self._next] <= now:
            intended = start + times[self._next]
            after = intended - self._begin
            number = min(int(after / self._width), len(self._blocks) - 1) if after >= 0 else -1
            flight = Flight(intended, number, (self._first_body + self._next) % self._bodies)
            self._next += 1
            self._flights.append(flight)
            self._under_way += 1
            at_once = self._pool.send(flight)
            if number >= 0:
                block = self._blocks[number]
                block.sent += 1
                block.lags.append(now - intended)
                block.last = now - self._begin - number * self._width
                block.waited += not at_once
            now = loop.time()
        if self._next < len(times):
            self._timer = loop.call_at(start + times[self._next], self._send_due)
        elif not self._under_way:
            self._over.set()

    def _landed(self, flight: Flight, outcome: str) -> None:
        took = asyncio.get_running_loop().time() - flight.intended
        self._under_way -= 1
        if flight.block >= 0:
            block = self._blocks[flight.block]
            block.resent += flight.resent
            if outcome:
                block.errors[outcome] += 1
                self._failed += 1
            if not outcome or outcome == TIMEOUT:
                block.latencies.append(took)
                for number, rule in enumerate(self._load.hopeless):
                    self._slow[number] += took > rule.slower_than
        if not self._under_way and self._next >= len(self._times):
            self._over.set()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP)
            now = loop.time()
            while self._flights and (self._flights[0].done or now - self._flights[0].intended > self._load.timeout):
                flight = self._flights.popleft()
                if not flight.done:
                    self._pool.give_up(flight)
            for number, rule in enumerate(self._load.hopeless):
                if self._is_hopeless(number, rule, now):
                    self._stop(rule)
                    return

    def _is_hopeless(self, number: int, rule: Hopeless, now: float) -> bool:
        slow = self._slow[number] + self._failed
        for flight in self._flights:  # in the order of their times: the first that is young enough ends it
            if slow > rule.more_than or now - flight.intended <= rule.slower_than:
                break
            slow += not flight.done and flight.block >= 0
        return slow > rule.more_than

    def _stop(self, rule: Hopeless) -> None:
        """Send no more, and leave those under way without an outcome out of the recording."""
        self.stopped = f"more than {rule.more_than:,} requests failed or took longer than {rule.slower_than * 1e3:g} ms"
        self._next = len(self._times)
        for flight in self._flights:
            if not flight.done:
                if flight.block >= 0:
                    self._blocks[flight.block].sent -= 1
                    flight.block = -1
                self._pool.give_up(flight)
        self._flights.clear()
        self._over.set()

    def _slice(self, number: int, block: _Block) -> Slice:
        return Slice(
            index=number,
            seconds=self._width,
            sent=block.sent,
            latency=encoded(block.latencies),
            lag=encoded(block.lags),
            errors=dict(block.errors),
            lasted=block.last,
            waited=block.waited,
            resent=block.resent,
        )
