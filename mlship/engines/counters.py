"""Reads what the router counted: requests, errors and latencies by assigned cluster, and of which run they are."""

from __future__ import annotations

import http.client
import json
import math
import re
import time
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from mlship.engines.envoy import KEY, assigned
from mlship.engines.envoy.last import COPIES
from mlship.engines.envoy.names import ROUTE_NAME
from mlship.guardian import asking
from mlship.types import LATENCY_BOUNDS_MS, Counts

_TAGS = r"\.arm\.(.+)\.code\.(\d+)\.attempts\.(\d+|-)\.flags\.(.*?)(?:\.patience\.([^.]*)\.alone\.([^.]*))?"
_REQUESTS = re.compile(rf"{KEY}\.requests{_TAGS}")
_LATENCY = re.compile(rf"{KEY}\.latency{_TAGS}")
_COPIES = re.compile(
    rf"cluster\.([^.]+){COPIES}\.upstream_(rq_completed|rq_[45]xx|rq_pending_overflow|cx_protocol_error)"
)
_STATS = "/stats?format=json&histogram_buckets=detailed&filter=" + quote(
    rf"^({KEY}\.|cluster\.[^.]+{COPIES}\.upstream_(rq_(completed|[45]xx|pending_overflow)|cx_protocol_error)$)", safe=""
)
BUCKETS = len(LATENCY_BOUNDS_MS) + 1


@dataclass(frozen=True, slots=True)
class Counted:
    """Cumulative counts of one cluster since the router started."""

    requests: int = 0
    errors: int = 0
    latency: tuple[int, ...] = (0,) * BUCKETS
    timeouts: int = 0
    mirrored: tuple[int, int] = (0, 0)
    """Copies that it answered, or should have, and of these the errors."""
    alone: Counts = Counts()  # noqa: RUF009 - frozen, and shared by nobody who could change it
    """Of the requests, those without a user while routes were sticky."""
    refused: int = 0
    mirrored_refused: int = 0
    """Copies that it answered with 4xx."""


@dataclass(slots=True)
class _Tally:
    """Counts of one arm, under way."""

    requests: int = 0
    errors: int = 0
    timeouts: int = 0
    refused: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * BUCKETS)

    def counts(self) -> Counts:
        return Counts(self.requests, self.errors, min(self.timeouts, self.errors), tuple(self.latency), self.refused)


class Admin:
    """Client of Envoy's admin port. Methods raise ``OSError`` or ``HTTPException`` when it does not answer."""

    def __init__(self, port: int, timeout: float = 5.0) -> None:
        self._port = port
        self._timeout = timeout

    def get(self, *paths: str) -> list[bytes]:
        """Bodies of some GET requests over one connection."""
        answers = asking.get("127.0.0.1", self._port, paths, self._timeout, asking.ROUTER)
        for path, (status, _) in zip(paths, answers, strict=True):
            if status >= 400:
                raise http.client.HTTPException(f"{path} answered {status}")
        return [body for _, body in answers]

    def ready(self) -> bool:
        """Whether Envoy has read its configuration and listens."""
        try:
            return self.get("/ready")[0].strip() == b"LIVE"
        except (OSError, http.client.HTTPException):
            return False

    def clusters(self) -> set[str]:
        """Names of the clusters that Envoy has applied from its file."""
        dump = json.loads(self.get("/config_dump?resource=dynamic_active_clusters")[0])
        return {config["cluster"]["name"] for config in dump.get("configs", ())}

    def busy(self, cluster: str) -> int:
        """Requests that a server has been given, or waits to be given, and has not answered; copies do not count."""
        name = quote(rf"^cluster\.{re.escape(cluster)}\.upstream_rq_(active|pending_active)$", safe="")
        lines = self.get(f"/stats?filter={name}")[0].decode().split("\n")
        return sum(int(line.rpartition(" ")[2]) for line in lines if line)

    def applied(self) -> dict[str, str]:
        """Version of each file that Envoy has taken: `routes`, `clusters`, and those of filters and certificates."""
        found: dict[str, str] = {}
        for part in json.loads(self.get("/config_dump")[0])["configs"]:
            found.update(_versions(part))
        return found

    def counted(self) -> tuple[str, dict[str, Counted]]:
        """Name of this run of Envoy, and what it has counted so far by cluster.

        Each request for statistics makes Envoy collect latencies from its workers, which the next one sees. So it asks
        until every request has its latency; under load a few never have, and are seen at the next look.
        """
        info, _ = self.get("/server_info", "/stats?filter=%5Enothing%24")
        found: dict[str, Counted] = {}
        for pause in (0.002, 0.004, 0.008, 0.016):
            time.sleep(pause)
            found = read(json.loads(self.get(_STATS)[0]))
            if all(sum(one.latency) >= one.requests for one in found.values()):
                break
        return str(json.loads(info)["node"]["id"]), found


