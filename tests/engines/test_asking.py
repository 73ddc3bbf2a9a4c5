"""Whatever a server answers, and however slowly: asking ends in time, takes bounded memory, raises what is known."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from mlship.engines import looks, said
from mlship.engines.docker import agent
from mlship.engines.state import Deployment
from mlship.guardian import asking

SECONDS, MOST = 0.3, 100_000
HEAD = b"HTTP/1.1 200 OK\r\n"
#: What a server says, piece by piece; between two pieces it waits a moment. The last one comes again for ever.
Speech = list[bytes]


class Stranger:
    """A server that says to every request what it was told to, and counts what it got rid of."""

    def __init__(self) -> None:
        self.speech: Speech = [b""]
        self.pause = 0.0
        self.sent = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                self._answer(self._listener.accept()[0])

    def _answer(self, caller: socket.socket) -> None:
        with caller, suppress(OSError):
            caller.recv(1 << 16)
            *begin, again = self.speech
            for piece in begin:
                caller.sendall(piece)
            while again:
                caller.sendall(again)
                self.sent += len(again)
                time.sleep(self.pause)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    one = Stranger()
    yield one
    one.close()


def plain(body: bytes) -> Speech:
    return [HEAD + b"content-length: %d\r\n\r\n" % len(body) + body, b""]


#: By what is wrong with it: what is said, and seconds between two pieces.
BAD: dict[str, tuple[Speech, float]] = {
    "silent": ([b""], 0.0),
    "no HTTP": ([b"go away\r\n\r\n", b""], 0.0),
    "drips its body": ([HEAD + b"content-length: 99999\r\n\r\n", b" "], 0.05),
    "drips its head": ([HEAD, b"x: y\r\n"], 0.05),
    "drips a line": ([HEAD, b"x"], 0.05),
    "drips chunks": ([HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"], 0.05),
    "always continues": ([b"HTTP/1.1 100 Continue\r\n\r\n"], 0.0),
    "promises an exabyte": ([HEAD + b"content-length: 1152921504606846976\r\n\r\n", b" " * 65536], 0.0),
    "one byte too many": ([HEAD + b"content-length: 100001\r\n\r\n" + b" " * 100_001, b""], 0.0),
    "one chunk of an exabyte": ([HEAD + b"transfer-encoding: chunked\r\n\r\nfffffffffffffff\r\n", b" " * 65536], 0.0),
    "chunks without end": ([HEAD + b"transfer-encoding: chunked\r\n\r\n", b"400\r\n" + b" " * 1024 + b"\r\n"], 0.0),
    "a chunk of minus one": ([HEAD + b"transfer-encoding: chunked\r\n\r\n-1\r\n", b" " * 65536], 0.0),
    "a chunk of minus five": ([HEAD + b"transfer-encoding: chunked\r\n\r\n-5\r\n", b" " * 65536], 0.0),
    "no length and no end": ([HEAD + b"\r\n", b" " * 65536], 0.0),
    "heads without end": ([HEAD, b"x: " + b"y" * 60_000 + b"\r\n"], 0.0),
    "breaks off": ([HEAD + b"content-length: 10\r\n\r\n123", b""], 0.0),
}


@pytest.mark.parametrize("name", BAD)
def test_asking_ends_in_time_and_reads_no_more_than_it_may(stranger: Stranger, name: str) -> None:
    stranger.speech, stranger.pause = BAD[name]
    began = time.monotonic()
    with pytest.raises((OSError, http.client.HTTPException)):
        asking.get("127.0.0.1", stranger.port, ["/counters"], SECONDS, MOST)
    assert time.monotonic() - began < SECONDS + 1.0
    assert stranger.sent < 40 << 20, "the kernel's buffers took more than was read"


@pytest.mark.parametrize("body", [b"", b"x", b" " * MOST])
def test_an_answer_within_its_bounds_is_read_whole_whether_its_length_is_told_or_not(
    stranger: Stranger, body: bytes
) -> None:
    chunked = HEAD + b"transfer-encoding: chunked\r\n\r\n%s0\r\n\r\n" % (
        b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    )
    for speech in (plain(body), [chunked, b""], [HEAD + b"\r\n" + body, b""]):
        stranger.speech = speech
        assert asking.get("127.0.0.1", stranger.port, ["/counters"], 5.0, MOST + 100) == [(200, body)]


def test_several_answers_share_the_time_and_the_bytes(stranger: Stranger) -> None:
    body = b"x" * 1000
    stranger.speech = [HEAD + b"connection: close\r\ncontent-length: 1000\r\n\r\n" + body, b""]
    assert asking.get("127.0.0.1", stranger.port, ["/a", "/b"], 5.0, MOST) == [(200, body)] * 2
    stranger.speech, stranger.pause = BAD["drips its body"]
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        asking.get("127.0.0.1", stranger.port, ["/a", "/b"], SECONDS, MOST)
    assert time.monotonic() - began < SECONDS + 1.0


def test_the_agent_in_the_routers_container_keeps_the_same_bounds(stranger: Stranger) -> None:
    def ask(**more: int) -> object:
        return agent.answer({"get": [["127.0.0.1", stranger.port, ["/counters"], SECONDS]] * 2, **more})

    stranger.speech = plain(b"x" * 2000)
    assert ask(most=4000) == [[[200, "x" * 2000]]] * 2
    assert ask(most=1000) == ["BadAnswer"] * 2
    assert ask() == [[[200, "x" * 2000]]] * 2, "an earlier version's client names no bound"
    stranger.speech, stranger.pause = BAD["drips its body"]
    began = time.monotonic()
    assert ask(most=MOST) == ["TimeoutError"] * 2
    assert time.monotonic() - began < 2 * SECONDS + 1.0, "this stranger talks to one after the other"


def test_a_server_that_cannot_be_read_is_told_as_it_was_last(
    stranger: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "PING_SECONDS", SECONDS)
    one = Deployment("1", "1", "d", stranger.port, "n", ())
    reading = looks.Told()

    def read() -> said.Said:
        return reading.read(one, "/counters")

    assert read() == said.NOTHING
    stranger.speech = plain(json.dumps({"epoch": "e", "labels": [[1, 2, 1]]}).encode())
    known = read()
    assert known.epoch == "e"
    for speech in (plain(b"[" * 200_000), plain(b'{"epoch": "f", "labels": [[1, 2, null]]}'), [b"no\r\n\r\n", b""]):
        stranger.speech = speech
        assert read() == known
    stranger.speech = plain(b" " * (said.MOST + 1))
    assert read() == known
