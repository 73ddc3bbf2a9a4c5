"""One suite, every engine: what a controller may rely on. A new engine joins by a row in `WORLDS`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from mlship.engines import processes
from mlship.engines.base import Engine
from mlship.engines.front import Front
from mlship.engines.lease import owner
from mlship.errors import EngineError, LeaseLost
from mlship.telemetry.windows import observe
from mlship.types import LATENCY_BOUNDS_MS, Counts, Fault, Observation, Release, Routes, Scrape, ServerState
from tests.engines.docker_support import docker_engine, ended, standin_image
from tests.engines.support import local_engine
from tests.fakes.engine import Behaviour, FakeClock, FakeEngine


@dataclass(frozen=True)
class World:
    """An engine, and how its world is moved."""

    engine: Engine
    send: Callable[[int], None]
    """Callers send so many requests, and have their answers."""
    refused: Callable[[int], None]
    """The same, and every answer says that the caller is wrong."""
    testers: Callable[[int], None]
    """The same from callers who carry the header of `TESTERS`."""
    users: Callable[[int], None]
    """So many users send a request each, always the same ones in the same order."""
    sleep: Callable[[float], None]
    image: Callable[[str], str] = lambda _: ""
    """Id of a version's image, where the engine runs images."""


#: A version that answers 400 to everything (see `engines/standin.py`).
REFUSING = "refusing"
#: What chosen callers carry, and what names users.
TESTERS, STICKY = ("x-canary", "1"), "header:x-user"


@contextmanager
def fake(_directory: Path) -> Iterator[World]:
    clock = FakeClock()
    script = {version: Behaviour(errors=0.0) for version in ("1", "2", "3")}
    broken = {"broken": Behaviour(dies="no module named 'lightgbm'"), REFUSING: Behaviour(errors=0.0, refuses=1.0)}
    engine = FakeEngine(clock, rate=0, behaviours={**script, **broken})
    engine.testers, known = 0.0, 0

    def testers(requests: int) -> None:
        engine.testers = 1.0
        engine.send(requests)
        engine.testers = 0.0

    def users(count: int) -> None:
        nonlocal known
        for share, requests in ((0.0, min(known, count)), (1.0, max(0, count - known))):
            engine.users = share
            engine.send(requests)
        known = max(known, count)

    yield World(engine, engine.send, engine.send, testers, users, clock.sleep)


@contextmanager
def local(directory: Path) -> Iterator[World]:
    engine = local_engine(directory)
    try:
        yield _world(engine)
    finally:
        engine.down()
        assert processes.marked(engine.directory) == []


@contextmanager
def docker(directory: Path) -> Iterator[World]:
    with ended(docker_engine(directory)) as engine:
        yield replace(_world(engine), image=standin_image)


def _world(engine: Engine) -> World:
    def send(requests: int, **headers: str) -> None:
        for number in range(requests):
            named = {name.replace("_", "-"): value.format(number) for name, value in headers.items()}
            with urlopen(Request(f"{engine.address}/invocations", b"{}", named), timeout=10) as answer:
                assert answer.status == 200

    def refused(requests: int) -> None:
        for _ in range(requests):
            with pytest.raises(HTTPError, match="400"):
                urlopen(f"{engine.address}/invocations", b"{}", timeout=10)

    return World(
        engine,
        send,
        refused,
        lambda requests: send(requests, **{TESTERS[0]: TESTERS[1]}),
        lambda users: send(users, **{STICKY.partition(":")[2]: "user {}"}),
        time.sleep,
    )


#: Every engine.
WORLDS = {"fake": fake, "local": local, "docker": docker}


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.slow] if name != "fake" else []) for name in WORLDS])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with WORLDS[request.param](tmp_path) as found:
        yield found


def release(version: str) -> Release:
    return Release("m", version, f"sha256:{version:0>64}", Path("/nowhere"))


def deploy(world: World, version: str) -> str:
    return world.engine.deploy(replace(release(version), image=world.image(version)))


def up(world: World, version: str) -> str:
    server = deploy(world, version)
    world.engine.wait_ready(server, 20)
    return server


def route(world: World, routes: Routes) -> None:
    world.engine.route(routes)
    for _ in range(500):
        if world.engine.routes() == routes:
            return
        world.sleep(0.01)
    pytest.fail(f"{world.engine.routes()} is applied, not {routes}")


def test_a_server_is_named_after_its_release_and_becomes_ready(world: World) -> None:
    server = up(world, "1")
    assert server == release("1").server
    found = world.engine.servers()[server]
    assert (found.name, found.version, found.digest) == (server, "1", release("1").digest)
    assert (found.state, found.detail) == (ServerState.READY, "")


def test_deploying_again_changes_nothing(world: World) -> None:
    server = up(world, "1")
    route(world, Routes(server))
    world.send(5)
    before = world.engine.scrape()
    assert deploy(world, "1") == server
    assert world.engine.servers()[server].state is ServerState.READY
    after = world.engine.scrape()
    assert after.servers[server].epoch == before.servers[server].epoch
    assert after.servers[server].requests == 5


