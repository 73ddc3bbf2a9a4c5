"""The file of routes: which server answers which request, and how often it is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from mlship.engines.envoy import users
from mlship.engines.envoy.auth import AUTH, asks, credentials
from mlship.engines.envoy.clusters import assigned, pair
from mlship.engines.envoy.filters import BODY, INFER_PATH, OFF, PING_BODY, RATE, body_limit
from mlship.engines.envoy.last import chain, copies, has_last, patience, poll_route
from mlship.engines.envoy.names import KEY, ROUTE_NAME, TYPE
from mlship.engines.front import Front
from mlship.types import Routes

#: Weights are shares of this many.
PARTS = 1_000_000
#: What the names of the routes end with that only chosen callers take.
TESTERS = "testers"
#: The header by which a model can tell a copy.
COPY = "x-mlship-copy"

_PREVIOUS = TYPE + "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
_ROUTES = TYPE + "envoy.config.route.v3.RouteConfiguration"


def routes(
    wanted: Routes | None,
    names: dict[str, str],
    front: Front,
    version: str,
    *,
    fallback: bool = False,
    since: str = "",
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
    since
        With sticky routes: a name for the time since these routes were set (see `since`).
    """
    host: dict[str, Any] = {
        "name": ROUTE_NAME,
        "domains": ["*"],
        "routes": [],
        "typed_per_filter_config": {BODY: body_limit(front.max_body)},
        "request_headers_to_remove": [COPY],
        "request_body_buffer_limit": front.max_body,  # kept until the answer comes, so that it can be sent again
    }
    if asks(front):
        host["typed_per_filter_config"][AUTH] = credentials(front)
        host["request_headers_to_remove"] += sorted({front.key_header, "authorization"})
    if wanted is None:
        host["routes"] = [_direct(503, "no model is routed yet")]
    else:
        roles = {"stable": wanted.stable, "canary": wanted.canary or "", "since": since if wanted.sticky else ""}
        roles["cluster"] = names[wanted.canary] if wanted.canary else ""
        host["metadata"] = {"filter_metadata": {KEY: roles}}
        if wanted.testers and wanted.canary:
            # Chosen callers are nobody's sample: no copies, no counting of users, and all of them to the canary.
            theirs = replace(wanted, weight=1.0, mirror=0.0, sticky="")
            host["routes"] += _models(theirs, names, front, fallback=fallback, testers=wanted.testers)
        host["routes"] += _models(wanted, names, front, fallback=fallback, since=since)
        others = _others(wanted, names, front.timeout)
        host["routes"] += [
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


def _models(
    wanted: Routes,
    names: dict[str, str],
    front: Front,
    *,
    fallback: bool,
    testers: tuple[str, str] | None = None,
    since: str = "",
) -> list[dict[str, Any]]:
    """What callers ask models: predictions, and what a model is; with `testers` only what carries that header."""
    carried = [] if testers is None else [{"name": testers[0], "string_match": {"exact": testers[1]}}]
    predictions, patient = _predictions(wanted, names, front, fallback=fallback)
    if wanted.mirror and wanted.canary:
        predictions["request_mirror_policies"] = [_copied(names[wanted.canary], wanted.mirror)]
    per_filter = {}
    if wanted.sticky:
        predictions["hash_policy"] = [users.hash_policy(wanted.sticky)]
        predictions["weighted_clusters"]["use_hash_policy"] = True
        per_filter = {users.USERS: users.named(wanted.sticky, since, secure=bool(front.certificate))}
    # The counters say with each request how long it was waited for its first attempt.
    counted = {"metadata": {"filter_metadata": {KEY: {"patience": str(round(1000 * patient))}}}}
    others = _others(wanted, names, front.timeout)
    entries: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("invocations", {"path": "/invocations"}, {"route": predictions, **counted}),
        ("infer", {"safe_regex": {"regex": INFER_PATH}}, {"route": predictions, **counted}),
        ("v2", {"path_separated_prefix": "/v2"}, {"route": others}),
        ("version", {"path": "/version"}, {"route": others}),
    ]
    return [
        {
            "name": name if testers is None else f"{name}-{TESTERS}",
            "match": {**match, **({"headers": carried} if carried else {})},
            **action,
            **({"typed_per_filter_config": per_filter} if per_filter and "metadata" in action else {}),
        }
        for name, match, action in entries
    ]


