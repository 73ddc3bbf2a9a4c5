"""`mlship evaluate` on the data alone: a leak that no policy lists, and drift by month, through real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import RegistryHome

pytestmark = pytest.mark.slow

POLICY = """\
version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com, review_by: 2099-12-31}
candidate: "3"
data:
  evaluation: {path: half.parquet, target: late, time: time_hour}
  reference: {path: reference.parquet, time: time_hour}
gates:
  leakage: {}
  drift: {}
"""


def test_leak_and_drift_are_found_from_the_data_alone(
    registry_copy: RegistryHome, flights: pd.DataFrame, tmp_path: Path
) -> None:
    """Version 3 takes arr_time: flagged as an implausible gain; September is the month that differs most."""
    flights[flights["month"] > 6].iloc[::3].to_parquet(tmp_path / "half.parquet", index=False)
    flights[flights["month"] <= 6].iloc[::3].to_parquet(tmp_path / "reference.parquet", index=False)
    (tmp_path / "mlship.yaml").write_text(POLICY)
    command = [sys.executable, "-m", "mlship", "--home", str(registry_copy.home.path), "evaluate", "mlship.yaml"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_TRACKING")}
    done = subprocess.run(
        [*command, "--format", "json"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    rules = {(one["gate"], one["rule"]): one for one in json.loads(done.stdout)["results"]}
    assert {key for key, one in rules.items() if one["status"] == "failed"} == {("leakage", "max_gain")}
    assert "on the strength of arr_time" in rules["leakage", "max_gain"]["reason"]
    for name in ("predictions psi", "outcomes psi"):
        assert "most in 2013-09" in rules["drift", name]["reason"]
