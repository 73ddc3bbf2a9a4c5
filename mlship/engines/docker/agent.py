"""Runs inside the router's container, on any Python 3.8: asks and writes there what the engine's client wants.

One line of JSON in, one line of JSON out, until the client hangs up or says nothing for ten minutes:

{"get": [[host, port, [path, ...], timeout], ...]}  ->  [[[status, body], ...] or "why there is no answer", ...]
{"put": [[path, text], ...]}                        ->  []        each file appears by a rename, readable by its owner
{"read": path}                                      ->  [text] or [null]
"""

from __future__ import annotations

import http.client
import json
import os
import select
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator, List  # noqa: UP035 - this file runs on older Pythons too

IDLE = 600


def get(host: str, port: int, paths: list[str], timeout: float) -> list[Any] | str:
    """Answers of some GET requests over one connection; why there are none when one fails."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    answers: List[Any] = []  # noqa: UP006 - see above
    try:
        for path in paths:
            connection.request("GET", path)
            answer = connection.getresponse()
            answers.append([answer.status, answer.read().decode("latin-1")])
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()
    return answers


def put(path: str, text: str) -> None:
    """Replace a file by a rename."""
    folder, name = os.path.split(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103 - Path.mkdir gives its mode to the last one only
    temporary = Path(folder, f".{name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def read(path: str) -> str | None:
    """A file's text; None when there is none."""
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        return None


def answer(request: dict[str, Any], pool: ThreadPoolExecutor) -> list[Any]:
    """Do what one line asks."""
    if "get" in request:
        return list(pool.map(lambda call: get(*call), request["get"]))
    for path, text in request.get("put", ()):
        put(path, text)
    return [read(request["read"])] if "read" in request else []


def lines() -> Iterator[bytes]:
    """Lines of standard input, while somebody talks."""
    waiting = b""
    while select.select([0], [], [], IDLE)[0]:
        piece = os.read(0, 1 << 16)
        if not piece:
            return
        *whole, waiting = (waiting + piece).split(b"\n")
        yield from whole


def main() -> None:
    """Answer line by line; a fault is an answer too."""
    with ThreadPoolExecutor(16) as pool:
        for line in lines():
            try:
                said = {"ok": answer(json.loads(line), pool)}
            except Exception as error:  # noqa: BLE001 - told to the client, who knows what to do
                said = {"error": [f"{type(error).__name__}: {error}"]}
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
