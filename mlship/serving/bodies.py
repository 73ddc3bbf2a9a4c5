"""Reads a request's body within limits: of size, of time, and only while somebody is there to hear the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Headers = Sequence[tuple[bytes, bytes]]

#: After an early answer, so much more is read and thrown away: a connection closed on unread bytes is reset, and the
#: caller might never see the answer. Bytes, seconds.
LINGER_BYTES, LINGER_SECONDS = 2**20, 0.5


class ClientGone(Exception):
    """The caller hung up before its request was answered."""


class TooLarge(Exception):
    """The body is larger than the limit."""


class TooSlow(Exception):
    """The body did not come in time."""


def gone(receive: Receive) -> Callable[[], bool]:
    """Whether the caller has hung up, asked without waiting; under another server than uvicorn never known."""
    cycle = getattr(receive, "__self__", None)
    return lambda: getattr(cycle, "disconnected", False)


async def read(receive: Receive, headers: Headers, limit: int, deadline: float) -> bytes:
    """Return the whole body of a request.

    Parameters
    ----------
    receive
        The request's ASGI messages.
    headers
        Its headers; an announced length beyond the limit is refused before anything is read.
    limit
        Bytes.
    deadline
        Until when it must be here, by the loop's clock.

    Raises
    ------
    ClientGone, TooLarge, TooSlow
        There is no body to work on.
    """
    for name, value in headers:
        if name == b"content-length" and (len(value) > 18 or int(value) > limit):
            raise TooLarge
    if getattr(getattr(receive, "__self__", None), "more_body", True):
        message = await first(receive, deadline)
    else:  # uvicorn has it all, as nearly always: a timer would cost more than the reading
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
    body: bytes = message.get("body", b"")
    if len(body) > limit:
        raise TooLarge
    if not message.get("more_body"):
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await first(receive, deadline)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise TooLarge
    return b"".join(parts)


async def first(receive: Receive, deadline: float) -> Message:
    """Return the next message of a body; raises `ClientGone` or `TooSlow`."""
    try:
        async with asyncio.timeout_at(deadline):
            message = await receive()
    except TimeoutError:
        raise TooSlow from None
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message


async def linger(receive: Receive) -> None:
    """Throw away what still comes, within bounds, so that an answer that was sent already reaches its caller."""
    size = 0
    deadline = asyncio.get_running_loop().time() + LINGER_SECONDS
    try:
        while size < LINGER_BYTES:
            message = await first(receive, deadline)
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                return
    except (ClientGone, TooSlow):
        return
