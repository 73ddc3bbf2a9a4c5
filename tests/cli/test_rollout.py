"""`mlship rollout` and its relatives as people call them: real MLflow, real servers, real traffic."""

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
from typing import TYPE_CHECKING, Any

import pytest

from mlship.engines import state
from mlship.registry import Registry
from tests.conftest import MODEL, RegistryHome
from tests.schemas import conforms

if TYPE_CHECKING:
    import pandas as pd

POLICY = """\
version: 1
model: flight-delay
owner: {{team: flight-ops, contact: flight-ops@example.com}}
data: {{evaluation: {{path: rows.csv, target: late}}}}
gates: {{contract: {{max_duplicates: 100%, max_label_conflicts: 100%}}}}
endpoint: {{listen: "127.0.0.1:{port}", timeout: 5s}}
rollout:
  steps:
    - {{weight: 20%, bake: {{for: 500ms, requests: 30}}}}
    - {{weight: 50%, bake: {{for: 500ms, requests: 60}}}}
  guard:
    latency: {{max_ratio: 10}}
  certify: null
"""


class Shop:
    """A directory with a policy, a registry and callers; commands are run in it as a user would."""

    def __init__(self, copy: RegistryHome, directory: Path, rows: pd.DataFrame) -> None:
        self.home = copy.home
        self.directory = directory
        (self.port,) = state.free_ports(1)
        (directory / "mlship.yaml").write_text(POLICY.format(port=self.port))
        rows[[*copy.features, "late"]].tail(500).to_csv(directory / "rows.csv", index=False)
        self.registry = Registry.connect(copy.home.registry_uri, copy.home)
        split = rows[copy.features].head(1).to_dict(orient="split")
        self.body = json.dumps({"dataframe_split": {"columns": split["columns"], "data": split["data"]}}).encode()
        self.answers: list[tuple[float, str]] = []
        self.failures: list[str] = []
        self.end = threading.Event()

    def mlship(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "MLSHIP_HOME": str(self.home.path), "MLSHIP_ACTOR": "tester"}
        return subprocess.run(
            [sys.executable, "-m", "mlship", *arguments],
            cwd=self.directory,
            env=environment,
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )

    def call(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self.end.is_set():
            try:
                connection.request("POST", "/invocations", self.body, {"content-type": "application/json"})
                answer = connection.getresponse()
                content = answer.read()
                if answer.status != 200:
                    self.failures.append(f"{answer.status} {content[:200]!r}")
                self.answers.append((time.time(), answer.headers["x-mlship-version"]))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            time.sleep(0.01)
        connection.close()


@pytest.fixture
def shop(registry_copy: RegistryHome, tmp_path: Path, flights: pd.DataFrame) -> Iterator[Shop]:
    here = Shop(registry_copy, tmp_path, flights)
    try:
        yield here
    finally:
        here.end.set()
        here.mlship("down")


def last_json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What a command has written, which is what its schema says."""
    return conforms(str(done.args[done.args.index("--format") - 2]), done.stdout)


@pytest.mark.slow
def test_from_the_first_champion_to_a_promotion_and_back(shop: Shop) -> None:
    """One story, since each command loads MLflow: serve, refuse, evaluate, promote, look, roll back."""
    shop.registry.move_alias(MODEL, "challenger", expected="2", to="1")
    served = shop.mlship("rollout", "mlship.yaml", "--format", "json")
    assert served.returncode == 0, served.stderr
    assert last_json(served)["verdict"] == "served"
    assert last_json(served)["reason"].startswith("version 1 is the champion, and serves at http://127.0.0.1:")
    callers = [threading.Thread(target=shop.call, daemon=True) for _ in range(1)]
    for caller in callers:
        caller.start()

    shop.registry.move_alias(MODEL, "challenger", expected="1", to="2")
    untested = shop.mlship("rollout", "mlship.yaml")
    assert untested.returncode == 4
    assert "the candidate has not been evaluated" in untested.stderr
    assert "next: mlship evaluate mlship.yaml" in untested.stderr
    assert untested.stdout == ""

    assert shop.mlship("evaluate", "mlship.yaml").returncode == 0
    rolled = shop.mlship("rollout", "mlship.yaml", "--format", "json", "--interval", "250ms")
    assert rolled.returncode == 0, rolled.stderr
    document = last_json(rolled)
    assert (document["verdict"], document["exit_code"]) == ("promoted", 0)
    assert (document["candidate_version"], document["champion_version"]) == ("2", "1")
    assert [step["weight"] for step in document["steps"]] == [0.2, 0.5]
    assert {"errors", "timeouts", "latency"} <= set(document["evidence"])
    lines = rolled.stderr.splitlines()
    assert "starting: step 1 of 2, 20 % to version 2" in lines
    assert any(line.startswith("baked at 20 %: ") for line in lines)
    assert lines[-1].startswith("all 2 steps are done: errors 0.0 % against 0.0 %")
    assert shop.registry.alias(MODEL, "champion") == "2"

    again = shop.mlship("rollback", MODEL, "--format", "json")
    assert again.returncode == 0, again.stderr
    back = last_json(again)
    assert (back["verdict"], back["from_version"], back["to_version"], back["warm"]) == ("rolled_back", "2", "1", True)
    assert shop.registry.alias(MODEL, "champion") == "1"
    time.sleep(0.2)
    shop.end.set()
    for caller in callers:
        caller.join()
    assert shop.failures == []
    assert [by for _, by in shop.answers][-1] == "1"
    last = max(at for at, by in shop.answers if by == "2")
    assert last - back["verdict_at"] < 0.25
    history = last_json(shop.mlship("history", MODEL, "--format", "json"))["entries"]
    assert [entry["action"] for entry in history] == ["served", "evaluated", "promoted", "rolled_back"]
    assert history[1]["evidence"]["evaluation"] == history[2]["evidence"]["evaluation"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rollout", "missing.yaml"), "there is no such file"),
        (("rollout", "mlship.yaml", "--interval", "1"), "a duration needs a unit: did you mean '1s' or '1ms'?"),
        (("rollout", "mlship.yaml", "--interval", "1ms"), "1ms is not between 50ms and 1h"),
        (("promote", "nobody"), "there is no rollout"),
        (("pause", "nobody"), "there is no rollout"),
        (("resume", "nobody"), "there is no rollout"),
        (("abort", "nobody"), "there is no rollout"),
        (("rollback", "nobody"), "nothing was ever promoted"),
    ],
)
def test_a_command_that_cannot_work_says_so_at_once(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "mlship.yaml").write_text(POLICY.format(port=8080))
    (tmp_path / "rows.csv").write_text("hour,late\n1,0\n2,1\n")
    done = subprocess.run(
        [sys.executable, "-m", "mlship", *arguments],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / ".mlship").exists(), "nothing was made"
