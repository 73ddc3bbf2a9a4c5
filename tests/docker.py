"""A real Docker engine for tests, or a skip that says why there is none."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

import pytest

from mlship.errors import EngineError
from mlship.images.daemon import connect

if TYPE_CHECKING:
    from docker import DockerClient

#: Marks whatever a test starts, so that it can be found and removed; the value is the test's own.
LABEL = "mlship.test"


def docker_client() -> DockerClient:
    """A client of the engine; skips where none answers."""
    found = _client()
    if isinstance(found, str):
        pytest.skip(f"needs a Docker engine: {found}")
    return found


def base_image() -> str:
    """Name of an image with Python 3.11 to build on; skips where the engine has none."""
    name = os.environ.get("MLSHIP_TEST_BASE", "mlship-base:bookworm")
    client = docker_client()
    if not client.images.list(name):
        pytest.skip(f"needs a Docker engine with the image {name} (name another in MLSHIP_TEST_BASE)")
    return name


@cache
def _client() -> DockerClient | str:
    try:
        return connect()
    except EngineError as error:
        return error.what
