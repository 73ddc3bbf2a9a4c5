"""Servers of one behaviour each, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

#: Starts `server.py BEHAVIOUR [CERTIFICATE KEY]` and gives its port.
Serve = Callable[..., int]


@pytest.fixture
def serve() -> Generator[Serve]:
    """Starts servers; they end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(behaviour: str, *files: str) -> int:
        program = [sys.executable, str(Path(__file__).with_name("server.py")), behaviour, *files]
        process = subprocess.Popen(program, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        return int(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
