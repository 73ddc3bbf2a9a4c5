"""Reads what the router counted: requests, errors and latencies by assigned cluster, and of which run they are."""

from __future__ import annotations

import http.client
import json
import re
import time
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mlship.engines.envoy import KEY, assigned
from mlship.engines.envoy.names import ROUTE_NAME
from mlship.types import LATENCY_BOUNDS_MS

_TAGS = r"\.arm\.(.+)\.code\.(\d+)\.attempts\.(\d+|-)\.flags\.(.*)"
_REQUESTS = re.compile(rf"{KEY}\.requests{_TAGS}")
_LATENCY = re.compile(rf"{KEY}\.latency{_TAGS}")
BUCKETS = len(LATENCY_BOUNDS_MS) + 1


@dataclass(frozen=True, slots=True)
class Counted:
    """Cumulative counts of one cluster since the router started."""

    requests: int = 0
    errors: int = 0
    latency: tuple[int, ...] = (0,) * BUCKETS


class Admin:
    """Client of Envoy's admin port. Methods raise ``OSError`` or ``HTTPException`` when it does not answer."""

    def __init__(self, port: int, timeout: float = 5.0) -> None:
        self._port = port
        self._timeout = timeout

    def get(self, *paths: str) -> list[bytes]:
        """Bodies of some GET requests over one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout)
        bodies: list[bytes] = []
        try:
            for path in paths:
                connection.request("GET", path)
                answer = connection.getresponse()
                bodies.append(answer.read())
                if answer.status >= 400:
                    raise http.client.HTTPException(f"{path} answered {answer.status}")
        finally:
            connection.close()
        return bodies

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
        stats = f"/stats?format=json&histogram_buckets=detailed&filter=%5E{KEY}%5C."
        info, _ = self.get("/server_info", "/stats?filter=%5Enothing%24")
        found: dict[str, Counted] = {}
        for pause in (0.002, 0.004, 0.008, 0.016):
            time.sleep(pause)
            found = read(json.loads(self.get(stats)[0]))
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
    off, or the caller left without one. A 4xx answer is the caller's error, and none here. The latency of an error is
    that of the slowest bucket, so that no server looks fast by failing fast. What the router refused (see `is_refusal`)
    is no request of any server.
    """
    requests: dict[str, int] = {}
    errors: dict[str, int] = {}
    latency: dict[str, list[int]] = {}
    for stat in document.get("stats", ()):
        if "histograms" in stat:
            for histogram in stat["histograms"].get("details", ()):
                if (match := _LATENCY.fullmatch(histogram["name"])) and not is_refusal(match[2], match[3]):
                    row = latency.setdefault(assigned(match[1]), [0] * BUCKETS)
                    _add(row, histogram.get("totals", ()), failed=is_error(match[2], match[3], match[4]))
        elif (match := _REQUESTS.fullmatch(stat["name"])) and not is_refusal(match[2], match[3]):
            arm, bad = assigned(match[1]), is_error(match[2], match[3], match[4])
            requests[arm] = requests.get(arm, 0) + stat["value"]
            errors[arm] = errors.get(arm, 0) + (stat["value"] if bad else 0)
    nothing = [0] * BUCKETS
    return {
        arm: Counted(requests.get(arm, 0), errors.get(arm, 0), tuple(latency.get(arm, nothing)))
        for arm in requests.keys() | latency.keys()
        if arm != "-"  # paths that no server was asked for
    }


def is_refusal(code: str, attempts: str) -> bool:
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


def _add(row: list[int], bins: Iterable[dict[str, float]], *, failed: bool) -> None:
    """Add Envoy's log-linear bins (two significant digits) to our buckets, each bin whole, by its middle."""
    for entry in bins:
        middle = entry["lower_bound"] + entry["width"] / 2
        bucket = BUCKETS - 1 if failed else bisect_right(LATENCY_BOUNDS_MS, middle)
        row[bucket] += round(entry["count"])
