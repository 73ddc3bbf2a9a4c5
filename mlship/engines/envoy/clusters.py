"""The file of clusters: where the router finds the servers."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, urlsplit

from mlship.engines.envoy import last
from mlship.engines.envoy.auth import ISSUER
from mlship.engines.envoy.names import TYPE, Address, address, is_ip
from mlship.engines.envoy.tls import to_server
from mlship.engines.front import Front

#: Seconds; shorter than the servers' keep-alive, so that it is never the server that closes a connection in use.
IDLE = 30
#: Seconds until a connection counts as refused, but never more than a quarter of a request's deadline.
CONNECT = 1.0

_AGGREGATE = TYPE + "envoy.extensions.clusters.aggregate.v3.ClusterConfig"
_PROTOCOL = TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"

#: No limits: a limit would turn a busy moment into lost requests, and answering is what the fallback is there for.
_UNLIMITED = {
    "thresholds": [dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), 1_000_000)]
}
#: Copies are nobody's request. One that would be too many for a server that hangs is dropped, and counted nowhere.
MOST_COPIES = 256
_FEW = {
    "thresholds": [{"max_connections": MOST_COPIES, "max_pending_requests": MOST_COPIES, "max_requests": MOST_COPIES}]
}


def clusters(
    servers: dict[str, Address],
    version: str,
    front: Front | None = None,
    authorities: str = "",
    fallback: Address | None = None,
) -> dict[str, Any]:
    """The file of clusters: two for each server (one of them for copies), and one for each ordered pair of servers.

    Parameters
    ----------
    servers
        Host and port by name of the cluster; a host that is no IP address is looked up.
    front
        What the endpoint does for callers; where it fetches the keys of tokens, there is a cluster for that.
    authorities
        File of the certificates that the router trusts, in its own file system.
    fallback
        Where the fallback program listens; with it, each pair has a chain too (see `last.py`).
    """
    connect = _patience(front)
    resources = [_server(name, at, connect) for name, at in servers.items()]
    # Nothing in these changes with the front: Envoy would make a new cluster, and count some of it from zero again.
    resources += [{**_server(last.copies(name), at), "circuit_breakers": _FEW} for name, at in servers.items()]
    resources += [_aggregate(pair(one, other), [one, other]) for one in servers for other in servers if one != other]
    if fallback is not None:
        resources += [_server(last.again(name), at, connect) for name, at in servers.items()]
        resources.append(_server(last.FALLBACK, fallback, connect))
        for one in servers:
            resources += [_aggregate(last.chain(one, other), last.members(one, other)) for other in servers]
    if front is not None and front.jwt_issuer and (url := urlsplit(front.jwks)).scheme in ("http", "https"):
        resources.append(_issuer(url, authorities))
    return {"version_info": version, "resources": resources}


def _patience(front: Front | None) -> float:
    """Seconds until a connection counts as refused. Where a container or a machine has gone, nobody refuses; and only
    with a connection does the time of an attempt begin, so that without a limit of its own this would take it all.
    """
    return CONNECT if front is None else min(CONNECT, front.timeout / 4)


def _server(name: str, at: Address, connect: float = CONNECT) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": address(*at)}}
    return {
        "@type": _CLUSTER,
        "name": name,
        "type": "STATIC" if is_ip(at[0]) else "STRICT_DNS",
        "dns_lookup_family": "ALL",
        "connect_timeout": f"{connect:.3f}s",
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


def _issuer(url: SplitResult, authorities: str) -> dict[str, Any]:
    host = url.hostname or ""
    cluster = _server(ISSUER, (host, url.port or (443 if url.scheme == "https" else 80)))
    return cluster if url.scheme == "http" else {**cluster, "transport_socket": to_server(host, authorities)}


def _aggregate(name: str, members: list[str]) -> dict[str, Any]:
    return {
        "@type": _CLUSTER,
        "name": name,
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": _UNLIMITED,
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {"@type": _AGGREGATE, "clusters": members},
        },
    }


def pair(canary: str, fallback: str) -> str:
    """Name of the cluster in which `fallback` answers what `canary` cannot."""
    return f"{canary}|{fallback}"


def assigned(cluster: str) -> str:
    """The server's cluster that a request was assigned to, given the cluster of its route."""
    return cluster.partition("|")[0]
