"""The table does not depend on how it was cut into batches: property tests over real files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlship.policy.data import Dataset
from mlship.sources import columns, local
from mlship.sources.files import Rows, read

SETTINGS = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
#: Tokens of a CSV of which every two behave differently beside each other.
TOKENS = ["1", "-7", "007", "46341", "9007199254740993", "1.50", "inf", "", "NA", "True", "false", "n-a", "2013-07-01"]
CELLS = st.sampled_from(TOKENS)
JSON_CELLS = st.sampled_from(
    [1, -7, 46341, 2**53 + 1, 2**70, 1.5, float("nan"), float("inf"), None, True, False, "n-a", "7", [1], {"a": 1}]
)
SIZES = st.integers(1, 7)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int], Rows]:
    """Reads a file, or a glob, in batches of so many rows."""

    def of(path: Path, rows: int) -> Rows:
        monkeypatch.setattr(local, "BATCH", rows)
        return read(Dataset(path=path.name), path)

    return of


def plain(values: pd.Series[Any]) -> list[Any]:
    return [None if pd.isna(value) else value for value in values]


def same(one: Rows, other: Rows) -> None:
    pd.testing.assert_frame_equal(one.frame, other.frame, check_exact=True)
    assert one.digest == other.digest


@SETTINGS
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12), size=SIZES)
def test_a_csv_in_batches_is_the_csv_at_once(
    tmp_path: Path, reading: Callable[[Path, int], Rows], rows: list[tuple[str, str]], size: int
) -> None:
    """Also when what looked like a number turns out to be text in the last row; and as pandas reads it at once."""
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c\n" + "".join(f"{a},{b},x\n" for a, b in rows))
    batched = reading(path, size)
    same(batched, reading(path, 1000))
    expected = pd.read_csv(path, low_memory=False)
    for name in expected:
        theirs, ours = expected[name], batched.frame[name]
        assert pd.api.types.is_numeric_dtype(theirs.dtype) == pd.api.types.is_numeric_dtype(ours.dtype), name
        assert plain(theirs) == plain(ours), name


@SETTINGS
@given(rows=st.lists(st.tuples(JSON_CELLS, JSON_CELLS, st.booleans()), min_size=1, max_size=12), size=SIZES)
def test_json_lines_in_batches_are_the_lines_at_once(
    tmp_path: Path, reading: Callable[[Path, int], Rows], rows: list[tuple[Any, Any, bool]], size: int
) -> None:
    """Also with keys that only some lines have."""
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"a": a, **({"b": b} if has else {})}) for a, b, has in rows) + "\n\n")
    same(reading(path, size), reading(path, 1000))


ARRAYS = {
    "ints": st.sampled_from([0, 46340, 46341, -(2**62), None]),
    "small": st.sampled_from([0, 5, -46340]),
    "float32": st.sampled_from([0.5, None, float("inf"), float("nan")]),
    "text": st.sampled_from(["a", "b", "\u00e9", "", None]),
    "kinds": st.sampled_from(["x", "y", None]),
    "truth": st.sampled_from([True, False, None]),
    "when": st.sampled_from([0, 1_372_636_800_000_000, None]),
    "zoned": st.sampled_from([0, 1_372_636_800_000_000, None]),
    "days": st.sampled_from([0, 15_887, None]),
    "money": st.sampled_from([None, 1, 2]),
    "lists": st.sampled_from([None, [1], []]),
}
TYPES = {
    "ints": pa.int64(),
    "small": pa.int64(),
    "float32": pa.float32(),
    "text": pa.string(),
    "kinds": pa.dictionary(pa.int8(), pa.string()),
    "truth": pa.bool_(),
    "when": pa.timestamp("us"),
    "zoned": pa.timestamp("us", "America/New_York"),
    "days": pa.date32(),
    "money": pa.decimal128(9, 2),
    "lists": pa.list_(pa.int64()),
}


@SETTINGS
@given(rows=st.lists(st.fixed_dictionaries(ARRAYS), max_size=12), size=SIZES, group=SIZES)
def test_parquet_in_batches_is_the_file_at_once(
    tmp_path: Path, reading: Callable[[Path, int], Rows], rows: list[dict[str, Any]], size: int, group: int
) -> None:
    """Every type of column, whatever the row groups are; the values are those that pandas reads."""
    path = tmp_path / "rows.parquet"
    table = pa.table({name: pa.array([row[name] for row in rows], TYPES[name]) for name in TYPES})
    pq.write_table(table, path, row_group_size=group)
    batched = reading(path, size)
    same(batched, reading(path, 1000))
    expected = table.to_pandas()
    for name in ("ints", "small", "float32", "text", "when", "zoned"):
        assert list(batched.frame[name].dropna()) == list(expected[name].dropna()), name
    assert batched.frame.attrs == {"categorical": ["kinds"]}


@SETTINGS
@given(texts=st.lists(st.sampled_from([*"abcdefgh", None]), max_size=30), sizes=st.tuples(SIZES, SIZES))
def test_text_is_kept_as_categories_or_not_by_the_whole_column(
    tmp_path: Path,
    reading: Callable[[Path, int], Rows],
    monkeypatch: pytest.MonkeyPatch,
    texts: list[str | None],
    sizes: tuple[int, int],
) -> None:
    size, most = sizes
    monkeypatch.setattr(columns, "MOST_CATEGORIES", most)
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": pa.array(texts, pa.string())}), path)
    batched = reading(path, size)
    same(batched, reading(path, 1000))
    values = batched.frame["a"]
    assert plain(values) == texts
    known = {text for text in texts if text is not None}
    distinct = len(known)
    kept = isinstance(values.dtype, pd.CategoricalDtype)
    assert kept == (0 < distinct <= min(most, len(texts) // 2))
    if kept:
        assert list(values.cat.categories) == sorted(known)


@pytest.mark.parametrize(("largest", "kept_as"), [(46_340, "int32"), (46_341, "int64"), (-46_341, "int64")])
def test_whole_numbers_are_narrow_only_when_no_product_can_overflow(
    tmp_path: Path, reading: Callable[[Path, int], Rows], largest: int, kept_as: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a\n" + "1\n" * 9 + f"{largest}\n")
    frame = reading(path, 4).frame
    assert str(frame["a"].dtype) == kept_as
    assert (frame["a"].to_numpy() ** 2 == np.array([1] * 9 + [largest**2])).all()
