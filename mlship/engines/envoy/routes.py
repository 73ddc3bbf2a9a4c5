"""The file of routes: which server answers which request, and how often it is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mlship.engines.envoy.auth import AUTH, asks, credentials
from mlship.engines.envoy.clusters import pair
from mlship.engines.envoy.filters import BODY, INFER_PATH, OFF, PING_BODY, RATE, body_limit
from mlship.engines.envoy.last import chain, has_last, patience, poll_route
from mlship.engines.envoy.names import KEY, ROUTE_NAME, TYPE
from mlship.engines.front import Front
from mlship.types import Routes

#: Weights are shares of this many.
PARTS = 1_000_000

_PREVIOUS = TYPE + "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
_ROUTES = TYPE + "envoy.config.route.v3.RouteConfiguration"


def routes(
    wanted: Routes | None, names: dict[str, str], front: Front, version: str, *, fallback: bool = False
) -> dict[str, Any]:
    """The file of routes.

    Parameters
    ----------
    wanted
        None before there is anything to route to: callers get 503.
    names
        Cluster by server; feedback goes to stable, and copies of it to every other server.
    front
        What the endpoint does for callers.
    fallback
        Whether the fallback program runs: it has jobs to tell of, and where the policy says so, it answers last.
    """
    host: dict[str, Any] = {
        "name": ROUTE_NAME,
        "domains": ["*"],
        "routes": [],
        "typed_per_filter_config": {BODY: body_limit(front.max_body)},
        "request_body_buffer_limit": front.max_body,  # kept until the answer comes, so that it can be sent again
    }
    if asks(front):
        host["typed_per_filter_config"][AUTH] = credentials(front)
        host["request_headers_to_remove"] = sorted({front.key_header, "authorization"})
    if wanted is None:
        host["routes"] = [_direct(503, "no model is routed yet")]
    else:
        predictions = _predictions(wanted, names, front, fallback=fallback)
        others = _others(wanted, names, front.timeout)
        host["metadata"] = {"filter_metadata": {KEY: {"stable": wanted.stable, "canary": wanted.canary or ""}}}
        host["routes"] = [
            {"name": "invocations", "match": {"path": "/invocations"}, "route": predictions},
            {"name": "infer", "match": {"safe_regex": {"regex": INFER_PATH}}, "route": predictions},
            {"name": "v2", "match": {"path_separated_prefix": "/v2"}, "route": others},
            {"name": "version", "match": {"path": "/version"}, "route": others},
            # For load balancers, which carry no credentials and must not be sent away.
            *(
                {
                    "name": path.strip("/"),
                    "match": {"path": path},
                    "route": others,
                    "typed_per_filter_config": {AUTH: OFF, RATE: OFF, BODY: body_limit(PING_BODY)},
                }
                for path in ("/ping", "/health")
            ),
        ]
        host["routes"] += [poll_route(front.timeout)] if fallback else []
        host["routes"] += [_feedback(wanted.stable, names, front.timeout), _direct(404, "no such path")]
    return {"version_info": version, "resources": [{"@type": _ROUTES, "name": ROUTE_NAME, "virtual_hosts": [host]}]}


def _predictions(wanted: Routes, names: dict[str, str], front: Front, *, fallback: bool) -> dict[str, Any]:
    """Predictions: what a server cannot answer is answered as the policy's `fallback` says."""
    if front.fallback == "fail":
        return {**_shares(wanted, names, lambda one, _: one), "timeout": f"{front.timeout:.3f}s"}
    if fallback and has_last(front):
        return {**_shares(wanted, names, chain), **_attempts(front.timeout, 3, patience(front.timeout)[0])}
    return _others(wanted, names, front.timeout)


def _others(wanted: Routes, names: dict[str, str], timeout: float) -> dict[str, Any]:
    """What only a model can answer: stable does what the canary cannot."""

    def named(one: str, stable: str) -> str:
        return one if one == stable else pair(one, stable)

    return {**_shares(wanted, names, named), **_attempts(timeout, 2, timeout / 2)}


def _shares(wanted: Routes, names: dict[str, str], named: Callable[[str, str], str]) -> dict[str, Any]:
    """The clusters by weight, stable first; `named` gives the cluster by the assigned server's and stable's."""
    stable = names[wanted.stable]
    to_canary = round(wanted.weight * PARTS) if wanted.canary else 0
    shares = [{"name": named(stable, stable), "weight": PARTS - to_canary}]
    if wanted.canary:
        shares.append({"name": named(names[wanted.canary], stable), "weight": to_canary})
    return {"weighted_clusters": {"clusters": shares}}


def _attempts(timeout: float, attempts: int, patience: float) -> dict[str, Any]:
    """How often it is tried: at once after a failure, and beside an attempt that takes longer than `patience`."""
    return {
        "timeout": f"{timeout:.3f}s",
        "hedge_policy": {"hedge_on_per_try_timeout": True},
        "retry_policy": {
            "retry_on": "5xx,reset,connect-failure,refused-stream",
            "num_retries": attempts - 1,
            "per_try_timeout": f"{patience:.3f}s",
            "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"},
            "retry_priority": {
                "name": "envoy.retry_priorities.previous_priorities",
                "typed_config": {"@type": _PREVIOUS, "update_frequency": 1},
            },
        },
    }


def _feedback(stable: str, names: dict[str, str], timeout: float) -> dict[str, Any]:
    others = [cluster for server, cluster in sorted(names.items()) if server != stable]
    post = {"name": ":method", "string_match": {"exact": "POST"}}
    return {
        "name": "feedback",
        "match": {"path": "/feedback", "headers": [post]},
        "route": {
            "cluster": names[stable],
            "timeout": f"{timeout:.3f}s",
            "request_mirror_policies": [{"cluster": cluster} for cluster in others],
        },
    }


def _direct(status: int, text: str) -> dict[str, Any]:
    """An answer of the router itself; it becomes JSON like its refusals (see `filters.refusals`)."""
    return {
        "name": text.replace(" ", "-"),
        "match": {"prefix": "/"},
        "direct_response": {"status": status, "body": {"inline_string": text}},
    }


def applied(dump: dict[str, Any]) -> Routes | None:
    """The routes that Envoy has applied, read from its `config_dump` of dynamic route configurations."""
    configs: Iterable[dict[str, Any]] = dump.get("configs", ())
    hosts = [host for config in configs for host in config["route_config"]["virtual_hosts"]]
    for host in hosts:
        roles = host.get("metadata", {}).get("filter_metadata", {}).get(KEY)
        if roles:
            shares = host["routes"][0]["route"]["weighted_clusters"]["clusters"]
            weights = [share.get("weight", 0) for share in shares]  # stable's first
            return Routes(roles["stable"], roles["canary"] or None, sum(weights[1:]) / sum(weights))
    return None
