"""The fake engine keeps the engine's promises on fake time (the contract suite holds it to the rest)."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.errors import EngineError
from mlship.types import Release, Routes
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
