"""GitHub's REST API as far as comments need it: pages, limits, and patience; the token goes nowhere else."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

T = TypeVar("T")
#: Times that something is tried, and seconds that are waited for it altogether.
TRIES, PATIENCE = 5, 300.0
#: What GitHub asks to wait where it names no time after a limit was hit.
LIMITED = 60.0
#: Pages that are read at most: 100 comments each.
PAGES = 200
#: Bytes that are read of one answer.
LARGEST = 32 * 1024 * 1024
#: Where the token may go without TLS.
LOCAL = ("localhost", "127.0.0.1", "::1")


class ApiError(Exception):
    """GitHub said no, or said nothing that can be understood."""

    def __init__(self, what: str, status: int = 0) -> None:
        super().__init__(what)
        self.status = status


class Busy(ApiError):
    """It may go better later: after `wait` seconds, where GitHub has named them."""

    def __init__(self, what: str, status: int = 0, wait: float | None = None) -> None:
        super().__init__(what, status)
        self.wait = wait


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the token would be sent along."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Api:
    """One repository's API, called with a token."""

    url: str
    repository: str
    token: str
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL):
            raise ApiError(f"the API's address {self.url} is not https: the token stays here")

    def call(self, method: str, path: str, payload: dict[str, Any] | None = None) -> Any:
        """The answer of one request below this repository.

        Raises ``ApiError``, or ``Busy`` when it may go better later.
        """
        return self._json(method, f"{self.url}/repos/{self.repository}/{path}", payload)[0]

    def pages(self, path: str) -> Iterator[Any]:
        """Each page of a list, by the links that GitHub gives. Raises as `call` does."""
        link = f"{self.url}/repos/{self.repository}/{path}"
        for _ in range(PAGES):
            found, headers = self._json("GET", link, None)
            yield found
            following = _next(headers.get("link", ""))
            if not following:
                return
            link = urljoin(link, following)
            if urlsplit(link)[:2] != urlsplit(self.url)[:2]:
                raise ApiError("the next page is said to be on another host: the token does not go there")

    def download(self, path: str) -> bytes:
        """What a request redirects to, fetched without the token. Raises as `call` does."""
        link = f"{self.url}/repos/{self.repository}/{path}"
        answer = self._open("GET", link, None)
        if answer.status not in (301, 302, 303, 307, 308):
            raise ApiError(f"{path} does not lead to a file", answer.status)
        target = urljoin(link, answer.headers.get("location", ""))
        if urlsplit(target).scheme != "https" and urlsplit(target)[:2] != urlsplit(self.url)[:2]:
            raise ApiError(f"{path} leads to an address that is not https")
        return self._sent(urllib.request.Request(target, headers={"user-agent": "mlship"}), "the file").body

    def patiently(self, action: Callable[[], T]) -> T:
        """Do something, again and again while GitHub is busy, as long as its documentation asks for.

        Raises ``ApiError`` when it is refused, or when the patience is at its end.
        """
        waited = 0.0
        for attempt in range(1, TRIES + 1):
            try:
                return action()
            except Busy as busy:
                wait = busy.wait if busy.wait is not None else 2.0**attempt
                if attempt == TRIES or waited + wait > PATIENCE:
                    raise ApiError(f"{busy}; given up after {attempt} tries and {waited:.0f} s", busy.status) from busy
                self.sleep(wait)
                waited += wait
        raise AssertionError("the last try ends the loop")

    def _json(self, method: str, url: str, payload: dict[str, Any] | None) -> tuple[Any, Message]:
        answer = self._open(method, url, payload)
        if answer.status >= 300:
            raise ApiError(
                f"{method} {urlsplit(url).path}: the repository has moved (HTTP {answer.status})", answer.status
            )
        try:
            return json.loads(answer.body or b"null"), answer.headers
        except ValueError:
            raise Busy(f"{method} {urlsplit(url).path}: the answer is not JSON", answer.status) from None

    def _open(self, method: str, url: str, payload: dict[str, Any] | None) -> _Answer:
        headers = {
            "accept": "application/vnd.github+json",
            "authorization": f"Bearer {self.token}",
            "x-github-api-version": "2022-11-28",
            "user-agent": "mlship",
        }
        data = None if payload is None else json.dumps(payload).encode()
        if data is not None:
            headers["content-type"] = "application/json"
        return self._sent(urllib.request.Request(url, data, headers, method=method), f"{method} {urlsplit(url).path}")

    def _sent(self, request: urllib.request.Request, what: str) -> _Answer:
        try:
            with urllib.request.build_opener(_Stay).open(request, timeout=30) as answer:
                body = answer.read(LARGEST + 1)
                if len(body) > LARGEST:
                    raise ApiError(f"{what}: the answer is larger than {LARGEST} bytes")
                return _Answer(answer.status, answer.headers, body)
        except urllib.error.HTTPError as error:
            if error.code in (301, 302, 303, 307, 308):
                return _Answer(error.code, error.headers, b"")
            raise self._refused(error, what) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Busy(self._hidden(f"{what}: {type(error).__name__}: {reason}")) from None

    def _refused(self, error: urllib.error.HTTPError, what: str) -> ApiError:
        try:
            message = str(json.loads(error.read(100_000))["message"])
        except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
            message = str(error.reason)
        text = self._hidden(f"{what}: HTTP {error.code}: {message[:300]}")
        if error.code >= 500:
            return Busy(text, error.code)
        limited = error.headers.get("x-ratelimit-remaining") == "0" or "rate limit" in message.lower()
        if error.code == 429 or (error.code == 403 and (limited or error.headers.get("retry-after"))):
            return Busy(text, error.code, self._wait(error.headers))
        return ApiError(text, error.code)

    def _wait(self, headers: Message) -> float:
        """Seconds that GitHub asks to wait: by name, until its limit is reset, or a minute where it says nothing."""
        after, reset = headers.get("retry-after", ""), headers.get("x-ratelimit-reset", "")
        if after.isdecimal():
            return float(after)
        if headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
            return max(1.0, float(reset) - self.now())
        return LIMITED

    def _hidden(self, text: str) -> str:
        return text.replace(self.token, "***") if self.token else text


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Message
    body: bytes


def _next(link: str) -> str:
    """The address of the next page in a `Link` header, or an empty text."""
    for part in link.split(","):
        address, _, relation = part.partition(";")
        if 'rel="next"' in relation:
            return address.strip().strip("<>")
    return ""
