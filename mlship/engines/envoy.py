"""The router's configuration as pure functions: bootstrap, clusters and routes, rendered once for all engines.

How a request is answered whatever the canary does: each server has a cluster, and each pair (canary, fallback) an
aggregate cluster with the two as priorities. A request is tried once; on 5xx, a reset or a refused connection it is
tried once more, and `previous_priorities` sends that second attempt to the fallback. When half of the deadline has
passed without an answer, the second attempt is started beside the first (a hedge), and the better answer wins, so a
request that is merely slow keeps its whole deadline. Stable is treated alike, with itself as fallback.

How requests are counted: by an access logger that turns each finished request into a counter and a latency, tagged with
the cluster that the request was ASSIGNED to, the number of attempts, the status and Envoy's flags (see `counters.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlship.engines.front import Front
from mlship.types import Routes

#: Host and port of a server.
Address = tuple[str, int]

#: Weights are shares of this many.
PARTS = 1_000_000
#: Name under which routes carry roles, and prefix of the counters.
KEY = "mlship"
ROUTE_NAME = "endpoint"

#: A request body up to this size is kept until its answer comes, so that it can be sent again.
BODY_BYTES = 32 * 1024 * 1024
#: Seconds; shorter than the servers' keep-alive, so that it is never the server that closes a connection in use.
IDLE = 30

_TYPE = "type.googleapis.com/"
_HTTP = _TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = _TYPE + "envoy.extensions.filters.http.router.v3.Router"
_STATS = _TYPE + "envoy.extensions.access_loggers.stats.v3.Config"
_UUID = _TYPE + "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
_AGGREGATE = _TYPE + "envoy.extensions.clusters.aggregate.v3.ClusterConfig"
_PROTOCOL = _TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_PREVIOUS = _TYPE + "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
_CLUSTER = _TYPE + "envoy.config.cluster.v3.Cluster"
_ROUTES = _TYPE + "envoy.config.route.v3.RouteConfiguration"

#: No limits: a limit would turn a busy moment into lost requests, and answering is what the fallback is there for.
_UNLIMITED = {
    "thresholds": [dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), 1_000_000)]
}


def bootstrap(front: Front, admin_port: int, directory: str) -> dict[str, Any]:
    """Envoy's static part: listener, admin port, and where clusters and routes are read from.

    Parameters
    ----------
    front
        What the endpoint does for callers.
    directory
        Where `clusters.json` and `routes.json` are replaced by atomic renames. May be relative to Envoy's own.
    """
    host, port = split(front.listen)
    return {
        "admin": {"address": _address("127.0.0.1", admin_port)},
        "stats_flush_on_admin": True,  # latencies are as new as the request that reads them
        "dynamic_resources": {"cds_config": _file(f"{directory}/clusters.json")},
        "static_resources": {
            "listeners": [
                {
                    "name": "endpoint",
                    "address": _address(host, port),
                    # Two routers on one port would share its traffic without a word.
                    "enable_reuse_port": False,
                    "per_connection_buffer_limit_bytes": BODY_BYTES,
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": _http(directory)}]}],
                }
            ]
        },
    }


def _http(directory: str) -> dict[str, Any]:
    return {
        "@type": _HTTP,
        "stat_prefix": "endpoint",
        "rds": {"route_config_name": ROUTE_NAME, "config_source": _file(f"{directory}/routes.json")},
        "use_remote_address": True,
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        # Or else a client's own UUID would come back with one digit changed, and its label would find no request.
        "request_id_extension": {"typed_config": {"@type": _UUID, "pack_trace_reason": False}},
        "server_header_transformation": "PASS_THROUGH",
        "access_log": [_counting()],
        "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER, "suppress_envoy_headers": True}}],
    }


def _counting() -> dict[str, Any]:
    """Counts finished predictions, and only those: no feedback, no pings."""
    arm = {"name": "arm", "value_format": "%UPSTREAM_CLUSTER%"}
    outcome = [
        {"name": "code", "value_format": "%RESPONSE_CODE%"},
        {"name": "attempts", "value_format": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"},
        {"name": "flags", "value_format": "%RESPONSE_FLAGS%"},
    ]
    return {
        "name": "stats",
        "filter": {"header_filter": {"header": {"name": ":path", "string_match": {"prefix": "/invocations"}}}},
        "typed_config": {
            "@type": _STATS,
            "stats_scope": {"prefix": KEY},
            "counters": [{"stat": {"name": "requests", "tags": [arm, *outcome]}, "value_fixed": 1}],
            "histograms": [
                {
                    "stat": {"name": "latency", "tags": [arm, *outcome]},
                    "unit": "Milliseconds",
                    "value_format": "%DURATION%",
                }
            ],
        },
    }


def clusters(servers: dict[str, Address], version: str) -> dict[str, Any]:
    """The file of clusters: one for each server, and one for each ordered pair of servers.

    Parameters
    ----------
    servers
        Host and port by name of the cluster; a host that is no IP address is looked up.
    """
    resources = [_server(name, address) for name, address in servers.items()]
    resources += [_pair(one, other) for one in servers for other in servers if one != other]
    return {"version_info": version, "resources": resources}


def _server(name: str, address: Address) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(*address)}}
    return {
        "@type": _CLUSTER,
        "name": name,
        "type": "STATIC" if _is_ip(address[0]) else "STRICT_DNS",
        "connect_timeout": "1s",
        "circuit_breakers": _UNLIMITED,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _PROTOCOL,
                "common_http_protocol_options": {"idle_timeout": f"{IDLE}s"},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def _pair(canary: str, fallback: str) -> dict[str, Any]:
    return {
        "@type": _CLUSTER,
        "name": pair(canary, fallback),
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": _UNLIMITED,
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {"@type": _AGGREGATE, "clusters": [canary, fallback]},
        },
    }


def pair(canary: str, fallback: str) -> str:
    """Name of the cluster in which `fallback` answers what `canary` cannot."""
    return f"{canary}|{fallback}"


def assigned(cluster: str) -> str:
    """The server's cluster that a request was assigned to, given the cluster of its route."""
    return cluster.partition("|")[0]


