"""The parent of several workers: it accepts, hands on, replaces who dies, and ends them together.

It loads no model and no HTTP server. Workers are started afresh, not forked from a process that has the model: a fork
copies locks and thread pools (OpenMP, a tracer's, the model's own) in whatever state they are in.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
import sys
import time
import uuid
from collections import deque
from contextlib import suppress

from mlship.errors import Exit, ModelError
from mlship.serving.handing import Hand
from mlship.serving.membership import Membership
from mlship.serving.together import Together, Told

#: Seconds: drain, then the requests in flight, as for one worker; and what a worker may take for its log on top.
DRAIN, FINISH, GRACE = 1.0, 30, 8.0
#: Seconds after which a dead worker is replaced; doubled with each that dies young, up to the longest.
BACK_OFF, LONGEST, YOUNG = 0.1, 30.0, 60.0
#: Seconds between two looks at what each worker has counted, and how many of them a worker may leave unanswered: then
#: its event loop hangs, and so do its callers. Counted in looks, so that a frozen machine does not count as silence.
LOOK, SILENT = 5.0, 12
#: Seconds until the last words of a worker that has ended are read; what it started may hold its descriptors open.
LAST_WORDS = 2.0
#: Connections accepted in one go, and seconds until it is tried again when there are no descriptors left.
MAX_ACCEPT, AGAIN = 128, 0.1

log = logging.getLogger("mlship.serving")


class Worker:
    """One worker as its parent sees it."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, hand: Hand, told: Told) -> None:
        self.number = number
        self.process = process
        self.hand = hand
        self.told = told
        self.born = time.monotonic()
        self.ready = False
        self.talk: asyncio.Task[None]

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self.process.kill()


