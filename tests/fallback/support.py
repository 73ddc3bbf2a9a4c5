"""The fallback program in a process of its own, and a model server beside it that behaves as told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from mlship.engines import state
from mlship.fallback.settings import Settings
from tests.engines.support import STANDIN
from tests.waiting import until


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


@dataclass
class Program:
    """`python -m mlship.fallback`, which can be killed and started again."""

    directory: Path
    settings: Settings
    port: int = field(default_factory=lambda: state.free_ports(1)[0])
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.write()
        argv = ["--settings", str(self.directory / "fallback.json"), "--jobs", str(self.directory / "jobs.db")]
        argv += ["--listen", f"127.0.0.1:{self.port}"]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "mlship.fallback", *argv], stderr=log)
        until(self.listens, "it listens")

    def write(self) -> None:
        fresh = self.directory / "fallback.new"
        fresh.write_text(json.dumps(self.settings.to_json()))
        fresh.replace(self.directory / "fallback.json")

    def change(self, **settings: Any) -> None:
        self.settings = replace(self.settings, **settings)
        self.write()

    def listens(self) -> bool:
        try:
            return ask(self.port, "GET", "/jobs/x").status == 404
        except OSError:
            return False

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def predict(self, body: bytes = b'{"inputs": [1]}', **headers: str) -> Answer:
        return ask(self.port, "POST", "/invocations", body, **{"content_type": "application/json", **headers})

    def log(self) -> str:
        return (self.directory / "log").read_text()

    def memory(self) -> int:
        """Bytes that it holds."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def program(where: Path, /, **settings: Any) -> Iterator[Program]:
    made = Program(where, Settings(**settings))
    made.start()
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.kill()


@contextmanager
def model(port: int) -> Iterator[None]:
    """A model server (see standin.py) for a while."""
    process = subprocess.Popen([sys.executable, str(STANDIN), "7", str(port)])
    try:
        until(lambda: _answers(port), "the model answers")
        yield
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        return ask(port, "GET", "/ping").status == 200
    except OSError:
        return False
