"""The latency gate on the image that ships: a real container within its limits, and none left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlship.cli.latency import run
from mlship.engines.options import ServerOptions
from mlship.errors import EngineError, ModelFault
from mlship.gates.latency.container import OWNER, InContainer, shipped, without_cache
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.policy.load import load_policy
from mlship.registry import Registry
from mlship.types import ModelVersion
from tests.conftest import FEATURES, LogModel
from tests.docker import base_image, docker_client
from tests.images.conftest import cached

pytestmark = pytest.mark.slow

#: Of this run alone.
MODEL = f"latency-{os.getpid()}"
POLICY = """\
version: 1
model: {model}
owner: {{team: t, contact: t@example.com}}
data: {{evaluation: {{path: rows.parquet, target: late}}}}
gates:
  latency:
    {{rate: 40/s, for: 4s, warmup: 500ms, max_lag: 2s, p50: 2s, cold_start: 2m, memory: 590MB, errors: 20%}}
image: {{base: "{base}", max_size: 3GB}}
serving: {{cpus: 1, memory: 600MB}}
"""


class Told:
    """What a measurement tells, and what the engine ran when the load began."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.running: list[dict[str, Any]] = []

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        if step.startswith("loading"):
            self.running = [one.attrs for one in ours()]

    def watch(self, gate: str, done: int, total: int) -> None:
        pass


def ours() -> list[Any]:
    """Containers of measurements of this module's model: the engine may be measured on by others at the same time."""
    labels = [OWNER, f"mlship.image.model={MODEL}"]
    return list(docker_client().containers.list(all=True, filters={"label": labels}))


@dataclass(frozen=True)
class Place:
    """A registry with champion 1 and challenger 2, and their policy."""

    home: Home
    policy: Path

    def version(self, number: str) -> ModelVersion:
        """A version, fetched."""
        return Registry.connect(None, self.home).version(MODEL, number)


@pytest.fixture(scope="module")
def place(
    request: pytest.FixtureRequest,
    make_home: Callable[[Path], Home],
    log_model: LogModel,
    train: Callable[..., Any],
    flights: pd.DataFrame,
) -> Generator[Place]:
    """Images are removed at the end; their dependencies stay with the engine, for the next run."""
    base = base_image()
    directory = request.getfixturevalue("tmp_path_factory").mktemp("container")
    home = make_home(directory)
    cached(home, request.config)
    half = flights[flights["month"] <= 6].iloc[::40]
    for iterations, alias in ((10, "champion"), (20, "challenger")):
        rows = half[FEATURES]
        log_model(home, MODEL, train(half, max_iter=iterations), rows, alias=alias, input_example=rows.head(3))
    flights[flights["month"] == 7].iloc[::40].to_parquet(directory / "rows.parquet")
    policy = directory / "policy.yaml"
    policy.write_text(POLICY.format(model=MODEL, base=base))
    yield Place(home, policy)
    for entry in Ledger(home.ledger).entries(MODEL):
        if entry.action == "built":
            docker_client().images.remove(entry.evidence["reference"], force=True)


@pytest.fixture(scope="module")
def measured(place: Place) -> Told:
    """One measurement of the whole policy."""
    told = Told()
    evaluation = run(load_policy(place.policy), place.home, told)
    found = {result.rule: result for result in evaluation.results}
    for rule in ("agree", "memory", "cold_start", "errors", "size", "p50"):
        assert found[rule].status == "passed", found[rule].reason
    assert found["memory"].measured is not None
    assert found["memory"].measured.value is not None
    assert 30 < found["memory"].measured.value < 590
    assert "the container answers" in found["agree"].reason
    assert found["p50"].champion is not None, "both were loaded"
    return told


def test_the_very_image_is_measured_and_recorded(place: Place, measured: Told) -> None:
    """Both versions' images are built when there are none; the ledger names the one that was measured."""
    del measured
    entries = Ledger(place.home.ledger).entries(MODEL)
    assert [entry.action for entry in entries] == ["built", "built", "measured"]
    proof = entries[-1].evidence
    built = {entry.to_version: entry.evidence["image"] for entry in entries[:2]}
    assert (proof["target"], proof["image"]) == ("container", built["2"])
    found = shipped(built["2"])
    assert found is not None
    assert found.size > 10e6
    assert shipped("sha256:" + "0" * 64) is None


def test_the_container_runs_inside_the_policys_limits(measured: Told) -> None:
    """One CPU, 600 MB without swap, nothing writable, no capability, reached from this machine only; then gone."""
    assert len(measured.running) == 2
    for attributes in measured.running:
        host = attributes["HostConfig"]
        assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (10**9, 600_000_000, 600_000_000)
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert host["Privileged"] is False
        assert host["RestartPolicy"]["Name"] in ("", "no")
        assert [one["HostIp"] for one in attributes["NetworkSettings"]["Ports"]["8080/tcp"]] == ["127.0.0.1"]
        assert attributes["Config"]["User"] not in ("", "0", "root")
    assert ours() == []


def test_a_server_that_needs_more_memory_than_it_may_have_says_so(place: Place, measured: Told) -> None:
    """Killed by the kernel while it starts; the reason names the limit."""
    del measured
    image = next(one.evidence["image"] for one in Ledger(place.home.ledger).entries(MODEL) if one.to_version == "2")
    target = InContainer(place.version("2"), ServerOptions(memory=40_000_000), image)
    try:
        with pytest.raises(ModelFault, match=r"killed because it took more than its memory of 40MB"):
            target.start(60)
    finally:
        target.close()
    assert ours() == []


def test_what_a_killed_command_left_behind_is_swept(place: Place, measured: Told) -> None:
    """A container whose owner on this host has died goes with the next measurement; one of another host stays."""
    del measured
    image = next(one.evidence["image"] for one in Ledger(place.home.ledger).entries(MODEL) if one.to_version == "2")
    client = docker_client()
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    dead = client.containers.create(image, labels={OWNER: f"{socket.gethostname()} {done.pid}"})
    elsewhere = client.containers.create(image, labels={OWNER: f"another-host {done.pid}"})
    target = InContainer(place.version("2"), ServerOptions(), image)
    try:
        target.start(120)
        left = {one.id for one in ours()}
        assert dead.id not in left
        assert elsewhere.id in left
        assert target.memory() is not None
    finally:
        target.close()
        target.close()
        elsewhere.remove(force=True)
    assert ours() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_no_container(place: Place, measured: Told, number: signal.Signals) -> None:
    """While the load runs: exit 130, and the engine has nothing of it any more."""
    del measured
    policy = place.policy.parent / "long.yaml"
    policy.write_text(place.policy.read_text().replace("for: 4s", "for: 60s"))
    process = subprocess.Popen(
        [sys.executable, "-m", "mlship", "--home", str(place.home.path), "latency", str(policy)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "loading" in line:
            break
    assert len(ours()) == 2
    process.send_signal(number)
    out, rest = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), rest
    assert ours() == []


def test_an_engine_elsewhere_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here its latency would be the network's."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://docker.example:2375")
    target = InContainer(place.version("2"), ServerOptions(), "sha256:0")
    with pytest.raises(EngineError, match="the network would be measured"):
        target.start(1)
    target.close()


def test_the_page_cache_is_no_memory_of_the_server() -> None:
    """Under both versions of cgroups."""
    assert without_cache({"usage": 300, "stats": {"total_active_file": 40, "total_inactive_file": 60}}) == 200
    assert without_cache({"usage": 300, "stats": {"active_file": 10, "inactive_file": 20, "anon": 5}}) == 270
    assert without_cache({}) is None