class Parent:
    """Supervises the workers of one server.

    Parameters
    ----------
    command
        What starts a worker, but for `--member`.
    title
        How log lines name the server.
    """

    def __init__(self, count: int, listener: socket.socket, command: list[str], title: str) -> None:
        listener.setblocking(False)
        self._count = count
        self._listener = listener
        self._where = "{}:{}".format(*listener.getsockname()[:2])
        self._command = command
        self._title = title
        self._epoch, self._started = uuid.uuid4().hex, time.time()
        self._together = Together()
        self._workers: dict[int, Worker] = {}
        self._orphans: deque[socket.socket] = deque()
        """Connections that a worker was given and had not taken when it died."""
        self._serving = self._accepting = False
        self._stop = asyncio.Event()
        self._stopped_by: int | None = None
        self._fault: ModelError | None = None
        self._loop = asyncio.get_running_loop()

    async def run(self) -> int:
        """Serve until a signal; return the exit code.

        Raises
        ------
        ModelError
            The model does not load, and no worker has it.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._signal, number)
        log.info("%s is loading in %d workers, listening on %s", self._title, self._count, self._where)
        keepers = [self._loop.create_task(self._keep(number)) for number in range(self._count)]
        looks = self._loop.create_task(self._look())
        self._accept()
        await self._stop.wait()
        if self._serving and self._fault is None:
            await self._drain()
        looks.cancel()
        self._pause_accepting()
        self._listener.close()
        for worker in self._workers.values():
            if worker.ready and self._fault is None:
                worker.hand.finish()
            else:
                worker.kill()
        await asyncio.wait(keepers, timeout=FINISH + GRACE)
        for worker in self._workers.values():
            worker.kill()
        if self._fault is not None:
            raise self._fault
        return Exit.INTERRUPTED if self._stopped_by == signal.SIGINT else Exit.PASSED

    # Ending

    def _signal(self, number: int) -> None:
        if self._stopped_by is not None:  # the second: now
            for worker in self._workers.values():
                worker.kill()
        self._stopped_by = number
        self._stop.set()

    async def _drain(self) -> None:
        """Let callers leave: every answer tells them to, and new ones are still welcome."""
        for worker in self._workers.values():
            worker.told.channel.tell("drain")
        deadline = time.monotonic() + DRAIN
        await asyncio.sleep(0.1)
        while time.monotonic() < deadline and any(worker.hand.open for worker in self._workers.values()):
            await asyncio.sleep(0.05)
        self._accept()  # whoever has come in between

    # Workers

    async def _keep(self, number: int) -> None:
        """Keep one worker alive until the server stops."""
        pause = BACK_OFF
        while not self._stop.is_set():
            worker = await self._start(number)
            code = await worker.process.wait()
            await asyncio.wait([worker.talk], timeout=LAST_WORDS)
            worker.talk.cancel()
            self._bury(worker)
            if self._stop.is_set():
                return
            if code > 0 and not worker.ready and not (self._serving and self._some_ready()):
                self._give_up(worker, code)
                return
            if time.monotonic() - worker.born > YOUNG:
                pause = BACK_OFF
            died = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            log.error("worker %d ended with %s; the next one starts in %.1f s", number, died, pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            pause = min(pause * 2, LONGEST)

    async def _start(self, number: int) -> Worker:
        (ours, control), (giving, taking) = socket.socketpair(), socket.socketpair()
        with control, taking:
            member = Membership(number, control.fileno(), taking.fileno(), self._epoch, self._started)
            process = await asyncio.create_subprocess_exec(
                *self._command, "--member", member.argument(), pass_fds=(control.fileno(), taking.fileno())
            )
        told = Told(self._together, lambda _: self._on_ready(worker))
        worker = Worker(number, process, Hand(giving, self._accept), told)
        worker.talk = self._loop.create_task(told.channel.run(ours))
        self._together.add(told)
        self._workers[number] = worker
        self._accept()
        return worker

    async def _on_ready(self, worker: Worker) -> None:
        worker.ready = True
        if self._serving:
            log.info("worker %d is ready", worker.number)
            worker.told.channel.tell("serve")
        elif sum(each.ready for each in self._workers.values()) == self._count:
            self._serving = True
            for each in self._workers.values():
                each.told.channel.tell("serve")
            seconds = time.time() - self._started
            log.info("%s is ready in %d workers on %s after %.1f s", self._title, self._count, self._where, seconds)

    def _bury(self, worker: Worker) -> None:
        del self._workers[worker.number]
        self._orphans += worker.hand.close()
        self._together.bury(worker.told, died=not self._stop.is_set())
        self._accept()

    def _give_up(self, worker: Worker, code: int) -> None:
        told = worker.told.fault or {"what": f"a worker ended with exit code {code} while it loaded the model"}
        self._fault = self._fault or ModelError(told["what"], where=told.get("where", ""), hint=told.get("hint", ""))
        self._stop.set()

    def _some_ready(self) -> bool:
        return any(worker.ready for worker in self._workers.values())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            await self._together.look()
            for worker in self._workers.values():
                if worker.ready and worker.told.silent >= SILENT:
                    log.error("worker %d has not answered %d times; it is ended", worker.number, worker.told.silent)
                    worker.kill()

    # Connections

    def _accept(self) -> None:
        """Hand on all connections that wait, as far as there are workers that take them."""
        for _ in range(MAX_ACCEPT):
            worker = self._choose()
            if worker is None:
                self._pause_accepting()
                return
            connection = self._orphans.popleft() if self._orphans else self._next()
            if connection is None:
                return
            if not worker.hand.give(connection):
                self._orphans.appendleft(connection)

    def _next(self) -> socket.socket | None:
        """The next connection; None when there is none now, and then `_accept` is called again when there is one."""
        if self._listener.fileno() < 0:
            return None
        try:
            return self._listener.accept()[0]
        except BlockingIOError:
            pass
        except OSError as fault:  # no descriptors are left, or the caller has gone already
            log.warning("a connection could not be accepted: %s", fault)
            self._pause_accepting()
            self._loop.call_later(AGAIN, self._accept)
            return None
        if not self._accepting:
            self._loop.add_reader(self._listener.fileno(), self._accept)
            self._accepting = True
        return None

    def _pause_accepting(self) -> None:
        if self._accepting:
            self._loop.remove_reader(self._listener.fileno())
            self._accepting = False

    def _choose(self) -> Worker | None:
        """Who gets the next connection: of those that are ready, or of all when none is, the one with the fewest."""
        ready = [worker for worker in self._workers.values() if worker.ready]
        free = [worker for worker in ready or self._workers.values() if worker.hand.free]
        return min(free, key=lambda worker: (worker.hand.open, worker.hand.given), default=None)


def run(arguments: argparse.Namespace, listener: socket.socket, argv: list[str]) -> int:
    """Serve with several workers until stopped; return the exit code."""
    words = sys.orig_argv  # with the interpreter's own options
    flags = words[1 : words.index("-m")] if "-m" in words else []
    command = [sys.executable, *flags, "-m", "mlship.serving", *argv]

    async def parent() -> int:
        title = f"{arguments.name} version {arguments.version}"
        return await Parent(arguments.workers, listener, command, title).run()

    return asyncio.run(parent())
