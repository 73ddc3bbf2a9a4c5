"""Envoy's static part: the listener, the admin port, and where everything else is read from."""

from __future__ import annotations

from typing import Any

from mlship.engines.envoy.filters import counting, http_filters, refusals
from mlship.engines.envoy.last import jobs_listener
from mlship.engines.envoy.names import ROUTE_NAME, TYPE, Address, address, split, watched
from mlship.engines.envoy.tls import transport_socket
from mlship.engines.envoy.users import first_requests
from mlship.engines.front import Front

#: A request body up to this size is kept until its answer comes, so that it can be sent again.
BODY_BYTES = 32 * 1024 * 1024
#: Seconds within which the headers of a request must be there, once it has begun.
HEADERS = 10

_HTTP = TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_UUID = TYPE + "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"


def bootstrap(front: Front, admin_port: int, directory: str, jobs: Address | None = None) -> dict[str, Any]:
    """Envoy's static part: listener, admin port, and where clusters and routes are read from.

    Parameters
    ----------
    front
        What the endpoint does for callers.
    directory
        Where the files of clusters, routes, filters and certificates are replaced by atomic renames. May be relative to
        the directory that Envoy runs in.
    jobs
        Where the fallback program reaches the models (see `last.py`).
    """
    host, port = split(front.listen)
    chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": _http(directory)}]}
    if front.certificate:
        chain["transport_socket"] = transport_socket(directory)
    return {
        "admin": {"address": address("127.0.0.1", admin_port)},
        "stats_flush_on_admin": True,  # latencies are as new as the request that reads them
        "dynamic_resources": {"cds_config": watched(f"{directory}/clusters.json")},
        "static_resources": {
            "listeners": [
                {
                    "name": "endpoint",
                    "address": address(host, port),
                    # Two routers on one port would share its traffic without a word.
                    "enable_reuse_port": False,
                    "per_connection_buffer_limit_bytes": BODY_BYTES,
                    "filter_chains": [chain],
                },
                *([] if jobs is None else [jobs_listener(jobs, directory)]),
            ]
        },
    }


def _http(directory: str) -> dict[str, Any]:
    return {
        "@type": _HTTP,
        "stat_prefix": "endpoint",
        "rds": {"route_config_name": ROUTE_NAME, "config_source": watched(f"{directory}/routes.json")},
        "use_remote_address": True,
        # One path has one name: nothing gets past a route, and what it asks for, by spelling it differently.
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        # Nobody holds a connection by a request that does not come.
        "request_headers_timeout": f"{HEADERS}s",
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        # Or else a client's own UUID would come back with one digit changed, and its label would find no request.
        "request_id_extension": {"typed_config": {"@type": _UUID, "pack_trace_reason": False}},
        "server_header_transformation": "PASS_THROUGH",
        "access_log": [counting(), first_requests(directory)],
        "local_reply_config": refusals(),
        "http_filters": http_filters(directory),
    }
