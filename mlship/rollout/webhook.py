"""Asks a web service, mostly by a POST of JSON: 2xx agrees. Within a time, no redirects, and its URL is never shown."""

from __future__ import annotations

import http.client
import re
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_plus, urlsplit

#: Bytes of an answer that are looked at.
_READ = 2048
#: Characters; a shorter part of a URL is no secret, but a word that may well stand in an answer.
_SHORT = 6


@dataclass(frozen=True, slots=True)
class Answer:
    """What a web service said."""

    agreed: bool
    how: str
    """`answered 403`, `gave no answer within 30 s`."""
    line: str = ""
    """The first line of what it sent."""
    status: int = 0
    """Of HTTP; 0 when there was no answer."""
    maybe: bool = False
    """There was no answer, and yet it may have been asked."""
    body: bytes = field(default=b"", repr=False)
    """What it sent, as far as it was read."""


def post(url: str, document: bytes, timeout: float, headers: Mapping[str, str] | None = None) -> Answer:
    """Ask, and wait at most so many seconds in all, however slowly the answer comes; never raises."""
    return _ask(url, document, timeout, headers, _READ)


def get(url: str, timeout: float, headers: Mapping[str, str] | None = None, most: int = _READ) -> Answer:
    """The same for a GET, of whose answer at most so many bytes are read."""
    return _ask(url, None, timeout, headers, most)


def _ask(url: str, document: bytes | None, timeout: float, headers: Mapping[str, str] | None, most: int) -> Answer:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return Answer(False, "cannot be asked: this is no http or https URL")
    if parts.username is not None or parts.password is not None:
        return Answer(False, "cannot be asked: user and password do not belong into a URL")
    found: list[Answer] = []
    # A thread that can be left behind: neither names nor headers that come byte by byte obey a socket's timeout.
    thread = threading.Thread(
        target=lambda: found.append(_exchange(url, document, timeout, headers or {}, most)), daemon=True
    )
    thread.start()
    thread.join(timeout)
    return found[0] if found else Answer(False, f"gave no answer within {timeout:g} s", maybe=True)


def without(url: str, text: str) -> str:
    """A text without the parts of a URL that may be a secret: it may have come back in an answer, decoded or not."""
    parts = re.split(r"[/?&=#]", url.partition("://")[2].partition("/")[2])
    forms = {form for part in (url, *parts) for form in (part, unquote(part), unquote_plus(part))}
    for form in sorted(forms, key=len, reverse=True):
        if len(form) >= _SHORT:
            text = re.sub("".join(map(_any_form, form)), "********", text, flags=re.IGNORECASE)
    return text


def _any_form(char: str) -> str:
    """An expression for one character of a URL, whether it is written as itself or by its bytes."""
    encoded = "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
    return f"(?:{re.escape(char)}|{encoded}{'|[+]' if char == ' ' else ''})"


def _exchange(url: str, document: bytes | None, timeout: float, headers: Mapping[str, str], most: int) -> Answer:
    opener = urllib.request.OpenerDirector()  # with these alone: redirects are not followed, nor other schemes opened
    context = ssl.create_default_context()
    handlers = (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
    )
    for handler in handlers:
        opener.add_handler(handler)
    given = {"content-type": "application/json", "user-agent": "mlship", **headers}
    try:
        request = urllib.request.Request(
            url, data=document, headers=given, method="GET" if document is None else "POST"
        )
        with opener.open(request, timeout=timeout) as response:
            status, body = response.status, response.read(most)
    except TimeoutError:
        return Answer(False, f"gave no answer within {timeout:g} s", maybe=True)
    except (OSError, http.client.HTTPException, ValueError) as error:
        asked = not isinstance(error, urllib.error.URLError | ValueError)  # those come before all has been sent
        return Answer(False, f"could not be asked: {_reason(error)}", maybe=asked)
    if 200 <= status < 300:
        return Answer(True, "agreed", status=status, body=body)
    lines = body.decode(errors="replace").split("\n")
    how = f"answered {status}" if not 300 <= status < 400 else f"answered {status}, and redirects are not followed"
    return Answer(False, how, next((line for line in lines if line.strip()), ""), status, body=body)


def _reason(error: Exception) -> str:
    """What went wrong, in words that quote nothing of the URL."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return "no connection in time"
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({inner.verify_message})"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return {"RemoteDisconnected": "it hung up"}.get(type(inner).__name__, type(inner).__name__)
