"""Sticky routes: the same user meets the same arm, and the first request of each user is told apart.

Which user a request is from stands in a header or a cookie. Envoy hashes that and takes the arm in whose share the hash
falls. `users.lua` marks the first request of each user; the router writes a line about it, when it is finished, to a
file of its own, which the engine follows (see `mlship.engines.users`). Requests that name nobody stay single requests,
and the router's counters tell them apart.
"""

from __future__ import annotations

import hashlib
from typing import Any

from mlship.engines.envoy.auth import lua_filter, lua_here
from mlship.engines.envoy.names import KEY, TYPE

#: Name of the filter; and the file of the first requests, beside those of clusters and routes.
USERS, USERS_LOG = "users", "users.log"
#: Seconds that the router's cookie lives.
COOKIE_SECONDS = 30 * 86400
#: Milliseconds until a line is in the file.
FLUSH_MS = 100

_FILE = TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog"
#: What a line tells, separated by blanks: time of the routes, user, cluster, and how the request ended.
_LINE = (
    f"%DYNAMIC_METADATA({KEY}:user)% %UPSTREAM_CLUSTER% %RESPONSE_CODE% %UPSTREAM_REQUEST_ATTEMPT_COUNT% "
    f"%RESPONSE_FLAGS% %METADATA(ROUTE:{KEY}:patience)% %DURATION%\n"
)


def named(sticky: str, since: str, *, secure: bool) -> dict[str, Any]:
    """What the routes tell the filter: where a request names its user, and since when users are counted."""
    kind, _, name = sticky.partition(":")
    context = {"since": since, kind: name}
    if kind == "cookie":
        attributes = f"; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax"
        context["attributes"] = attributes + ("; Secure" if secure else "")
    return lua_here(context)


def users_filter() -> dict[str, Any]:
    """The filter that tells the first request of a user apart; off where no route names one."""
    return {"name": USERS, "disabled": True, "typed_config": lua_filter("users.lua")}


def first_requests(directory: str) -> dict[str, Any]:
    """The log of the first requests of users."""
    user = {"filter": KEY, "path": [{"key": "user"}], "value": {"present_match": True}}
    return {
        "name": "users",
        "filter": {"metadata_filter": {"matcher": user, "match_if_key_not_found": False}},
        "typed_config": {
            "@type": _FILE,
            "path": f"{directory}/{USERS_LOG}",
            "log_format": {"text_format_source": {"inline_string": _LINE}},
        },
    }


def hash_policy(sticky: str) -> dict[str, Any]:
    """What Envoy hashes; without a value the arm is drawn."""
    kind, _, name = sticky.partition(":")
    return {"header": {"header_name": name}} if kind == "header" else {"cookie": {"name": name}}


def sticky(action: dict[str, Any]) -> str:
    """Whom a route's action keeps together, as `hash_policy` said it; empty: nobody."""
    for policy in action.get("hash_policy", ()):
        if "header" in policy:
            return f"header:{policy['header']['header_name']}"
        if "cookie" in policy:
            return f"cookie:{policy['cookie']['name']}"
    return ""


def place(server: str, parts: int) -> int:
    """Where a canary's share of the hashes begins: another place for each release, the same each time."""
    return int(hashlib.sha256(server.encode()).hexdigest()[:12], 16) % parts
