"""What the Docker engine tells while it pulls and pushes, as bytes done of bytes known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

#: Told one step in words.
Told: TypeAlias = Callable[[str], None]
#: Told (of what, done, total); `done` equals `total` at the end.
Watch: TypeAlias = Callable[[str, int, int], None]


def silent(_what: str, _done: int, _total: int) -> None:
    """Watch nothing."""


def unsaid(_step: str) -> None:
    """Say nothing."""


def bytes_done(stream: Iterable[dict[str, Any]], watch: Watch, what: str) -> dict[str, Any]:
    """Follow a pull or a push to its end; returns what it said last about itself (`aux`).

    Raises ``docker.errors.APIError`` with the engine's words when it failed.
    """
    from docker.errors import APIError

    layers: dict[str, tuple[int, int]] = {}
    last: dict[str, Any] = {}
    for event in stream:
        if problem := event.get("error") or event.get("message"):
            raise APIError(str(problem), explanation=str(problem))
        if isinstance(event.get("aux"), dict):
            last = event["aux"]
        detail = event.get("progressDetail") or {}
        if "id" in event and detail.get("total"):
            known = int(detail["total"])  # of the content: what the engine wraps around it it counts as done
            layers[event["id"]] = (min(int(detail.get("current", 0)), known), known)
            watch(what, sum(done for done, _ in layers.values()), sum(total for _, total in layers.values()))
    return last
