"""What every request passes on its way through the router, and how it is counted.

The filters are always there. What they do comes with the routes, or (where it must survive a change of the routes, as a
bucket of tokens must) from files of their own, so that credentials and limits change without a restart.
"""

from __future__ import annotations

import math
from typing import Any

from mlship.engines.envoy.auth import AUTH, JWT, lua_filter, tokens
from mlship.engines.envoy.names import KEY, TYPE, extension, watched
from mlship.engines.envoy.tls import TLS_FILE, certificates
from mlship.engines.envoy.users import users_filter
from mlship.engines.front import Front

#: Names of filters, by which routes talk about them.
RATE, BODY = "rate", "body"
#: Files of filters, beside those of clusters and routes.
JWT_FILE, RATE_FILE = "jwt.json", "rate.json"

_ROUTER = TYPE + "envoy.extensions.filters.http.router.v3.Router"
_STATS = TYPE + "envoy.extensions.access_loggers.stats.v3.Config"
_RATE = TYPE + "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
_BUFFER = TYPE + "envoy.extensions.filters.http.buffer.v3.Buffer"
_BUFFER_HERE = TYPE + "envoy.extensions.filters.http.buffer.v3.BufferPerRoute"
_HERE = TYPE + "envoy.config.route.v3.FilterConfig"
_JWT = TYPE + "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"

#: Predictions by the Open Inference Protocol.
INFER_PATH = r"/v2/models/[^/?]+(/versions/[^/?]+)?/infer"
INFER = INFER_PATH + r"(\?.*)?"

#: Bytes of the body of a load balancer's question, which needs none; nobody without credentials fills the memory.
PING_BODY = 1024

#: In our words, where Envoy has none or its own.
_SAID = {
    400: "the router cannot read this request",
    413: "the body is larger than this endpoint takes",
    429: "more requests than this endpoint takes; try again later",
    504: "no answer within the endpoint's timeout",
}

#: A filter that these routes do without.
OFF = {"@type": _HERE, "disabled": True}


def http_filters(directory: str) -> list[dict[str, Any]]:
    """The filters, in the order in which a request passes them.

    Parameters
    ----------
    directory
        Where the filters that have files of their own find them.
    """
    return [
        {
            "name": JWT,
            "config_discovery": {"config_source": watched(f"{directory}/{JWT_FILE}"), "type_urls": [_JWT]},
        },
        # Off by itself: routes that ask for credentials bring them along, and with them switch it on.
        {"name": AUTH, "disabled": True, "typed_config": lua_filter()},
        # After the credentials, so that a stranger cannot use up what callers may ask.
        {
            "name": RATE,
            "config_discovery": {"config_source": watched(f"{directory}/{RATE_FILE}"), "type_urls": [_RATE]},
        },
        {"name": BODY, "typed_config": {"@type": _BUFFER, "max_request_bytes": Front("", 0).max_body}},
        users_filter(),  # last: what was refused is nobody's first request
        {"name": "router", "typed_config": {"@type": _ROUTER, "suppress_envoy_headers": True}},
    ]


def extensions(front: Front, version: str) -> dict[str, dict[str, Any]]:
    """The files beside those of clusters and routes, by name: filters, and with TLS the certificate."""
    found = {JWT_FILE: tokens(front, version), RATE_FILE: rate_limit(front, version)}
    return {**found, TLS_FILE: certificates(front, version)} if front.certificate else found


def body_limit(most: int) -> dict[str, Any]:
    """Refuse larger bodies with 413, whether or not their length was announced."""
    return {"@type": _BUFFER_HERE, "buffer": {"max_request_bytes": most}}


def rate_limit(front: Front, version: str) -> dict[str, Any]:
    """The file of the rate limit: one bucket for all workers of the router, which holds the requests of a second.

    Beyond it callers get 429, and in `retry-after` the seconds after which there is a token again.
    """
    config: dict[str, Any] = {"@type": _RATE, "stat_prefix": "rate"}
    if front.rate_limit is not None:
        # Envoy fills at least every 50 ms, and counts in whole tokens.
        tokens = max(1, round(front.rate_limit)) if front.rate_limit > 1 else 1
        everything = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
        wait = str(math.ceil(1 / front.rate_limit))
        config |= {
            "token_bucket": {
                "max_tokens": tokens,
                "tokens_per_fill": tokens,
                "fill_interval": f"{tokens / front.rate_limit:.9f}s",
            },
            "filter_enabled": everything,
            "filter_enforced": everything,
            "response_headers_to_add": [
                {"header": {"key": "retry-after", "value": wait}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            ],
        }
    return extension(RATE, config, version)


def refusals() -> dict[str, Any]:
    """Whatever the router itself answers with an error, it answers as the servers do: `{"error": TEXT}`."""
    as_json = {"json_format": {"error": "%LOCAL_REPLY_BODY%"}}
    said = [{"filter": _status("EQ", code), "body": {"inline_string": text}} for code, text in _SAID.items()]
    return {
        "mappers": [{**one, "body_format_override": as_json} for one in (*said, {"filter": _status("GE", 400)})],
    }


def _status(op: str, code: int) -> dict[str, Any]:
    value = {"default_value": code, "runtime_key": f"{KEY}.refusals.{code}"}
    return {"status_code_filter": {"comparison": {"op": op, "value": value}}}


def counting() -> dict[str, Any]:
    """Counts finished predictions, and only those: no feedback, no pings, and nothing that asks about the model."""
    arm = {"name": "arm", "value_format": "%UPSTREAM_CLUSTER%"}
    outcome = [
        {"name": "code", "value_format": "%RESPONSE_CODE%"},
        {"name": "attempts", "value_format": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"},
        {"name": "flags", "value_format": "%RESPONSE_FLAGS%"},
        # Milliseconds after which the first attempt is late; and whether the request names no user, with sticky routes.
        {"name": "patience", "value_format": f"%METADATA(ROUTE:{KEY}:patience)%"},
        {"name": "alone", "value_format": f"%DYNAMIC_METADATA({KEY}:alone)%"},
    ]
    return {
        "name": "stats",
        "filter": {
            "or_filter": {
                "filters": [
                    _header(":path", {"prefix": "/invocations"}),
                    {
                        "and_filter": {
                            "filters": [
                                _header(":method", {"exact": "POST"}),
                                _header(":path", {"safe_regex": {"regex": INFER}}),
                            ]
                        }
                    },
                ]
            }
        },
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


def _header(name: str, matcher: dict[str, Any]) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": name, "string_match": matcher}}}
