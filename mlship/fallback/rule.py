"""Answers by rule: a fixed document, or a function in processes of its own, which may hang, crash or exit there."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

#: Processes of the function: one that hangs for its whole limit must not keep everybody waiting.
PROCESSES = 2
#: Seconds until the function's module must be imported.
START_SECONDS = 30.0
#: Seconds after a start that failed, before the next is tried.
PAUSE_SECONDS = 1.0

log = logging.getLogger("mlship.fallback")


class RuleFault(Exception):
    """The rule gave no answer; says why in a line."""


class Rule(Protocol):
    """What answers a request's document."""

    async def ready(self) -> None:
        """Return when it can answer; raise ``RuleFault`` when it cannot."""

    async def answer(self, document: Any) -> bytes:
        """The answer's JSON; raises ``RuleFault``."""

    async def close(self) -> None:
        """End what it started."""


class Fixed:
    """The same answer to everybody."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._body = json.dumps(answer).encode()

    async def ready(self) -> None:
        """See ``Rule.ready``."""

    async def answer(self, document: Any) -> bytes:
        """See ``Rule.answer``."""
        del document
        return self._body

    async def close(self) -> None:
        """See ``Rule.close``."""


class Function:
    """A function of the document.

    Parameters
    ----------
    function
        `module:function`.
    directory
        Where the module is found.
    limit
        Seconds that an answer may take, waiting for a free process included.
    """

    def __init__(self, function: str, directory: str, limit: float) -> None:
        self._command = (str(Path(__file__).with_name("child.py")), function, directory)
        self._name = function
        self._limit = limit
        self._free: asyncio.Queue[Child] = asyncio.Queue()
        self._children = [Child(self._command) for _ in range(PROCESSES)]
        for child in self._children:
            self._free.put_nowait(child)
        self._returning: set[asyncio.Task[None]] = set()

    async def ready(self) -> None:
        """See ``Rule.ready``."""
        await asyncio.gather(*(child.started() for child in self._children))

    async def answer(self, document: Any) -> bytes:
        """See ``Rule.answer``."""
        question = json.dumps(document).encode()
        until = time.monotonic() + self._limit
        try:
            child: Child | None = await asyncio.wait_for(self._free.get(), self._limit)
        except TimeoutError:
            raise RuleFault(f"{self._name} is busy with slower requests") from None
        try:
            async with asyncio.timeout(max(0.001, until - time.monotonic())):
                assert child is not None, "it is given back below only"
                good, answer = await child.ask(question)
        except BaseException as raised:
            assert child is not None, "it is given back below only"
            child.kill()  # its answer, if one came yet, would be taken for the next one's
            back = asyncio.create_task(self._return(child))
            self._returning.add(back)
            back.add_done_callback(self._returning.discard)
            child = None
            if isinstance(raised, TimeoutError):
                raise RuleFault(f"{self._name} gave no answer within {self._limit:g} s") from None
            if isinstance(raised, asyncio.IncompleteReadError | ConnectionError):
                raise RuleFault(f"{self._name} ended its process") from None
            raise
        finally:
            if child is not None:
                self._free.put_nowait(child)
        if not good:
            raise RuleFault(f"{self._name} failed: {answer}")
        return json.dumps(answer).encode()

    async def _return(self, child: Child) -> None:
        """Give a child back once its process has started again: its imports are no part of anybody's time."""
        with suppress(RuleFault):
            await child.started()
        self._free.put_nowait(child)

    async def close(self) -> None:
        """See ``Rule.close``."""
        for back in self._returning:
            back.cancel()
        for child in self._children:
            child.kill()
            await child.ended()


class Child:
    """One process of the function, started when it is needed, and again after it ended."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._process: Process | None = None
        self._starting = asyncio.Lock()
        self._failed_at = -PAUSE_SECONDS

    async def started(self) -> Process:
        """The process, with the function imported; raises ``RuleFault``."""
        async with self._starting:
            if self._process is not None and self._process.returncode is None:
                return self._process
            if time.monotonic() - self._failed_at < PAUSE_SECONDS:
                raise RuleFault("the rule's function cannot be imported; the log says why")
            process = await asyncio.create_subprocess_exec(sys.executable, *self._command, stdin=PIPE, stdout=PIPE)
            try:
                await asyncio.wait_for(_frame(process), START_SECONDS)
            except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
                self._failed_at = time.monotonic()
                _kill(process)
                raise RuleFault("the rule's function cannot be imported; the log says why") from None
            except BaseException:
                _kill(process)
                raise
            self._process = process
            return process

    async def ask(self, question: bytes) -> tuple[bool, Any]:
        """Whether the function returned, and what; or what it raised."""
        process = await self.started()
        assert process.stdin is not None
        process.stdin.write(len(question).to_bytes(4, "big") + question)
        await process.stdin.drain()
        good, answer = await _frame(process)
        return bool(good), answer

    def kill(self) -> None:
        """End the process at once, if there is one."""
        if self._process is not None:
            _kill(self._process)
            self._process = None

    async def ended(self) -> None:
        """Wait for a process that was killed."""
        if self._process is not None:
            await self._process.wait()


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()


async def _frame(process: Process) -> Any:
    assert process.stdout is not None
    head = await process.stdout.readexactly(4)
    return json.loads(await process.stdout.readexactly(int.from_bytes(head, "big")))
