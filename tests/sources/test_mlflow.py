"""Datasets that were logged with an MLflow run become rows, or one clear message says why not."""

from __future__ import annotations

import http.server
import threading
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.data.pandas_dataset import from_pandas

from mlship.errors import DataError
from mlship.home import Home
from mlship.policy.data import Dataset, LoggedDataset
from mlship.registry import Registry
from mlship.sources.files import read
from mlship.types import ModelVersion

FRAME = pd.DataFrame({"x": [1.5, 2.0, None], "name": ["a", "b", "c"], "late": [0, 1, 0]})


class Logged:
    """A registry with one run, to log datasets with."""

    def __init__(self, home: Home) -> None:
        self.registry = Registry.connect(None, home)
        experiment = self.registry.client.create_experiment("training")
        self.run_id = self.registry.client.create_run(experiment).info.run_id
        self.version = ModelVersion("m", "1", "sha256:1", Path("/nowhere"), run_id=self.run_id)

    def log(self, dataset: Any, context: str | None = "evaluation") -> None:
        from mlflow.entities import DatasetInput, InputTag

        tags = [InputTag("mlflow.data.context", context)] if context else []
        self.registry.client.log_inputs(self.run_id, [DatasetInput(dataset._to_mlflow_entity(), tags)])

    def fetch(self, **which: str) -> Path:
        return self.registry.dataset(LoggedDataset(**which), self.version)


@pytest.fixture
def logged(home: Home) -> Logged:
    return Logged(home)


def of(frame: pd.DataFrame, source: Any = None, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's hints about integer columns and kinds of sources
        return from_pandas(frame, source=source, **options)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_the_file_of_a_logged_dataset_is_read(logged: Logged, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    FRAME.to_csv(path, index=False) if name.endswith("csv") else FRAME.to_parquet(path)
    logged.log(of(FRAME, str(path), name="july"))
    found = logged.fetch(context="evaluation")
    assert found == path
    rows = read(Dataset(mlflow=LoggedDataset(context="evaluation"), target="late"), found, labelled=True)
    pd.testing.assert_frame_equal(rows.frame, FRAME, check_dtype=False)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_a_file_that_was_changed_since_is_refused(logged: Logged, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    logged.log(of(FRAME, str(path)))
    changed = FRAME.assign(late=[0, 1, 1])
    changed.to_csv(path, index=False) if name.endswith("csv") else changed.to_parquet(path)
    with pytest.raises(DataError, match=r"not the rows that were logged: MLflow's digest was [0-9a-f]{8}, and is"):
        logged.fetch()


def test_a_digest_is_compared_only_where_it_can_be(logged: Logged, tmp_path: Path) -> None:
    """Not for a part of the file, other types, or a digest of one's own."""
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    logged.log(of(FRAME.head(2), str(tmp_path / "rows.csv")), "part")
    logged.log(of(FRAME.assign(late=[0.5, 1.0, 0.0]), str(tmp_path / "rows.csv")), "types")
    logged.log(of(FRAME.assign(late=[1, 1, 1]), str(tmp_path / "rows.csv"), digest="v7"), "own")
    for context in ("part", "types", "own"):
        assert logged.fetch(context=context) == tmp_path / "rows.csv"


def test_the_digest_is_the_one_that_mlflow_makes(logged: Logged, tmp_path: Path, flights: pd.DataFrame) -> None:
    """Of more rows than it looks at, with missing text and times among them."""
    frame = flights.head(15_000).copy()
    frame.loc[12_000, "tailnum"] = None
    frame.to_parquet(tmp_path / "flights.parquet")
    logged.log(of(pd.read_parquet(tmp_path / "flights.parquet"), str(tmp_path / "flights.parquet")))
    assert logged.fetch() == tmp_path / "flights.parquet"
    frame.loc[5, "hour"] = 3
    frame.to_parquet(tmp_path / "flights.parquet")
    with pytest.raises(DataError, match="not the rows that were logged"):
        logged.fetch()


def test_several_datasets_are_told_apart_by_context_and_name(logged: Logged, tmp_path: Path) -> None:
    for name in ("june", "july"):
        FRAME.assign(name=name).to_parquet(tmp_path / f"{name}.parquet")
        frame = pd.read_parquet(tmp_path / f"{name}.parquet")
        logged.log(of(frame, str(tmp_path / f"{name}.parquet"), name=name), "training" if name == "june" else "test")
    assert logged.fetch(context="training").name == "june.parquet"
    assert logged.fetch(name="july").name == "july.parquet"
    with pytest.raises(DataError, match="the run has several datasets") as caught:
        logged.fetch()
    assert "june (training, " in caught.value.hint
    with pytest.raises(DataError, match="no dataset of the run has context 'evaluation'") as caught:
        logged.fetch(context="evaluation")
    assert "july (test, " in caught.value.hint


def test_what_names_no_rows_is_told(logged: Logged, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no dataset was logged with the run"):
        logged.fetch()
    with pytest.raises(DataError, match="there is no such run"):
        logged.fetch(run="0" * 32)
    with pytest.raises(DataError, match="the version names no run"):
        logged.registry.dataset(LoggedDataset(), ModelVersion("m", "1", "", Path("/nowhere")))
    logged.log(of(FRAME), "code")
    with pytest.raises(DataError, match="its source is 'code', which holds no rows") as caught:
        logged.fetch(context="code")
    assert "source=PATH" in caught.value.hint
    logged.log(of(FRAME, str(tmp_path / "gone.parquet"), name="gone"), "gone")
    with pytest.raises(DataError, match="is not there"):
        logged.fetch(context="gone")
    logged.log(of(FRAME, "s3://bucket/key?token=secret", name="s3"), "s3")
    with pytest.raises(DataError, match="cannot be fetched") as caught:
        logged.fetch(context="s3")
    assert "secret" not in str(caught.value)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The URL of a directory that a real web server hands out."""
    (tmp_path / "web").mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "web")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_dataset_on_the_web_is_downloaded_anew(
    logged: Logged, tmp_path: Path, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    FRAME.to_csv(tmp_path / "web" / "rows.csv", index=False)
    logged.log(of(FRAME, f"{served}/rows.csv"))
    found = logged.fetch()
    assert found.is_relative_to(logged.registry.home.cache)
    assert found.read_bytes() == (tmp_path / "web" / "rows.csv").read_bytes()
    FRAME.head(1).to_csv(tmp_path / "web" / "rows.csv", index=False)
    assert logged.fetch().read_bytes() == (tmp_path / "web" / "rows.csv").read_bytes()
    (tmp_path / "web" / "rows.csv").unlink()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(DataError, match="cannot be fetched: 404"):
        logged.fetch()


def test_a_directory_with_one_file_is_that_file(logged: Logged, tmp_path: Path) -> None:
    """As Spark writes it; several need a glob."""
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "_SUCCESS").touch()
    FRAME.to_parquet(tmp_path / "table" / "part-0.parquet")
    logged.log(of(FRAME, str(tmp_path / "table")))
    assert logged.fetch().name == "part-0.parquet"
    FRAME.to_parquet(tmp_path / "table" / "part-1.parquet")
    with pytest.raises(DataError, match="a directory of 2 files"):
        logged.fetch()
