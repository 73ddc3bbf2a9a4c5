"""Column names without pandas or pyarrow: the same names as those libraries read."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlship.policy.columns import NotATableError, columns


def test_the_footer_gives_the_columns_that_pandas_reads(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"a": [1.0], "b \u00e9": ["x"], "list": [[1, 2]], "when": pd.to_datetime(["2013-07-01"])}, index=[5]
    )
    frame.to_parquet(tmp_path / "x.parquet")
    assert columns(tmp_path / "x.parquet") == tuple(pd.read_parquet(tmp_path / "x.parquet").columns)


def test_nested_columns_count_once(tmp_path: Path) -> None:
    nested = pa.array([[("k", 1)]], type=pa.map_(pa.string(), pa.int64()))
    table = pa.table({"s": [{"p": 1, "q": [{"r": 1}]}], "m": nested, "last": [1]})
    pq.write_table(table, tmp_path / "data")  # known by its first bytes, not by its name
    assert columns(tmp_path / "data") == ("s", "m", "last")


def test_a_wide_file_is_read_whole(tmp_path: Path) -> None:
    names = [f"column_{i}" for i in range(2000)]
    pq.write_table(pa.table({name: [1] for name in names}), tmp_path / "wide.parquet")
    assert columns(tmp_path / "wide.parquet") == tuple(names)


def test_the_header_of_a_csv_is_read_with_quotes_mark_and_compression(tmp_path: Path) -> None:
    text = '\ufeffa,"b, c","d ""e"""\r\n1,2,3\r\n'.encode()
    (tmp_path / "x.csv").write_bytes(text)
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(text))
    with zipfile.ZipFile(tmp_path / "x.csv.zip", "w") as archive:
        archive.writestr("x.csv", text)
    for name in ("x.csv", "x.csv.gz", "x.csv.zip"):
        assert columns(tmp_path / name) == ("a", "b, c", 'd "e"') == tuple(pd.read_csv(tmp_path / name).columns)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.parquet", b"", "too short"),
        ("x.parquet", b"PAR1" + b"\xff" * 20 + b"PAR1", "damaged or missing"),
        ("x.parquet", b"a,b\n1,2\n3,4\n", "not a Parquet file"),
        ("x.parquet", b"PAR1" + b"\x15" * 8 + b"\x08\0\0\0PAR1", "damaged"),
        ("x.parquet", b"PAR1" + b"\0" * 16 + b"\x04\0\0\0PARE", "encrypted"),
        ("x.csv", b"", "empty"),
        ("x.csv", b"\n\n", "no header"),
        ("x.csv", b"\x00\x01", "neither Parquet nor text"),
        ("x.csv.gz", b"plain", "not a .gz file"),
        ("x.csv.zip", b"plain", "not a .zip file"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NotATableError, match=said):
        columns(tmp_path / name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(footer=st.binary(max_size=200))
def test_a_damaged_footer_never_does_worse_than_be_refused(tmp_path: Path, footer: bytes) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    try:
        assert all(isinstance(name, str) for name in columns(path) or ())
    except NotATableError as refused:
        assert "Parquet" in refused.args[0] or "damaged" in refused.args[0]  # noqa: PT017 - most bytes are refused, some not
