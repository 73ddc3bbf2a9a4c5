"""The ASGI application: routes, headers and status codes. Knows no model; it is given one when it is loaded."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mlship.serving.batching import Batcher, Work
from mlship.serving.limits import Limits
from mlship.serving.observer import Answered, Observer, Pressure
from mlship.serving.protocol import Answer, Request, error

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: An id of the caller's that is longer gets replaced: ids are kept in memory until the label comes.
MAX_ID = 256

log = logging.getLogger("mlship.serving")


class Phase(StrEnum):
    """What the server is doing."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Identity:
    """What this server answers with."""

    model: str
    version: str
    digest: str


class ClientGone(Exception):
    """The caller hung up before its request was complete."""


class App:
    """Serve one model version.

    Parameters
    ----------
    identity
        Name, version and digest of the model.
    observer
        Told of every answer to a request for predictions; answers `/metrics`, `/counters`, `/sketches`, `/feedback`.
    limits
        What is taken on.
    """

    def __init__(self, identity: Identity, observer: Observer, limits: Limits) -> None:
        self.phase = Phase.LOADING
        self.observer: Final = observer
        self._limits = limits
        self._in_flight = 0
        self._version: Final = identity.version.encode("latin-1", "replace")
        self._mlflow_version = ""
        self._batcher: Batcher | None = None
        self._routes: dict[str, tuple[str, Callable[[bytes], Awaitable[Answer]]]] = {
            "/ping": ("GET", self._ping),
            "/health": ("GET", self._ping),
            "/version": ("GET", self._mlflow),
            "/metrics": ("GET", lambda _: observer.metrics()),
            "/counters": ("GET", lambda _: observer.counters()),
            "/sketches": ("GET", lambda _: observer.sketches()),
            "/feedback": ("POST", observer.feedback),
        }
        observer.watch(self.pressure)

    def pressure(self) -> Pressure:
        """What is held now."""
        waiting = self._batcher.waiting if self._batcher else 0
        return Pressure(self.phase is Phase.READY, self._in_flight, waiting)

    def ready(self, work: Work, mlflow_version: str) -> None:
        """Begin to answer; called in the event loop, when the model is loaded and warm."""
        self._batcher = Batcher(work)
        self._mlflow_version = mlflow_version
        if self.phase is Phase.LOADING:
            self.phase = Phase.READY

    def drain(self) -> None:
        """Answer on, but tell every caller to close its connection, and health checks to look elsewhere."""
        self.phase = Phase.DRAINING

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http":
            return
        try:
            if scope["path"] == "/invocations":
                await self._invocations(scope, receive, send)
            else:
                await self._other(scope, receive, send)
        except ClientGone:
            pass

    async def _invocations(self, scope: Message, receive: Receive, send: Send) -> None:
        arrived, started = time.time(), time.perf_counter()
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")
        if not 0 < len(request_id) <= MAX_ID:
            request_id = str(uuid.uuid4())
        self._in_flight += 1
        try:
            if scope["method"] != "POST":
                answer = error(405, "METHOD_NOT_ALLOWED", "/invocations takes POST")
            elif self._batcher is None:
                answer = error(503, "TEMPORARILY_UNAVAILABLE", f"the model is not ready: {self.phase}")
            else:
                content_type = headers.get(b"content-type")
                body = await read(receive)
                answer = await self._batcher.answer(
                    Request(body, content_type.decode("latin-1") if content_type else None, request_id)
                )
            seconds = time.perf_counter() - started
        finally:
            self._in_flight -= 1
        if answer.problem:
            log.error("request %s failed: %s", request_id, answer.problem)
        own = [(b"x-mlship-version", self._version), (b"x-request-id", request_id.encode("latin-1"))]
        await self._send(send, answer, own)
        self.observer.answered(
            Answered(request_id, arrived, seconds, answer.status, answer.features, answer.predictions)
        )

    async def _other(self, scope: Message, receive: Receive, send: Send) -> None:
        method, handler = self._routes.get(scope["path"], ("", None))
        if handler is None:
            answer = error(404, "ENDPOINT_NOT_FOUND", f"there is no {scope['path']}; try /invocations")
        elif scope["method"] not in (method, "HEAD" if method == "GET" else method):
            answer = error(405, "METHOD_NOT_ALLOWED", f"{scope['path']} takes {method}")
        else:
            answer = await handler(await read(receive) if method == "POST" else b"")
        await self._send(send, answer, [])

    async def _send(self, send: Send, answer: Answer, extra: list[tuple[bytes, bytes]]) -> None:
        headers = [
            (b"content-type", answer.media_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            *extra,
        ]
        if self.phase is Phase.DRAINING:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _ping(self, _: bytes) -> Answer:
        if self.phase is Phase.READY:
            return Answer(200, b"\n")
        return error(503, "TEMPORARILY_UNAVAILABLE", str(self.phase))

    async def _mlflow(self, _: bytes) -> Answer:
        if not self._mlflow_version:
            return error(503, "TEMPORARILY_UNAVAILABLE", str(self.phase))
        return Answer(200, self._mlflow_version.encode())


async def read(receive: Receive) -> bytes:
    """Return the whole body of a request; raises `ClientGone` when it never came."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)