def _versions(part: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Names and versions in one part of a `config_dump`."""
    kind = part["@type"].rpartition(".")[2]
    if kind == "ClustersConfigDump":
        yield "clusters", part.get("version_info", "")
    for one in part.get("dynamic_route_configs", ()):
        if one["route_config"]["name"] == ROUTE_NAME:
            yield "routes", one.get("version_info", "")
    for one in part.get("ecds_filters", ()):
        yield one["ecds_filter"]["name"], one.get("version_info", "")
    for one in part.get("dynamic_active_secrets", ()):
        yield "tls", one.get("version_info", "")


def read(document: dict[str, Any]) -> dict[str, Counted]:
    """Counts by cluster from Envoy's `/stats?format=json&histogram_buckets=detailed`.

    An error is a request that its server did not answer well at the first attempt: a second attempt was needed
    (whoever answered it: stable has itself as fallback, and is counted alike), the status was 5xx, the answer broke
    off, or the caller left without one. The latency of an error is that of the slowest bucket, so that no server looks
    fast by failing fast. A 4xx answer of the server is no error, since most are mistakes of callers: it is counted by
    itself (see `is_refused`). What the router turned away (see `is_unasked`) is no request of any server.

    Copies are counted by Envoy at their own cluster: it has completed those that it answered for a server which is gone
    (503) or too slow (504), too, and those that it dropped (overflow), which no server has seen. A copy whose answer
    breaks off has a good status, and a protocol error.
    """
    tallies: dict[str, _Tally] = {}
    alone: dict[str, _Tally] = {}
    copies: dict[str, dict[str, int]] = {}
    for stat in document.get("stats", ()):
        if "histograms" in stat:
            for histogram in stat["histograms"].get("details", ()):
                if (match := _LATENCY.fullmatch(histogram["name"])) and not is_unasked(match[2], match[3]):
                    for tally in _tallies(match, tallies, alone):
                        _add(tally, histogram.get("totals", ()), match)
        elif (match := _REQUESTS.fullmatch(stat["name"])) and not is_unasked(match[2], match[3]):
            for tally in _tallies(match, tallies, alone):
                tally.requests += stat["value"]
                tally.errors += stat["value"] if is_error(match[2], match[3], match[4]) else 0
                tally.refused += stat["value"] if is_refused(match[2], match[3], match[4]) else 0
        elif match := _COPIES.fullmatch(stat["name"]):
            copies.setdefault(match[1], {})[match[2]] = stat["value"]
    found = {}
    for arm in (tallies.keys() | copies.keys()) - {"-"}:  # that one: paths that no server was asked for
        every, copied = tallies.get(arm, _Tally()).counts(), copies.get(arm, {})
        found[arm] = Counted(
            every.requests,
            every.errors,
            every.latency,
            every.timeouts,
            _copies(copied),
            alone.get(arm, _Tally()).counts(),
            every.refused,
            copied.get("rq_4xx", 0),
        )
    return found


def _tallies(match: re.Match[str], tallies: dict[str, _Tally], alone: dict[str, _Tally]) -> list[_Tally]:
    """Where a request with these tags is counted."""
    arm = assigned(match[1])
    kept = [tallies, alone] if match[6] == "1" else [tallies]
    return [each.setdefault(arm, _Tally()) for each in kept]


def _copies(counted: dict[str, int]) -> tuple[int, int]:
    """Copies and errors from Envoy's counters of the cluster for copies."""
    dropped = counted.get("rq_pending_overflow", 0)
    answered = max(0, counted.get("rq_completed", 0) - dropped)
    errors = counted.get("rq_5xx", 0) - dropped + counted.get("cx_protocol_error", 0)
    return answered, min(answered, max(0, errors))


def is_unasked(code: str, attempts: str) -> bool:
    """Whether the router answered by itself, for a reason of the caller's: no server was asked.

    Credentials, size and rate are looked at first. A caller who leaves (`0`) before the whole request is there is gone
    before anybody was asked, too. That no server could be found (`503`) is not the caller's doing.
    """
    return attempts == "0" and (code == "0" or code.startswith("4"))


def is_error(code: str, attempts: str, flags: str) -> bool:
    """Whether a finished request counts against the server that it was assigned to (see `read`).

    A caller who hangs up in the moment of a good answer (`200` with `DC`: it had all that it wanted) is no error; one
    who hangs up without an answer (`0`) is.
    """
    broken = set(flags.split(",")) - {"-", "DC"}
    return attempts not in ("1", "-") or code == "0" or code >= "500" or bool(broken)


def is_refused(code: str, attempts: str, flags: str) -> bool:
    """Whether the server itself answered 4xx, at the first attempt: the caller's mistake, or a server that has begun
    to call good requests mistakes."""
    return code.startswith("4") and not is_unasked(code, attempts) and not is_error(code, attempts, flags)


def is_timeout(code: str, attempts: str, flags: str, *, late: bool) -> bool:
    """Whether an error (see `is_error`) is one because no answer came in time.

    Envoy's second attempt beside one that is late leaves no flag: such a request took longer than the first attempt is
    waited for (`late`), and had more than one. Without a second attempt there is a 504, or the flag UT, or the caller
    had enough and left without an answer (`0`). A server that fails and a second attempt that is slow is called a
    timeout, too: nobody can tell from outside.

    Parameters
    ----------
    late
        Whether the request took at least as long as its first attempt is waited for.
    """
    if not is_error(code, attempts, flags):
        return False
    again = attempts not in ("1", "-")
    return code in ("0", "504") or "UT" in flags.split(",") or (again and late)


def _add(tally: _Tally, bins: Iterable[dict[str, float]], match: re.Match[str]) -> None:
    """Add Envoy's log-linear bins (two significant digits) to our buckets, each bin whole, by its middle."""
    code, attempts, flags = match[2], match[3], match[4]
    failed, patience = is_error(code, attempts, flags), _number(match[5])
    for entry in bins:
        count, middle = round(entry["count"]), entry["lower_bound"] + entry["width"] / 2
        tally.latency[BUCKETS - 1 if failed else bisect_right(LATENCY_BOUNDS_MS, middle)] += count
        late = entry["lower_bound"] + entry["width"] >= patience  # the clocks of attempt and request differ by one
        tally.timeouts += count if is_timeout(code, attempts, flags, late=late) else 0


def _number(text: str | None) -> float:
    """Milliseconds; endless where the router does not tell."""
    return float(text) if text and text.isdigit() else math.inf
