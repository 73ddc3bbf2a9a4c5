"""Counts users: follows the router's log of first requests (see `envoy/users.py`), as far as it has been written."""

from __future__ import annotations

import os
import secrets
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlship.engines import envoy
from mlship.engines.counters import BUCKETS, Counted, is_error, is_refused, is_timeout, is_unasked
from mlship.types import LATENCY_BOUNDS_MS, Counts, Routes

#: Bytes that are read at once.
PIECE = 1 << 20
#: Milliseconds: the router's clock for an attempt and that for a request may differ by one.
_TICK = 1

#: Bytes of the log from an offset on, at most so many; and how long the log is.
Read = Callable[[int, int], tuple[bytes, int]]


@dataclass(slots=True)
class Users:
    """Who has been seen since the routes were set, and how their first requests ended.

    A line stands in the log once for each of the router's threads that has met the user; the first one counts. Requests
    that name nobody are counted since this object first saw these routes: the router only knows their sum since it
    started.
    """

    _time: tuple[str, str] = ("", "")
    _offset: int = 0
    _seen: set[str] = field(default_factory=set)
    _counts: dict[str, Counts] = field(default_factory=dict)
    _alone: dict[str, Counts] = field(default_factory=dict)

    def follow(self, run: str, since: str, counted: dict[str, Counted], read: Read) -> dict[str, Counts] | None:
        """Users by cluster; None where routes are not sticky.

        Parameters
        ----------
        run
            Name of the router's run; its log begins anew with it.
        since
            Name of the time since the routes were set; lines of another time are nobody's.
        counted
            The router's own counts by cluster.
        """
        if not since:
            return None
        if self._time != (run, since):
            self._time, self._offset, self._seen, self._counts = (run, since), 0, set(), {}
            self._alone = {cluster: one.alone for cluster, one in counted.items()}
        self._catch_up(read)
        return {
            cluster: _together(
                self._counts.get(cluster, Counts()),
                counted.get(cluster, Counted()).alone,
                self._alone.get(cluster, Counts()),
            )
            for cluster in self._counts.keys() | counted.keys()
        }

    def _catch_up(self, read: Read) -> None:
        while True:
            piece, size = read(self._offset, PIECE)
            if size < self._offset:  # it was emptied under way
                self._offset = 0
                continue
            whole = piece[: piece.rfind(b"\n") + 1]
            self._offset += len(whole)
            for line in whole.decode("latin-1").splitlines():
                self._take(line)
            if len(piece) < PIECE or not whole:
                return

    def _take(self, line: str) -> None:
        since, *rest = line.split(" ")
        if since != self._time[1] or len(rest) != 7:
            return
        user, cluster, code, attempts, flags, patience, duration = rest
        if user in self._seen or is_unasked(code, attempts) or not duration.isdigit():
            return
        self._seen.add(user)
        failed = is_error(code, attempts, flags)
        late = patience.isdigit() and int(duration) + _TICK >= int(patience)
        arm = envoy.assigned(cluster)
        before = self._counts.get(arm, Counts())
        latency = list(before.latency or (0,) * BUCKETS)
        latency[BUCKETS - 1 if failed else bisect_right(LATENCY_BOUNDS_MS, int(duration))] += 1
        self._counts[arm] = Counts(
            before.requests + 1,
            before.errors + failed,
            before.timeouts + is_timeout(code, attempts, flags, late=late),
            tuple(latency),
            before.refused + is_refused(code, attempts, flags),
        )


def time_of(before: dict[str, Any] | None, wanted: Routes | None) -> str:
    """A name for the time since these routes were set; empty where they are not sticky.

    Parameters
    ----------
    before
        The file of routes that is there. Where it sets the same routes, their time goes on.
    """
    if wanted is None or not wanted.sticky:
        return ""
    rounded = {name: round(getattr(wanted, name) * envoy.PARTS) / envoy.PARTS for name in ("weight", "mirror")}
    same = before is not None and envoy.applied(dump(before)) == replace(wanted, **rounded)
    return (since(before) if same else "") or secrets.token_hex(8)


def since(routes: dict[str, Any] | None) -> str:
    """The name of that time in a file of routes; empty where there is none."""
    return "" if routes is None else envoy.since(dump(routes))


def dump(routes: dict[str, Any]) -> dict[str, Any]:
    """A file of routes as Envoy would tell what it has applied."""
    return {"configs": [{"route_config": one} for one in routes["resources"]]}


def empty(log: Path) -> None:
    """Forget whoever stands in a log; the router goes on writing at its beginning."""
    with suppress(FileNotFoundError):
        if log.stat().st_size:
            os.truncate(log, 0)


def reader(log: Path) -> Read:
    """Reads a log of this machine."""

    def read(offset: int, most: int) -> tuple[bytes, int]:
        try:
            with log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(min(offset, size))
                return file.read(most), size
        except FileNotFoundError:
            return b"", 0

    return read


def of_cluster(known: dict[str, Counts] | None, cluster: str) -> Counts | None:
    """The users of one server; None where routes are not sticky."""
    return None if known is None else known.get(cluster, Counts())


def _together(named: Counts, alone: Counts, before: Counts) -> Counts:
    """Users, and the requests that named none: each of these counts by itself."""
    nothing = (0,) * BUCKETS
    rows = zip(named.latency or nothing, alone.latency or nothing, before.latency or nothing, strict=True)
    return Counts(
        named.requests + max(0, alone.requests - before.requests),
        named.errors + max(0, alone.errors - before.errors),
        named.timeouts + max(0, alone.timeouts - before.timeouts),
        tuple(one + max(0, other - past) for one, other, past in rows),
        named.refused + max(0, alone.refused - before.refused),
    )
