"""Who answers last: the fallback program behind every server, and its own way back to the models.

With `fallback: rule` or `queue` each pair of servers has a chain with the fallback program behind it: canary, stable,
fallback. Stable's own chain is stable, stable, fallback, so that both arms have three attempts and are counted alike;
since Envoy skips a cluster that it has tried, stable has a second name there.

The program reaches the model that is stable by a listener of its own, which asks for no credentials, has no fallback
(so that no request goes round in circles), and whose requests are not counted as callers'.
"""

from __future__ import annotations

from typing import Any

from mlship.engines.envoy.names import TYPE, Address, address, watched
from mlship.engines.front import Front

#: Cluster of the fallback program, and the file of the routes by which it reaches the models.
FALLBACK, JOBS, JOBS_FILE = "fallback", "jobs", "jobs.json"
#: What a cluster's second name ends with, and the name by which it gets copies of predictions.
_AGAIN, COPIES = "+", "~"

_HTTP = TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = TYPE + "envoy.extensions.filters.http.router.v3.Router"
_ROUTES = TYPE + "envoy.config.route.v3.RouteConfiguration"


def has_last(front: Front) -> bool:
    """Whether somebody answers behind stable."""
    return front.fallback in ("rule", "queue")


def chain(assigned: str, stable: str) -> str:
    """Name of the cluster in which stable and then the fallback program answer what `assigned` cannot."""
    return f"{assigned}|{stable}|{FALLBACK}"


def members(assigned: str, stable: str) -> list[str]:
    """The clusters of a chain, in the order in which they are tried."""
    return [assigned, again(stable) if assigned == stable else stable, FALLBACK]


def again(cluster: str) -> str:
    """The second name of a server's cluster."""
    return cluster + _AGAIN


def copies(cluster: str) -> str:
    """The name by which a server gets copies of predictions: so they are counted by themselves, and bounded."""
    return cluster + COPIES


def patience(timeout: float) -> tuple[float, float]:
    """Seconds after which the next one is asked beside the one that is slow, and those that are left for the last.

    The last one has a tenth of the deadline, but at least 100 ms where that is at most a third; the two attempts at
    models share the rest.
    """
    left = min(max(timeout / 10, 0.1), timeout / 3)
    return (timeout - left) / 2, left


def jobs_listener(at: Address, directory: str) -> dict[str, Any]:
    """The listener by which the fallback program reaches the models."""
    http = {
        "@type": _HTTP,
        "stat_prefix": JOBS,
        "rds": {"route_config_name": JOBS, "config_source": watched(f"{directory}/{JOBS_FILE}")},
        "preserve_external_request_id": True,
        "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER}}],
    }
    return {
        "name": JOBS,
        "address": address(*at),
        "enable_reuse_port": False,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": http}]}],
    }


def jobs_routes(stable: str | None, timeout: float, version: str) -> dict[str, Any]:
    """The file of the routes by which the fallback program reaches the models.

    Parameters
    ----------
    stable
        The cluster that is stable now; None while there is none.
    """
    everything = {"prefix": "/"}
    if stable is None:
        route: dict[str, Any] = {"match": everything, "direct_response": {"status": 503}}
    else:
        route = {"match": everything, "route": {"cluster": stable, "timeout": f"{timeout:.3f}s"}}
    host = {"name": JOBS, "domains": ["*"], "routes": [route]}
    return {"version_info": version, "resources": [{"@type": _ROUTES, "name": JOBS, "virtual_hosts": [host]}]}


def poll_route(timeout: float) -> dict[str, Any]:
    """Where callers fetch the answers of jobs; behind the same credentials and limits as predictions."""
    retry = {"retry_on": "reset,connect-failure,refused-stream", "num_retries": 1}
    return {
        "name": JOBS,
        "match": {"prefix": "/jobs/"},
        "route": {"cluster": FALLBACK, "timeout": f"{timeout:.3f}s", "retry_policy": retry},
    }