def test_a_server_that_dies_is_never_ready_and_says_why(world: World) -> None:
    server = deploy(world, "broken")
    with pytest.raises(EngineError, match="lightgbm"):
        world.engine.wait_ready(server, 20)
    world.engine.stop(server)
    assert server not in world.engine.servers()


def test_nothing_is_routed_before_a_route_is_given(world: World) -> None:
    assert world.engine.routes() is None
    up(world, "1")
    assert world.engine.routes() is None


def test_routes_are_read_back_as_they_are_applied(world: World) -> None:
    one, two = up(world, "1"), up(world, "2")
    for routes in (
        Routes(one),
        Routes(one, two, 0.0),
        Routes(one, two, mirror=0.5),
        Routes(one, two, testers=TESTERS),
        Routes(one, two, 0.25),
        Routes(one, two, 0.25, sticky=STICKY),
        Routes(two, one, 0.5, 0.125, ("x-team", "a, b"), "cookie:uid"),
        Routes(two, one, 1.0),
        Routes(two),
    ):
        route(world, routes)
    world.engine.route(Routes(two))  # again is no error
    assert world.engine.routes() == Routes(two)


def test_an_unknown_server_is_not_routed_to(world: World) -> None:
    one = up(world, "1")
    route(world, Routes(one))
    with pytest.raises(EngineError):
        world.engine.route(Routes(one, "v9-00000000", 0.5))
    assert world.engine.routes() == Routes(one)


def test_every_request_is_counted_once_at_the_server_it_was_given(world: World) -> None:
    one, two, three = up(world, "1"), up(world, "2"), up(world, "3")
    routes = Routes(one, two, 0.5)
    route(world, routes)
    before = world.engine.scrape()
    assert before.missing == ()
    assert before.servers.keys() >= {one, two, three}
    world.send(60)
    after = world.engine.scrape()
    seen = observe(before, after, routes)
    assert seen.started <= seen.ended
    assert seen.stable.requests + seen.canary.requests == 60
    assert 10 <= seen.canary.requests <= 50
    assert seen.stable.errors == seen.canary.errors == 0
    for arm in (seen.stable, seen.canary):
        assert len(arm.latency) == len(LATENCY_BOUNDS_MS) + 1
        assert sum(arm.latency) == arm.requests
    assert after.servers[three].requests == before.servers[three].requests, "warm is not serving"


def test_copies_testers_and_users_are_each_counted_where_they_belong(world: World) -> None:
    one, two = up(world, "1"), up(world, "2")
    for server in (one, two):
        assert world.engine.scrape().servers[server].users is None, "nobody is sticky yet"

    routes = Routes(one, two, mirror=1.0)
    seen, after = look(world, routes, world.send)
    assert (seen.stable.requests, seen.canary.requests, seen.canary.errors) == (20, 20, 0)
    assert (after.servers[two].requests, after.servers[two].mirrored) == (0, (20, 0)), "copies are nobody's requests"
    assert after.servers[one].mirrored == (0, 0)

    routes = Routes(one, two, testers=TESTERS)
    seen, after = look(world, routes, world.send)
    assert (seen.stable.requests, seen.canary.requests) == (20, 0)
    seen, after = look(world, routes, world.testers)
    assert (seen.stable.requests, seen.canary.requests) == (0, 20)
    assert after.servers[two].mirrored == (20, 0), "and copies end with their route"

    routes = Routes(one, two, 0.5, sticky=STICKY)
    for known in (0, 20):  # the second time, everybody was there before
        seen, after = look(world, routes, world.users)
        users = [after.servers[server].users or Counts() for server in (one, two)]
        assert sum(each.requests for each in users) == 20
        assert [sum(each.latency) for each in users] == [each.requests for each in users]
        assert seen.users
        assert seen.stable.requests + seen.canary.requests == 20 - known
        assert seen.stable.served + seen.canary.served == 20

    route(world, Routes(one))
    assert world.engine.scrape().servers[one].users is None


def test_what_a_server_refuses_is_no_error_and_counted_apart(world: World) -> None:
    one, two = up(world, "1"), up(world, REFUSING)
    seen, after = look(world, Routes(one, two, mirror=1.0), world.send)
    assert (seen.canary.requests, seen.canary.errors, seen.canary.refused, seen.stable.refused) == (20, 0, 20, 0)
    assert (after.servers[two].refused, after.servers[two].mirrored_refused) == (0, 20)

    seen, _ = look(world, Routes(one, two, 1.0), world.refused)
    assert (seen.canary.requests, seen.canary.errors, seen.canary.refused) == (20, 0, 20)
    assert sum(seen.canary.latency[:-1]) == 20, "as fast as it was"

    seen, _ = look(world, Routes(one, two, 1.0, sticky=STICKY), world.refused)  # requests that name nobody
    assert (seen.users, seen.canary.errors) == (True, 0)
    assert seen.canary.refused == seen.canary.requests > 0


