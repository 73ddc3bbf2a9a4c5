"""The action's scripts as modules, and a GitHub to talk to."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.ci.driver import ACTION, clean_environment
from tests.ci.hub import TOKEN, Hub

_SCRIPTS = ("runner", "api", "comment", "fork", "install", "run")


@pytest.fixture(scope="session")
def scripts() -> Generator[Any]:
    """The scripts, by name, as their directory makes them find each other."""
    sys.path.insert(0, str(ACTION))
    try:
        yield {name: importlib.import_module(name) for name in _SCRIPTS}
    finally:
        sys.path.remove(str(ACTION))
        for name in _SCRIPTS:
            sys.modules.pop(name, None)


@pytest.fixture
def hub() -> Generator[Hub]:
    """A GitHub of this test alone."""
    hub = Hub()
    server = hub.served()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def github(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Makes this process a job of that GitHub, started by the event given."""
    for name, value in clean_environment(GITHUB_API_URL=hub.url, GITHUB_TOKEN=TOKEN).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("INPUT_COMMENT_AUTHOR", "github-actions[bot]")

    def started_by(event: dict[str, Any]) -> Path:
        path = tmp_path / "event.json"
        path.write_text(json.dumps(event))
        monkeypatch.setenv("GITHUB_EVENT_PATH", str(path))
        return path

    return started_by
