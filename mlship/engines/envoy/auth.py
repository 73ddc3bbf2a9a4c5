"""Who may call: what the router's two filters for it are told. `auth.lua` does the work for API keys.

A token is verified by Envoy's own jwt_authn, which lets every request pass and leaves behind what it has verified; then
`auth.lua` lets a request in that has a known API key, or a verified token, and answers 401 to all others. Both answers
are given at one place, so that either of the two suffices where a policy names both.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

from mlship.engines.envoy.names import TYPE, extension
from mlship.engines.front import Front

#: Names of filters, by which routes talk about them.
AUTH, JWT = "auth", "jwt"
#: The cluster of the server that a URL of keys (JWKS) names.
ISSUER = "issuer"
#: Seconds that keys from a URL are used before they are fetched again.
FRESH = 300

_LUA = TYPE + "envoy.extensions.filters.http.lua.v3.Lua"
_LUA_HERE = TYPE + "envoy.extensions.filters.http.lua.v3.LuaPerRoute"
_JWT = TYPE + "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"


def lua_filter(script: str = "auth.lua") -> dict[str, Any]:
    """The filter for credentials, or another one; which ones are known comes with the routes."""
    here = files("mlship.engines.envoy")
    source = here.joinpath("sha256.lua").read_text() + here.joinpath(script).read_text()
    return {"@type": _LUA, "default_source_code": {"inline_string": source}}


def lua_here(context: dict[str, Any]) -> dict[str, Any]:
    """What a route tells a filter, and by that switches it on."""
    return {"@type": _LUA_HERE, "filter_context": context}


def asks(front: Front) -> bool:
    """Whether callers need credentials."""
    return front.key_digests is not None or bool(front.jwt_issuer)


def credentials(front: Front) -> dict[str, Any]:
    """What lets a request in, as the routes' part of the filter. There is no key in it, only digests."""
    wanted = []
    context: dict[str, Any] = {
        "header": front.key_header,
        "jwt": bool(front.jwt_issuer),
        "challenge": 'Bearer realm="mlship"',
    }
    if front.key_digests is not None:
        digests = "".join(sorted(front.key_digests))
        context |= {"digests": digests, "id": hashlib.sha256(digests.encode()).hexdigest()}
        wanted.append(f"an API key in the header {front.key_header}")
    if front.jwt_issuer:
        wanted.append("a token in the header authorization")
    context["missing"] = f"credentials are missing: send {', or '.join(wanted)}"
    return lua_here(context)


def tokens(front: Front, version: str) -> dict[str, Any]:
    """The file of the filter that verifies tokens: signature, issuer, audience, and that they have not expired."""
    config: dict[str, Any] = {"@type": _JWT}
    if front.jwt_issuer:
        provider: dict[str, Any] = {
            "issuer": front.jwt_issuer,
            "audiences": list(front.jwt_audiences),
            "require_expiration": True,
            "payload_in_metadata": "claims",
            # Envoy would also take it from the query, where it would reach servers, logs and the queue on disk.
            "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        }
        if front.jwks.startswith(("http://", "https://")):
            provider["remote_jwks"] = {
                "http_uri": {"uri": front.jwks, "cluster": ISSUER, "timeout": "5s"},
                "cache_duration": f"{FRESH}s",
                "async_fetch": {"fast_listener": True},
            }
        else:
            provider["local_jwks"] = {"inline_string": front.jwks}
        config |= {
            "providers": {ISSUER: provider},
            "rules": [
                {
                    "match": {"prefix": "/"},
                    "requires": {
                        "requires_any": {"requirements": [{"provider_name": ISSUER}, {"allow_missing_or_failed": {}}]}
                    },
                }
            ],
        }
    return extension(JWT, config, version)
