"""Logs that are damaged, missing, being written or turned: a trouble or patience, and no drift."""

from __future__ import annotations

import gzip
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlship.sources import local
from mlship.sources.local import recognised, regular
from tests.monitor.reading.made import (
    LATER,
    START,
    baseline,
    log_of,
    one_pass,
    passes,
    policy,
    rows,
    write,
)


def test_a_line_that_is_being_written_waits_for_the_next_pass(tmp_path: Path) -> None:
    """Of JSON lines and of CSV, where half a row looks like a whole one; later, half a line is damage."""
    frame = rows(400, hours=4)
    known = baseline(frame)
    for kind in ("jsonl", "csv"):
        write(frame, path := tmp_path / f"log.{kind}")
        whole = path.read_bytes()
        path.write_bytes(whole[:-5])
        now = path.stat().st_mtime + 1
        begun = one_pass(policy(path=path.name), known, tmp_path, now)
        assert (begun.troubles, begun.unread, begun.notes) == ((), 0, ())
        path.write_bytes(whole)
        done = one_pass(policy(path=path.name), known, tmp_path, now)
        assert done.rows - begun.rows == (frame["version"].iloc[-1] == "3")
    (tmp_path / "log.jsonl").write_bytes((tmp_path / "log.jsonl").read_bytes()[:-5])
    found = one_pass(policy(path="log.jsonl"), known, tmp_path, now + 600)
    assert found.unread == 1
    assert found.rows == begun.rows
    assert "log.jsonl: 1 line cannot be read, the first of them: line 400 is not JSON" in found.troubles[0].what


def test_a_line_in_the_middle_that_is_none_is_told_once_and_the_others_count(tmp_path: Path) -> None:
    frame = rows(400, hours=4)
    write(frame, path := tmp_path / "log.jsonl")
    lines = path.read_bytes().split(b"\n")
    for at, damage in ((17, b'{"time": "2024'), (40, b"\xff\xfe"), (80, b"[1]"), (90, b"[" * 100_000)):
        lines[at] = damage
    path.write_bytes(b"\n".join(lines))
    os.utime(path, (START, START))
    found = passes(policy(path=path.name), baseline(frame), tmp_path, [LATER, LATER + 1], lambda _: None)
    kept = frame.drop(index=[17, 40, 80, 90])
    assert found[0].rows == int((kept["version"] == "3").sum())
    assert [one.unread for one in found] == [4, 0]
    assert "4 lines cannot be read, the first of them: line 18 is not JSON" in found[0].troubles[0].what
    assert found[1].troubles == ()


