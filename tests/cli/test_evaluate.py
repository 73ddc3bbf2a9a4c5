"""`mlship evaluate` end to end: real flights, real models in processes of their own, a real registry, a real ledger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from junitparser import JUnitXml

from mlship.ledger import Ledger
from tests.conftest import RegistryHome
from tests.schemas import conforms

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
    conforms("evaluate", document)
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
        "evaluation.html",
        "evaluation.json",
        "evaluation.md",
        "evaluation.txt",
        "policy.yaml",
    }


def test_a_leaking_candidate_fails_by_name(place: Path, registry_home: RegistryHome, tmp_path: Path) -> None:
    """Exit 1; the first rule shown is the one that failed, with the column; reports name its line in the policy."""
    reports = [f"--report={kind}={tmp_path / kind}" for kind in ("junit", "sarif", "gitlab-metrics")]
    done = _mlship(place, registry_home, "leaking.yaml", *reports)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("FAILED  flight-delay 3 (champion 1): 1 of ")
    assert "the candidate takes arr_time as input, which does not exist when the model is asked" in done.stdout
    (found,) = json.loads((tmp_path / "sarif").read_text())["runs"][0]["results"]
    assert found["ruleId"] == "evaluate/leakage/unavailable"
    region = found["locations"][0]["physicalLocation"]["region"]
    line = (place / "leaking.yaml").read_text().splitlines()[region["startLine"] - 1]
    assert line[region["startColumn"] - 1 :].startswith("unavailable:")
    junit = JUnitXml.fromfile(str(tmp_path / "junit"))
    assert (junit.failures, junit.errors) == (1, 0)
    assert 'mlship_checks{status="failed"} 1' in (tmp_path / "gitlab-metrics").read_text()


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


def test_a_partial_evaluation_lets_nobody_in(place: Path, registry_home: RegistryHome, tmp_path: Path) -> None:
    """Any two versions, some gates: kept in MLflow and said so, but not in the ledger; reports land in files."""
    ledger = Ledger(registry_home.home.ledger)
    before = len(ledger.entries("flight-delay"))
    wanted = ["--only", "contract, metrics", "--candidate", "1", "--against", "2"]
    reports = [f"--report=markdown={tmp_path / 'e.md'}", f"--report=json={tmp_path / 'e.json'}"]
    done = _mlship(place, registry_home, "good.yaml", "--format", "json", *wanted, *reports)
    document = json.loads(done.stdout)
    assert (document["candidate"]["version"], document["champion"]["version"]) == ("1", "2")
    assert {result["gate"] for result in document["results"]} == {"contract", "metrics"}
    assert document["partial"] == ("only contract and metrics were judged; it was compared with 2, not with @champion")
    assert json.loads((tmp_path / "e.json").read_text()) == document
    assert (tmp_path / "e.md").read_text().startswith("### ")
    assert len(ledger.entries("flight-delay")) == before

    import mlflow

    client = mlflow.MlflowClient(registry_home.home.registry_uri, registry_home.home.registry_uri)
    assert client.get_run(document["run_id"]).data.tags["mlship.partial"] == document["partial"]
    labelled = client.get_model_version("flight-delay", "1").tags
    assert labelled.get("mlship.evaluation") != document["run_id"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--only", "metrics,slizes"], "there is no gate 'slizes'; did you mean 'slices'?"),
        (["--only", "slices"], "the policy does not ask for gate 'slices'"),
        (["--only", ","], "--only names no gate"),
        (["--candidate", ""], "--candidate is empty"),
        (["--against", " "], "--against is empty"),
        (["--report", "pdf=x.pdf"], "not KIND=FILE"),
        (["--report", "html"], "not KIND=FILE"),
        (["--report", "html=nowhere/x.html"], "there is no directory nowhere"),
    ],
)
def test_a_wrong_option_is_told_before_anything_is_evaluated(
    place: Path, registry_home: RegistryHome, options: list[str], told: str
) -> None:
    """Exit 2 with the likely fix; the registry is not even reached."""
    done = _mlship(place, registry_home, "good.yaml", *options)
    assert done.returncode == 2
    assert told in done.stderr
    assert "registry" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_is_no_failed_gate(place: Path, registry_home: RegistryHome) -> None:
    """Nobody reads the result: the exit code is not 1, which means that a gate failed."""
    command = [sys.executable, "-m", "mlship", "--home", str(registry_home.home.path), "evaluate", "good.yaml"]
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*command, "--only", "ownership"], cwd=place, stdout=write, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(write)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_leaves_no_run_and_no_process(place: Path, registry_home: RegistryHome) -> None:
    """Interrupted while the models predict: exit 130 within seconds, no run marked as running, no child left."""
    import mlflow

    text = POLICY.replace("CANDIDATE", "2").replace("MIN", "0.6").replace("july.parquet", "other.parquet")
    pd.read_parquet(place / "july.parquet").iloc[::-1].to_parquet(place / "other.parquet")  # nothing is kept of these
    (place / "interrupted.yaml").write_text(text)
    command = [sys.executable, "-m", "mlship", "--home", str(registry_home.home.path), "evaluate", "interrupted.yaml"]
    process = subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "scoring" in line:
            break
    process.send_signal(signal.SIGINT)
    out, rest = process.communicate(timeout=20)
    assert process.returncode == 130, rest
    assert out == ""
    assert "interrupted" in rest
    client = mlflow.MlflowClient(registry_home.home.registry_uri, registry_home.home.registry_uri)
    experiments = [found.experiment_id for found in client.search_experiments()]
    assert client.search_runs(experiments, "attributes.status = 'RUNNING'") == []
    assert _children(process.pid) == []


def _children(parent: int) -> list[str]:
    """Processes whose command line names a scoring process that this parent started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile
            continue
        if b"mlship.scoring.scorer" in words and str(parent).encode() in words:
            found.append(b" ".join(words).decode())
    return found