def routes(wanted: Routes | None, names: dict[str, str], front: Front, version: str) -> dict[str, Any]:
    """The file of routes.

    Parameters
    ----------
    wanted
        None before there is anything to route to: callers get 503.
    names
        Cluster by server; feedback goes to stable, and copies of it to every other server.
    front
        What the endpoint does for callers.
    """
    host: dict[str, Any] = {"name": ROUTE_NAME, "domains": ["*"], "routes": []}
    if wanted is None:
        host["routes"] = [_direct(503, "no model is routed yet")]
    else:
        predictions = _predictions(wanted, names, front.timeout)
        host["metadata"] = {"filter_metadata": {KEY: {"stable": wanted.stable, "canary": wanted.canary or ""}}}
        host["routes"] = [
            {"name": path.strip("/"), "match": {"path": path}, "route": predictions}
            for path in ("/invocations", "/ping", "/version", "/health")
        ]
        host["routes"] += [_feedback(wanted.stable, names, front.timeout), _direct(404, "no such path")]
    return {"version_info": version, "resources": [{"@type": _ROUTES, "name": ROUTE_NAME, "virtual_hosts": [host]}]}


def _predictions(wanted: Routes, names: dict[str, str], timeout: float) -> dict[str, Any]:
    stable = names[wanted.stable]
    to_canary = round(wanted.weight * PARTS) if wanted.canary else 0
    shares = [{"name": stable, "weight": PARTS - to_canary}]
    if wanted.canary:
        shares.append({"name": pair(names[wanted.canary], stable), "weight": to_canary})
    return {
        "weighted_clusters": {"clusters": shares},
        "timeout": f"{timeout:.3f}s",
        "hedge_policy": {"hedge_on_per_try_timeout": True},
        "retry_policy": {
            "retry_on": "5xx,reset,connect-failure,refused-stream",
            "num_retries": 1,
            "per_try_timeout": f"{timeout / 2:.3f}s",
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
    body = {"inline_string": f'{{"error": "{text}"}}\n'}
    header = {
        "header": {"key": "content-type", "value": "application/json"},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
    return {
        "name": text.replace(" ", "-"),
        "match": {"prefix": "/"},
        "direct_response": {"status": status, "body": body},
        "response_headers_to_add": [header],
    }


def applied(dump: dict[str, Any]) -> Routes | None:
    """The routes that Envoy has applied, read from its `config_dump` of dynamic route configurations."""
    configs: Iterable[dict[str, Any]] = dump.get("configs", ())
    hosts = [host for config in configs for host in config["route_config"]["virtual_hosts"]]
    for host in hosts:
        roles = host.get("metadata", {}).get("filter_metadata", {}).get(KEY)
        if roles:
            shares = host["routes"][0]["route"]["weighted_clusters"]["clusters"]
            weights = {share["name"]: share.get("weight", 0) for share in shares}
            to_canary = sum(weight for name, weight in weights.items() if "|" in name)
            return Routes(roles["stable"], roles["canary"] or None, to_canary / sum(weights.values()))
    return None


def split(listen: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:8080`, `localhost:8080` or `[::1]:8080`, the host as an IP address."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    return ("127.0.0.1" if host == "localhost" else host), int(port)


def _is_ip(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _file(path: str) -> dict[str, Any]:
    source = {"path": path, "watched_directory": {"path": path.rpartition("/")[0]}}
    return {"path_config_source": source, "resource_api_version": "V3"}
