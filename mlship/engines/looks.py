"""What a server of a local engine says of itself: whether it is ready, and what it has counted."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

from mlship.engines import said, supervisor
from mlship.engines.counters import Admin
from mlship.engines.said import Said
from mlship.engines.state import Deployment
from mlship.types import Server, ServerState

#: Seconds that a server may take to say whether it is ready, or what it has counted.
PING_SECONDS = 0.5
#: How the process manager calls a program that does not run.
FAILED = ("BACKOFF", "FATAL", "EXITED")
#: What is raised when nobody answers, or not as we expect.
UNREACHABLE = (OSError, http.client.HTTPException, ValueError)


def look(directory: Path, one: Deployment, process: dict[str, Any]) -> Server:
    """A server, with what the process manager and its own `/ping` say of it."""
    name, detail = process.get("statename", "STOPPED"), ""
    if name in FAILED:
        kind = ServerState.FAILED
        detail = f"{process.get('spawnerr') or 'it ended'}:\n" + supervisor.tail(directory, one.name)
    elif ready(one.port):
        kind = ServerState.READY
    else:
        kind = ServerState.STARTING if name in ("STARTING", "RUNNING") else ServerState.STOPPED
        detail = "it runs, but does not answer" if name == "RUNNING" else ""
    return Server(one.name, one.version, one.digest, kind, detail, process.get("pid") or None)


class Told:
    """Reads what servers have counted, and remembers the last of each for when one does not answer."""

    def __init__(self) -> None:
        self._last: dict[str, Said] = {}

    def read(self, one: Deployment, path: str) -> Said:
        """What a server says now, or said last; `path` as of ``said.path``."""
        try:
            self._last[one.cluster] = said.read(_get(one.port, path))
        except (*UNREACHABLE, *said.UNREADABLE):
            return self._last.get(one.cluster, said.NOTHING)
        return self._last[one.cluster]


def _get(port: int, path: str) -> bytes:
    (body,) = Admin(port, timeout=PING_SECONDS).get(path)
    return body


def ready(port: int) -> bool:
    """Whether a server answers `/ping` with 200."""
    try:
        _get(port, "/ping")
    except UNREACHABLE:
        return False
    return True
