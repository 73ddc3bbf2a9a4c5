"""Runs inside the router's container, on any Python 3.8: asks and writes there what the engine's client wants.

One line of JSON in, one line of JSON out, until the client hangs up or says nothing for ten minutes:

{"get": [[host, port, [path, ...], timeout], ...], "most": bytes}
                                                    ->  [[[status, body], ...] or "why there is no answer", ...]
{"put": [[path, text], ...]}                        ->  []        each file appears by a rename, readable by its owner
{"put": [[path, text], ...], "lease": FOLDER, "routes": FOLDER, "owner": name}
                                                    ->  [] or [the lease, which that owner does not hold]
{..., "was": text}                                  ->  ["moved"] where the route file is not that any more
{"lease": [function, FOLDER, argument, ...]}         ->  [what that of `mlship.guardian.lease` returns, null]
                                                        or [null, the lease that is in the way]
  with "empty": [path, when]: that file is emptied, too, "first" (before the others are there) or "last"
{"read": path}                                      ->  [text] or [null]
{"tail": [path, offset, most]}                      ->  [at most so many bytes from there on (latin-1), size]
"""

from __future__ import annotations

import json
import os
import select
import sys

# Nothing else at the top: a rollback waits for this program to start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

IDLE = 600
#: Where the code is that is not the agent's own: beside the folder that this file is in.
CODE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "code")  # noqa: PTH100, PTH118, PTH120


def get(host: str, port: int, paths: list[str], timeout: float, most: int | None = None) -> list[Any] | str:
    """Answers of some GET requests over one connection; why there are none when one fails. See `asking.get`.

    An earlier version's client does not say how much it may be (`most`).
    """
    import http.client

    share()
    from mlship.guardian import asking

    try:
        answers = asking.get(host, port, paths, timeout, most or asking.ROUTER)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    return [[status, body.decode("latin-1")] for status, body in answers]


def put(path: str, text: str) -> None:
    """Replace a file by a rename."""
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):  # noqa: PTH112 - importing pathlib takes longer than all of this
        os.mkdir(folder, 0o700)  # noqa: PTH102 - see above
    temporary = os.path.join(folder, f".{name}.{os.getpid()}")  # noqa: PTH118 - see above
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    os.replace(temporary, path)  # noqa: PTH105 - see above


def read(path: str) -> str | None:
    """A file's text; None when there is none."""
    try:
        with open(path) as file:  # noqa: PTH123 - see above
            return file.read()
    except FileNotFoundError:
        return None


def empty(path: str) -> None:
    """Make a file empty that another program appends to."""
    if os.path.exists(path) and os.path.getsize(path):  # noqa: PTH110, PTH202 - see above
        os.truncate(path, 0)


def tail(path: str, offset: int, most: int) -> list[Any]:
    """What stands in a file from an offset on, and its size; nothing where there is none."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - see above
            size = file.seek(0, os.SEEK_END)
            file.seek(min(offset, size))
            return [file.read(most).decode("latin-1"), size]
    except FileNotFoundError:
        return ["", 0]


def share() -> None:
    """Make what the agent shares with the guardian importable."""
    if CODE not in sys.path:
        sys.path.insert(0, CODE)


def leased(request: dict[str, Any]) -> list[Any]:
    """Do what the lease guards, or something to the lease itself, under the lock that the guardian takes too."""
    share()
    from mlship.guardian import lease

    if "put" in request:
        folder, routes, owner = request["lease"], request["routes"], request["owner"]

        emptied, when = request.get("empty", ("", ""))

        def act() -> None:
            if when == "first":
                empty(emptied)
            for path, text in request["put"]:
                put(path, text)
            if when == "last":
                empty(emptied)

        if not os.path.isdir(folder):  # noqa: PTH112 - see above
            os.mkdir(folder, 0o700)  # noqa: PTH102 - see above
        with lease.locked(folder):
            if "was" in request and read(os.path.join(routes, lease.ROUTES)) != request["was"]:  # noqa: PTH118 - see above
                return ["moved"]
            try:
                lease.fenced(folder, routes, owner, act)
            except lease.Refused as refused:
                return [refused.found]
            lease.prune(routes)
        return []
    what, folder, *more = request["lease"]
    if not os.path.isdir(folder):  # noqa: PTH112 - see above
        os.mkdir(folder, 0o700)  # noqa: PTH102 - see above
    with lease.locked(folder):
        try:
            return [getattr(lease, what)(folder, *more), None]
        except lease.Refused as refused:
            return [None, refused.found]


def answer(request: dict[str, Any]) -> list[Any]:
    """Do what one line asks."""
    calls, most = request.get("get", ()), request.get("most")

    def one(call: list[Any]) -> list[Any] | str:
        host, port, paths, timeout = call
        return get(host, port, paths, timeout, most)

    if len(calls) > 1:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(one, calls))
    if calls:
        return [one(calls[0])]
    if "lease" in request:
        return leased(request)
    for path, text in request.get("put", ()):
        put(path, text)
    if "tail" in request:
        return tail(*request["tail"])
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
    for line in lines():
        try:
            said = {"ok": answer(json.loads(line))}
        except Exception as error:  # noqa: BLE001 - told to the client, who knows what to do
            said = {"error": [f"{type(error).__name__}: {error}"]}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
