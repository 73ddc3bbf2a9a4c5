"""The server's own predictions of many rows: asked in requests of as many rows as it answers in good time."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlship.gates.latency.bodies import CONTENT_TYPE, Sender

#: Rows in the largest request, and the largest request in bytes.
_MOST_ROWS, _MOST_BYTES = 500, 1_000_000
#: Seconds within which a request should be answered: then the next one may be larger.
_SWIFT = 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """What a server answered about the first rows of a table."""

    predictions: list[Any]
    """One JSON value a row, in their order; shorter than the table when the time was up or the server refused."""
    refused: str = ""
    """What it said instead of an answer, about the row after the last prediction; empty when it answered all."""


def ask(
    address: str,
    sender: Sender,
    *,
    patience: float,
    timeout: float,
    tick: Callable[[int, int], None],
    largest: int = _MOST_BYTES,
) -> Asked:
    """Ask the server at `host:port` about every row, for up to `patience` seconds.

    Requests grow while they are answered swiftly, up to `largest` bytes, and shrink when one fails, down to a single
    row: whatever a caller may send, the server answers. `timeout` is what one request may take, in seconds.
    """
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
    predictions: list[Any] = []
    total, size = len(sender.cells), 1
    end = time.monotonic() + patience
    try:
        while len(predictions) < total and (time.monotonic() < end or not predictions):
            at = len(predictions)
            stop = min(at + size, total)
            body = sender.body(at, stop)
            if len(body) > largest and size > 1:
                size //= 2
                continue
            began = time.monotonic()
            answer, problem = _post(connection, body, stop - at)
            if answer is None:
                if size == 1:
                    return Asked(predictions, problem)
                size = max(1, size // 4)
                continue
            predictions += answer
            tick(len(predictions), total)
            if time.monotonic() - began < _SWIFT:
                size = min(size * 2, _MOST_ROWS)
    finally:
        connection.close()
    return Asked(predictions)


def _post(connection: http.client.HTTPConnection, body: bytes, rows: int) -> tuple[list[Any] | None, str]:
    """The predictions of one request, or None and why not."""
    try:
        connection.request("POST", "/invocations", body, {"content-type": CONTENT_TYPE})
        response = connection.getresponse()
        text = response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return None, f"no answer ({type(error).__name__}: {error})".replace(": )", ")")
    if response.status != http.client.OK:
        said = " ".join(text.decode(errors="replace").split())
        return None, f"{response.status}: {said[:300]}"
    try:
        predictions = json.loads(text)["predictions"]
    except (ValueError, KeyError, TypeError):
        return None, "its answer has no predictions"
    if isinstance(predictions, dict) or not isinstance(predictions, list) or len(predictions) != rows:
        return None, f"it does not give one prediction a row, for {rows} rows"
    return predictions, ""
