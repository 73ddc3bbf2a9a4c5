"""The ASGI application: routes, headers and status codes. Knows no model; it is given one when it is loaded."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from secrets import token_hex
from typing import Final

from mlship.serving import v2
from mlship.serving.batching import Batcher, Work
from mlship.serving.bodies import ClientGone, Message, Receive, TooLarge, TooSlow, gone, linger, read
from mlship.serving.limits import Limits
from mlship.serving.observer import Answered, Observer, Pressure
from mlship.serving.protocol import Answer, Asked, Request, error, unavailable

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
        self._identity = identity
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
            "/counters": ("GET", observer.counters),
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
        self._batcher = Batcher(work, self._limits)
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
        path = scope["path"]
        try:
            if path == "/invocations":
                await self._predict(scope, receive, send, None)
            elif path == "/v2" or path.startswith("/v2/"):
                await self._v2(path, scope, receive, send)
            else:
                await self._other(path, scope, receive, send)
        except ClientGone:
            pass

    async def _predict(self, scope: Message, receive: Receive, send: Send, asked: Asked | None) -> None:
        arrived, started = time.time(), time.perf_counter()
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")
        if not 0 < len(request_id) <= MAX_ID or not request_id.isascii() or not request_id.isprintable():
            request_id = token_hex(16)
        self._in_flight += 1
        early = False
        try:
            if scope["method"] != "POST":
                answer = error(405, "METHOD_NOT_ALLOWED", f"{scope['path']} takes POST")
            elif self._batcher is None:
                answer = unavailable(f"the model is not ready: {self.phase}")
            elif asked and b"inference-header-content-length" in headers:
                answer, early = v2.binary_refused(), True
            else:
                deadline = asyncio.get_running_loop().time() + self._limits.timeout
                try:
                    body = await read(receive, scope["headers"], self._limits.max_body, deadline)
                except TooLarge:
                    answer, early = self._too_large(), True
                except TooSlow:
                    answer, early = error(408, "REQUEST_TIMEOUT", "the body did not come in time"), True
                else:
                    content_type = headers.get(b"content-type")
                    request = Request(body, content_type.decode("latin-1") if content_type else None, request_id, asked)
                    answer = await self._batcher.answer(request, gone(receive), deadline)
            seconds = time.perf_counter() - started
        finally:
            self._in_flight -= 1
        if answer.problem:
            log.error("request %s failed: %s", request_id, answer.problem, extra={"request_id": request_id})
        if asked and answer.status >= 400:
            answer = v2.as_error(answer)
        own = [(b"x-mlship-version", self._version), (b"x-request-id", request_id.encode("latin-1"))]
        await self._send(send, answer, own, receive if early else None)
        self.observer.answered(
            Answered(request_id, arrived, seconds, answer.status, answer.features, answer.predictions)
        )

    async def _v2(self, path: str, scope: Message, receive: Receive, send: Send) -> None:
        route = v2.route(path, self._identity.model, self._identity.version)
        if isinstance(route, Asked) and not route.describes:
            await self._predict(scope, receive, send, route)
            return
        if isinstance(route, Answer):
            answer = route  # there is no such model, whatever was to be done with it
        elif scope["method"] not in ("GET", "HEAD"):
            answer = error(405, "METHOD_NOT_ALLOWED", f"{path} takes GET")
        elif isinstance(route, Asked):
            answer = await self._describe(route)
        else:
            answer = route(self.phase is Phase.READY)
        await self._send(send, v2.as_error(answer) if answer.status >= 400 else answer, [])

    async def _describe(self, asked: Asked) -> Answer:
        if self._batcher is None:
            return unavailable(f"the model is not ready: {self.phase}")
        return await self._batcher.answer(Request(b"", None, v2=asked))

    async def _other(self, path: str, scope: Message, receive: Receive, send: Send) -> None:
        method, handler = self._routes.get(path, ("", None))
        early = False
        if handler is None:
            answer = error(404, "ENDPOINT_NOT_FOUND", f"there is no {path}; try /invocations")
        elif scope["method"] not in (method, "HEAD" if method == "GET" else method):
            answer = error(405, "METHOD_NOT_ALLOWED", f"{path} takes {method}")
        elif method == "GET":
            answer = await handler(scope["query_string"])
        else:
            deadline = asyncio.get_running_loop().time() + self._limits.timeout
            try:
                answer = await handler(await read(receive, scope["headers"], self._limits.max_body, deadline))
            except TooLarge:
                answer, early = self._too_large(), True
            except TooSlow:
                answer, early = error(408, "REQUEST_TIMEOUT", "the body did not come in time"), True
        await self._send(send, answer, [], receive if early else None)

    async def _send(
        self, send: Send, answer: Answer, extra: list[tuple[bytes, bytes]], unread: Receive | None = None
    ) -> None:
        headers = [
            (b"content-type", answer.media_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            *extra,
        ]
        if answer.status == 503:
            headers.append((b"retry-after", b"1"))
        if unread or self.phase is Phase.DRAINING:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if unread:
            await send({"type": "http.response.body", "body": answer.body, "more_body": True})
            await linger(unread)
            await send({"type": "http.response.body", "body": b""})
        else:
            await send({"type": "http.response.body", "body": answer.body})

    def _too_large(self) -> Answer:
        return error(413, "REQUEST_TOO_LARGE", f"the body is larger than {self._limits.max_body} bytes")

    async def _ping(self, _: bytes) -> Answer:
        if self.phase is Phase.READY:
            return Answer(200, b"\n")
        return unavailable(str(self.phase))

    async def _mlflow(self, _: bytes) -> Answer:
        if not self._mlflow_version:
            return unavailable(str(self.phase))
        return Answer(200, self._mlflow_version.encode())