def look(world: World, routes: Routes, send: Callable[[int], None]) -> tuple[Observation, Scrape]:
    """What is seen of twenty requests under these routes."""
    route(world, routes)
    before = world.engine.scrape()
    send(20)
    world.sleep(0.3)  # copies are answered, and lines are written
    after = world.engine.scrape()
    return observe(before, after, routes), after


def test_a_routed_server_is_not_stopped_and_another_is_gone_for_good(world: World) -> None:
    one, two = up(world, "1"), up(world, "2")
    route(world, Routes(one, two, 0.1))
    for server in (one, two):
        with pytest.raises(EngineError):
            world.engine.stop(server)
    route(world, Routes(one))
    world.engine.stop(two)
    world.engine.stop(two)  # again is no error
    assert set(world.engine.servers()) == set(world.engine.scrape().servers) == {one}
    assert world.engine.routes() == Routes(one)
    world.send(3)


@pytest.mark.parametrize("fault", list(Fault))
def test_a_server_that_is_taken_away_comes_back_by_itself(world: World, fault: Fault) -> None:
    server = up(world, "1")
    route(world, Routes(server))
    world.engine.fail(server, fault, 1.5)
    assert world.engine.servers()[server].state is not ServerState.READY
    for _ in range(500):
        if world.engine.servers()[server].state is ServerState.READY:
            break
        world.sleep(0.02)
    assert world.engine.servers()[server].state is ServerState.READY
    world.send(3)
    with pytest.raises(EngineError):
        world.engine.fail("nobody", fault, 0.1)


def test_what_the_router_does_for_callers_changes_as_it_runs(world: World) -> None:
    with pytest.raises(EngineError):
        world.engine.apply(Front("127.0.0.1:1", 1.0))
    server = up(world, "1")
    route(world, Routes(server))
    host = world.engine.address.removeprefix("http://")
    world.engine.apply(Front(host, 1.5, rate_limit=1000.0))
    before = world.engine.apply(Front(host, 2.5, max_body=5000, made=2.0))
    assert (before.timeout, before.rate_limit) == (1.5, 1000.0)
    world.send(3)
    assert world.engine.routes() == Routes(server)
    for elsewhere in (Front("127.0.0.1:1", 2.5), Front(host, 2.5, certificate="/c.pem", private_key="/k.pem")):
        with pytest.raises(EngineError, match=r"endpoint.* is http://127\.0\.0\.1:[0-9]+ now"):
            world.engine.apply(elsewhere)
    assert world.engine.apply(Front(host, 2.5)).max_body == 5000
    world.send(1)


def test_one_controller_holds_the_endpoint_and_only_that_one_may_route(world: World) -> None:
    engine, (first, second) = world.engine, (owner("ann"), owner("bob"))
    assert engine.lease() is None
    with pytest.raises(EngineError):
        engine.hold(first, 60.0)
    one, two = up(world, "1"), up(world, "2")
    route(world, Routes(one))
    with pytest.raises(LeaseLost):
        engine.route(Routes(two), first)
    assert engine.hold(first, 60.0) is None
    found = engine.hold(first, 50.0)
    assert found is not None
    assert (found.owner, found.seconds, found.expired_at) == (first, 60.0, None)
    assert 0 <= found.silent < 5
    with pytest.raises(LeaseLost, match="ann#"):
        engine.hold(second, 60.0)
    with pytest.raises(LeaseLost, match="ann#"):
        engine.route(Routes(two), second)
    engine.route(Routes(one, two, 0.25), first)
    engine.release(second)  # of somebody else: no error, and nothing happens
    assert (now := engine.lease()) is not None
    assert now.owner == first
    engine.release(first)
    assert (now := engine.lease()) is not None
    assert (now.owner, now.seconds) == ("", 50.0)
    with pytest.raises(LeaseLost):
        engine.route(Routes(two), first)
    assert (now := engine.hold(second, 60.0)) is not None
    assert now.owner == ""
    engine.route(Routes(one))  # a person is always obeyed
    engine.route(Routes(two), second)
    for _ in range(500):
        if engine.routes() == Routes(two):
            break
        world.sleep(0.01)
    assert engine.routes() == Routes(two)
    engine.down()
    assert engine.lease() is None
    engine.release(second)


def test_down_leaves_nothing_and_can_be_repeated(world: World) -> None:
    route(world, Routes(up(world, "1")))
    assert world.engine.programs() == {"router": True, "guardian": True}
    world.engine.down()
    world.engine.down()
    assert world.engine.servers() == {}
    assert world.engine.programs() == {}
    assert world.engine.routes() is None
    route(world, Routes(up(world, "2")))  # and it can begin again
    world.send(1)


def test_the_address_is_a_url(world: World) -> None:
    assert world.engine.address.startswith("http://127.0.0.1:")
