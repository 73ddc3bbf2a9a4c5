"""The ASGI application: predictions by rule or as jobs, and the jobs' answers. The router asks it only when it must."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlship.errors import StateError
from mlship.fallback.jobs import Asked, Given, Gone, Jobs, Pending
from mlship.fallback.rule import Fixed, Function, Rule, RuleFault
from mlship.fallback.settings import Settings, load

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

#: Every answer of this program carries it, but the answer of a finished job: that one is a model's.
HEADER = b"x-mlship-fallback"
#: Seconds after which a caller may ask again.
RETRY = b"1"

log = logging.getLogger("mlship.fallback")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: int
    body: bytes
    headers: Headers
    content_type: str = "application/json"


class ClientGone(Exception):
    """The caller, which is the router, hung up before the request was complete."""


class App:
    """Answers when no model does.

    Parameters
    ----------
    path
        The file of settings; `refresh` reads it again when it has changed.
    wake
        Called when there is a new job.
    """

    def __init__(self, path: Path, jobs: Jobs, wake: Callable[[], None]) -> None:
        self._path = path
        self._jobs = jobs
        self._wake = wake
        self._seen = _stamp(path)
        self.settings = load(path)
        self._rule = _rule(self.settings)
        self._asked: list[tuple[Asked, asyncio.Future[str | None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def refresh(self) -> None:
        """Take up changed settings; those that cannot be read are told, and the old ones hold."""
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            settings = load(self._path)
        except StateError as fault:
            log.warning("%s", fault)
            return
        if settings == self.settings:
            return
        old, self.settings, self._rule = self._rule, settings, _rule(settings)
        log.info("the settings have changed: %s", settings.kind)
        if old is not None:
            await asyncio.sleep(settings.limit)  # requests that it has
            await old.close()

    async def close(self) -> None:
        """End what was started."""
        if self._rule is not None:
            await self._rule.close()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http":
            return
        try:
            answer = await self._answer(scope, receive)
        except ClientGone:
            return
        headers = [
            (b"content-type", answer.content_type.encode("latin-1")),
            (b"content-length", str(len(answer.body)).encode()),
            *answer.headers,
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Message, receive: Receive) -> Answer:
        path, method = scope["path"], scope["method"]
        if path == "/ping":
            return await self._ping()
        if path.startswith("/jobs/"):
            if method not in ("GET", "HEAD"):
                return self._problem(405, "METHOD_NOT_ALLOWED", "/jobs/ID takes GET")
            return await self._job(path.removeprefix("/jobs/"))
        body = await _read(receive)
        headers = dict(scope["headers"])
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        if self.settings.kind == "rule" and self._rule is not None:
            return await self._by_rule(self._rule, body, content_type)
        if self.settings.kind == "queue":
            query = scope["query_string"].decode("latin-1")
            full = scope.get("raw_path", path.encode()).decode("latin-1") + (f"?{query}" if query else "")
            request_id = headers.get(b"x-request-id", b"").decode("latin-1")
            return await self._keep(Asked(full, content_type, request_id, body))
        return self._problem(503, "TEMPORARILY_UNAVAILABLE", "no model answers")

    async def _ping(self) -> Answer:
        try:
            if self._rule is not None:
                await self._rule.ready()
        except RuleFault as fault:
            return self._problem(503, "TEMPORARILY_UNAVAILABLE", str(fault))
        return Answer(200, b"\n", self._mark())

    async def _by_rule(self, rule: Rule, body: bytes, content_type: str) -> Answer:
        document: Any = None
        if isinstance(rule, Function):
            try:
                document = json.loads(body) if _is_json(content_type) else body.decode()
            except (ValueError, RecursionError) as fault:
                return self._problem(400, "BAD_REQUEST", f"the request cannot be read: {fault}")
        try:
            return Answer(200, await rule.answer(document), self._mark())
        except RuleFault as fault:
            log.warning("%s", fault)
            return self._problem(503, "TEMPORARILY_UNAVAILABLE", "no model answers, and the rule gave no answer")

    async def _keep(self, asked: Asked) -> Answer:
        """Keep a request; those that arrive while the disk is busy with others share the next commit."""
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._asked.append((asked, future))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        try:
            job_id = await future
        except sqlite3.Error as error:
            log.warning("a request cannot be kept: %s", error)
            return self._problem(503, "TEMPORARILY_UNAVAILABLE", "no model answers, and the request cannot be kept")
        if job_id is None:
            what = f"no model answers, and {self.settings.max_jobs} requests wait already"
            return self._problem(503, "TEMPORARILY_UNAVAILABLE", what)
        self._wake()
        return self._pending(job_id)

    async def _write(self) -> None:
        while self._asked:
            batch, self._asked = self._asked, []
            try:
                requests = [asked for asked, _ in batch]
                ids = await asyncio.to_thread(self._jobs.add, requests, self.settings.max_jobs)
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error if isinstance(error, sqlite3.Error) else sqlite3.Error(str(error)))
                continue
            for (_, future), job_id in zip(batch, ids, strict=True):
                if not future.done():
                    future.set_result(job_id)

    async def _job(self, job_id: str) -> Answer:
        try:
            found = await asyncio.to_thread(self._jobs.look, job_id, self.settings.keep)
        except sqlite3.Error as error:
            log.warning("job %s cannot be read: %s", job_id, error)
            return self._problem(503, "TEMPORARILY_UNAVAILABLE", "the queue cannot be read")
        if isinstance(found, Given):
            done = [(b"x-mlship-job", b"done")]
            if found.version:
                done.append((b"x-mlship-version", found.version.encode("latin-1")))
            return Answer(found.status, found.body, done, found.content_type or "application/json")
        if isinstance(found, Pending):
            return self._pending(job_id)
        if isinstance(found, Gone):
            return self._problem(410, "GONE", "the job is done, and its answer is no longer kept")
        return self._problem(404, "RESOURCE_DOES_NOT_EXIST", "there is no such job")

    def _pending(self, job_id: str) -> Answer:
        body = json.dumps({"job": job_id, "poll": f"/jobs/{job_id}"}).encode()
        return Answer(202, body, [*self._mark(), (b"location", f"/jobs/{job_id}".encode()), (b"retry-after", RETRY)])

    def _problem(self, status: int, code: str, message: str) -> Answer:
        body = json.dumps({"error_code": code, "message": message}).encode()
        again = [(b"retry-after", RETRY)] if status == 503 else []
        return Answer(status, body, [*self._mark(), *again])

    def _mark(self) -> Headers:
        return [(HEADER, self.settings.kind.encode())]


def _rule(settings: Settings) -> Rule | None:
    if settings.kind != "rule":
        return None
    if settings.function:
        return Function(settings.function, settings.directory, settings.limit)
    return Fixed(settings.answer or {})


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in ("", "application/json")


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
