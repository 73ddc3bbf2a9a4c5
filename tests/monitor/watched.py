"""A champion with a baseline and a log of predictions: real flights, a real model, and a change on a known day."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from typer.testing import CliRunner

from mlship.cli.main import app
from mlship.home import Home
from tests.conftest import RegistryHome

#: From here on, every flight leaves an hour later.
CHANGED = pd.Timestamp("2013-07-15", tz="UTC")
POLICY = """\
version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com}
candidate: "1"
data:
  evaluation: {path: june.parquet, target: late, time: time_hour}
  reference: {path: h1.parquet, target: late, time: time_hour}
gates:
  security: {allow_types: ["sklearn.*"], allow_code: true}
  metrics: {recall: {min: 0.2}}
monitor:
  log: {path: "log/*.parquet", time: time_hour, prediction: answer, score: score, key: id, target: late}
  min_rows: 3
  features: {psi: 0.2}
  predictions: {psi: 0.2}
  performance: {recall: {min: 0.3}}
"""


@dataclass(frozen=True)
class Watched:
    """A directory with policy, log and state."""

    directory: Path

    @property
    def home(self) -> Home:
        return Home(self.directory / ".mlship")

    @property
    def policy(self) -> Path:
        return self.directory / "mlship.yaml"

    def copy(self, directory: Path) -> Watched:
        """The same, for a test that changes it."""
        shutil.copytree(self.directory, directory, dirs_exist_ok=True)
        return Watched(directory)

    def write(self, old: str, new: str) -> None:
        """Change the policy."""
        text = self.policy.read_text()
        assert old in text
        self.policy.write_text(text.replace(old, new))


def make(registry: RegistryHome, flights: pd.DataFrame, train: Callable[..., Any], directory: Path) -> Watched:
    """Version 1 is champion and evaluated; the log has July, whose second half is an hour late."""
    directory.mkdir(exist_ok=True)
    shutil.copytree(registry.home.path, directory / ".mlship", dirs_exist_ok=True)
    some = flights.iloc[::4]
    some[some["month"] <= 6].to_parquet(directory / "h1.parquet")
    some[some["month"] == 6].to_parquet(directory / "june.parquet")
    log(flights, train, directory)
    (directory / "mlship.yaml").write_text(POLICY)
    home = ["--home", str(directory / ".mlship")]
    done = CliRunner().invoke(app, [*home, "evaluate", str(directory / "mlship.yaml"), "--candidate", "1"])
    assert done.exit_code == 0, done.output
    return Watched(directory)


def log(flights: pd.DataFrame, train: Callable[..., Any], directory: Path) -> None:
    """Write July as it came, with what the model says about it."""
    rows = flights[flights["month"] == 7].iloc[::2].copy()
    late = pd.to_datetime(rows["time_hour"], utc=True) >= CHANGED
    rows.loc[late, "dep_delay"] += 60.0
    early = flights[flights["month"] <= 3].iloc[::40]
    model = train(early)
    rows["score"] = model.predict_proba(rows[list(model.feature_names_in_)])[:, 1]
    rows["answer"] = (rows["score"] >= 0.5).astype("int64")
    rows["id"] = [f"r{number}" for number in range(len(rows))]
    (directory / "log").mkdir()
    rows.to_parquet(directory / "log" / "july.parquet")