def halved(frame: pd.DataFrame, path: Path) -> None:
    write(frame, path)
    os.truncate(path, path.stat().st_size // 2)


def nothing(_: pd.DataFrame, path: Path) -> None:
    assert not path.exists()


def text(said: str) -> Callable[[pd.DataFrame, Path], None]:
    return lambda _, path: path.write_text(said) and None  # type: ignore[return-value]  # nobody looks at it


def packed(frame: pd.DataFrame, path: Path) -> None:
    path.write_bytes(gzip.compress(frame.to_csv().encode())[:5000])


#: What is there -> how the policy calls it, who makes it, what is said.
DAMAGES: dict[str, tuple[str, Callable[[pd.DataFrame, Path], None], str]] = {
    "missing": ("log.csv", nothing, "there is no such file"),
    "no match": ("*.jsonl", nothing, "no file matches this pattern"),
    "a URL": ("s3://bucket/log.csv", nothing, "only local files can be read"),
    "empty": ("log.csv", lambda _, path: path.touch(), "log.csv is empty"),
    "directory": ("log", lambda _, path: path.mkdir(), "this is a directory"),
    "half a Parquet file": ("log.parquet", halved, "cannot be read as Parquet"),
    "half an archive": ("log.csv.gz", packed, "cannot be read as CSV"),
    "no time": (
        "log.parquet",
        lambda frame, path: write(frame.rename(columns={"time": "times"}), path),
        "there is no column 'time'; did you mean 'times'?",
    ),
    "no score": ("log.csv", lambda frame, path: write(frame.drop(columns="score"), path), "there is no column 'score'"),
    "no log at all": ("log.jsonl", text("not a log\n" * 50), "more than half of its lines are no rows"),
    "times in words": (
        "log.parquet",
        lambda frame, path: frame.assign(time="soon").to_parquet(path),
        "no row has a time that can be read in column 'time'",
    ),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_log_that_cannot_be_read_is_a_trouble_and_leaves_all_as_it_was(tmp_path: Path, what: str) -> None:
    name, make, said = DAMAGES[what]
    frame = rows(400, hours=4)
    make(frame, path := tmp_path / name)
    if path.is_file():
        os.utime(path, (START, START))
    found = one_pass(policy(path=name), baseline(frame), tmp_path, LATER, since=START)
    assert len(found.troubles) == 1
    assert found.troubles[0].source == "log"
    assert said in found.troubles[0].what
    assert "\n" not in found.troubles[0].what
    assert (found.until, found.tallies, found.rows) == (START, (), 0)


def test_files_that_are_being_made_are_waited_for(tmp_path: Path) -> None:
    """An empty one, a Parquet file without its end, half an archive: beside others that can be read."""
    frame = rows(400, hours=4)
    write(frame, tmp_path / "1.csv")
    (tmp_path / "2.csv").write_text("")
    (tmp_path / "3.csv.gz").write_bytes(gzip.compress(frame.to_csv().encode())[:5000])
    now = (tmp_path / "3.csv.gz").stat().st_mtime + 5
    found = one_pass(policy(path="*.csv*"), baseline(frame), tmp_path, now)
    assert found.troubles == ()
    assert found.notes == ("2.csv is empty", "3.csv.gz is still being written")
    assert found.rows == int((frame["version"] == "3").sum())
    write(frame, tmp_path / "1.parquet")
    write(frame, half := tmp_path / "2.parquet")
    os.truncate(half, 5000)
    found = one_pass(policy(path="*.parquet"), baseline(frame), tmp_path, half.stat().st_mtime + 600)
    assert found.notes == ("2.parquet is still being written",)
    assert found.rows == int((frame["version"] == "3").sum())


def test_a_file_that_goes_between_the_look_and_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renamed by a rotation, or removed: what is there in the end is read, once."""
    frame = rows(400, hours=4)
    half = len(frame) // 2
    write(frame.iloc[:half], tmp_path / "log-1.jsonl")
    write(frame.iloc[half:], tmp_path / "log.jsonl")
    turned: list[Path] = []

    def rotating(path: Path) -> Any:
        if not turned:
            turned.append(path)
            (tmp_path / "log-1.jsonl").rename(tmp_path / "log-2.jsonl")
            (tmp_path / "log.jsonl").rename(tmp_path / "log-1.jsonl")
        return regular(path)

    monkeypatch.setattr(local, "regular", rotating)
    found = one_pass(policy(path="log*.jsonl"), baseline(frame), tmp_path, LATER)
    assert turned
    assert (found.troubles, found.rows) == ((), int((frame["version"] == "3").sum()))


def test_a_file_that_is_removed_while_it_is_read_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = rows(400, hours=4)
    write(frame, path := tmp_path / "log.csv")

    def removing(raw: Any, at: Path, name: str) -> Any:
        path.unlink()
        return recognised(raw, at, name)

    monkeypatch.setattr(local, "recognised", removing)
    found = one_pass(policy(path="log.csv"), baseline(frame), tmp_path, LATER)
    assert (found.troubles, found.rows) == ((), int((frame["version"] == "3").sum()))


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "db"])
def test_a_column_that_the_log_lacks_is_told_and_not_judged(tmp_path: Path, kind: str) -> None:
    """One that is there and empty is missing, which is drift."""
    frame = rows(400, hours=4)
    known = baseline(frame)
    write(frame.drop(columns="delay").assign(carrier=None), path := tmp_path / f"log.{kind}")
    found = one_pass(policy(**log_of(path)), known, tmp_path, LATER)
    where = "the query" if kind == "db" else path.name
    (trouble,) = found.troubles
    assert trouble.what == f"{where}: there is no column 'delay', so that it is not judged; log it again"
    bins = known.features["carrier"].bins
    for tally in found.tallies:
        assert set(tally.features) == {"hour", "carrier", "night"}
        assert tally.features["carrier"][bins.missing] == tally.rows
    told = one_pass(policy(**log_of(path)), known, tmp_path, LATER, redacted=frozenset({"delay"}))
    assert told.troubles == ()


def test_a_database_out_of_reach_is_a_trouble_without_its_password(tmp_path: Path) -> None:
    frame = rows(100, hours=4)
    monitor = policy(sql={"url": "postgresql+nothing://me:secret@127.0.0.1:1/x", "query": "SELECT 1"})
    gone = policy(sql={"url": "sqlite:///gone.db", "query": "SELECT * FROM log"})
    for one in (monitor, gone):
        (trouble,) = one_pass(one, baseline(frame), tmp_path, LATER).troubles
        assert trouble.source == "log"
        assert "secret" not in trouble.what
    with sqlite3.connect(tmp_path / "gone.db") as database:
        database.execute("CREATE TABLE other (x)")
    (trouble,) = one_pass(gone, baseline(frame), tmp_path, LATER).troubles
    assert "no such table: log" in trouble.what
