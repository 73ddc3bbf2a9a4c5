"""`mlship ship` with images, as people call it: gates, build, latency budget, containers on live traffic, and back."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlship.engines import state
from mlship.ledger import Ledger
from mlship.registry import Registry
from mlship.rollout import planfile
from tests.cli import examples
from tests.conftest import MODEL, RegistryHome
from tests.docker import base_image, docker_client
from tests.schemas import conforms

if TYPE_CHECKING:
    import pandas as pd

POLICY = """\
version: 1
model: flight-delay
owner: {{team: flight-ops, contact: flight-ops@example.com}}
data: {{evaluation: {{path: rows.csv, target: late}}}}
gates:
  contract: {{max_duplicates: 100%, max_label_conflicts: 100%}}
  latency: {{rate: 20/s, for: 3s, warmup: 1s, p50: 10s, max_lag: 10s, tolerance: 0.000001}}
image: {{base: "{base}"}}
endpoint: {{listen: "127.0.0.1:{port}", timeout: 5s, auth: {{api_keys: "${{CALLERS_KEY}}"}}}}
rollout:
  engine: docker
  steps:
    - {{weight: 30%, bake: {{for: 500ms, requests: 20}}}}
  guard: {{latency: null}}
  certify: null
"""
KEY = "a-key-of-these-tests"


class Shop:
    """A directory with a policy, a registry, and a caller; commands are run in it as a user would."""

    def __init__(self, copy: RegistryHome, directory: Path, rows: pd.DataFrame, base: str) -> None:
        self.home, self.directory = copy.home, directory
        (self.port,) = state.free_ports(1)
        (directory / "mlship.yaml").write_text(POLICY.format(port=self.port, base=base))
        rows[[*copy.features, "late"]].tail(500).to_csv(directory / "rows.csv", index=False)
        self.registry = Registry.connect(copy.home.registry_uri, copy.home)
        split = rows[copy.features].head(1).to_dict(orient="split")
        self.body = json.dumps({"dataframe_split": {"columns": split["columns"], "data": split["data"]}}).encode()
        self.answers: list[str] = []
        self.failures: list[str] = []
        self.end = threading.Event()

    def mlship(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "MLSHIP_HOME": str(self.home.path), "MLSHIP_ACTOR": "tester", "CALLERS_KEY": KEY}
        return subprocess.run(
            [sys.executable, "-m", "mlship", *arguments],
            cwd=self.directory,
            env=environment,
            text=True,
            capture_output=True,
            timeout=400,
            check=False,
        )

    def ask(self, key: str = KEY) -> tuple[int, str]:
        """Status and version of one answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(
                "POST", "/invocations", self.body, {"content-type": "application/json", "x-api-key": key}
            )
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.headers.get("x-mlship-version", "")
        finally:
            connection.close()

    def call(self) -> None:
        while not self.end.is_set():
            try:
                status, version = self.ask()
                if status != 200:
                    self.failures.append(str(status))
                self.answers.append(version)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
            time.sleep(0.02)


@pytest.fixture
def shop(registry_copy: RegistryHome, tmp_path: Path, flights: pd.DataFrame) -> Iterator[Shop]:
    here = Shop(registry_copy, tmp_path, flights, base_image())
    try:
        yield here
    finally:
        here.end.set()
        here.mlship("down")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_the_registry_to_containers_on_live_traffic_and_back(shop: Shop) -> None:
    shop.registry.move_alias(MODEL, "challenger", expected="2", to="1")
    missing = shop.mlship("rollout", "mlship.yaml")
    assert missing.returncode == 3
    assert "there is no image of this version" in missing.stderr
    assert "mlship build mlship.yaml" in missing.stderr

    assert shop.mlship("build", "mlship.yaml").returncode == 0
    served = shop.mlship("rollout", "mlship.yaml", "--format", "json")
    assert served.returncode == 0, served.stderr
    assert shop.ask() == (200, "1")
    assert shop.ask("somebody else's key")[0] == 401

    caller = threading.Thread(target=shop.call, daemon=True)
    caller.start()
    shop.registry.move_alias(MODEL, "challenger", expected="1", to="2")
    assert shop.mlship("evaluate", "mlship.yaml").returncode == 0
    plain, again = examples.of("build")  # the champion's is there already
    for line in (plain, again):
        done = shop.mlship(*line.split()[1:])
        assert done.returncode == 0, done.stderr
    assert conforms("build", done.stdout)["version"] == "1"
    unproved = shop.mlship("rollout", "mlship.yaml")
    assert unproved.returncode == 4
    assert "has not been measured against its latency budget" in unproved.stderr

    assert shop.mlship("plan", "mlship.yaml", "--out", "plan.json").returncode == 0
    shipped = shop.mlship("ship", "mlship.yaml", "--plan", "plan.json", "--format", "json")
    assert shipped.returncode == 0, shipped.stderr + shipped.stdout
    document = conforms("ship", shipped.stdout)
    assert (document["verdict"], document["evaluation"]["status"], document["latency"]["status"]) == (
        "promoted",
        "passed",
        "passed",
    )
    assert shop.ask() == (200, "2")
    entries = Ledger(shop.home.ledger).entries(MODEL)
    promoted = [entry for entry in entries if entry.action == "promoted"][-1]
    built = [entry for entry in entries if entry.action == "built" and entry.to_version == "2"][-1]
    measured = [entry for entry in entries if entry.action == "measured"][-1]
    image = built.evidence["image"]
    assert (promoted.evidence["image"], measured.evidence["image"]) == (image, image)
    pins = planfile.read(shop.directory / "plan.json").pins
    assert pins.candidate.image != image, "an image names its evaluation, and ship has evaluated again"
    assert pins.candidate.image in [entry.evidence["image"] for entry in entries if entry.action == "built"]
    assert pins.champion.image
    running = docker_client().containers.list(filters={"label": "mlship.role=server"})
    assert image in {container.image.id for container in running}

    back = shop.mlship("rollback", MODEL, "--format", "json")
    assert back.returncode == 0, back.stderr
    assert shop.ask() == (200, "1")
    shop.end.set()
    caller.join(timeout=20)
    assert shop.failures == []
    assert {"1", "2"} <= set(shop.answers)
    status = conforms("status", shop.mlship("status", MODEL, "--format", "json").stdout)
    assert "1" in json.dumps(status)
    down = shop.mlship("down")
    assert down.returncode == 0, down.stderr
    assert "stopped flight-delay" in down.stdout
