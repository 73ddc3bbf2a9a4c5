"""Features from a real Feast repository, in Feast's own Python; and what is said when there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlship.errors import DataError
from mlship.gates.skew.gate import Skew
from mlship.home import Home
from mlship.policy.gates import FeastStore
from mlship.sources import feast, feast_python
from mlship.types import GateResult, Status
from tests.gates.support import Case

FEAST = os.environ.get("FEAST_PYTHON")
HELPER = Path(__file__).with_name("feast_repository.py")
needs_feast = pytest.mark.skipif(FEAST is None, reason="FEAST_PYTHON names no Python with Feast")
FEATURES = ["aircraft_stats:mean_delay", "aircraft_stats:flights", "aircraft_stats:last_origin"]


def _feast(directory: Path, *arguments: str) -> None:
    assert FEAST is not None
    done = subprocess.run([FEAST, str(HELPER), str(directory), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="session")
def stats(flights: pd.DataFrame) -> pd.DataFrame:
    """Statistics of 400 aircraft up to each Monday of July 2013, in hours."""
    july = flights[flights["month"].isin([6, 7])].dropna(subset=["tailnum"])
    often = july["tailnum"].value_counts().index[:400]
    july = july[july["tailnum"].isin(often)]
    weeks = []
    for monday in pd.date_range("2013-07-01", "2013-07-29", freq="7D", tz="UTC"):
        before = july[july["time_hour"] < monday.tz_localize(None)].groupby("tailnum")
        week = before.agg(
            mean_delay=("dep_delay", "mean"), flights=("dep_delay", "size"), last_origin=("origin", "last")
        )
        weeks.append(week.assign(mean_delay=week["mean_delay"] / 60, event_timestamp=monday).reset_index())
    return pd.concat(weeks, ignore_index=True)


@pytest.fixture(scope="session")
def applied(tmp_path_factory: pytest.TempPathFactory, stats: pd.DataFrame) -> Path:
    """A repository that was applied and not materialised; only to be copied."""
    directory = tmp_path_factory.mktemp("feast") / "feature_repo"
    (directory / "data").mkdir(parents=True)
    stats.to_parquet(directory / "data" / "stats.parquet")
    _feast(directory, "apply")
    return directory


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, applied: Path) -> Path:
    """The same, materialised up to the end of July; only to be read or copied."""
    directory = Path(shutil.copytree(applied, tmp_path_factory.mktemp("feast") / "feature_repo"))
    _feast(directory, "materialise", "2013-08-01T00:00:00+00:00")
    return directory


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """Makes a copy for this test alone."""
    return lambda directory: Path(shutil.copytree(directory, tmp_path / "feature_repo"))


@pytest.fixture
def entities(stats: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"tailnum": sorted(set(stats["tailnum"]))})


def _judged(repository: Path, entities: pd.DataFrame, features: list[str] = FEATURES) -> dict[str, GateResult]:
    entities.to_parquet(repository.parent / "entities.parquet")
    section = {"repository": "feature_repo", "features": features, "entities": "entities.parquet"}
    return Case({"skew": {"feast": section}}, base=repository.parent).judged(Skew())


@needs_feast
@pytest.mark.slow
def test_stores_that_agree_pass(filled: Path, entities: pd.DataFrame) -> None:
    """Entities without a time are of now; the same aircraft may be asked for twice."""
    results = _judged(filled, pd.concat([entities, entities.head(3)]))
    assert {rule: result.status for rule, result in results.items()} == dict.fromkeys(
        ["unmatched", "mismatch"], "passed"
    )
    assert results["mismatch"].measured is not None
    assert results["mismatch"].measured.n == len(entities) + 3
    assert "all 3 columns are the same in every row" in results["mismatch"].reason
    assert "the online store was last filled up to 2013-08-01 00:00 UTC" in results["unmatched"].reason


@needs_feast
@pytest.mark.slow
def test_minutes_in_the_online_store_are_found(
    filled: Path, entities: pd.DataFrame, copied: Callable[[Path], Path]
) -> None:
    repository = copied(filled)
    _feast(repository, "alter")
    results = _judged(repository, entities)
    assert {rule for rule, result in results.items() if result.status is Status.FAILED} == {
        "mismatch",
        "mismatch last_origin",
        "mismatch mean_delay",
    }
    assert "online is offline x 60 in all of them (hours against minutes" in results["mismatch mean_delay"].reason
    assert "only upper and lower case differ in all of them" in results["mismatch last_origin"].reason
    assert "tailnum N" in results["mismatch mean_delay"].reason, "the aircraft is named"


@needs_feast
@pytest.mark.slow
def test_a_store_that_was_not_refreshed_is_stale(
    applied: Path, entities: pd.DataFrame, copied: Callable[[Path], Path]
) -> None:
    repository = copied(applied)
    _feast(repository, "materialise", "2013-07-16T00:00:00+00:00")
    results = _judged(repository, entities.assign(event_timestamp=pd.Timestamp("2013-07-30", tz="UTC")))
    assert results["mismatch mean_delay"].status is Status.FAILED
    assert (
        "online is the value of the entity's previous offline row, 14 days old in the median"
        in results["mismatch mean_delay"].reason
    )


@needs_feast
@pytest.mark.slow
def test_a_store_that_is_newer_than_the_question_decides_nothing(filled: Path, entities: pd.DataFrame) -> None:
    asked = entities.assign(event_timestamp=pd.Timestamp("2013-07-10", tz="UTC"))
    results = _judged(filled, asked, ["delay_model"])
    assert {result.status for result in results.values()} == {Status.INCONCLUSIVE}
    assert "it may hold later values, so they were not compared" in results["point in time"].reason


@needs_feast
@pytest.mark.slow
def test_a_store_that_was_never_filled_is_told(applied: Path, entities: pd.DataFrame) -> None:
    results = _judged(applied, entities, ["delay_model"])
    assert "'aircraft_stats' was never materialised" in results["unmatched"].reason
    assert "online is missing in all of them" in results["mismatch flights"].reason


@needs_feast
@pytest.mark.slow
@pytest.mark.parametrize(
    ("features", "columns", "what"),
    [
        (["aircraft_stats:flight"], {}, "has no feature 'flight'; did you mean 'flights'?"),
        (FEATURES, {"tailnum": "tail_num"}, "no column 'tailnum', which Feast joins by; did you mean 'tail_num'?"),
    ],
)
def test_what_feast_does_not_know_is_said_in_one_message(
    applied: Path, entities: pd.DataFrame, features: list[str], columns: dict[str, str], what: str
) -> None:
    with pytest.raises(DataError) as caught:
        _judged(applied, entities.rename(columns=columns), features)
    assert what in str(caught.value)
    assert "Traceback" not in str(caught.value)


def _retrieve(tmp_path: Path, python: Path | None = None) -> Any:
    store = FeastStore.model_validate({"repository": "r", "features": ["a:b"], "entities": "e.parquet"})
    return feast.retrieve(
        store,
        tmp_path / "r",
        pd.DataFrame({"k": [1]}),
        Home(tmp_path / ".mlship"),
        python=python,
        progress=lambda _text: None,
        tick=lambda _done, _total: None,
    )


def test_a_python_without_feast_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="this Python has no Feast") as caught:
        _retrieve(tmp_path, Path(sys.executable))
    assert "FEAST_PYTHON" in caught.value.hint


def test_a_python_that_crashes_leaves_its_last_words(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'libarrow.so: cannot open' >&2\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    with pytest.raises(DataError, match="ended with exit code 3") as caught:
        _retrieve(tmp_path, broken)
    assert "libarrow.so: cannot open" in caught.value.hint


@pytest.mark.parametrize("how", ["policy", "environment"])
def test_a_python_that_is_not_there_is_told_with_its_place(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "nowhere" / "python"
    monkeypatch.setenv("FEAST_PYTHON", str(missing))
    with pytest.raises(DataError, match="there is no Python at") as caught:
        _retrieve(tmp_path, missing if how == "policy" else None)
    assert caught.value.where == ("gates.skew.feast.python" if how == "policy" else "FEAST_PYTHON")


@pytest.fixture
def _unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEAST_PYTHON", raising=False)


def _commands(script: str) -> Callable[[Path, Path], list[list[str]]]:
    return lambda directory, python: [["sh", "-c", script.format(directory=directory, python=python)]]


@pytest.mark.usefixtures("_unnamed")
def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "made"
    script = f"mkdir -p {{directory}}/bin && touch {{python}} && echo once >> {made}"
    monkeypatch.setattr(feast_python, "commands", _commands(script))
    said: list[str] = []
    first, second = (feast_python.python_for(None, Home(tmp_path / ".mlship"), said.append) for _ in range(2))
    assert first == second
    assert first.is_file()
    assert made.read_text(encoding="utf-8") == "once\n"
    assert said == [f"installing Feast {feast_python.VERSION} into an environment of its own (once; about a minute)"]


@pytest.mark.usefixtures("_unnamed")
def test_without_a_network_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "mkdir -p {directory}; echo 'ERROR: no route to https://me:secret@index.example/simple' >&2; exit 1"
    monkeypatch.setattr(feast_python, "commands", _commands(script))
    home = Home(tmp_path / ".mlship")
    with pytest.raises(DataError, match="Feast could not be installed: ERROR: no route") as caught:
        feast_python.python_for(None, home, lambda _text: None)
    assert "secret" not in str(caught.value)
    assert "pip install feast==" in caught.value.hint
    assert "FEAST_PYTHON=" in caught.value.hint
    assert not [entry for entry in home.cache.iterdir() if entry.is_dir()], "no half-made environment is left"


def test_an_index_that_cannot_be_reached_is_not_a_missing_package() -> None:
    said = (
        "WARNING: Retrying after connection broken by NewConnectionError\nERROR: No matching distribution found for x"
    )
    assert "connection broken" in feast_python._reason(said)


def test_uv_is_used_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "bin" / "python"
    monkeypatch.setattr("shutil.which", lambda _name: "/opt/uv")
    assert [command[0] for command in feast_python.commands(tmp_path, python)] == ["/opt/uv", "/opt/uv"]
    monkeypatch.setattr("shutil.which", lambda _name: None)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python3"))
    first, second = feast_python.commands(tmp_path, python)
    assert first == [str(tmp_path / "python3"), "-m", "venv", "--clear", str(tmp_path)]
    assert second[-1] == f"feast=={feast_python.VERSION}"


def test_categories_are_undone_for_feast() -> None:
    frame = feast.plain(pd.DataFrame({"k": pd.Categorical(["a", "b"]), "n": [1, 2]}))
    assert not isinstance(frame["k"].dtype, pd.CategoricalDtype)
    assert frame["k"].tolist() == ["a", "b"]
