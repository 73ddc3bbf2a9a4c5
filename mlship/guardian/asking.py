"""GET requests that end: one deadline, and one bound of bytes, for all that whoever is asked says, however slowly."""

from __future__ import annotations

import http.client
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

#: Bytes that the router's admin port may answer: its counts grow with the status codes that servers have answered.
ROUTER = 64 << 20


class BadAnswer(http.client.HTTPException):
    """What came is no HTTP, or too much of it."""


def get(host: str, port: int, paths: Iterable[str], seconds: float, most: int) -> list[tuple[int, bytes]]:
    """Status and body of some GET requests over one connection.

    Parameters
    ----------
    seconds
        Within which all of it is done, counted from now.
    most
        Bytes that are read, heads and all, and the most of any body.

    Raises
    ------
    OSError
        Nobody answers, or not in time.
    http.client.HTTPException
        The answer is no HTTP, breaks off or is too long; whatever it is, nothing else is raised.
    """
    connection = _Connection(host, port, time.monotonic() + seconds, most)
    answers = []
    try:
        for path in paths:
            connection.request("GET", path)
            answer = connection.getresponse()
            answers.append((answer.status, _body(answer, most)))
    except (OSError, http.client.HTTPException):
        raise
    except Exception as error:  # a stranger's answer, so whatever it does to the parser is a bad answer
        raise BadAnswer(type(error).__name__) from error
    finally:
        connection.close()
    return answers


def _body(answer: http.client.HTTPResponse, most: int) -> bytes:
    """All of a body: memory is taken for what may come, never for what the head promises."""
    if answer.length is not None and answer.length > most:
        raise BadAnswer(f"{answer.length} bytes")
    body = answer.read(most + 1)
    if len(body) > most:
        raise BadAnswer(f"more than {most} bytes")
    if answer.length:
        raise http.client.IncompleteRead(body, answer.length)
    return body


class _Connection(http.client.HTTPConnection):
    """A connection, and those after it where a server closes it, that all end at one moment (monotonic clock)."""

    def __init__(self, host: str, port: int, ends: float, most: int) -> None:
        super().__init__(host, port)
        self._ends, self._most = ends, most

    def connect(self) -> None:
        """Called by `request`."""
        plain = socket.create_connection((self.host, self.port), _left(self._ends))
        self.sock = _Limited(fileno=plain.detach())
        self.sock.settimeout(_left(self._ends))
        self.sock.ends, self.sock.most = self._ends, self._most


class _Limited(socket.socket):
    """A socket that gives so many bytes, until a moment."""

    ends = 0.0
    most = 0

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """What `http.client` reads with."""
        self.settimeout(_left(self.ends))
        found = super().recv_into(buffer, nbytes, flags)
        self.most -= found
        if self.most < 0:
            raise BadAnswer("too many bytes")
        return found


def _left(ends: float) -> float:
    """Seconds until then."""
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long")
    return left
