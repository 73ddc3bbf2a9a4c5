"""`mlship latency` end to end: real servers of real models under real load, a real registry, a real ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

from mlship.ledger import Ledger
from tests.cli import examples
from tests.conftest import RegistryHome
from tests.report.test_reports import _schema
from tests.schemas import conforms

pytestmark = pytest.mark.slow

POLICY = """\
version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com, review_by: 2099-12-31}
candidate: "CANDIDATE"
data:
  evaluation: {path: july.parquet, target: late, time: time_hour}
gates:
  contract: {}
"""
BUDGET = "  latency: {rate: 100/s, for: 6s, warmup: 500ms, max_lag: 1s, BUDGET}\n"


@pytest.fixture(scope="module")
def place(registry_home: RegistryHome, flights: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with rows; the shared registry is only added to."""
    directory = tmp_path_factory.mktemp("latency")
    flights[flights["month"] == 7].iloc[::20].to_parquet(directory / "july.parquet")
    return directory


def _policy(place: Path, name: str, budget: str | None, candidate: str = "@challenger") -> str:
    text = POLICY.replace("CANDIDATE", candidate)
    (place / name).write_text(text if budget is None else text + BUDGET.replace("BUDGET", budget))
    return name


def _mlship(place: Path, home: RegistryHome, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlship", "--home", str(home.home.path), *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_TRACKING")}
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=180, check=False)


def test_a_budget_that_is_kept_is_proved_and_recorded(place: Path, registry_home: RegistryHome) -> None:
    """Exit 0: quantiles with intervals of candidate and champion, cold start, memory, the last mile; ledger, MLflow."""
    kept = "p50: 2s, p95: 4s, errors: 20%, cold_start: 2m, memory: 4GB"
    example, _ = examples.of("latency")
    assert example == f"mlship latency {_policy(place, 'mlship.yaml', kept)} --format json"
    done = _mlship(place, registry_home, *example.split()[1:])
    document = conforms("latency", done.stdout)
    assert done.returncode == 0, {result["rule"]: result["reason"] for result in document["results"]}
    jsonschema.validate(document, _schema())
    assert document["status"] == "passed"
    assert document["champion"]["version"] == "1"
    judged = {result["rule"]: result for result in document["results"]}
    assert set(judged) == {"p50", "p95", "errors", "cold_start", "memory", "agree"}
    half = judged["p50"]
    assert 500 < half["measured"]["n"] < 700
    low, high = half["measured"]["interval"]
    assert 0 < low <= half["measured"]["value"] <= high < 2000
    assert half["champion"]["value"] > 0
    assert [exhibit["kind"] for exhibit in half["exhibits"]] == ["table", "curves"]
    assert len(half["exhibits"][1]["series"]) == 2
    assert judged["agree"]["measured"]["n"] > 1000
    assert 30 < judged["memory"]["measured"]["value"] < 4000
    assert "loading candidate and champion in turns" in done.stderr

    entry = Ledger(registry_home.home.ledger).entries("flight-delay")[-1]
    assert (entry.action, entry.from_version, entry.to_version) == ("measured", "1", "2")
    assert entry.evidence["status"] == "passed"
    assert entry.evidence["target"] == "process"
    assert entry.evidence["model"] == document["candidate"]["digest"]
    assert entry.evidence["policy"] == document["policy_digest"]

    import mlflow

    client = mlflow.MlflowClient(registry_home.home.registry_uri, registry_home.home.registry_uri)
    run = client.get_run(document["run_id"])
    assert run.data.metrics["latency/p50"] == half["measured"]["value"]
    tags = client.get_model_version("flight-delay", "2").tags
    assert tags["mlship.latency"] == document["run_id"]
    assert tags["mlship.latency_status"] == "passed"
    assert tags.get("mlship.evaluation") != document["run_id"]


def test_a_budget_that_is_not_kept_fails_by_name(place: Path, registry_home: RegistryHome) -> None:
    """Exit 1 with a figure; the last mile still agrees; other load than the policy's is kept out of the ledger."""
    ledger = Ledger(registry_home.home.ledger)
    before = len(ledger.entries("flight-delay"))
    _, example = examples.of("latency")
    name = _policy(place, "mlship.yaml", "max_ratio: 50x, memory: 10MB, cold_start: 10ms", "2")
    assert example == f"mlship latency {name} --rate 20/s --for 2s --report html=load.html"
    done = _mlship(place, registry_home, *example.split()[1:])
    assert done.returncode == 1, done.stdout
    assert done.stdout.startswith("FAILED  flight-delay 2 (champion 1): 2 of ")
    assert "latency cold_start" in done.stdout
    assert "MB, beyond the limit 10 MB (1 server)" in done.stdout
    assert (
        "This evaluation lets nobody onto traffic: it was measured at 20/s for 2s, not at 100/s for 6s." in done.stdout
    )
    assert "ms, in the same run" in done.stdout
    assert "Latency by share of requests" in (place / "load.html").read_text()
    assert len(ledger.entries("flight-delay")) == before


def test_mlship_evaluate_points_at_mlship_latency(place: Path, registry_home: RegistryHome) -> None:
    """There the budget is skipped, and cannot be asked for alone."""
    name = _policy(place, "both.yaml", "p50: 2s")
    done = _mlship(place, registry_home, "evaluate", name, "--format", "json")
    (budget,) = [one for one in json.loads(done.stdout)["results"] if one["gate"] == "latency"]
    assert budget["status"] == "skipped"
    done = _mlship(place, registry_home, "evaluate", name, "--only", "latency")
    assert done.returncode == 2
    assert "next: mlship latency POLICY" in done.stderr


@pytest.mark.parametrize(
    ("budget", "options", "told"),
    [
        (None, [], "the policy has no latency budget"),
        ("p50: 2s", ["--rate", "50"], "--rate: a rate needs a unit"),
        ("p50: 2s", ["--for", "0s"], "--for 0s: nothing would be measured"),
        ("p50: 2s", ["--candidate", ""], "--candidate is empty"),
        ("p50: 2s", ["--report", "pdf=x"], "not KIND=FILE"),
    ],
)
def test_what_cannot_be_asked_is_told_at_once(
    place: Path, registry_home: RegistryHome, budget: str | None, options: list[str], told: str
) -> None:
    """Exit 2 with the likely fix; nothing is started."""
    done = _mlship(place, registry_home, "latency", _policy(place, "usage.yaml", budget), *options)
    assert done.returncode == 2
    assert told in done.stderr
    assert "registry" not in done.stderr
    assert "Traceback" not in done.stderr
