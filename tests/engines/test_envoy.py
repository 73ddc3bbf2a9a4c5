"""The router's configuration: accepted by Envoy itself, and read back as it was meant."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.engines import counters, envoy
from mlship.engines.front import Front
from mlship.engines.start import envoy_binary
from mlship.types import LATENCY_BOUNDS_MS, Routes

FRONT = Front("127.0.0.1:8080", 2.0)
NAMES = {"v1": "v1-aa", "v2": "v2-bb", "v3": "v3-cc"}
#: Every kind of routes.
KINDS = [
    Routes("v1"),
    Routes("v1", "v2", 0.0),
    Routes("v1", "v2", 0.01),
    Routes("v2", "v1", 1.0),
    Routes("v1", "v2", mirror=0.5),
    Routes("v1", "v2", mirror=1.0),
    Routes("v1", "v2", testers=("x-canary", "1")),
    Routes("v1", "v2", 0.25, testers=("X-Team", "red, blue")),
    Routes("v1", "v2", 0.25, sticky="header:x-user"),
    Routes("v1", "v2", 0.999999, sticky="cookie:uid"),
    Routes("v1", "v2", 1.0, 0.000001, ("x-canary", "1"), "cookie:uid"),
    Routes("v1", sticky="header:x-user"),
]


def dump(document: dict[str, Any]) -> dict[str, Any]:
    return {"configs": [{"route_config": resource} for resource in document["resources"]]}


def validate(directory: Path, bootstrap: dict[str, Any]) -> None:
    (directory / "envoy").mkdir(exist_ok=True)
    (directory / "envoy" / "bootstrap.json").write_text(json.dumps(bootstrap))
    for name, document in envoy.extensions(FRONT, "1").items():
        (directory / "envoy" / name).write_text(json.dumps(document))
    argv = [str(envoy_binary()), "--mode", "validate", "-c", "envoy/bootstrap.json", "--log-level", "warning"]
    argv += ["--service-cluster", "mlship", "--service-node", "1", "--reject-unknown-dynamic-fields"]
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "eprecated" not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("listen", ["127.0.0.1:8080", "localhost:1", "0.0.0.0:65535", "[::1]:8080"])
def test_envoy_accepts_the_bootstrap(tmp_path: Path, listen: str) -> None:
    (tmp_path / "envoy").mkdir()
    (tmp_path / "envoy" / "clusters.json").write_text(json.dumps(envoy.clusters({"a": ("127.0.0.1", 1)}, "1")))
    (tmp_path / "envoy" / "routes.json").write_text(json.dumps(envoy.routes(None, {}, FRONT, "1")))
    validate(tmp_path, envoy.bootstrap(replace(FRONT, listen=listen), 9901, "envoy"))


@pytest.mark.slow
@pytest.mark.parametrize("routes", [None, *KINDS[::2], KINDS[-2]])
def test_envoy_accepts_clusters_and_routes(tmp_path: Path, routes: Routes | None) -> None:
    """Envoy does not validate what it reads from files, so they are made part of the bootstrap here."""
    bootstrap = envoy.bootstrap(FRONT, 9901, "envoy")
    del bootstrap["dynamic_resources"]
    servers = {name: ("127.0.0.1", port) for port, name in enumerate(NAMES.values(), start=1)}
    resources = envoy.clusters(servers, "1")["resources"]
    bootstrap["static_resources"]["clusters"] = [_plain(resource) for resource in resources]
    (chain,) = bootstrap["static_resources"]["listeners"][0]["filter_chains"]
    http = chain["filters"][0]["typed_config"]
    del http["rds"]
    http["route_config"] = {
        **_plain(envoy.routes(routes, NAMES, FRONT, "1")["resources"][0]),
        "validate_clusters": True,
    }
    validate(tmp_path, bootstrap)


def _plain(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "@type"}


@pytest.mark.parametrize("routes", KINDS)
def test_routes_are_read_back_as_they_were_written(routes: Routes) -> None:
    assert envoy.applied(dump(envoy.routes(routes, NAMES, FRONT, "7"))) == routes


def test_before_anything_is_routed_there_are_no_routes() -> None:
    nothing = envoy.routes(None, NAMES, FRONT, "7")
    assert envoy.applied(dump(nothing)) is None
    assert envoy.applied({}) is None
    assert nothing["resources"][0]["virtual_hosts"][0]["routes"][0]["direct_response"]["status"] == 503


def test_weights_are_exact_to_a_millionth_and_never_vanish() -> None:
    for weight in (0.0, 1e-6, 0.001, 1 / 3, 0.999999, 1.0):
        for sticky in ("", "header:x-user"):
            routes = Routes("v1", "v2", weight, sticky=sticky)
            assert sum(weight for _, weight in shares(routes)) == envoy.PARTS
            read = envoy.applied(dump(envoy.routes(routes, NAMES, FRONT, "7")))
            assert read is not None
            assert abs(read.weight - weight) <= 1e-6


def shares(routes: Routes) -> list[tuple[str, int]]:
    """Cluster and width of each share, side by side."""
    (host,) = envoy.routes(routes, NAMES, FRONT, "7")["resources"][0]["virtual_hosts"]
    return [(one["name"], one["weight"]) for one in host["routes"][0]["route"]["weighted_clusters"]["clusters"]]


def canary_at(routes: Routes, place: int) -> bool:
    """Whether a hash that falls there (of a million) goes to the canary."""
    for name, width in shares(routes):
        if place < width:
            return envoy.assigned(name) == NAMES[routes.canary or ""]
        place -= width
    raise AssertionError("the shares are no million")


@given(st.integers(0, 999_999), st.floats(0, 1), st.floats(0, 1), st.sampled_from(["v2", "v3"]))
def test_whoever_is_on_the_canary_stays_while_its_weight_rises(
    place: int, one: float, other: float, canary: str
) -> None:
    low, high = (Routes("v1", canary, weight, sticky="cookie:uid") for weight in sorted((one, other)))
    assert canary_at(high, place) or not canary_at(low, place)


def test_another_candidate_begins_with_other_users() -> None:
    first = {
        place for place in range(0, 1_000_000, 5000) if canary_at(Routes("v1", "v2", 0.1, sticky="cookie:u"), place)
    }
    other = {
        place for place in range(0, 1_000_000, 5000) if canary_at(Routes("v1", "v3", 0.1, sticky="cookie:u"), place)
    }
    assert len(first) == len(other) == 20
    assert first != other


@pytest.mark.parametrize(("certificate", "secure"), [("", False), ("/c.pem", True)])
def test_the_cookie_of_newcomers_is_secure_where_callers_are(certificate: str, *, secure: bool) -> None:
    front = replace(FRONT, certificate=certificate)
    (host,) = envoy.routes(Routes("v1", "v2", 0.1, sticky="cookie:uid"), NAMES, front, "7")["resources"][0][
        "virtual_hosts"
    ]
    told = host["routes"][0]["typed_per_filter_config"]["users"]["filter_context"]
    assert told["cookie"] == "uid"
    assert told["attributes"].endswith("; Secure") is secure


def test_a_time_has_its_name_with_its_routes() -> None:
    assert envoy.since(dump(envoy.routes(KINDS[-1], NAMES, FRONT, "7", since="5e8f"))) == "5e8f"
    assert envoy.since(dump(envoy.routes(None, NAMES, FRONT, "7"))) == ""
    assert envoy.since({}) == ""


def test_only_predictions_are_copied_and_those_of_testers_are_not() -> None:
    (host,) = envoy.routes(Routes("v1", "v2", 0.0, 0.5, ("x-canary", "1")), NAMES, FRONT, "7")["resources"][0][
        "virtual_hosts"
    ]
    copied = {
        entry["name"]
        for entry in host["routes"]
        for policy in entry.get("route", {}).get("request_mirror_policies", ())
        if policy["cluster"] == "v2-bb~"
    }
    assert copied == {"invocations", "infer"}


def test_feedback_goes_to_stable_and_copies_of_it_to_all_others() -> None:
    (host,) = envoy.routes(Routes("v1", "v2", 0.1), NAMES, FRONT, "7")["resources"][0]["virtual_hosts"]
    (feedback,) = [entry["route"] for entry in host["routes"] if entry["name"] == "feedback"]
    assert feedback["cluster"] == "v1-aa"
    assert feedback["request_mirror_policies"] == [{"cluster": "v2-bb"}, {"cluster": "v3-cc"}]


def test_every_server_can_stand_in_for_every_other() -> None:
    names = {entry["name"] for entry in envoy.clusters(dict.fromkeys("abc", ("127.0.0.1", 1)), "1")["resources"]}
    assert names == {"a", "b", "c", "a~", "b~", "c~", "a|b", "a|c", "b|a", "b|c", "c|a", "c|b"}
    assert envoy.assigned("b|a") == "b"
    assert envoy.assigned("b") == "b"


def test_what_counts_copies_is_the_same_whatever_the_endpoint_does_for_callers() -> None:
    def copied(front: Front) -> list[dict[str, Any]]:
        made = envoy.clusters(dict.fromkeys("ab", ("127.0.0.1", 1)), "1", front, fallback=("127.0.0.1", 2))
        return [one for one in made["resources"] if one["name"].endswith("~")]

    assert len(copied(FRONT)) == 2
    assert copied(FRONT) == copied(replace(FRONT, timeout=0.1, max_body=1, rate_limit=3.0))


def test_listen_addresses_become_ip_addresses() -> None:
    assert envoy.split("localhost:80") == ("127.0.0.1", 80)
    assert envoy.split("[::1]:8080") == ("::1", 8080)


@pytest.mark.parametrize(
    ("code", "attempts", "flags", "error"),
    [
        ("200", "1", "-", False),
        ("400", "1", "-", False),
        ("200", "2", "-", True),  # the fallback was asked
        ("500", "2", "URX", True),
        ("504", "2", "URX,UT", True),
        ("0", "1", "DC", True),  # the caller left without an answer
        ("200", "1", "DC", False),  # the caller had its answer, and left at once
        ("200", "1", "DC,UPE", True),
        ("200", "1", "UPE", True),  # the answer broke off
    ],
)
def test_what_counts_as_an_error(code: str, attempts: str, flags: str, error: bool) -> None:
    assert counters.is_error(code, attempts, flags) is error


@pytest.mark.parametrize(
    ("code", "attempts", "flags", "late", "timeout"),
    [
        # What Envoy 1.40 says when the server ...
        ("200", "1", "-", False, False),  # answers
        ("200", "1", "-", True, False),  # answers slowly, and nobody else is asked (`fallback: fail`)
        ("200", "2", "-", False, False),  # answers 500 (or 504), and another one well
        ("200", "2", "-", True, True),  # hangs or is late, and another one (or itself) answers
        ("200", "2", "URX", True, True),  # answers 500, and the other one late: not to be told apart
        ("500", "2", "URX", False, False),  # answers 500 twice
        ("504", "2", "URX", False, True),  # answers 504 twice
        ("504", "2", "UT", True, True),  # hangs, and so does the other one
        ("504", "2", "URX,UT", True, True),  # hangs, and there is no other one
        ("504", "1", "UT", True, True),  # hangs, and there is no second attempt
        ("503", "2", "UF,URX", False, False),  # is not there, nor is another
        ("200", "3", "-", False, False),  # fails twice, and the fallback program answers
        ("200", "3", "-", True, True),  # hangs, and the fallback program answers
        ("200", "1", "UPE", False, False),  # breaks off
        ("0", "1", "DC", False, True),  # hangs, and the caller leaves
        ("200", "1", "DC", True, False),  # answers, and the caller leaves
        ("400", "1", "-", True, False),  # says that the caller is wrong
    ],
)
def test_which_errors_are_timeouts(code: str, attempts: str, flags: str, *, late: bool, timeout: bool) -> None:
    assert counters.is_timeout(code, attempts, flags, late=late) is timeout


@pytest.mark.parametrize(
    ("code", "attempts", "flags", "refused"),
    [
        ("200", "1", "-", False),
        ("400", "1", "-", True),
        ("422", "1", "DC", True),  # and the caller leaves at once
        ("429", "1", "-", True),  # the server's own
        ("429", "0", "RL", False),  # the router's
        ("401", "0", "-", False),
        ("413", "0", "-", False),
        ("0", "1", "DC", False),
        ("400", "2", "-", False),  # another one refused what this one did not answer
        ("400", "1", "UPE", False),  # broke off
        ("503", "2", "URX", False),
    ],
)
def test_which_answers_are_refusals_of_the_server(code: str, attempts: str, flags: str, *, refused: bool) -> None:
    assert counters.is_refused(code, attempts, flags) is refused


def test_counts_are_read_by_the_cluster_that_was_assigned() -> None:
    def requests(arm: str, outcome: str, value: int) -> dict[str, Any]:
        return {"name": f"mlship.requests.arm.{arm}.{outcome}", "value": value}

    def latency(arm: str, outcome: str, *bins: tuple[float, float, int]) -> dict[str, Any]:
        totals = [{"lower_bound": low, "width": width, "count": count} for low, width, count in bins]
        return {"name": f"mlship.latency.arm.{arm}.{outcome}", "totals": totals}

    told = ".patience.1000.alone."
    good, again = f"code.200.attempts.1.flags.-{told}", f"code.200.attempts.2.flags.-{told}"
    lonely = f"code.504.attempts.1.flags.UT{told}1"
    document = {
        "stats": [
            requests("v1-aa", good, 5),
            requests("v2-bb|v1-aa", good, 3),
            requests("v2-bb|v1-aa", again, 2),
            requests("v3-cc", lonely, 2),
            {"name": "cluster.v2-bb~.upstream_rq_completed", "value": 20},
            {"name": "cluster.v2-bb~.upstream_rq_5xx", "value": 9},
            {"name": "cluster.v2-bb~.upstream_rq_4xx", "value": 6},
            requests("v2-bb|v1-aa", f"code.400.attempts.1.flags.-{told}", 4),
            requests("v3-cc", f"code.422.attempts.1.flags.-{told}1", 3),
            requests("v3-cc", f"code.429.attempts.0.flags.RL{told}1", 8),
            {"name": "cluster.v2-bb~.upstream_rq_pending_overflow", "value": 5},
            {"name": "cluster.v2-bb~.upstream_cx_protocol_error", "value": 1},
            requests("-", "code.404.attempts.-.flags.-", 9),
            {
                "histograms": {
                    "details": [
                        latency("v1-aa", good, (0, 0, 1), (1, 0.1, 1), (110, 10, 3)),
                        latency("v2-bb|v1-aa", good, (5000, 100, 3)),
                        latency("v2-bb|v1-aa", again, (1, 0.1, 1), (990, 10, 1)),
                        latency("v3-cc", lonely, (990, 10, 2)),
                    ]
                }
            },
        ]
    }
    found = counters.read(document)
    assert set(found) == {"v1-aa", "v2-bb", "v3-cc"}
    stable, canary = found["v1-aa"], found["v2-bb"]
    assert (stable.requests, stable.errors, canary.requests, canary.errors) == (5, 0, 9, 2)
    assert {bound: n for bound, n in zip(LATENCY_BOUNDS_MS, stable.latency, strict=False) if n} == {1: 1, 2: 1, 122: 3}
    assert canary.latency[-1] == 2, "errors are the slowest"
    assert sum(canary.latency) == 5
    assert (stable.timeouts, canary.timeouts) == (0, 1), "one of the second attempts came after half of the deadline"
    assert canary.mirrored == (15, 5), "what was dropped has reached nobody, what broke off is an error"
    assert stable.mirrored == (0, 0)
    assert (stable.refused, canary.refused, canary.mirrored_refused) == (0, 4, 6)
    alone = found["v3-cc"].alone
    assert (alone.requests, alone.errors, alone.timeouts, alone.latency[-1]) == (5, 2, 2, 2)
    assert (found["v3-cc"].requests, alone.refused, stable.alone.requests) == (5, 3, 0)
    assert counters.read({}) == {}
