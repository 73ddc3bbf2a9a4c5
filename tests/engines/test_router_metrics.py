"""The router's own metrics are what the dashboard and the alert rules take them for: asked of a real Envoy."""

from __future__ import annotations

from pathlib import Path
from urllib.request import urlopen

import pytest

from mlship.engines import state
from mlship.types import Routes
from tests.engines.support import ask, local_engine, release, routed
from tests.monitor.exported import ROUTER, of

pytestmark = pytest.mark.slow


def test_requests_and_latencies_are_exported_by_arm(tmp_path: Path) -> None:
    engine = local_engine(tmp_path)
    try:
        stable, canary = engine.deploy(release("1")), engine.deploy(release("2"))
        for server in (stable, canary):
            engine.wait_ready(server, 20)
        routed(engine, Routes(stable, canary, 0.5))
        for _ in range(20):
            assert ask(engine.address, "POST", "/invocations", b"{}")[0] == 200
        kept = state.load(engine.directory)
        assert kept is not None
        with urlopen(f"http://127.0.0.1:{kept.admin_port}/stats/prometheus", timeout=10) as answer:
            told = of([line for line in [answer.read()] if line])
    finally:
        engine.down()
    for name, labels in ROUTER.items():
        assert set(told[name]) == set(labels), name
    arms = told["envoy_mlship_requests"]["arm"]
    assert {arm.split("-")[0] for arm in arms} == {"v1", "v2"}, "the version is what stands before the first hyphen"
    assert told["envoy_mlship_requests"]["code"] == {"200"}
