"""The router under constant load: whatever the canary does, nobody is lost, and it is the canary that is blamed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path

import pytest

from mlship.engines.local import LocalEngine
from mlship.errors import EngineError
from mlship.telemetry.windows import observe
from mlship.types import Observation, Predictions, Routes, Scrape, ServerState
from tests.engines.support import Callers, behave, local_engine, pid_of, port_of, release, routed

pytestmark = pytest.mark.slow

TIMEOUT = 1.0


@dataclass(frozen=True)
class World:
    """An engine with two servers."""

    engine: LocalEngine
    stable: str
    canary: str

    def callers(self, **settings: object) -> Callers:
        return Callers(f"{self.engine.address}/invocations", **settings)  # type: ignore[arg-type]  # as in Callers

    def split(self, weight: float) -> Routes:
        routes = Routes(self.stable, self.canary, weight)
        routed(self.engine, routes)
        return routes

    def since(self, before: Scrape, routes: Routes) -> Observation:
        return observe(before, self.engine.scrape(), routes)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = HTTPConnection(self.engine.address.removeprefix("http://"), timeout=10)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return found


@pytest.fixture(scope="module")
def _engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    engine = local_engine(tmp_path_factory.mktemp("traffic"), timeout=TIMEOUT)
    try:
        stable, canary = engine.deploy(release("1")), engine.deploy(release("2"))
        engine.wait_ready(stable, 20)
        engine.wait_ready(canary, 20)
        yield World(engine, stable, canary)
    finally:
        engine.down()


@pytest.fixture
def world(_engine: World) -> World:
    """The same engine for every test: both servers well, all traffic on stable."""
    _until(lambda: all(one.state is ServerState.READY for one in _engine.engine.servers().values()))
    for server in (_engine.stable, _engine.canary):
        behave(_engine.engine, server, "ok")
    routed(_engine.engine, Routes(_engine.stable))
    return _engine


def test_weights_change_under_load_and_nobody_is_lost(world: World) -> None:
    with world.callers() as callers:
        for weight in (0.01, 0.5, 1.0, 0.0, 0.3, 0.0):
            world.split(weight)
            callers.more(40)
    assert not callers.lost
    assert {answer.version for answer in callers.answers} == {"1", "2"}


def test_the_share_of_the_canary_is_its_weight(world: World) -> None:
    routes = world.split(0.3)
    before = world.engine.scrape()
    with world.callers(callers=8, pause=0.0) as callers:
        callers.more(1500)
    seen = world.since(before, routes)
    total = seen.stable.requests + seen.canary.requests
    assert total == len(callers.answers), "every request is counted, once"
    assert sum(seen.stable.latency) + sum(seen.canary.latency) == total
    assert 0.25 < seen.canary.requests / total < 0.35
    assert seen.stable.errors == seen.canary.errors == 0


def test_a_killed_canary_loses_nobody_and_is_blamed(world: World) -> None:
    routes = world.split(0.5)
    with world.callers() as callers:
        before = world.engine.scrape()
        os.kill(pid_of(world.engine, world.canary), signal.SIGKILL)
        callers.more(150)
        seen = world.since(before, routes)
    assert not callers.lost
    assert seen.missing == (), "the router knows how dead it is"
    assert seen.canary.errors > 0
    assert seen.stable.errors == 0


@pytest.mark.parametrize("mode", ["500", "503"])
def test_what_the_canary_fails_is_answered_by_stable_and_blamed_on_the_canary(world: World, mode: str) -> None:
    routes = world.split(0.5)
    behave(world.engine, world.canary, mode)
    before = world.engine.scrape()
    with world.callers() as callers:
        callers.more(100)
    seen = world.since(before, routes)
    assert not callers.lost
    assert {answer.version for answer in callers.answers} == {"1"}
    assert seen.canary.errors == seen.canary.requests > 20
    assert seen.stable.errors == 0


def test_a_canary_that_hangs_is_answered_by_stable_within_the_deadline(world: World) -> None:
    routes = world.split(0.5)
    behave(world.engine, world.canary, "hang")
    before = world.engine.scrape()
    with world.callers(callers=16) as callers:
        callers.more(60)
    seen = world.since(before, routes)
    assert not callers.lost
    assert max(answer.done - answer.sent for answer in callers.answers) < TIMEOUT
    assert seen.canary.errors == seen.canary.requests > 10
    assert seen.stable.errors == 0
    assert seen.canary.latency[-1] == seen.canary.requests, "nothing is fast because it fails"


def test_a_slow_answer_within_the_deadline_is_still_an_answer(world: World) -> None:
    for server in (world.stable, world.canary):
        behave(world.engine, server, f"sleep {0.7 * TIMEOUT}")
    routes = world.split(1.0)
    before = world.engine.scrape()
    status, headers, _ = world.ask("POST", "/invocations", b"{}")
    assert (status, headers["x-mlship-version"]) == (200, "2"), "the first attempt wins, for nobody ended it"
    assert world.since(before, routes).canary.errors == 1, "the fallback had to be asked"


def test_a_server_that_never_answers_is_an_error_of_either_arm_once(world: World) -> None:
    behave(world.engine, world.stable, "hang")
    routes = Routes(world.stable)
    before = world.engine.scrape()
    assert world.ask("POST", "/invocations", b"{}")[0] == 504
    seen = world.since(before, routes)
    assert (seen.stable.requests, seen.stable.errors) == (1, 1)


def test_stable_is_counted_as_the_canary_is(world: World) -> None:
    behave(world.engine, world.stable, "500")
    before = world.engine.scrape()
    assert world.ask("POST", "/invocations", b"{}")[0] == 500, "there is nobody else to ask"
    seen = world.since(before, Routes(world.stable))
    assert (seen.stable.requests, seen.stable.errors) == (1, 1)


def test_bad_input_is_the_callers_error_and_not_tried_again(world: World) -> None:
    behave(world.engine, world.canary, "400")
    routes = world.split(1.0)
    before = world.engine.scrape()
    status, headers, _ = world.ask("POST", "/invocations", b"{")
    assert (status, headers["x-mlship-version"]) == (400, "2")
    seen = world.since(before, routes)
    assert (seen.canary.requests, seen.canary.errors) == (1, 0)


def test_an_answer_that_breaks_off_is_an_error(world: World) -> None:
    behave(world.engine, world.canary, "cut")
    routes = world.split(1.0)
    before = world.engine.scrape()
    with pytest.raises(IncompleteRead):  # its beginning is with the caller already: nobody can mend it
        world.ask("POST", "/invocations", b"{}")
    seen = world.since(before, routes)
    assert (seen.canary.requests, seen.canary.errors) == (1, 1)


def test_a_caller_who_gives_up_on_a_hanging_server_is_counted(world: World) -> None:
    behave(world.engine, world.canary, "hang")
    routes = world.split(1.0)
    before = world.engine.scrape()
    connection = HTTPConnection(world.engine.address.removeprefix("http://"), timeout=0.2)
    connection.request("POST", "/invocations", b"{}")
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    time.sleep(0.1)
    seen = world.since(before, routes)
    assert (seen.canary.requests, seen.canary.errors) == (1, 1)


def test_a_large_body_can_be_sent_again(world: World) -> None:
    world.split(1.0)
    behave(world.engine, world.canary, "500")
    status, headers, _ = world.ask("POST", "/invocations", b"x" * 4_000_000)
    assert (status, headers["x-mlship-version"]) == (200, "1")


def test_labels_reach_every_server_and_are_no_requests(world: World) -> None:
    before = world.engine.scrape()
    status, headers, _ = world.ask("POST", "/feedback", b'{"request_id": "a", "label": 1}')
    assert (status, headers["x-mlship-version"]) == (202, "1")
    time.sleep(0.1)
    after = world.engine.scrape()
    for server in (world.stable, world.canary):
        assert _labelled(after, server) - _labelled(before, server) == 1
        assert after.servers[server].requests == before.servers[server].requests


def test_servers_tell_their_predictions_and_by_request_only_while_one_gets_copies(world: World) -> None:
    world.split(0.0)
    before = world.engine.scrape()
    assert before.servers[world.stable].answers is None
    world.ask("POST", "/invocations", b"{}", x_request_id="nobody compares")
    routes = Routes(world.stable, world.canary, 0.0, mirror=1.0)
    routed(world.engine, routes)
    first = world.engine.scrape()
    world.ask("POST", "/invocations", b"{}", x_request_id="both")
    _until(lambda: "both" in (world.engine.scrape().servers[world.canary].answers or {}))
    seen = observe(first, world.engine.scrape(), routes)
    assert seen.agreement == (1, 0)
    assert (seen.stable.predictions, seen.canary.predictions) == (Predictions({"1": 1}), Predictions({"1": 1}))
    assert observe(before, first, Routes(world.stable)).stable.predictions == Predictions({"1": 1})


def test_only_the_endpoints_own_paths_are_reached(world: World) -> None:
    for path in ("/counters", "/metrics", "/mode/500", "/", "/invocations/x", "/feedback"):
        assert world.ask("GET", path)[0] == 404
    before = world.engine.scrape()
    for path in ("/ping", "/health", "/version"):
        assert world.ask("GET", path)[0] == 200
    assert world.engine.scrape().servers[world.stable].requests == before.servers[world.stable].requests


def test_a_request_has_one_id_from_end_to_end(world: World) -> None:
    for mine in ("flight 7/2013", "0b7c1f9e-9d43-4d0c-8a31-5a2d5be9f0aa"):
        assert world.ask("POST", "/invocations", b"{}", x_request_id=mine)[1]["x-request-id"] == mine
    ids = {world.ask("POST", "/invocations", b"{}")[1]["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert "" not in ids


def test_a_restarted_router_and_a_restarted_server_each_begin_an_epoch(world: World) -> None:
    world.ask("POST", "/invocations", b"{}")
    before = world.engine.scrape()
    os.kill(pid_of(world.engine, world.stable), signal.SIGKILL)
    _until(
        lambda: world.engine.scrape().servers[world.stable].labels_epoch != before.servers[world.stable].labels_epoch
    )
    middle = world.engine.scrape()
    assert middle.servers[world.stable].epoch == before.servers[world.stable].epoch
    os.kill(pid_of(world.engine, "envoy"), signal.SIGKILL)
    _until(lambda: _routes(world.engine) is not None)
    after = world.engine.scrape()
    assert after.servers[world.stable].epoch != before.servers[world.stable].epoch
    assert after.servers[world.stable].requests == 0
    assert world.engine.routes() == Routes(world.stable), "a restarted router takes up the routes that it had"
    assert world.ask("POST", "/invocations", b"{}")[0] == 200


def test_labels_of_a_server_that_does_not_answer_are_neither_lost_nor_counted_twice(world: World) -> None:
    world.ask("POST", "/feedback", b"{}")
    before = world.engine.scrape()
    pid = pid_of(world.engine, world.canary)
    os.kill(pid, signal.SIGSTOP)
    try:
        silent = world.engine.scrape()
        assert silent.servers[world.canary].labels == before.servers[world.canary].labels
    finally:
        os.kill(pid, signal.SIGCONT)
    world.ask("POST", "/feedback", b"{}")
    _until(lambda: _labelled(world.engine.scrape(), world.canary) == _labelled(before, world.canary) + 1)


def test_a_route_is_applied_within_milliseconds(world: World) -> None:
    world.split(0.5)
    with world.callers(callers=8, pause=0.001) as callers:
        callers.more(100)
        verdict = time.monotonic()
        world.engine.route(Routes(world.stable))
        callers.more(200)
    assert callers.last("2") > 0
    assert callers.last("2") - verdict < 0.25  # the figure proper: tests/benchmarks/rollback.py
    assert not callers.lost


def test_servers_are_reached_on_this_machine_only(world: World) -> None:
    lines = _listening(port_of(world.engine, world.stable))
    assert lines == {"0100007F"}


def _listening(port: int) -> set[str]:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}


def _routes(engine: LocalEngine) -> Routes | None:
    with suppress(EngineError):  # it has died this moment
        return engine.routes()
    return None


def _labelled(scrape: Scrape, server: str) -> int:
    return sum(entry.labelled for entry in scrape.servers[server].labels)


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
