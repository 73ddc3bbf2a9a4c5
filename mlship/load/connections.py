"""Connections to one target: opened as requests need them, kept, and never a reason for the sender to wait."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

import httptools

from mlship.load.plan import Target
from mlship.load.recording import BROKEN, CONTENT, REFUSED, TIMEOUT


class Flight:
    """One request under way."""

    __slots__ = ("block", "body", "carrier", "done", "intended", "resent")

    def __init__(self, intended: float, block: int, body: int) -> None:
        self.intended = intended
        """When it was to be sent, on the event loop's clock."""
        self.block = block
        """Which part of the recording it belongs to; below zero: none."""
        self.body = body
        self.resent = False
        self.done = False
        self.carrier: Connection | asyncio.Task[None] | None = None


#: Told about each request once: the outcome, empty for a good answer.
Landed = Callable[[Flight, str], None]


class Connection(asyncio.Protocol):
    """One kept-alive HTTP/1.1 connection with at most one request on it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._flight: Flight | None = None
        self._transport: Any  # asyncio's own and uvloop's have no common class that writes
        self._parser = httptools.HttpResponseParser(self)
        self._fresh = True
        self._answering = False
        self._until_closed = True
        self._body = bytearray()
        self._whole = False
        self._kept = False
        self._headers_done = False
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = transport

    def carry(self, flight: Flight) -> None:
        """Write a request."""
        self._flight, flight.carrier = flight, self
        self._answering, self._whole, self._until_closed = False, False, True
        self._transport.write(self._pool.request(flight.body))

    def abort(self) -> None:
        """Close at once; nobody waits for the answer any more."""
        self._flight = None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse what came; the answer's end frees the connection."""
        self._answering = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._finish(BROKEN, keep=False)
            return
        if self._whole:
            self._finish(self._judged(), keep=self._kept)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of an answer without a length, of a kept connection, or of a request that is lost."""
        self.lost = True
        self._pool.closed(self)
        flight = self._flight
        if flight is None:
            return
        self._flight = None
        if exc is None and self._answering and self._until_closed and self._headers_done:
            self._pool.landed(flight, self._judged())
        elif not self._answering and not self._fresh and not flight.resent:
            flight.resent = True  # the server closed while the request was on its way: any HTTP client asks again
            self._pool.send(flight)
        else:
            self._pool.landed(flight, BROKEN)

    def on_message_begin(self) -> None:
        """Called by the parser at each answer's first byte."""
        self._headers_done = False
        self._body.clear()

    def on_header(self, name: bytes, _value: bytes) -> None:
        """Called by the parser for each header."""
        if name.lower() in {b"content-length", b"transfer-encoding"}:
            self._until_closed = False

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._headers_done = True

    def on_body(self, body: bytes) -> None:
        """Called by the parser with each piece of the body."""
        if self._pool.expects:
            self._body += body

    def on_message_complete(self) -> None:
        """Called by the parser; answers below 200 only announce the real one."""
        self._whole = self._parser.get_status_code() >= 200
        self._kept = self._parser.should_keep_alive()  # the parser forgets it right after this call

    def _judged(self) -> str:
        status = self._parser.get_status_code()
        if not 200 <= status < 300:
            return f"status {status}"
        return CONTENT if self._pool.expects and self._pool.expects not in self._body else ""

    def _finish(self, outcome: str, *, keep: bool) -> None:
        flight, self._flight, self._fresh = self._flight, None, False
        if flight is None:  # bytes that nobody asked for
            keep = False
        if keep:
            self._pool.freed(self)
        else:
            self._transport.abort()
        if flight is not None:
            self._pool.landed(flight, outcome)


class Pool:
    """All connections to one target.

    Parameters
    ----------
    address
        IP address to connect to.
    most
        Connections that may be open at once.
    landed
        Told about each request that is over.
    """

    def __init__(self, target: Target, address: str, bodies: list[bytes], most: int, landed: Landed) -> None:
        self._target, self._address, self._most = target, address, most
        self._requests = [(target.head(len(body)), body) for body in bodies]
        self._landed = landed
        self._idle: list[Connection] = []
        self._waiting: deque[Flight] = deque()
        self._open: set[Connection] = set()
        self._opening = 0
        self._tls = _tls(target)
        self.expects = target.expects.encode()
        self.peak = 0
        """Connections that were open at the same time, at most."""

    def request(self, body: int) -> bytes:
        """The bytes of a whole request."""
        head, content = self._requests[body]
        return head + content

    def send(self, flight: Flight) -> bool:
        """Put a request on a connection; False when it has to wait because as many as may be are open."""
        if self._idle:
            self._idle.pop().carry(flight)
            return True
        if len(self._open) + self._opening >= self._most:
            self._waiting.append(flight)
            return False
        self._opening += 1
        self.peak = max(self.peak, len(self._open) + self._opening)
        flight.carrier = asyncio.get_running_loop().create_task(self._connect(flight))
        return True

    def give_up(self, flight: Flight) -> None:
        """A request that was waited for long enough: its connection goes with it."""
        carrier, flight.carrier = flight.carrier, None
        self.landed(flight, TIMEOUT)
        if isinstance(carrier, Connection):
            carrier.abort()
        elif carrier is not None:
            carrier.cancel()

    def landed(self, flight: Flight, outcome: str) -> None:
        """Pass the outcome on, once."""
        if not flight.done:
            flight.done, flight.carrier = True, None
            self._landed(flight, outcome)

    def freed(self, connection: Connection) -> None:
        """A connection is free: for the first that waits, or for later."""
        flight = self._next()
        if flight is not None:
            connection.carry(flight)
        else:
            self._idle.append(connection)

    def closed(self, connection: Connection) -> None:
        """A connection is gone; whoever waits may open another."""
        self._open.discard(connection)
        with contextlib.suppress(ValueError):
            self._idle.remove(connection)
        self._replace()

    async def close(self) -> None:
        """Close every connection."""
        for connection in list(self._open):
            connection.abort()
        await asyncio.sleep(0)

    def _next(self) -> Flight | None:
        while self._waiting:
            flight = self._waiting.popleft()
            if not flight.done:
                return flight
        return None

    def _replace(self) -> None:
        if len(self._open) + self._opening < self._most and (flight := self._next()) is not None:
            self.send(flight)

    async def _connect(self, flight: Flight) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self),
                self._address,
                self._target.port,
                ssl=self._tls,
                server_hostname=self._target.host if self._tls else None,
            )
        except OSError:  # refused, out of reach, no TLS, or no descriptor left
            self._opening -= 1
            self.landed(flight, REFUSED)
            self._replace()
            return
        except asyncio.CancelledError:  # it took longer than anybody waits
            self._opening -= 1
            self._replace()
            return
        self._opening -= 1
        if connection.lost:  # closed in the moment it was made
            self.landed(flight, BROKEN)
            self._replace()
            return
        self._open.add(connection)
        if flight.done:
            self.freed(connection)
        else:
            connection.carry(flight)


def _tls(target: Target) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=target.ca or None) if target.secure else None
