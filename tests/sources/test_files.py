"""Rows are read once, digested as read, and refused in one clear message when they cannot be used."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from mlship.errors import DataError
from mlship.policy.data import Dataset
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