def _copied(canary: str, share: float) -> dict[str, Any]:
    """Copies of predictions for a canary, whose answers nobody sees. Envoy gives them the endpoint's timeout."""
    return {
        "cluster": copies(canary),
        "runtime_fraction": {"default_value": {"numerator": max(1, round(share * PARTS)), "denominator": "MILLION"}},
        "disable_shadow_host_suffix_append": True,  # the copy is the request, also to a model that reads its host
        # For models that do more than predict. Callers cannot say it: it is taken off what they send.
        "request_headers_mutations": [{"append": {"header": {"key": COPY, "value": "1"}}}],
    }


def _predictions(
    wanted: Routes, names: dict[str, str], front: Front, *, fallback: bool
) -> tuple[dict[str, Any], float]:
    """Predictions: what a server cannot answer is answered as the policy's `fallback` says. And the seconds after which
    the first attempt is late.
    """
    if front.fallback == "fail":
        return {**_shares(wanted, names, lambda one, _: one), "timeout": f"{front.timeout:.3f}s"}, front.timeout
    if fallback and has_last(front):
        patient = patience(front.timeout)[0]
        return {**_shares(wanted, names, chain), **_attempts(front.timeout, 3, patient)}, patient
    return _others(wanted, names, front.timeout), front.timeout / 2


def _others(wanted: Routes, names: dict[str, str], timeout: float) -> dict[str, Any]:
    """What only a model can answer: stable does what the canary cannot."""

    def named(one: str, stable: str) -> str:
        return one if one == stable else pair(one, stable)

    return {**_shares(wanted, names, named), **_attempts(timeout, 2, timeout / 2)}


def _shares(wanted: Routes, names: dict[str, str], named: Callable[[str, str], str]) -> dict[str, Any]:
    """The clusters by weight; `named` gives the cluster by the assigned server's and stable's.

    Envoy lays the shares side by side, in this order, and takes the one in which a random number (or the hash of the
    user) falls. The canary's begins at a place of its own and grows at one end only: whoever was on it stays on it, and
    it is not the same users who try every candidate.
    """
    stable = names[wanted.stable]
    to_canary = round(wanted.weight * PARTS) if wanted.canary else 0
    if not wanted.canary:
        return {"weighted_clusters": {"clusters": [{"name": named(stable, stable), "weight": PARTS}]}}
    before = users.place(wanted.canary, PARTS) if wanted.sticky else PARTS - to_canary
    beyond = max(0, before + to_canary - PARTS)  # what runs over the end goes on at the beginning
    canary = named(names[wanted.canary], stable)
    shares = [
        (canary, beyond),
        (named(stable, stable), before - beyond),
        (canary, to_canary - beyond),
        (named(stable, stable), PARTS - before - to_canary + beyond),
    ]
    kept = [{"name": name, "weight": weight} for name, weight in shares if weight]
    return {"weighted_clusters": {"clusters": kept}}


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
    """The routes that Envoy has applied, read from its `config_dump` of dynamic route configurations.

    Shares are what Envoy really uses: rounded to a millionth.
    """
    host = _host(dump)
    if host is None:
        return None
    roles = _roles(host)
    by_name = {entry["name"]: entry for entry in host["routes"]}
    action = by_name["invocations"]["route"]
    shares = [(assigned(one["name"]), one["weight"]) for one in action["weighted_clusters"]["clusters"]]
    copied = [one["runtime_fraction"]["default_value"] for one in action.get("request_mirror_policies", ())]
    tested = by_name.get(f"invocations-{TESTERS}", {"match": {}})["match"].get("headers", ())
    return Routes(
        roles["stable"],
        roles["canary"] or None,
        sum(weight for name, weight in shares if name == roles["cluster"]) / PARTS,
        mirror=sum(one["numerator"] for one in copied) / PARTS,
        testers=next(((one["name"], one["string_match"]["exact"]) for one in tested), None),
        sticky=users.sticky(action),
    )


def since(dump: dict[str, Any]) -> str:
    """The name for the time since sticky routes were set, as `routes` was told it; empty where there is none."""
    host = _host(dump)
    return "" if host is None else str(_roles(host).get("since", ""))


def _host(dump: dict[str, Any]) -> dict[str, Any] | None:
    configs: Iterable[dict[str, Any]] = dump.get("configs", ())
    hosts = (host for config in configs for host in config["route_config"]["virtual_hosts"])
    return next((host for host in hosts if _roles(host)), None)


def _roles(host: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = host.get("metadata", {}).get("filter_metadata", {}).get(KEY, {})
    return found
