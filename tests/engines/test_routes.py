"""Copies, testers and sticky users under load: stable answers everybody, and everybody is counted where they belong."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import pytest

from mlship.engines import files, state
from mlship.engines.envoy.clusters import MOST_COPIES
from mlship.engines.local import LocalEngine
from mlship.errors import EngineError
from mlship.types import Counts, Routes, ServerCounters, ServerState
from tests.engines.support import (
    Callers,
    ask,
    behave,
    local_engine,
    pid_of,
    port_of,
    release,
    routed,
)
from tests.waiting import until

pytestmark = pytest.mark.slow

TIMEOUT = 0.5
#: Seconds until a line of the router's log is in the file.
WRITTEN = 0.15


@dataclass(frozen=True)
class World:
    """An engine with two servers."""

    engine: LocalEngine
    stable: str
    canary: str

    def routed(self, **how: object) -> Routes:
        routes = Routes(self.stable, self.canary, **how)  # type: ignore[arg-type]  # as in Routes
        routed(self.engine, routes)
        return routes

    def callers(self, **settings: object) -> Callers:
        return Callers(f"{self.engine.address}/invocations", **settings)  # type: ignore[arg-type]  # as in Callers

    def ask(self, path: str = "/invocations", **headers: str) -> tuple[int, dict[str, str], bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self.engine.address, "POST", path, b"{}", named)

    def version(self, path: str = "/invocations", **headers: str) -> str:
        status, found, _ = self.ask(path, **headers)
        assert status == 200
        return found["x-mlship-version"]

    def counted(self) -> tuple[ServerCounters, ServerCounters]:
        """What stable and canary count, once every line is written."""
        time.sleep(WRITTEN)
        found = self.engine.scrape().servers
        return found[self.stable], found[self.canary]

    def copies(self, wanted: int) -> tuple[int, int]:
        """Copies and errors of the canary, once there are so many."""
        deadline = time.monotonic() + 10
        while (found := self.engine.scrape().servers[self.canary].mirrored)[0] < wanted:
            assert time.monotonic() < deadline, f"{found} copies, not {wanted}"
            time.sleep(0.02)
        return found


@pytest.fixture(scope="module")
def _engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    engine = local_engine(tmp_path_factory.mktemp("routes"), timeout=TIMEOUT)
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
    until(lambda: all(one.state is ServerState.READY for one in _engine.engine.servers().values()))
    for server in (_engine.stable, _engine.canary):
        behave(_engine.engine, server, "ok")
    routed(_engine.engine, Routes(_engine.stable))
    return _engine


# Copies


def test_a_canary_gets_copies_of_predictions_with_their_ids_and_of_nothing_else(world: World) -> None:
    before = world.engine.scrape().servers
    world.routed(mirror=1.0)
    for path in ("/invocations", "/v2/models/m/infer"):
        _, headers, _ = world.ask(path, x_request_id=f"mine {path}", x_mlship_copy="1")
        assert (headers["x-mlship-version"], headers["x-request-id"]) == ("1", f"mine {path}")
        until(lambda path=path: seen(world, world.canary).get("x-request-id") == f"mine {path}")  # type: ignore[misc]  # a lambda's default
        assert seen(world, world.canary)["host"] == seen(world, world.stable)["host"]
        assert seen(world, world.canary)["x-mlship-copy"] == "1"
        assert "x-mlship-copy" not in seen(world, world.stable)
    _, headers, _ = world.ask()  # the router's own id, too
    until(lambda: seen(world, world.canary).get("x-request-id") == headers["x-request-id"])
    assert ask(world.engine.address, "GET", "/ping")[0] == 200
    assert ask(world.engine.address, "GET", "/v2/models/m")[0] == 200
    assert world.ask("/feedback")[0] == 202
    since = before[world.canary].mirrored
    assert world.copies(since[0] + 3) == (since[0] + 3, since[1])
    after = world.engine.scrape().servers
    assert after[world.stable].requests - before[world.stable].requests == 3
    assert after[world.canary].requests == before[world.canary].requests, "a copy is nobody's request"
    assert after[world.stable].mirrored == before[world.stable].mirrored


def test_a_copy_carries_no_credentials(world: World) -> None:
    known = state.load(world.engine.directory)
    assert known is not None
    world.routed(mirror=1.0)
    world.engine.apply(replace(known.front, key_digests=(hashlib.sha256(b"secret").hexdigest(),)))
    try:
        before = world.engine.scrape().servers[world.canary].mirrored[0]
        assert world.ask(x_request_id="stranger")[0] == 401
        assert world.ask(x_request_id="friend", x_api_key="secret", authorization="Basic secret")[0] == 200
        until(lambda: seen(world, world.canary).get("x-request-id") == "friend")
        assert "secret" not in json.dumps(seen(world, world.canary))
        assert world.copies(before + 1)[0] == before + 1, "who is refused is not copied"
    finally:
        world.engine.apply(known.front)


def test_the_share_of_copies_is_the_one_asked_for(world: World) -> None:
    before = world.engine.scrape().servers[world.canary].mirrored[0]
    world.routed(mirror=0.3)
    with world.callers(callers=8, pause=0.0) as callers:
        callers.more(600)
    time.sleep(0.1)
    share = (world.engine.scrape().servers[world.canary].mirrored[0] - before) / len(callers.answers)
    assert 0.22 < share < 0.38
    assert {answer.version for answer in callers.answers} == {"1"}


@pytest.mark.parametrize("mode", ["500", "hang", "cut", "sleep 0.3", "dead"])
def test_whatever_becomes_of_copies_stable_is_as_fast_and_as_good_as_without(world: World, mode: str) -> None:
    before = world.engine.scrape().servers
    if mode == "dead":
        os.kill(pid_of(world.engine, world.canary), signal.SIGSTOP)  # it takes connections, and says nothing
    else:
        behave(world.engine, world.canary, mode)
    try:
        world.routed(mirror=1.0)
        with world.callers(callers=8) as callers:
            callers.more(300)
        routed(world.engine, Routes(world.stable))
        time.sleep(TIMEOUT + 0.1)  # and then the last copy has come to its end
    finally:
        os.kill(pid_of(world.engine, world.canary), signal.SIGCONT)
    after = world.engine.scrape().servers
    assert not callers.lost
    assert max(answer.done - answer.sent for answer in callers.answers) < 0.25
    assert after[world.stable].errors == before[world.stable].errors
    copies, errors = (
        new - old for new, old in zip(after[world.canary].mirrored, before[world.canary].mirrored, strict=True)
    )
    assert len(callers.answers) / 2 < copies <= len(callers.answers)
    assert errors == (0 if mode.startswith("sleep") else copies)


def test_copies_for_a_canary_that_hangs_do_not_pile_up_and_end_with_it(world: World) -> None:
    known = state.load(world.engine.directory)
    assert known is not None
    world.engine.apply(replace(known.front, timeout=10.0))
    behave(world.engine, world.canary, "hang")
    before = world.engine.scrape().servers[world.canary].mirrored
    world.routed(mirror=1.0)
    with world.callers(callers=16, pause=0.0) as callers:
        callers.more(3 * MOST_COPIES)
        assert MOST_COPIES / 2 < connections(port_of(world.engine, world.canary)) < MOST_COPIES + 16
        routed(world.engine, Routes(world.stable))
    os.kill(pid_of(world.engine, world.canary), signal.SIGKILL)
    until(lambda: connections(port_of(world.engine, world.canary)) < 16)
    world.engine.apply(known.front)
    after = world.engine.scrape().servers[world.canary].mirrored
    copies, errors = (new - old for new, old in zip(after, before, strict=True))
    assert not callers.lost
    assert copies == errors > MOST_COPIES
    assert copies < len(callers.answers), "what was dropped is not held against the canary"


def test_no_copy_is_made_once_the_route_is_gone(world: World) -> None:
    world.routed(mirror=1.0)
    with world.callers() as callers:
        callers.more(50)
        routed(world.engine, Routes(world.stable))
        time.sleep(0.05)
        before = world.engine.scrape().servers[world.canary].mirrored
        callers.more(100)
    assert world.engine.scrape().servers[world.canary].mirrored == before
    assert not callers.lost


def test_a_mirror_to_a_server_that_the_router_does_not_know_is_no_mirror(world: World) -> None:
    known = state.load(world.engine.directory)
    assert known is not None
    routes = world.routed(mirror=1.0)
    files.render_clusters(world.engine.directory, known.without_server(world.canary))
    try:
        time.sleep(0.1)
        with world.callers() as callers:
            callers.more(30)
    finally:
        files.render_clusters(world.engine.directory, known)
    assert not callers.lost
    assert world.engine.routes() == routes
    until(lambda: world.engine.scrape().servers[world.canary].mirrored[0] > 0 if world.ask() else False)


# Testers


def test_testers_meet_the_canary_and_nobody_else_does(world: World) -> None:
    world.routed(testers=("x-canary", "1"))
    for path in ("/invocations", "/v2/models/m/infer"):
        assert world.version(path, x_canary="1") == "2"
        assert [world.version(path), world.version(path, x_canary="2"), world.version(path, x_canary="11")] == ["1"] * 3
    assert ask(world.engine.address, "GET", "/version", headers={"x-canary": "1"})[1]["x-mlship-version"] == "2"
    assert ask(world.engine.address, "GET", "/version")[1]["x-mlship-version"] == "1"


def test_what_the_canary_fails_testers_is_answered_by_stable_and_blamed_on_the_canary(world: World) -> None:
    world.routed(testers=("x-canary", "1"))
    behave(world.engine, world.canary, "500")
    before = world.engine.scrape().servers[world.canary]
    assert world.version(x_canary="1") == "1"
    after = world.engine.scrape().servers[world.canary]
    assert (after.requests - before.requests, after.errors - before.errors) == (1, 1)


def test_testers_come_on_top_of_a_weight(world: World) -> None:
    world.routed(weight=0.5, testers=("x-canary", "1"), mirror=1.0)
    before = world.engine.scrape().servers[world.canary]
    assert {world.version(x_canary="1") for _ in range(20)} == {"2"}
    assert world.engine.scrape().servers[world.canary].mirrored == before.mirrored, "they are not copied, either"
    assert {world.version() for _ in range(40)} == {"1", "2"}


# Sticky users


def test_a_user_stays_with_an_arm_while_weights_rise(world: World) -> None:
    users = [f"user-{number}" for number in range(60)]
    on_canary: set[str] = set()
    for weight in (0.1, 0.25, 0.6, 1.0):
        world.routed(weight=weight, sticky="header:x-user")
        met = {user: {world.version(x_user=user) for _ in range(2)} for user in users}
        assert all(len(versions) == 1 for versions in met.values())
        now = {user for user, versions in met.items() if versions == {"2"}}
        assert now >= on_canary, "nobody goes back"
        assert abs(len(now) / len(users) - weight) < 0.2  # the same users each time: no chance in it
        on_canary = now
    world.routed(weight=0.1, sticky="cookie:uid")
    assert {world.version(cookie="a=b; uid=me; c=d") for _ in range(5)} in ({"1"}, {"2"})


def test_whoever_names_no_user_is_drawn_and_counts_by_itself(world: World) -> None:
    world.routed(weight=0.5, sticky="header:x-user")
    before = [one.users or Counts() for one in world.counted()]
    drawn = Counter(world.version() for _ in range(60))
    after = [one.users or Counts() for one in world.counted()]
    assert set(drawn) == {"1", "2"}
    for version, new, old in zip(("1", "2"), after, before, strict=True):
        assert new.requests - old.requests == drawn[version]
        assert sum(new.latency) - sum(old.latency or (0,)) == drawn[version]


def test_users_are_counted_once_with_their_first_request(world: World) -> None:
    world.routed(weight=0.5, sticky="header:x-user")
    before = [one.users or Counts() for one in world.counted()]
    met = {f"u{number}": world.version(x_user=f"u{number}") for number in range(30)}
    behave(world.engine, world.stable, "500")
    for user in met:  # who was well served first is well served
        assert world.ask(x_user=user)[0] in (200, 500)
    late = {f"late{number}": world.ask(x_user=f"late{number}")[0] for number in range(20)}
    after = world.counted()
    requests = errors = 0
    for version, new, old in zip(("1", "2"), after, before, strict=True):
        assert new.users is not None
        requests += new.users.requests - old.requests
        errors += new.users.errors - old.errors
        assert new.users.requests - old.requests >= sum(one == version for one in met.values())
    assert requests == len(met) + len(late)
    assert errors == sum(status == 500 for status in late.values()) > 0
    routed(world.engine, Routes(world.stable, world.canary, 0.5, sticky="header:x-user"))  # again: nothing new
    assert [one.users for one in world.counted()] == [one.users for one in after]


def test_another_process_counts_the_same_users_and_another_weight_counts_anew(world: World) -> None:
    world.routed(weight=0.5, sticky="header:x-user")
    before = [one.users or Counts() for one in world.counted()]
    for number in range(20):
        world.version(x_user=f"p{number}")
    mine = [one.users for one in world.counted()]
    other = local_engine(world.engine.directory.parents[2])
    theirs = other.scrape().servers
    assert [theirs[world.stable].users, theirs[world.canary].users] == mine
    world.routed(weight=0.6, sticky="header:x-user")
    world.version(x_user="p0")
    anew = [one.users or Counts() for one in world.counted()]
    assert sum(one.requests for one in anew) == sum(one.requests for one in before) + 1
    log = files.users_log(world.engine.directory)
    assert len(log.read_text().splitlines()) >= 1
    assert "p0" not in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    routed(world.engine, Routes(world.stable))
    assert log.stat().st_size == 0
    assert [one.users for one in world.counted()] == [None, None]


def test_newcomers_get_a_cookie_and_stay(world: World) -> None:
    world.routed(weight=0.5, sticky="cookie:uid")
    before = sum((one.users or Counts()).requests for one in world.counted())
    for _ in range(12):
        _, headers, _ = world.ask(cookie="theme=dark")
        cookie, _, attributes = headers["set-cookie"].partition(";")
        assert cookie.startswith("uid=")
        assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= {each.strip() for each in attributes.split(";")}
        for _ in range(3):
            status, again, _ = world.ask(cookie=f"theme=dark; {cookie}")
            assert (status, again["x-mlship-version"]) == (200, headers["x-mlship-version"])
            assert "set-cookie" not in again
    assert sum((one.users or Counts()).requests for one in world.counted()) == before + 12
    names = {seen(world, server)["cookie"] for server in (world.stable, world.canary)}
    assert all("uid=" in each for each in names)


def test_who_is_refused_is_nobodys_first_request(world: World) -> None:
    world.routed(weight=0.5, sticky="header:x-user")
    before = sum((one.users or Counts()).requests for one in world.counted())
    large = b"x" * 33_000_000
    with suppress(HTTPException, OSError):
        assert ask(world.engine.address, "POST", "/invocations", large, {"x-user": "big"})[0] == 413
    assert sum((one.users or Counts()).requests for one in world.counted()) == before


def test_names_of_any_kind_are_users(world: World) -> None:
    world.routed(weight=0.5, sticky="header:x-user")
    before = sum((one.users or Counts()).requests for one in world.counted())
    names = ["ü ber", "a b c", "%USER%", "x" * 3000, '"', "1"]
    for name in names * 2:
        assert (
            ask(world.engine.address, "POST", "/invocations", b"{}", {"x-user": name.encode().decode("latin-1")})[0]
            == 200
        )
    assert sum((one.users or Counts()).requests for one in world.counted()) == before + len(names)


# Both


def test_a_restarted_router_takes_up_every_kind_of_routes_and_counts_anew(world: World) -> None:
    routes = world.routed(weight=0.25, mirror=0.125, testers=("x-canary", "1"), sticky="cookie:uid")
    for number in range(10):
        world.version(cookie=f"uid={number}")
    before = world.counted()
    os.kill(pid_of(world.engine, "envoy"), signal.SIGKILL)
    until(lambda: now(world.engine) == routes)
    after = world.counted()
    for new, old in zip(after, before, strict=True):
        assert new.epoch != old.epoch
        assert (new.requests, new.mirrored) == (0, (0, 0))
        assert new.users == Counts(latency=new.users.latency) if new.users else False
    world.version(cookie="uid=3")
    assert sum((one.users or Counts()).requests for one in world.counted()) == 1


def test_a_rollback_drops_everything_at_once_and_loses_nobody(world: World) -> None:
    world.routed(weight=0.5, mirror=0.5, testers=("x-canary", "1"), sticky="header:x-user")
    with world.callers(callers=4, headers={"x-canary": "1"}) as testers, world.callers(callers=4) as callers:
        callers.more(100)
        verdict = time.monotonic()
        world.engine.route(Routes(world.stable))
        callers.more(150)
        testers.more(50)
    assert max(callers.last("2"), testers.last("2")) - verdict < 0.25  # the figure proper: tests/benchmarks/rollback.py
    assert not callers.lost + testers.lost
    assert world.engine.routes() == Routes(world.stable)


def test_timeouts_are_told_from_other_errors(world: World) -> None:
    world.routed(weight=1.0)
    before = world.engine.scrape().servers[world.canary]
    for mode in ("500", "hang", f"sleep {0.7 * TIMEOUT}", "ok"):
        behave(world.engine, world.canary, mode)
        assert world.ask()[0] == 200
    after = world.engine.scrape().servers[world.canary]
    assert (after.errors - before.errors, after.timeouts - before.timeouts) == (3, 2)


def now(engine: LocalEngine) -> Routes | None:
    with suppress(EngineError):  # it has died this moment
        return engine.routes()
    return None


def seen(world: World, server: str) -> dict[str, str]:
    """Headers of the latest request that a server has seen."""
    with urlopen(f"http://127.0.0.1:{port_of(world.engine, server)}/seen", timeout=5) as answer:
        found: dict[str, str] = json.loads(answer.read())
    return found


def connections(port: int) -> int:
    """Connections of the router to a server."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "01" and int(row[2].split(":")[1], 16) == port for row in rows)
