"""10,000 bad requests over HTTP to a real server, both protocols; prints what it answered and its memory as JSON.

Passes when no answer is a 5xx other than 503, the process is the same at the end, its memory is flat, and good requests
between the bad ones were all answered. Run as `python tests/benchmarks/fuzz.py [REQUESTS]`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.serving.odd import NAME, PATHS, REQUESTS, VERSION, dumped, infer, save_model, split

#: Bad requests at the same time; seconds that an answer is waited for, as some of them are never complete.
TOGETHER, PATIENCE = 10, 0.3
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
#: Memory is flat when the last tenth of the requests has added less than this share.
FLAT = 0.02

NUMBERS = st.sampled_from(
    [b"-1", b"0", b"5", b"+3", b"1e3", b"99999999", b"99999999999999999999", b"", b"abc", b"3, 4"]
)
JUNK = st.binary(max_size=80)


def framed(path: str, kind: str, body: bytes, *more: bytes, length: bytes | None = None) -> bytes:
    """One HTTP request."""
    head = [f"POST {path} HTTP/1.1".encode(), b"host: x", b"connection: close", *more]
    if kind:
        head.append(b"content-type: " + kind.encode("latin-1", "replace"))
    head.append(b"content-length: " + (str(len(body)).encode() if length is None else length))
    return b"\r\n".join([*head, b"", body])


METHODS = st.sampled_from([b"GET", b"PUT", b"HEAD", b"post", b"CONNECT", b"\x00"])
TARGETS = st.sampled_from(
    ["/v2/models/%00", "/v2/../ping", "//", "/%ff", "/v2/models/" + "a" * 3000, "*", "http://x/ping", "/feedback",
     "/v2/models/calm/versions/9/infer", "/counters?x", "/invocations/", "/v2/models/calm/ready"]
)  # fmt: skip
END = st.sampled_from([b"0\r\n\r\n", b"zz\r\n", b""])
Sent = tuple[str, str, bytes]


def inserted(draw: st.DrawFn, request: bytes) -> bytes:
    """A request with junk somewhere in it."""
    at = draw(st.integers(0, len(request) - 1))
    return request[:at] + draw(JUNK) + request[at:]


def chunked(draw: st.DrawFn, sent: Sent) -> bytes:
    """A chunked request that may end oddly."""
    path, kind, body = sent[0], sent[1], sent[2][:500]
    head = framed(path, kind, b"", b"transfer-encoding: chunked").replace(b"content-length: 0\r\n", b"")
    return head + f"{len(body):x}\r\n".encode() + body + b"\r\n" + draw(END)


#: What becomes of a request that was well framed: no good HTTP, or good HTTP that is odd.
BREAKS: list[Callable[[st.DrawFn, Sent], bytes]] = [
    lambda draw, sent: framed(sent[0], sent[1], sent[2][:2000], length=draw(NUMBERS)),
    lambda draw, _: draw(JUNK),
    lambda draw, sent: framed(*sent)[: draw(st.integers(0, 400))],
    lambda draw, sent: inserted(draw, framed(sent[0], sent[1], sent[2][:2000])),
    lambda draw, sent: framed(sent[0], sent[1], b"", b"transfer-encoding: chunked", length=b"0") + draw(NUMBERS),
    chunked,
    lambda draw, sent: framed(*sent, b"x-request-id: " + draw(JUNK).replace(b"\n", b""), b"x: " + b"y" * 9000),
    lambda draw, sent: framed(*sent).replace(b"POST", draw(METHODS), 1),
    lambda draw, sent: framed(draw(TARGETS), sent[1], sent[2][:2000]),
    lambda draw, sent: framed(*sent, b"inference-header-content-length: " + draw(NUMBERS), b"expect: 100-continue"),
]


@st.composite
def broken(draw: st.DrawFn) -> tuple[bytes, float]:
    """One request that is no good HTTP, or good HTTP that is odd; and how long to wait for its answer."""
    return draw(st.sampled_from(BREAKS))(draw, draw(REQUESTS)), PATIENCE


def whole(sent: Sent) -> tuple[bytes, float]:
    """One request that is good HTTP, so that an answer must come; and how long to wait for it."""
    return framed(*sent), 30.0


class Target:
    """The server under fire."""

    def __init__(self, model: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        named = ["--name", NAME, "--version", VERSION, "--digest", "sha256:0", "--listen", f"127.0.0.1:{self.port}"]
        command = [sys.executable, "-m", "mlship.serving", "--model-dir", str(model), *named]
        self.process = subprocess.Popen(
            [*command, "--timeout", "10", "--max-body", "300000"], stderr=subprocess.DEVNULL
        )
        self.statuses: Counter[str] = Counter()
        self.sent = 0
        self.unanswered = 0
        self.good_unanswered = 0

    def send(self, request: bytes, patience: float = PATIENCE) -> str:
        """Send one request on a connection of its own; return its status, or `none` when none came in time."""
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            try:
                connection.sendall(request)
                connection.settimeout(patience)
                while b"\r\n\r\n" not in received.removeprefix(CONTINUE):
                    part = connection.recv(65536)
                    if not part:
                        break
                    received += part
            except (ConnectionError, TimeoutError):
                pass
        received = received.removeprefix(CONTINUE)
        return received.split(b" ", 2)[1].decode() if received.startswith(b"HTTP/1.1 ") else "none"

    def fire(self, requests: list[tuple[bytes, float]], pool: ThreadPoolExecutor) -> None:
        """Send bad requests at the same time, and two good ones after them."""
        statuses = list(pool.map(self.send, *zip(*requests, strict=True)))
        self.statuses.update(statuses)
        self.unanswered += sum(
            status == "none" and patience > PATIENCE for status, (_, patience) in zip(statuses, requests, strict=True)
        )
        self.sent += len(requests)
        for path, body in ((PATHS[0], split()), (PATHS[1], infer())):
            request = framed(path, "application/json", dumped(body))
            self.good_unanswered += self.send(request, patience=30) != "200"

    def wait(self) -> None:
        """Wait until it is ready."""
        ping = b"GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        while True:
            try:
                if self.send(ping) == "200":
                    return
            except ConnectionError:
                pass
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}")
            time.sleep(0.1)

    def memory(self) -> float:
        """Resident megabytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def fuzz(target: Target, requests: int) -> list[float]:
    """Send bad requests; return the memory before, and after each tenth of them."""
    memory = [target.memory()]

    strategy = st.lists(st.one_of(REQUESTS.map(whole), broken()), min_size=TOGETHER, max_size=TOGETHER)

    with ThreadPoolExecutor(TOGETHER) as pool:

        @seed(1)
        @settings(
            max_examples=-(-requests // TOGETHER), deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(strategy)
        def fire(sent: list[tuple[bytes, float]]) -> None:
            target.fire(sent, pool)
            while target.sent >= requests * len(memory) / 10:
                memory.append(target.memory())

        fire()
    return memory


def main() -> int:
    """Run, print, and say by the exit code whether it passed."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as directory:
        target = Target(save_model(Path(directory)))
        try:
            target.wait()
            started = time.monotonic()
            memory = fuzz(target, requests)
            seconds = time.monotonic() - started
            alive = target.process.poll() is None
        finally:
            target.process.terminate()
            ended = target.process.wait(timeout=60)
    wrong = sum(count for status, count in target.statuses.items() if status.startswith("5") and status != "503")
    grown = memory[-1] / memory[-2] - 1
    result: dict[str, Any] = {
        "requests": target.sent,
        "statuses": dict(sorted(target.statuses.items())),
        "wrong": wrong,
        "unanswered": target.unanswered,
        "good_unanswered": target.good_unanswered,
        "alive": alive,
        "exit_code": ended,
        "rss_mb": [round(one, 1) for one in memory],
        "last_tenth_grew": round(grown, 4),
        "seconds": round(seconds, 1),
        "passed": alive
        and ended == 0
        and wrong == 0
        and target.unanswered + target.good_unanswered == 0
        and grown < FLAT,
    }
    print(json.dumps(result))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
