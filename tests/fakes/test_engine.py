"""The fake engine keeps the engine's promises on fake time (the contract suite holds it to the rest)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlship.errors import EngineError
from mlship.telemetry.windows import observe
from mlship.types import Observation, Release, Routes
from tests.fakes.engine import Behaviour, FakeClock, FakeEngine


def release(version: str) -> Release:
    return Release("m", version, f"sha256:{version * 64}"[:71], Path("/nowhere"))


def test_traffic_splits_by_weight_and_behaves_as_scripted() -> None:
    clock = FakeClock()
    script = {"2": Behaviour(errors=0.5, labelled=1.0, wrong=0.9, label_delay=3)}
    engine = FakeEngine(clock, rate=100, behaviours=script)
    one, two = engine.deploy(release("1")), engine.deploy(release("2"))
    engine.wait_ready(one, 5)
    engine.wait_ready(two, 5)
    engine.route(Routes(one, two, 0.2))
    clock.sleep(100)
    counters = engine.scrape().servers
    assert 9_000 < counters[one].requests + counters[two].requests < 11_000
    assert 0.17 < counters[two].requests / 10_000 < 0.23
    assert 0.4 < counters[two].errors / counters[two].requests < 0.6
    assert sum(counters[two].latency) == counters[two].requests
    assert counters[two].labels[-1].second + 1 + 3 <= clock.now, "labels arrive late"


def test_a_routed_server_cannot_be_stopped_and_a_dead_one_is_never_ready() -> None:
    clock = FakeClock()
    engine = FakeEngine(clock, behaviours={"9": Behaviour(dies="no module named 'lightgbm'")})
    one, nine = engine.deploy(release("1")), engine.deploy(release("9"))
    with pytest.raises(EngineError, match="lightgbm"):
        engine.wait_ready(nine, 5)
    engine.wait_ready(one, 5)
    engine.route(Routes(one))
    with pytest.raises(EngineError, match="a route names it"):
        engine.stop(one)
    engine.stop(nine)
    assert set(engine.servers()) == {one}


def watched(routes: Callable[[str, str], Routes], **script: Behaviour) -> Observation:
    """What two looks see of 50 seconds under these routes."""
    clock = FakeClock()
    engine = FakeEngine(clock, rate=200, behaviours={name.strip("v"): one for name, one in script.items()})
    one, two = engine.deploy(release("1")), engine.deploy(release("2"))
    engine.wait_ready(one, 5)
    engine.wait_ready(two, 5)
    chosen = routes(one, two)
    engine.route(chosen)
    before = engine.scrape()
    clock.sleep(50)
    return observe(before, engine.scrape(), chosen)


def test_servers_say_what_they_predict_as_scripted() -> None:
    said = watched(
        lambda one, two: Routes(one, two, 0.5),
        v1=Behaviour(classes={"a": 3, "b": 1}),
        v2=Behaviour(score_mean=0.5, timeouts=0.2),
    )
    assert said.stable.predictions is not None
    assert said.canary.predictions is not None
    classes = said.stable.predictions.classes
    assert 0.7 < classes["a"] / said.stable.predictions.total < 0.8
    assert said.stable.predictions.total == said.stable.requests - said.stable.errors
    assert sum(said.canary.predictions.scores.values()) == said.canary.requests - said.canary.errors
    assert 0.15 < said.canary.timeouts / said.canary.requests < 0.25
    assert said.canary.timeouts <= said.canary.errors


def test_copies_are_answered_and_compared_by_request() -> None:
    seen = watched(lambda one, two: Routes(one, two, 0.0, mirror=0.2), v2=Behaviour(disagree=0.25, errors=0.1))
    compared, different = seen.agreement
    assert compared == seen.canary.requests - seen.canary.errors
    assert 1_500 < seen.canary.requests < 2_500
    assert 0.2 < different / compared < 0.3
    assert seen.stable.requests > 9_000, "a copy is nobody's request"


def test_users_are_counted_once_while_routes_are_sticky() -> None:
    seen = watched(
        lambda one, two: Routes(one, two, 0.5, sticky="header:x-user"), v2=Behaviour(errors=0.5, timeouts=0.2)
    )
    assert seen.users
    for arm in (seen.stable, seen.canary):
        assert 0.15 < arm.requests / arm.served < 0.25
        assert sum(arm.latency) == arm.requests
    assert 0.5 < seen.canary.errors / seen.canary.requests < 0.7
    assert 0.1 < seen.canary.timeouts / seen.canary.requests < 0.3


def test_refused_requests_are_no_errors_and_predict_nothing() -> None:
    seen = watched(
        lambda one, two: Routes(one, two, 0.5, sticky="header:x-user"),
        v2=Behaviour(errors=0.5, refuses=0.5, classes={"a": 1}),
    )
    assert seen.users
    assert seen.stable.refused == 0
    assert 0.4 < seen.canary.refused / (seen.canary.requests - seen.canary.errors) < 0.6
    assert seen.canary.predictions is not None
    assert 0.2 < seen.canary.predictions.total / seen.canary.served < 0.3
    copied = watched(lambda one, two: Routes(one, two, 0.0, mirror=0.5), v2=Behaviour(refuses=0.5))
    assert 0.4 < copied.canary.refused / copied.canary.requests < 0.6


def test_testers_meet_the_canary_whatever_the_weight() -> None:
    seen = watched(lambda one, two: Routes(one, two, 0.0, testers=("x-tester", "yes")))
    assert 0.01 < seen.canary.requests / (seen.canary.requests + seen.stable.requests) < 0.03
