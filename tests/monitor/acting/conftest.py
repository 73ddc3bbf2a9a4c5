"""A receiver, the variables that name it, and a state directory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlship.home import Home
from tests.monitor.acting.world import SECRET, Receiver


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("TEST_NOTIFY", server.notify())
    monkeypatch.setenv("TEST_HOOK", server.url())
    monkeypatch.setenv("TEST_TOKEN", SECRET)
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    yield server
    server.answers.hold.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / ".mlship")
