"""How much and how long: size, rate and time at a real router, whose refusals are JSON and no server's fault."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.engines import envoy
from mlship.engines.envoy.bootstrap import HEADERS
from mlship.engines.envoy.filters import rate_limit
from mlship.engines.front import Front
from mlship.engines.start import envoy_binary
from mlship.types import Routes
from tests.engines.support import ask, behave, free_port, local_engine, port_of, release, routed
from tests.engines.test_endpoint import World

LIMIT = 100_000


@pytest.fixture(scope="module")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    plain = Front(f"127.0.0.1:{free_port()}", 2.0)
    engine = local_engine(tmp_path_factory.mktemp("limits"), front=plain)
    try:
        stable, canary = engine.deploy(release("1")), engine.deploy(release("2"))
        for server in (stable, canary):
            engine.wait_ready(server, 20)
        yield World(engine, stable, canary, plain, issuer=None)  # type: ignore[arg-type]  # nobody has a token here
    finally:
        engine.down()


@pytest.fixture
def world(_world: World) -> World:
    for server in (_world.stable, _world.canary):
        behave(_world.engine, server, "ok")
    _world.apply()
    routed(_world.engine, Routes(_world.stable))
    return _world


def chunks(size: int) -> Iterator[bytes]:
    """A body whose length nobody announces."""
    while size > 0:
        yield b"x" * min(size, 10_000)
        size -= 10_000


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/invocations", "/v2/models/m/infer", "/feedback"])
def test_a_body_beyond_the_limit_gets_413_however_it_comes(world: World, path: str) -> None:
    world.apply(max_body=LIMIT)
    before = world.counted()
    for size in (LIMIT + 1, 5 * LIMIT):
        for body in (b"x" * size, chunks(size)):
            status, headers, answer = world.ask("POST", path, body)
            assert (status, headers["content-type"]) == (413, "application/json")
            assert json.loads(answer) == {"error": "the body is larger than this endpoint takes"}
    assert world.counted() == before
    for body in (b"x" * LIMIT, chunks(LIMIT)):
        assert world.ask("POST", path, body)[0] in (200, 202), "as much as that is allowed"


@pytest.mark.slow
def test_strangers_cannot_fill_the_memory_by_way_of_the_load_balancers_paths(world: World) -> None:
    world.apply(key_digests=("0" * 64,))
    for path in ("/ping", "/health"):
        for body in (b"x" * LIMIT, chunks(LIMIT)):
            assert world.ask("POST", path, body)[0] == 413
        assert world.ask("GET", path)[0] == 200


@pytest.mark.slow
def test_a_request_whose_headers_do_not_come_is_ended(world: World) -> None:
    host, port = envoy.split(world.engine.address.removeprefix("http://"))
    with socket.create_connection((host, port), timeout=2 * HEADERS) as connection:
        began = time.monotonic()
        connection.sendall(b"POST /invocations HTTP/1.1\r\nhost: x\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
        assert HEADERS - 1 < time.monotonic() - began < HEADERS + 5


@pytest.mark.slow
def test_the_limit_moves_without_a_restart(world: World) -> None:
    body = b"x" * (2 * LIMIT)
    for limit, status in ((LIMIT, 413), (3 * LIMIT, 200), (LIMIT, 413)):
        world.apply(max_body=limit)
        assert world.ask("POST", "/invocations", body)[0] == status


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [1, 31, 60])
def test_a_body_up_to_the_limit_is_kept_to_be_sent_again(world: World, megabytes: int) -> None:
    """Canary fails on it; stable answers it nevertheless, also where it is more than Envoy would keep by itself."""
    world.apply(max_body=megabytes * 10**6, timeout=20.0)
    behave(world.engine, world.canary, "500")
    routed(world.engine, Routes(world.stable, world.canary, 1.0))
    requests, errors = world.counted()
    for body in (b"x" * (megabytes * 10**6), chunks(megabytes * 10**6)):
        status, headers, _ = world.ask("POST", "/invocations", body)
        assert (status, headers["x-mlship-version"]) == (200, "1")
    assert world.counted() == (requests + 2, errors + 2)


@pytest.mark.slow
def test_a_caller_who_leaves_in_the_middle_of_a_body_is_no_server_s_error(world: World) -> None:
    before = world.counted()
    connection = HTTPConnection(world.engine.address.removeprefix("http://"), timeout=5)
    connection.putrequest("POST", "/invocations")
    connection.putheader("content-length", "1000")
    connection.endheaders(b"x" * 500)
    time.sleep(0.2)
    connection.close()
    time.sleep(0.2)
    assert world.counted() == before


@pytest.mark.slow
def test_requests_beyond_the_rate_get_429_and_are_no_errors(world: World) -> None:
    world.apply(rate_limit=5.0)
    requests, errors = world.counted()
    answers = [world.ask("POST", "/invocations", b"{}") for _ in range(15)]
    good = [status for status, _, _ in answers if status == 200]
    assert 5 <= len(good) <= 7, "a second's worth at once, and a token every 200 ms"
    for status, headers, body in answers:
        assert status in (200, 429)
        if status == 429:
            assert headers["retry-after"] == "1"
            assert headers["content-type"] == "application/json"
            assert json.loads(body) == {"error": "more requests than this endpoint takes; try again later"}
    assert world.counted() == (requests + len(good), errors)
    assert [world.ask("GET", path)[0] for path in ("/ping", "/health") * 10] == [200] * 20
    time.sleep(1.0)
    assert world.status() == 200, "the bucket fills again"
    world.apply()
    assert [world.status() for _ in range(30)] == [200] * 30


@pytest.mark.slow
def test_a_route_change_does_not_fill_the_bucket(world: World) -> None:
    world.apply(rate_limit=0.1)
    assert [world.status() for _ in range(3)] == [200, 429, 429]
    for weight in (0.1, 0.5):
        routed(world.engine, Routes(world.stable, world.canary, weight))
        assert world.status() == 429
    world.apply(rate_limit=0.1, timeout=3.0)
    assert world.status() == 429, "nor does a change of something else"


@pytest.mark.slow
def test_strangers_do_not_use_up_what_callers_may_ask(world: World) -> None:
    world.apply(rate_limit=0.1, key_digests=("0" * 64,))
    assert [world.status() for _ in range(10)] == [401] * 10
    world.apply(rate_limit=0.1)
    assert world.status() == 200


@pytest.mark.slow
def test_time_is_up_in_json(world: World) -> None:
    world.apply(timeout=0.2)
    behave(world.engine, world.stable, "sleep 1")
    status, headers, body = world.ask("POST", "/invocations", b"{}")
    assert (status, headers["content-type"]) == (504, "application/json")
    assert json.loads(body) == {"error": "no answer within the endpoint's timeout"}


@pytest.mark.slow
def test_the_rate_is_that_of_all_workers_together(tmp_path: Path) -> None:
    """Four workers, 64 connections spread over them, and one bucket."""
    front, admin = Front(f"127.0.0.1:{free_port()}", 2.0, rate_limit=50.0), free_port()
    (tmp_path / "envoy").mkdir()
    files = {"bootstrap.json": envoy.bootstrap(front, admin, "envoy"), **envoy.extensions(front, "1")}
    files |= {"clusters.json": envoy.clusters({}, "1"), "routes.json": envoy.routes(None, {}, front, "1")}
    for name, document in files.items():
        (tmp_path / "envoy" / name).write_text(json.dumps(document))
    argv = [str(envoy_binary()), "-c", "envoy/bootstrap.json", "--concurrency", "4", "--disable-hot-restart"]
    argv += ["--service-cluster", "mlship", "--service-node", "1", "--log-level", "error"]
    router = subprocess.Popen(argv, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 15
        while True:
            try:
                ask(front.url, "GET", "/ping")
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        time.sleep(1.1)  # the bucket is full again
        with ThreadPoolExecutor(64) as pool:
            began = time.monotonic()
            found = list(pool.map(lambda _: ask(front.url, "GET", "/version")[0], range(256)))
            seconds = time.monotonic() - began
    finally:
        router.terminate()
        router.wait(10)
    let_through = found.count(503)  # nothing is routed
    assert let_through + found.count(429) == 256
    assert 50 <= let_through <= 50 * (1 + seconds) + 2


@given(st.floats(min_value=1 / 86400, max_value=1e6))
def test_a_bucket_holds_a_second_and_fills_at_the_rate(rate: float) -> None:
    config = rate_limit(Front("127.0.0.1:1", 1.0, rate_limit=rate), "1")["resources"][0]["typed_config"]
    bucket: dict[str, Any] = config["token_bucket"]
    interval = float(bucket["fill_interval"].removesuffix("s"))
    assert interval >= 0.05, "Envoy refuses less"
    assert bucket["tokens_per_fill"] / interval == pytest.approx(rate, rel=1e-6)
    assert bucket["max_tokens"] == max(1, round(rate)) == bucket["tokens_per_fill"]
    (header,) = config["response_headers_to_add"]
    assert int(header["header"]["value"]) >= 1 / rate


def test_without_a_rate_there_is_no_bucket() -> None:
    config = rate_limit(replace(Front("127.0.0.1:1", 1.0), rate_limit=None), "1")["resources"][0]["typed_config"]
    assert config.keys() == {"@type", "stat_prefix"}


@pytest.mark.slow
def test_predictions_of_either_protocol_are_counted_and_questions_about_the_model_are_not(world: World) -> None:
    before = world.counted()[0]
    for path in ("/v2", "/v2/health/ready", "/v2/models/m", "/v2/models/m/ready", "/v2/models/m/infer", "/version"):
        assert world.ask("GET", path)[0] == 200
    assert world.ask("POST", "/v2/models/m", b"{}")[0] == world.ask("POST", "/v2/models/m/infer/x", b"{}")[0] == 200
    assert world.counted()[0] == before
    asked = ("/invocations", "/v2/models/m/infer", "/v2/models/m/versions/3/infer", "/v2/models/a-b.c/infer?x=1")
    for path in asked:
        assert world.ask("POST", path, b"{}")[0] == 200
    assert world.counted()[0] == before + len(asked)


@pytest.mark.slow
def test_the_other_protocol_is_routed_by_weight_and_has_the_same_fallback(world: World) -> None:
    routed(world.engine, Routes(world.stable, world.canary, 0.5))
    found = [world.ask("POST", "/v2/models/m/infer", b"{}")[1]["x-mlship-version"] for _ in range(60)]
    assert set(found) == {"1", "2"}
    routed(world.engine, Routes(world.stable, world.canary, 1.0))
    behave(world.engine, world.canary, "500")
    requests, errors = world.counted()
    status, headers, _ = world.ask("POST", "/v2/models/m/infer", b"{}")
    assert (status, headers["x-mlship-version"]) == (200, "1")
    assert world.counted() == (requests + 1, errors + 1)
    assert port_of(world.engine, world.canary)
