"""What a real HTTP connection meets at the limits: size, time, a full queue, and a caller that hangs up."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
import uvicorn

from mlship.serving.app import App, Identity
from mlship.serving.exposition import Described
from mlship.serving.limits import Limits
from mlship.serving.observing import alone
from mlship.serving.process import config
from mlship.serving.protocol import Answer, Request

HEAD = b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@dataclass
class Held:
    """A server whose model waits for permission."""

    port: int = 0
    app: App | None = None
    seen: list[bytes] = field(default_factory=list)
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def work(self, requests: Sequence[Request]) -> Iterator[list[tuple[int, Answer]]]:
        self.seen += [request.body for request in requests]
        assert self.go.acquire(timeout=20)
        for position, request in enumerate(requests):
            yield [(position, Answer(200, request.body))]

    def connect(self, *parts: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        for part in parts:
            connection.sendall(part)
        return connection

    def post(self, body: bytes) -> socket.socket:
        return self.connect(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)

    def wait(self, waiting: int, seen: int) -> None:
        assert self.app is not None
        deadline = time.monotonic() + 10
        while self.app.pressure().waiting != waiting or len(self.seen) != seen:
            assert time.monotonic() < deadline, (self.app.pressure(), self.seen)
            time.sleep(0.005)


@pytest.fixture
def held() -> Iterator[Held]:
    """A server in a thread; one request may wait, bodies have 1000 bytes, and there is a second for each."""
    made = Held()
    ready = threading.Event()
    servers: list[uvicorn.Server] = []

    async def main() -> None:
        described = Described("m", "1", "d")
        made.app = App(Identity("m", "1", "d"), alone(described, None), Limits(max_queue=1, max_body=1000, timeout=1.0))
        made.app.ready(made.work, "3")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            made.port = listener.getsockname()[1]
            servers.append(uvicorn.Server(config(made.app)))
            ready.set()
            await servers[0].serve(sockets=[listener])

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert ready.wait(10)
    yield made
    made.go.release(1000)
    servers[0].should_exit = True
    thread.join(timeout=20)


def answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer and whatever follows until the server closes, or the answer is complete."""
    received = b""
    with connection:
        while b"\r\n\r\n" not in received:
            part = connection.recv(65536)
            assert part, received
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        while len(body) < int(headers["content-length"]):
            body += connection.recv(65536)
    return int(first.split()[1]), headers, body


def assert_error(got: tuple[int, dict[str, str], bytes], status: int, code: str) -> None:
    assert (got[0], json.loads(got[2])["error_code"]) == (status, code)


def test_an_announced_body_that_is_too_large_is_refused_before_it_comes(held: Held) -> None:
    began = time.monotonic()
    got = answer(held.connect(HEAD + b"content-length: 1001\r\nexpect: 100-continue\r\n\r\n"))
    assert_error(got, 413, "REQUEST_TOO_LARGE")
    assert got[1]["connection"] == "close"
    assert time.monotonic() - began < 0.5
    assert held.seen == []


def test_a_body_without_a_length_is_refused_when_it_becomes_too_large(held: Held) -> None:
    chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
    assert_error(
        answer(held.connect(HEAD + b"transfer-encoding: chunked\r\n\r\n", *[chunk] * 11)), 413, "REQUEST_TOO_LARGE"
    )
    held.go.release()
    small = held.connect(HEAD + b"transfer-encoding: chunked\r\n\r\n", *[chunk] * 10, b"0\r\n\r\n")
    assert answer(small)[0] == 200


def test_a_caller_that_sends_on_sees_the_refusal_and_then_the_end(held: Held) -> None:
    got = answer(held.connect(HEAD + b"content-length: 200000\r\n\r\n" + b"x" * 200_000))
    assert_error(got, 413, "REQUEST_TOO_LARGE")


def test_the_limit_holds_for_feedback_and_the_other_protocol_too(held: Held) -> None:
    feedback = b"POST /feedback HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n"
    assert_error(answer(held.connect(feedback)), 413, "REQUEST_TOO_LARGE")
    infer = b"POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n"
    with held.connect(infer) as connection:
        received = connection.recv(65536)
    assert received.split()[1] in (b"400", b"413")


def test_a_body_that_does_not_come_is_a_408(held: Held) -> None:
    began = time.monotonic()
    got = answer(held.connect(HEAD + b"content-length: 10\r\n\r\n123"))
    assert_error(got, 408, "REQUEST_TIMEOUT")
    assert 0.9 < time.monotonic() - began < 4


def test_a_full_queue_says_when_to_try_again(held: Held) -> None:
    first = held.post(b"first")
    held.wait(0, 1)
    second = held.post(b"second")
    held.wait(1, 1)
    refused = answer(held.post(b"third"))
    assert_error(refused, 503, "TEMPORARILY_UNAVAILABLE")
    assert refused[1]["retry-after"] == "1"
    held.go.release(2)
    assert [answer(one)[2] for one in (first, second)] == [b"first", b"second"]
    assert held.seen == [b"first", b"second"]


def test_a_caller_that_hangs_up_while_it_waits_never_reaches_the_model(held: Held) -> None:
    first = held.post(b"first")
    held.wait(0, 1)
    gone = held.post(b"gone")
    held.wait(1, 1)
    gone.close()
    time.sleep(0.1)
    stays = held.post(b"stays")  # there is room for it, where the other was
    time.sleep(0.1)
    held.go.release(2)
    assert [answer(one)[2] for one in (first, stays)] == [b"first", b"stays"]
    assert held.seen == [b"first", b"stays"]


def test_who_waits_longer_than_the_timeout_is_answered_in_time(held: Held) -> None:
    began = time.monotonic()
    first = held.post(b"first")
    held.wait(0, 1)
    second = held.post(b"second")
    assert_error(answer(first), 504, "DEADLINE_EXCEEDED")
    assert_error(answer(second), 503, "TEMPORARILY_UNAVAILABLE")
    assert 0.9 < time.monotonic() - began < 4
    assert held.seen == [b"first"]


def test_a_strange_request_id_is_replaced(held: Held) -> None:
    held.go.release()
    got = answer(held.connect(HEAD + "x-request-id: a\u00e9b\r\ncontent-length: 2\r\n\r\n{}".encode("latin-1")))
    assert (got[0], len(got[1]["x-request-id"])) == (200, 32)
