"""One worker of several: it gets its connections from the parent, and shares what it knows through it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mlship.errors import Exit, MlshipError
from mlship.serving import process, tracing
from mlship.serving.app import App
from mlship.serving.batching import Work
from mlship.serving.channel import Channel, Closed
from mlship.serving.feedback import Label
from mlship.serving.handing import Taking
from mlship.serving.membership import Membership
from mlship.serving.observing import Observing
from mlship.serving.others import Joined

#: Seconds that the parent may take to ask all others; each of them has less.
PATIENCE = 5.0

log = logging.getLogger("mlship.serving")


class Siblings:
    """Implements ``others.Others`` by asking the parent; when it does not answer, this worker speaks for itself."""

    def __init__(self, membership: Membership, parent: Channel) -> None:
        self.epoch = membership.epoch
        self.started = membership.started
        self._parent = parent

    async def states(self, own: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
        """See ``Others.states``."""
        try:
            states: list[dict[str, Any]] = await self._parent.ask("states", own, timeout=PATIENCE)
        except Closed:
            return ()
        return states

    async def tallies(self, own: dict[str, Any], answers: int) -> Sequence[Mapping[str, Any]]:
        """See ``Others.tallies``."""
        try:
            tallies: list[dict[str, Any]] = await self._parent.ask("tallies", [own, answers], timeout=PATIENCE)
        except Closed:
            return ()
        return tallies

    async def label(self, labels: Sequence[Label]) -> Joined:
        """See ``Others.label``."""
        document = [[label.request_id, list(label.values)] for label in labels]
        try:
            found = await self._parent.ask("label", document, timeout=PATIENCE)
        except Closed:
            return [None] * len(labels)
        return [None if counts is None else (counts[0], counts[1]) for counts in found]


class Handed(HttpToolsProtocol):
    """A connection that came from the parent, which hears when it has ended."""

    def __init__(self, ended: Callable[[], None], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, whoever ended it."""
        self._ended()
        super().connection_lost(exc)


class Commanded(process.Server):
    """A server that ends when its parent says so.

    A signal to the whole group of processes, as from a terminal or a process manager, must not end a worker before its
    time; and a worker has no drain of its own.
    """

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Leave it to the parent."""


class Member:
    """The process of one worker."""

    def __init__(self, arguments: argparse.Namespace, membership: Membership) -> None:
        self._membership = membership
        self._parent = Channel(
            {"serve": self._serve, "drain": self._drain, "state": self._state, "tally": self._tally, "join": self._join}
        )
        app, observer = process.build(arguments, Siblings(membership, self._parent), membership.number)
        self.app: App = app
        self.observer: Observing = observer
        self._arguments = arguments
        traced, self.spans = tracing.traced(app, arguments.name, arguments.version)
        self.server = Commanded(process.config(traced), app)
        self._loaded: tuple[Work, str] | None = None
        self._taking: Taking | None = None
        self._adopting: set[asyncio.Task[Any]] = set()

    async def run(self) -> process.Loader:
        """Serve until the parent says that it is over, or has gone."""
        membership, server = self._membership, self.server
        talk = asyncio.ensure_future(self._parent.run(socket.socket(fileno=membership.control)))
        talk.add_done_callback(lambda _: self._finish())
        server.config.load()
        self._taking = Taking(socket.socket(fileno=membership.connections), self._adopt, self._finish)
        loader = process.Loader(self._arguments.model_dir, self.observer.called, self._on_loaded, self._finish)
        loader.start()
        await server.serve(sockets=[])
        with suppress(Closed):
            if loader.fault is not None:
                await self._parent.ask("fault", _told(loader.fault), timeout=PATIENCE)
            else:  # what was counted since the parent last asked
                await self._parent.ask("last", await self.observer.state(), timeout=PATIENCE)
        return loader

    def _finish(self) -> None:
        self.server.should_exit = True

    def _on_loaded(self, work: Work, mlflow_version: str) -> None:
        self._loaded = work, mlflow_version
        self._parent.tell("ready")

    def _adopt(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._connect(loop, connection))
        self._adopting.add(task)
        task.add_done_callback(self._adopting.discard)

    async def _connect(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        assert self._taking is not None, "connections come through it"
        ended, server = self._taking.ended, self.server
        try:
            await loop.connect_accepted_socket(
                lambda: Handed(ended, server.config, server.server_state, {}), connection
            )
        except OSError:  # the caller has gone already
            connection.close()
            ended()

    async def _serve(self, _: Any) -> None:
        assert self._loaded is not None, "the parent was told that it is"
        self.app.ready(*self._loaded)

    async def _drain(self, _: Any) -> None:
        self.app.drain()

    async def _state(self, _: Any) -> dict[str, Any]:
        return await self.observer.state()

    async def _tally(self, answers: int) -> dict[str, Any]:
        return self.observer.tally(answers)

    async def _join(self, document: list[list[Any]]) -> Joined:
        return self.observer.join([Label(request_id, tuple(values)) for request_id, values in document])


def run(arguments: argparse.Namespace, membership: Membership) -> int:
    """Serve as a worker; return the exit code."""
    # Whoever ends the server tells the parent; a signal to the whole group must not end a worker before its time.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    member = Member(arguments, membership)
    with asyncio.Runner(loop_factory=member.server.config.get_loop_factory()) as runner:
        loader = runner.run(member.run())
    member.observer.close(process.FLUSH)
    member.spans.close(process.FLUSH)
    if loader.fault is not None and os.environ.get("MLSHIP_DEBUG"):
        log.error("worker %d", membership.number, exc_info=loader.fault)
    return Exit.PASSED if loader.fault is None else Exit.UNREACHABLE  # the parent says why, once for all workers


def _told(fault: BaseException) -> dict[str, str]:
    if isinstance(fault, MlshipError):
        return {"what": fault.what, "where": fault.where, "hint": fault.hint}
    return {"what": f"internal error: {type(fault).__name__}: {fault}"}
