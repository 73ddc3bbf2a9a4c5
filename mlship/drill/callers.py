"""The drill's own callers: requests at a steady rate, each over a connection of its own, whatever becomes of others."""

from __future__ import annotations

import http.client
import itertools
import json
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mlship.drill.judge import Heard

#: Requests that may be under way at the same time.
MOST_THREADS = 256


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where callers reach the model, and what they show."""

    url: str
    timeout: float
    """Seconds that it may take, as the policy says."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificate: str = ""
    """The endpoint's own: it is trusted, and nothing else is."""


class Callers:
    """A context: while it is open, requests are sent.

    Parameters
    ----------
    bodies
        Sent in turn.
    rate
        Requests per second.
    """

    def __init__(self, endpoint: Endpoint, bodies: Sequence[bytes], rate: float) -> None:
        self._endpoint = endpoint
        self._bodies = itertools.cycle(bodies)
        self._rate = rate
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._heard: list[Heard] = []
        self._under_way: set[Future[None]] = set()
        threads = min(MOST_THREADS, max(4, int(rate * (endpoint.timeout + 2))))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="caller")
        self._thread = threading.Thread(target=self._send, name="callers", daemon=True)
        self._context = _trust(endpoint.certificate) if endpoint.certificate else None

    def __enter__(self) -> Callers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def heard(self, since: float, until: float) -> list[Heard]:
        """Answers to requests that were sent in a stretch of time, in the order in which they were sent."""
        with self._lock:
            return sorted((one for one in self._heard if since <= one.sent < until), key=lambda one: one.sent)

    def settle(self) -> None:
        """Wait until every request that was sent by now has its answer."""
        with self._lock:
            waiting = set(self._under_way)
        for one in waiting:
            one.result()

    def poll(self, path: str, until: float) -> bool:
        """Whether a job has a good answer by then (`time.monotonic`)."""
        while time.monotonic() < until:
            status, _, _ = self._ask("GET", path, b"")
            if status not in (0, 202, 503):
                return status < 500
            time.sleep(0.1)
        return False

    def _send(self) -> None:
        began = time.monotonic()
        for number in itertools.count():
            if self._end.wait(max(0.0, began + number / self._rate - time.monotonic())):
                return
            with self._lock:
                future = self._pool.submit(self._one, next(self._bodies))
                self._under_way.add(future)
            future.add_done_callback(self._done)

    def _done(self, future: Future[None]) -> None:
        with self._lock:
            self._under_way.discard(future)

    def _one(self, body: bytes) -> None:
        sent = time.monotonic()
        status, headers, content = self._ask("POST", "/invocations", body)
        job = ""
        if status == 202:
            try:
                job = str(json.loads(content)["poll"])
            except (ValueError, KeyError, TypeError):
                job = "none"
        heard = Heard(sent, time.monotonic() - sent, status, _who(status, headers), job)
        with self._lock:
            self._heard.append(heard)

    def _ask(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        url = urlsplit(self._endpoint.url)
        timeout = self._endpoint.timeout + 5
        host, port = url.hostname or "", url.port
        if self._context is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=timeout, context=self._context
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=timeout)
        try:
            connection.request(method, path, body, {"content-type": "application/json", **self._endpoint.headers})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, {}, b""
        finally:
            connection.close()


def _who(status: int, headers: Mapping[str, str]) -> str:
    if not status:
        return ""
    if name := headers.get("x-mlship-fallback"):
        return name
    version = headers.get("x-mlship-version")
    return f"version {version}" if version else "the router"


def _trust(certificate: str) -> ssl.SSLContext:
    """Trust this very certificate, by whatever name the endpoint is reached."""
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
