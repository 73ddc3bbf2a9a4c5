"""`mlship monitor --every`: each pass is a process of its own, so that nothing that befalls one ends the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mlship.cli.common import Loudness, err, leave, loudness, steps
from mlship.errors import Exit, UsageError

#: A pass that takes longer than this, or than the time between two, has hung and is ended: it keeps nothing half-done.
LONGEST = 3600.0
#: What is said of a pass by its exit code, where its result does not say it.
_ENDS = {
    Exit.UNREACHABLE: "something could not be asked; the next pass tries again",
    Exit.USAGE: "the policy or the command is at fault; the next pass reads the policy anew",
}


@dataclass(frozen=True, slots=True)
class Endless:
    """What is repeated."""

    words: tuple[str, ...]
    """The command of one pass, after `mlship`."""
    seconds: float
    metrics: Path | None
    listen: tuple[str, int] | None


def address(text: str | None) -> tuple[str, int] | None:
    """Host and port of `--listen`. Raises ``UsageError``."""
    if text is None:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise UsageError(f"--listen: '{text}' is not HOST:PORT", hint="such as 127.0.0.1:9109")
    return host.strip("[]") or "127.0.0.1", int(port)


def go_on(endless: Endless) -> None:
    """Look again and again until SIGTERM (exit 0) or Ctrl-C (130)."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    with tempfile.TemporaryDirectory(prefix="mlship-monitor-") as scratch:
        path = endless.metrics or Path(scratch) / "metrics.prom"
        ends = _Ends()
        server = _serve(endless.listen, lambda: exposed(path, ends)) if endless.listen is not None else None
        try:
            while not stopping.is_set():
                due = time.monotonic() + endless.seconds
                code = _one(endless, path, stopping)
                if stopping.is_set():
                    break
                ends.add(code, time.time())
                if code in _ENDS:
                    steps().print(f"mlship: {_ENDS[Exit(code)]}", markup=False)
                _wait(due, stopping, endless.seconds)
        finally:
            if server is not None:
                server.shutdown()
                server.server_close()
    leave(Exit.PASSED)


class _Ends:
    """How passes have ended so far."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.last: tuple[int, float] | None = None

    def add(self, code: int, at: float) -> None:
        self.counts[code] = self.counts.get(code, 0) + 1
        self.last = code, at


def exposed(path: Path, ends: _Ends) -> bytes:
    """The metrics of the last pass that could tell any, and how passes have ended."""
    from mlship.monitor.exposition import passes

    told = b""
    with suppress(OSError):
        told = path.read_bytes()
    return told + passes(ends.counts, ends.last)


def _one(endless: Endless, metrics: Path, stopping: threading.Event) -> int:
    """One pass; its exit code. A pass that is stopped half-way has kept nothing, or all."""
    command = [sys.executable, "-m", "mlship", *endless.words, "--metrics", str(metrics)]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + max(LONGEST, endless.seconds)
    try:
        while True:
            try:
                return process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                late = time.monotonic() > deadline
                if stopping.is_set() or late:
                    return _end(process, late=late)
    except KeyboardInterrupt:
        _end(process, late=False)
        raise


def _end(process: subprocess.Popen[bytes], *, late: bool) -> int:
    if late:
        err().print("mlship: the pass took too long, and is ended; the next one begins where it began", markup=False)
    process.send_signal(signal.SIGKILL if late else signal.SIGTERM)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return int(Exit.UNREACHABLE)


def _wait(due: float, stopping: threading.Event, seconds: float) -> None:
    """Until the next pass is due; one that took longer than the time between two is followed at once."""
    left = due - time.monotonic()
    if left > 0:
        if loudness() is Loudness.VERBOSE:
            steps().print(f"mlship: the next pass begins in {min(left, seconds):.0f} s", markup=False)
        stopping.wait(left)


def _serve(where: tuple[str, int], told: Callable[[], bytes]) -> ThreadingHTTPServer:
    """Answer `GET /metrics` from a thread. Raises ``UsageError`` when the address cannot be had."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path.partition("?")[0] == "/metrics"
            body = told() if found else b"metrics are at /metrics\n"
            self.send_response(200 if found else 404)
            self.send_header("content-type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
            """Nobody reads a line for every scrape."""

    try:
        server = ThreadingHTTPServer(where, Handler)
    except OSError as error:
        what = f"--listen: {where[0]}:{where[1]} cannot be listened at: {error.strerror or error}"
        raise UsageError(what, hint="choose another port, or stop what has it") from None
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    steps().print(f"mlship: metrics at http://{where[0]}:{server.server_address[1]}/metrics", markup=False)
    return server


def write_metrics(path: Path, text: bytes) -> None:
    """Replace the file in one step, readable by the collector. Raises ``StateError``."""
    from mlship.errors import StateError

    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        hint = "free space or permissions; the pass itself has been kept"
        raise StateError(f"the metrics cannot be written: {error.strerror}", where=str(path), hint=hint) from None


def words(given: Sequence[str]) -> tuple[str, ...]:
    """The command line of one pass: what was given, without what is only for many, and without what is added."""
    left, skip = [], False
    for word in given:
        if skip:
            skip = False
        elif word in ("--every", "--listen", "--metrics"):
            skip = True
        elif not word.startswith(("--every=", "--listen=", "--metrics=")):
            left.append(word)
    return tuple(left)
