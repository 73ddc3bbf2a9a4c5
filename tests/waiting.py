"""Waiting in a test for what must become true, with an end."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(holds: Callable[[], object], what: str = "", within: float = 30.0) -> None:
    """Return once `holds()` is true; an ``AssertionError`` that says what was waited for after `within` seconds."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"not within {within:g} s: {what or holds}"
        time.sleep(0.01)
