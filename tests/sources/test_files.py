"""Rows are read once, digested as read, and refused in one clear message when they cannot be used."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from mlship.errors import DataError
from mlship.policy.data import Dataset
from mlship.scoring.casts import fit
from mlship.sources import batches, local
from mlship.sources.files import Rows, read

FRAME = pd.DataFrame({"x": [1.0, 2.0, None], "name": ["a", "b", "c"], "late": [0, 1, 0]})


def _read(path: Path, target: str | None = "late", **options: object) -> Rows:
    return read(Dataset(path=path.name, target=target), path, labelled=True, **options)  # type: ignore[arg-type]  # tests pass columns only


@pytest.mark.parametrize(
    "name", ["rows.parquet", "rows.csv", "rows.csv.gz", "rows.csv.zip", "parquet.without.its.name"]
)
def test_parquet_and_csv_give_the_same_rows(tmp_path: Path, name: str) -> None:
    """Whatever the file is called, and packed or not; the digest is that of its bytes."""
    path = tmp_path / name
    FRAME.to_csv(path, index=False) if ".csv" in name else FRAME.to_parquet(path)
    rows = _read(path)
    pd.testing.assert_frame_equal(rows.frame, FRAME, check_dtype=False)
    assert rows.digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert (len(rows), rows.target) == (3, "late")


def test_a_saved_filter_leaves_no_column_behind(tmp_path: Path) -> None:
    """The index of a filtered frame is dropped; an index with a name is a column."""
    FRAME[FRAME["late"] == 0].to_parquet(tmp_path / "a.parquet")
    assert list(_read(tmp_path / "a.parquet").frame.columns) == list(FRAME.columns)
    FRAME.set_index("name").to_parquet(tmp_path / "b.parquet")
    assert set(_read(tmp_path / "b.parquet").frame.columns) == set(FRAME.columns)


def test_a_table_without_rows_is_read(tmp_path: Path) -> None:
    """It has the right columns; that it proves nothing is for the gates to say."""
    FRAME.head(0).to_csv(tmp_path / "empty.csv", index=False)
    assert len(_read(tmp_path / "empty.csv")) == 0


def test_a_missing_file_names_where_it_was_looked_for(tmp_path: Path) -> None:
    """With a file of a like name, or the directory that does not exist."""
    (tmp_path / "rows.csv").write_text("x\n")
    with pytest.raises(DataError, match="there is no such file") as caught:
        _read(tmp_path / "row.csv")
    assert caught.value.where == str(tmp_path / "row.csv")
    assert "did you mean 'rows.csv'?" in caught.value.hint
    with pytest.raises(DataError) as caught:
        _read(tmp_path / "nowhere" / "row.csv")
    assert "does not exist either" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"PAR1 but not really", "cannot be read as Parquet"),
        (b"\x00\x01\x02\xff\xfe" * 100, "cannot be read as CSV|not a text file"),
        (b'a,b\n"unclosed', "cannot be read as CSV"),
        (b"late,x\n0,1\n,2\n", "1 of 2 rows have no label in column 'late'"),
        (b"late\n0\ninf\n", "1 of 2 rows have no label"),
        (b"late\n0\n1\nn-a\n1\n", "are numbers, but 1 row hold text: 'n-a' in data row 3"),
        (b"lat,x\n0,1\n", "there is no column 'late'; did you mean 'lat'?"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(tmp_path: Path, content: bytes, says: str) -> None:
    """Empty, damaged, binary, without labels, labels of two kinds, without the column."""
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        _read(path)
    assert caught.value.where == str(path)
    assert caught.value.hint
    assert caught.value.exit_code == 3


def test_directories_and_addresses_are_refused(tmp_path: Path) -> None:
    """Neither is one local file."""
    with pytest.raises(DataError, match="a directory"):
        _read(tmp_path)
    with pytest.raises(DataError, match="only local files"):
        read(Dataset(path="s3://bucket/rows.parquet"), tmp_path / "s3:/bucket/rows.parquet")


def test_other_columns_may_be_required(tmp_path: Path) -> None:
    """Entities, for one; the message lists what is there."""
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError, match="'tailnum'") as caught:
        _read(tmp_path / "rows.csv", columns=("tailnum",))
    assert caught.value.hint == "the file has 3 columns: x, name and late"


def test_text_labels_are_labels(tmp_path: Path) -> None:
    """Names of classes, and numbers kept as text, are fine."""
    FRAME.assign(late=["yes", "no", "yes"]).to_csv(tmp_path / "rows.csv", index=False)
    assert list(_read(tmp_path / "rows.csv").frame["late"]) == ["yes", "no", "yes"]


def test_json_lines_are_read_by_name_or_by_content(tmp_path: Path) -> None:
    """A key that a line lacks is a missing value."""
    text = '\ufeff{"x": 1, "late": 0}\n\n{"late": 1, "name": "b"}\n'.encode()
    for name in ("rows.jsonl", "rows.ndjson", "rows.json", "rows", "rows.jsonl.gz", "rows.jsonl.zst", "odd.csv.jsonl"):
        path = tmp_path / name
        packed = {".gz": gzip.compress(text), ".zst": pa.compress(text, "zstd", asbytes=True)}
        path.write_bytes(packed.get(path.suffix, text))
        rows = _read(path)
        expected = pd.DataFrame({"x": [1, None], "late": [0, 1], "name": [None, "b"]})
        pd.testing.assert_frame_equal(rows.frame.astype({"name": "str"}), expected, check_dtype=False)
        assert rows.digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_a_packed_file_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(gzip.compress(b"x,late\n1,0\n"))
    (tmp_path / "rows.tsv").write_bytes(b"x\tlate\n1\t0\n")
    for name in ("rows.csv", "rows.tsv"):
        assert _read(tmp_path / name).frame.to_dict("list") == {"x": [1], "late": [0]}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rows.jsonl", b'{"late": 1}\n{"late": \n', "line 2 is not JSON"),
        ("rows.jsonl", b'[{"late": 1}]\n', "line 1 holds an array, not one JSON object a line"),
        ("rows.jsonl", b'{"late": "\xff"}\n', "line 1 is not JSON .its text is not UTF-8"),
        ("rows.csv", b"x,x\n1,2\n", "two columns are named 'x'"),
        ("rows.csv", b"x,late\n1,2,3\n", "more fields than its header|Expected 2 fields"),
        ("rows.csv", b"x,late\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        ("rows.csv", "x,late\né,1\n".encode("latin-1"), "utf-8"),
        ("rows.csv.gz", gzip.compress(b"x,late\n1,0\n" * 999, mtime=0)[:40], "cannot be read as CSV|file ended"),
        ("rows.csv.gz", b"plain,late\n", "[Nn]ot a gzip"),
    ],
)
def test_what_is_no_table_is_refused_with_a_reason(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        _read(tmp_path / name)
    assert caught.value.where == str(tmp_path / name)
    assert caught.value.hint


def _glob(directory: Path, pattern: str) -> Rows:
    return read(Dataset(path=pattern, target="late"), directory / pattern, labelled=True)


def test_a_glob_is_one_table_in_the_order_of_the_names(tmp_path: Path) -> None:
    """A column that is text in one file is text in all; the digest is of names and contents, wherever they lie."""
    for base in ("one", "two"):
        (tmp_path / base / "b").mkdir(parents=True)
        (tmp_path / base / "b" / "2.csv").write_text("late,x\n0,n-a\n")
        (tmp_path / base / "a.csv").write_text("x,late\n07,1\n")
    rows = _glob(tmp_path / "one", "**/*.csv")
    assert rows.frame.to_dict("list") == {"x": ["07", "n-a"], "late": [1, 0]}
    assert rows.digest == _glob(tmp_path / "two", "**/*.csv").digest
    lines = b"".join(
        name.encode() + b"\0" + hashlib.sha256((tmp_path / "one" / name).read_bytes()).hexdigest().encode() + b"\n"
        for name in ("a.csv", "b/2.csv")
    )
    assert rows.digest == f"sha256:{hashlib.sha256(lines).hexdigest()}"
    (tmp_path / "two" / "a.csv").rename(tmp_path / "two" / "c.csv")
    assert _glob(tmp_path / "two", "**/*.csv").digest != rows.digest
    assert _glob(tmp_path / "one", "[ab]*").frame.to_dict("list") == {"x": [7], "late": [1]}


def test_files_that_do_not_fit_together_are_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file matches this pattern"):
        _glob(tmp_path, "*.parquet")
    FRAME.to_parquet(tmp_path / "1.parquet")
    FRAME.rename(columns={"name": "names"}).to_parquet(tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"column 'name' of 1.parquet is not in 2.parquet; did you mean 'names'"):
        _glob(tmp_path, "*.parquet")
    FRAME.assign(x="text").to_parquet(tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"column 'x' holds numbers in 1.parquet and text in 2.parquet"):
        _glob(tmp_path, "*.parquet")
    FRAME.to_csv(tmp_path / "3.csv")
    with pytest.raises(DataError, match="of several formats: Parquet and CSV"):
        _glob(tmp_path, "[13].*")


def test_times_keep_their_zone_and_mixed_ones_become_utc(tmp_path: Path) -> None:
    when = pd.to_datetime(["2013-07-01 12:00"])
    for number, zone in enumerate(("America/New_York", "America/New_York", "UTC", None)):
        pd.DataFrame({"t": when.tz_localize(zone), "late": [1]}).to_parquet(tmp_path / f"{number}.parquet")
    assert str(_glob(tmp_path, "[01].parquet").frame["t"].dt.tz) == "America/New_York"
    mixed = _glob(tmp_path, "[123].parquet").frame["t"]
    assert [str(it) for it in mixed] == ["2013-07-01 16:00:00+00:00", *["2013-07-01 12:00:00+00:00"] * 2]
    assert _glob(tmp_path, "[3].parquet").frame["t"].dt.tz is None


def test_infinite_features_stay_and_constant_or_empty_columns_are_read(tmp_path: Path) -> None:
    """The gates judge them."""
    (tmp_path / "rows.csv").write_text("x,same,none,late\ninf,1,,0\n-inf,1,,1\n1,1,,1\n")
    frame = _read(tmp_path / "rows.csv").frame
    assert frame["x"].tolist() == [float("inf"), float("-inf"), 1.0]
    assert frame["same"].tolist() == [1, 1, 1]
    assert frame["none"].isna().all()
    assert frame["none"].dtype == "float64"


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was digested would not be what was parsed."""
    path = tmp_path / "rows.csv"
    path.write_text("late\n" + "0\n" * 9)
    monkeypatch.setattr(local, "BATCH", 2)
    read_batches = batches.batches

    def meddle(*given: Any) -> Any:
        for batch in read_batches(*given):
            with path.open("a") as file:
                file.write("1\n")
            yield batch

    monkeypatch.setattr(batches, "batches", meddle)
    with pytest.raises(DataError, match="changed while it was being read"):
        _read(path)


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """Opening one would wait for a writer for ever."""
    os.mkfifo(tmp_path / "rows.csv")
    with pytest.raises(DataError, match="not a regular file"):
        _read(tmp_path / "rows.csv")


def test_a_model_without_a_signature_gets_columns_as_the_file_holds_them(tmp_path: Path) -> None:
    """Not as they are kept here: 64 bits, plain text, and categories only where the file has them."""
    frame = pd.DataFrame({"n": [1, 2] * 4, "text": ["a", "b"] * 4, "late": [0, 1] * 4})
    frame["kind"] = frame["text"].astype("category")
    frame.to_parquet(tmp_path / "rows.parquet")
    kept = _read(tmp_path / "rows.parquet").frame
    assert [str(it) for it in kept.dtypes] == ["int32", "category", "int32", "category"]
    kept[["n", "text", "kind"]].to_parquet(tmp_path / "handed.parquet")  # as to the process that scores
    given = fit(pd.read_parquet(tmp_path / "handed.parquet"), None, [])
    pd.testing.assert_frame_equal(given, frame[["n", "text", "kind"]])
