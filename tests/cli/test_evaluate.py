"""`mlship evaluate` end to end: real flights, real models in processes of their own, a real registry, a real ledger."""

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
from tests.conftest import RegistryHome
from tests.report.test_reports import _schema

pytestmark = pytest.mark.slow

POLICY = """\
version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com, review_by: 2099-12-31}
candidate: "CANDIDATE"
data:
  evaluation: {path: july.parquet, target: late, time: time_hour}
  reference: {path: reference.parquet, time: time_hour}
  entity: [flight]
gates:
  contract: {}
  leakage: {unavailable: [arr_time, air_time]}
  metrics:
    average_precision: {min: 0.8, max_drop: 0.02}
    recall: {min: MIN}
"""


@pytest.fixture(scope="module")
def place(registry_home: RegistryHome, flights: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a copy of nothing: data and policies beside the shared registry, which is only added to."""
    directory = tmp_path_factory.mktemp("evaluate")
    known = ["month", "day"]
    flights[flights["month"] == 7].iloc[::7].drop(columns=known).to_parquet(directory / "july.parquet")
    flights[flights["month"] <= 6].iloc[::40].drop(columns=known).to_parquet(directory / "reference.parquet")
    for name, candidate, least in (("good", "@challenger", "0.6"), ("leaking", "3", "0.6"), ("high", "2", "0.99")):
        text = POLICY.replace("CANDIDATE", candidate).replace("MIN", least)
        (directory / f"{name}.yaml").write_text(text)
    return directory


def _mlship(place: Path, home: RegistryHome, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlship", "--home", str(home.home.path), "evaluate", *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_TRACKING")}
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_good_candidate_passes_and_leaves_its_evidence(place: Path, registry_home: RegistryHome) -> None:
    """Exit 0, one JSON document on stdout, progress on stderr; an MLflow run and a ledger entry of the same digests."""
    done = _mlship(place, registry_home, "good.yaml", "--format", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, _schema())
    assert (document["status"], document["candidate"]["version"]) == ("passed", "2")
    assert document["champion"]["version"] == "1"
    assert "judging metrics" in done.stderr

    entry = Ledger(registry_home.home.ledger).entries("flight-delay")[-1]
    assert (entry.action, entry.from_version, entry.to_version) == ("evaluated", "1", "2")
    assert entry.evidence["evaluation"] == document["evaluation_id"]
    assert entry.evidence["run"] == document["run_id"]
    assert entry.evidence["model"] == document["candidate"]["digest"]
    assert entry.evidence["policy"] == document["policy_digest"]
    assert entry.evidence["data"] == document["data_digest"]

    import mlflow

    client = mlflow.MlflowClient(registry_home.home.registry_uri, registry_home.home.registry_uri)
    run = client.get_run(document["run_id"])
    assert run.data.tags["mlship.evaluation"] == document["evaluation_id"]
    assert {item.path for item in client.list_artifacts(run.info.run_id)} == {
        "evaluation.json",
        "evaluation.md",
        "evaluation.txt",
        "policy.yaml",
    }


def test_a_leaking_candidate_fails_by_name(place: Path, registry_home: RegistryHome) -> None:
    """Exit 1; the first rule shown is the one that failed, with the column."""
    done = _mlship(place, registry_home, "leaking.yaml")
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("FAILED  flight-delay 3 (champion 1): 1 of ")
    assert "the candidate takes arr_time as input, which does not exist when the model is asked" in done.stdout


def test_a_limit_out_of_reach_fails_in_markdown_too(place: Path, registry_home: RegistryHome) -> None:
    """Predictions are kept, so the second evaluation of a version loads no model."""
    done = _mlship(place, registry_home, "high.yaml", "--format", "markdown")
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("### ❌ flight-delay 2 (champion 1): failed\n")
    assert "scoring" not in done.stderr


def test_what_cannot_be_evaluated_says_why(place: Path, registry_home: RegistryHome) -> None:
    """A version or a file that does not exist: exit 3, one message, nothing on stdout, no traceback."""
    (place / "nobody.yaml").write_text(POLICY.replace("CANDIDATE", "99").replace("MIN", "0.6"))
    done = _mlship(place, registry_home, "nobody.yaml")
    assert done.returncode == 3
    assert "there is no version 99" in done.stderr
    assert done.stdout == ""
    (place / "nodata.yaml").write_text(
        POLICY.replace("CANDIDATE", "2").replace("MIN", "0.6").replace("july.parquet", "june.parquet")
    )
    done = _mlship(place, registry_home, "nodata.yaml")
    assert done.returncode == 3
    assert "did you mean 'july.parquet'?" in done.stderr
    assert "Traceback" not in done.stderr
