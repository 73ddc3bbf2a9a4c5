"""The latency gate against real servers of models that are at fault: slow, crashing, raising, two-faced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.gates.latency.evaluate import Instead, evaluate
from mlship.gates.latency.process import family
from mlship.home import Home
from mlship.policy.load import load_policy
from mlship.registry import Registry
from mlship.types import GateResult, Status
from tests.conftest import LogModel
from tests.waiting import until

pytestmark = pytest.mark.slow

POLICY = """\
version: 1
model: odd
owner: {team: t, contact: t@example.com}
candidate: "CANDIDATE"
data:
  evaluation: {path: rows.csv, target: y}
gates:
  security: {scan: false}
  latency: {rate: 20/s, for: 2s, warmup: 0s, max_lag: 2s, BUDGET}
"""
ROWS = pd.DataFrame({"x": np.arange(200, dtype=float), "y": np.arange(200) % 2})
VERSIONS = {"good": "1", "slow": "2", "crashing": "3", "raising": "4", "two-faced": "5", "unloadable": "6"}


def _model(kind: str) -> Any:
    """A model of its own class, which travels by value: whoever loads it has no tests to import."""

    class Odd:
        def __init__(self) -> None:
            self.asked = 0

        def fit(self, *_: Any) -> Any:
            return self

        def __setstate__(self, state: dict[str, Any]) -> None:
            import os

            if kind == "unloadable" and os.environ.get("_MLFLOW_IS_IN_SERVING_ENVIRONMENT"):
                raise RuntimeError("no licence on this host")
            self.__dict__.update(state)

        def predict(self, rows: Any) -> Any:
            import os

            self.asked += 1
            served = os.environ.get("_MLFLOW_IS_IN_SERVING_ENVIRONMENT")
            if kind == "slow":
                time.sleep(0.3)
            if kind == "crashing" and served and self.asked > 5:
                os._exit(7)
            if kind == "raising" and served and (rows["x"] % 3 == 0).any():
                raise ValueError("no thirds")
            return rows["x"].to_numpy() * 2 + (1 if kind == "two-faced" and served else 0)

    return Odd()


@pytest.fixture(scope="module")
def place(make_home: Callable[[Path], Home], log_model: LogModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with the odd versions, and rows."""
    directory = tmp_path_factory.mktemp("odd")
    home = make_home(directory)
    for number, kind in enumerate(VERSIONS, start=1):
        assert log_model(home, "odd", _model(kind), ROWS[["x"]]) == str(number)
    ROWS.to_csv(directory / "rows.csv", index=False)
    return directory


def _judged(place: Path, kind: str, budget: str) -> dict[str, GateResult]:
    home = Home(place / ".mlship")
    policy = place / f"{kind}.yaml"
    policy.write_text(POLICY.replace("CANDIDATE", VERSIONS[kind]).replace("BUDGET", budget))
    loaded = load_policy(policy)
    candidate = Registry.connect(None, home).candidate(loaded.policy)
    evaluation = evaluate(
        loaded, candidate, home, lambda _: None, images=None, instead=Instead(), watch=lambda *_: None
    )
    assert _servers(place) == []
    return {result.rule: result for result in evaluation.results}


def _servers(place: Path) -> list[str]:
    """Model servers of this registry's files that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile
            continue
        if b"mlship.serving" in words and any(str(place).encode() in word for word in words):
            found.append(path.parent.name)
    return found


def test_a_slow_model_misses_its_p99(place: Path) -> None:
    """At no rate, so that no number of replicas is enough; everything else about it is in order."""
    found = _judged(place, "slow", "p99: 100ms, volume: 1000/d, max_replicas: 9")
    assert found["replicas"].status in (Status.FAILED, Status.INCONCLUSIVE)
    assert "no number of replicas is enough" in found["replicas"].reason
    assert found["p99"].status is Status.FAILED, found["p99"].reason
    assert found["p99"].measured is not None
    assert found["p99"].measured.value is not None
    assert found["p99"].measured.value > 300
    assert found["errors"].status is Status.PASSED, found["errors"].reason
    assert found["agree"].status is Status.PASSED, found["agree"].reason


def test_a_server_that_dies_under_load_has_failed(place: Path) -> None:
    """Its requests are errors, and the reason has its end."""
    found = _judged(place, "crashing", "p99: 5s")
    assert found["errors"].status is Status.FAILED
    assert "the server did not survive the load: it ended with exit code 7" in found["errors"].reason
    assert found["p99"].status is not Status.PASSED
    assert found["agree"].status is Status.INCONCLUSIVE


def test_rows_that_the_server_cannot_answer_are_errors_and_disagree(place: Path) -> None:
    """A third of the requests; the last mile names the first such row."""
    found = _judged(place, "raising", "p99: 5s")
    assert found["errors"].status is Status.FAILED
    assert "requests status 500" in found["errors"].reason
    assert found["agree"].status is Status.FAILED
    assert "does not answer row 1, which the model in the registry does: 500: " in found["agree"].reason
    assert "no thirds" in found["agree"].reason


def test_a_model_that_answers_differently_when_served_does_not_agree(place: Path) -> None:
    """The row and both values."""
    found = _judged(place, "two-faced", "p99: 5s")
    assert found["agree"].status is Status.FAILED
    assert found["agree"].reason == (
        "the process answers 200 of 200 rows differently: about row 1 it says 1.0, and the model in the registry 0.0"
    )
    assert found["errors"].status is Status.PASSED


def test_a_model_that_no_server_can_load_has_failed(place: Path) -> None:
    """With the server's own words."""
    (start,) = _judged(place, "unloadable", "p99: 5s").values()
    assert (start.rule, start.status) == ("start", Status.FAILED)
    assert "no licence on this host" in start.reason


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interruption_leaves_no_server(place: Path, number: signal.Signals) -> None:
    """While the load runs: exit 130 with a word, or nothing at all after `kill -9`; either way nothing is left."""
    policy = place / "interrupted.yaml"
    policy.write_text(POLICY.replace("CANDIDATE", "1").replace("BUDGET", "p99: 5s").replace("for: 2s", "for: 60s"))
    process = subprocess.Popen(
        [sys.executable, "-m", "mlship", "--home", str(place / ".mlship"), "latency", str(policy)],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "loading" in line:
            break
    started = family(process.pid)
    assert len(_servers(place)) == 1
    process.send_signal(number)
    out, rest = process.communicate(timeout=30)
    assert out == ""
    if number != signal.SIGKILL:
        assert process.returncode == 130, rest
        assert "interrupted" in rest
    until(lambda: not _servers(place), "no server is left")
    until(lambda: not any(map(_runs, started)), "whatever it started has ended")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
