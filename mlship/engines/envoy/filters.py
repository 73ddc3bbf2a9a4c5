"""What every request passes on its way through the router, and how it is counted."""

from __future__ import annotations

from typing import Any

from mlship.engines.envoy.names import KEY, TYPE

_ROUTER = TYPE + "envoy.extensions.filters.http.router.v3.Router"
_STATS = TYPE + "envoy.extensions.access_loggers.stats.v3.Config"


def http_filters() -> list[dict[str, Any]]:
    """The filters, in the order in which a request passes them."""
    return [{"name": "router", "typed_config": {"@type": _ROUTER, "suppress_envoy_headers": True}}]


def counting() -> dict[str, Any]:
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
