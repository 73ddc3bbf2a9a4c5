"""The router's configuration: accepted by Envoy itself, and read back as it was meant."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlship.engines import counters, envoy
from mlship.engines.front import Front
from mlship.engines.start import envoy_binary
from mlship.types import LATENCY_BOUNDS_MS, Routes

FRONT = Front("127.0.0.1:8080", 2.0)
NAMES = {"v1": "v1-aa", "v2": "v2-bb", "v3": "v3-cc"}


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
@pytest.mark.parametrize("routes", [None, Routes("v1"), Routes("v1", "v2", 0.25)])
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


@pytest.mark.parametrize(
    "routes", [Routes("v1"), Routes("v1", "v2", 0.0), Routes("v1", "v2", 0.01), Routes("v2", "v1", 1.0)]
)
def test_routes_are_read_back_as_they_were_written(routes: Routes) -> None:
    assert envoy.applied(dump(envoy.routes(routes, NAMES, FRONT, "7"))) == routes


def test_before_anything_is_routed_there_are_no_routes() -> None:
    nothing = envoy.routes(None, NAMES, FRONT, "7")
    assert envoy.applied(dump(nothing)) is None
    assert envoy.applied({}) is None
    assert nothing["resources"][0]["virtual_hosts"][0]["routes"][0]["direct_response"]["status"] == 503


def test_weights_are_exact_to_a_millionth_and_never_vanish() -> None:
    for weight in (0.0, 1e-6, 0.001, 1 / 3, 0.999999, 1.0):
        (host,) = envoy.routes(Routes("v1", "v2", weight), NAMES, FRONT, "7")["resources"][0]["virtual_hosts"]
        shares = [share["weight"] for share in host["routes"][0]["route"]["weighted_clusters"]["clusters"]]
        assert sum(shares) == envoy.PARTS
        assert abs(shares[1] / envoy.PARTS - weight) <= 1e-6


def test_feedback_goes_to_stable_and_copies_of_it_to_all_others() -> None:
    (host,) = envoy.routes(Routes("v1", "v2", 0.1), NAMES, FRONT, "7")["resources"][0]["virtual_hosts"]
    (feedback,) = [entry["route"] for entry in host["routes"] if entry["name"] == "feedback"]
    assert feedback["cluster"] == "v1-aa"
    assert feedback["request_mirror_policies"] == [{"cluster": "v2-bb"}, {"cluster": "v3-cc"}]


def test_every_server_can_stand_in_for_every_other() -> None:
    names = {entry["name"] for entry in envoy.clusters(dict.fromkeys("abc", ("127.0.0.1", 1)), "1")["resources"]}
    assert names == {"a", "b", "c", "a|b", "a|c", "b|a", "b|c", "c|a", "c|b"}
    assert envoy.assigned("b|a") == "b"
    assert envoy.assigned("b") == "b"


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


def test_counts_are_read_by_the_cluster_that_was_assigned() -> None:
    def requests(arm: str, outcome: str, value: int) -> dict[str, Any]:
        return {"name": f"mlship.requests.arm.{arm}.{outcome}", "value": value}

    def latency(arm: str, outcome: str, *bins: tuple[float, float, int]) -> dict[str, Any]:
        totals = [{"lower_bound": low, "width": width, "count": count} for low, width, count in bins]
        return {"name": f"mlship.latency.arm.{arm}.{outcome}", "totals": totals}

    good, again = "code.200.attempts.1.flags.-", "code.200.attempts.2.flags.-"
    document = {
        "stats": [
            requests("v1-aa", good, 5),
            requests("v2-bb|v1-aa", good, 3),
            requests("v2-bb|v1-aa", again, 2),
            requests("-", "code.404.attempts.-.flags.-", 9),
            {
                "histograms": {
                    "details": [
                        latency("v1-aa", good, (0, 0, 1), (1, 0.1, 1), (110, 10, 3)),
                        latency("v2-bb|v1-aa", good, (5000, 100, 3)),
                        latency("v2-bb|v1-aa", again, (1, 0.1, 2)),
                    ]
                }
            },
        ]
    }
    found = counters.read(document)
    assert set(found) == {"v1-aa", "v2-bb"}
    stable, canary = found["v1-aa"], found["v2-bb"]
    assert (stable.requests, stable.errors, canary.requests, canary.errors) == (5, 0, 5, 2)
    assert {bound: n for bound, n in zip(LATENCY_BOUNDS_MS, stable.latency, strict=False) if n} == {1: 1, 2: 1, 122: 3}
    assert canary.latency[-1] == 2, "errors are the slowest"
    assert sum(canary.latency) == 5
    assert counters.read({}) == {}
