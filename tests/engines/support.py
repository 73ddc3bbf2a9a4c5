"""What the engine tests share: engines of tiny servers, and callers that never stop asking."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import aiohttp

from mlship.engines import state
from mlship.engines.base import Engine
from mlship.engines.front import Front
from mlship.engines.local import LocalEngine
from mlship.engines.options import Setup
from mlship.home import Home
from mlship.types import Release, Routes

STANDIN = Path(__file__).with_name("standin.py")


def standin(release: Release, listen: str) -> list[str]:
    """The command of a server that starts in milliseconds."""
    return [sys.executable, str(STANDIN), release.version, listen.rpartition(":")[2]]


def release(version: str) -> Release:
    return Release("m", version, f"sha256:{version:0>64}", Path("/nowhere"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def local_engine(
    directory: Path, *, model: str = "m", timeout: float = 2.0, port: int | None = None, front: Front | None = None
) -> LocalEngine:
    setup = Setup(front or Front(f"127.0.0.1:{port or free_port()}", timeout))
    return LocalEngine(Home(directory / ".mlship"), model, setup, command=standin)


def ask(
    address: str, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **settings: Any
) -> tuple[int, dict[str, str], bytes]:
    """One request over a connection of its own: status, headers (lower case) and body of the answer.

    A body that is an iterable of bytes is sent in chunks. What else is given goes to the connection.
    """
    scheme, _, host = address.partition("://")
    kind = HTTPSConnection if scheme == "https" else HTTPConnection
    connection = kind(host, timeout=10, **settings)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def port_of(engine: LocalEngine, server: str) -> int:
    known = state.load(engine.directory)
    assert known is not None
    return known.servers[server].port


def pid_of(engine: LocalEngine, program: str) -> int:
    known = state.load(engine.directory)
    assert known is not None
    return int(engine.site.manager(known).processes()[program]["pid"])


def behave(engine: LocalEngine, server: str, mode: str) -> None:
    """From now on the server answers like that (see standin.py)."""
    with urlopen(f"http://127.0.0.1:{port_of(engine, server)}/mode/{mode.replace(' ', '%20')}", timeout=5) as answer:
        assert answer.status == 200


def routed(engine: Engine, routes: Routes) -> None:
    """Route, and wait until the router applies it."""
    engine.route(routes)
    deadline = time.monotonic() + 5
    while engine.routes() != routes:
        assert time.monotonic() < deadline, f"{engine.routes()} instead of {routes}"
        time.sleep(0.001)


@dataclass(frozen=True)
class Answer:
    sent: float
    done: float
    status: int
    """0 when there was no whole answer."""
    version: str


@dataclass
class Callers:
    """Callers in a thread of their own; a context. Each asks, waits for the answer, and asks again."""

    url: str
    callers: int = 4
    pause: float = 0.004
    body: bytes = b'{"inputs": [1]}'
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with the next request; may be changed meanwhile."""
    trust: ssl.SSLContext | bool = True
    answers: list[Answer] = field(default_factory=list)

    def __enter__(self) -> Callers:
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        self.more(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()

    def more(self, count: int, within: float = 20) -> None:
        """Wait until so many more requests have been answered."""
        wanted, deadline = len(self.answers) + count, time.monotonic() + within
        while len(self.answers) < wanted:
            assert time.monotonic() < deadline, f"only {len(self.answers)} of {wanted} answers"
            time.sleep(0.005)

    @property
    def lost(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]

    def last(self, version: str) -> float:
        """When the last answer of that version came (`time.monotonic`)."""
        return max((answer.done for answer in self.answers if answer.version == version), default=0.0)

    async def _run(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, ssl=self.trust)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(20)) as session:
            await asyncio.gather(*(self._ask(session) for _ in range(self.callers)))

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        while not self._end.is_set():
            sent = time.monotonic()
            status, version = 0, ""
            try:
                async with session.post(self.url, data=self.body, headers=self.headers) as answer:
                    await answer.read()
                    status, version = answer.status, answer.headers.get("x-mlship-version", "")
            except aiohttp.ClientError:
                status = 0
            self.answers.append(Answer(sent, time.monotonic(), status, version))
            rested = 0.0
            while rested < self.pause and not self._end.is_set():  # a pause may be shortened as it goes on
                await asyncio.sleep(min(0.1, self.pause - rested))
                rested += 0.1
