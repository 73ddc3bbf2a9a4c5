"""A small HTTP server of one behaviour, as a program: `server.py BEHAVIOUR` prints its port and serves until killed."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import time
from typing import Any

GOOD = b'{"predictions": [1]}'


def answer(body: bytes = GOOD, status: str = "200 OK", headers: str = "") -> bytes:
    """A whole answer with a length."""
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


class Handler(asyncio.Protocol):
    """Counts requests over all connections, and leaves each to the behaviour of that name."""

    behaviour = "quick"
    requests = 0
    free_at = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, rest = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(rest) < length:
            return
        self.received = rest[length:]
        Handler.requests += 1
        self.body = rest[:length]
        getattr(self, self.behaviour)()

    def later(self, seconds: float, data: bytes) -> None:
        asyncio.get_running_loop().call_later(seconds, self.transport.write, data)

    def quick(self) -> None:
        self.transport.write(answer())

    def echo(self) -> None:
        self.transport.write(answer(self.body))

    def constant(self) -> None:
        """20 ms for each, all at once."""
        self.later(0.02, answer())

    def slower(self) -> None:
        """30 ms for each, all at once."""
        self.later(0.03, answer())

    def queue(self) -> None:
        """One at a time, 4 ms each: with Poisson arrivals an M/D/1 queue."""
        loop = asyncio.get_running_loop()
        Handler.free_at = max(Handler.free_at, loop.time()) + 0.004
        loop.call_at(Handler.free_at, self.transport.write, answer())

    def stall(self) -> None:
        """Stands still for a second, once."""
        if Handler.requests == 500:
            time.sleep(1)
        self.transport.write(answer())

    def unavailable(self) -> None:
        """503 for each tenth, 422 for each hundredth."""
        if Handler.requests % 100 == 0:
            self.transport.write(answer(b"{}", "422 Unprocessable Entity"))
        elif Handler.requests % 10 == 0:
            self.transport.write(answer(b"{}", "503 Service Unavailable", "retry-after: 1\r\n"))
        else:
            self.transport.write(answer())

    def slow_body(self) -> None:
        """Half of the answer at once, the rest 50 ms later."""
        whole = answer()
        self.transport.write(whole[:-10])
        self.later(0.05, whole[-10:])

    def says_close(self) -> None:
        """Closes after each answer, and says so."""
        self.transport.write(answer(headers="connection: close\r\n"))
        self.transport.close()

    def just_closes(self) -> None:
        """Closes after each answer, 1 ms later, and says nothing."""
        self.transport.write(answer())
        asyncio.get_running_loop().call_later(0.001, self.transport.close)

    def until_closed(self) -> None:
        """An answer without a length: it ends with the connection."""
        self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n" + GOOD)
        self.transport.close()

    def chunked(self) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        self.later(0.005, b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD))

    def cut(self) -> None:
        """Every fifth answer ends in the middle."""
        if Handler.requests % 5:
            self.transport.write(answer())
        else:
            self.transport.write(answer()[:-4])
            self.transport.close()

    def babble(self) -> None:
        self.transport.write(b"I do not speak HTTP\r\n\r\n")

    def wrong(self) -> None:
        self.transport.write(answer(b"<html>welcome</html>"))

    def silent(self) -> None:
        """Never answers each tenth."""
        if Handler.requests % 10:
            self.transport.write(answer())

    def mute(self) -> None:
        """Never answers."""

    def dies(self) -> None:
        """Ends in the middle of its life."""
        if Handler.requests == 100:
            os._exit(1)
        self.transport.write(answer())


async def main(behaviour: str, *files: str) -> None:
    Handler.behaviour = behaviour
    tls = None
    if files:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*files)
    server = await asyncio.get_running_loop().create_server(Handler, "127.0.0.1", 0, ssl=tls, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - the port, for the test that started it
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
