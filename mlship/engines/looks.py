"""What a server of a local engine says of itself: whether it is ready, and what it has counted."""

from __future__ import annotations

import http.client
from http import HTTPStatus
from pathlib import Path
from typing import Any

from mlship.engines import said, supervisor
from mlship.engines.said import Said
from mlship.engines.state import Deployment
from mlship.guardian import asking
from mlship.types import Server, ServerState

#: Seconds that a server may take to say whether it is ready, or what it has counted, to the last byte.
PING_SECONDS = 0.5
#: How the process manager calls a program that does not run.
FAILED = ("BACKOFF", "FATAL", "EXITED")
#: What is raised when the router does not answer, or not as we expect.
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
        if (body := _get(one.port, path)) is not None and (now := said.read(body)) is not None:
            self._last[one.cluster] = now
        return self._last.get(one.cluster, said.NOTHING)


def _get(port: int, path: str) -> bytes | None:
    """What a server answers with 200; None where it does not, or not in time, or too much."""
    try:
        ((status, body),) = asking.get("127.0.0.1", port, (path,), PING_SECONDS, said.most(path))
    except (OSError, http.client.HTTPException):
        return None
    return body if status == HTTPStatus.OK else None


def ready(port: int) -> bool:
    """Whether a server answers `/ping` with 200."""
    return _get(port, "/ping") is not None
