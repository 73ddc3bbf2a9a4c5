"""Segments: every kind of column is cut into named parts, in time linear in the rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.gates.slices import segments as module
from mlship.gates.slices.segments import Pair, Segments, segments
from mlship.sources.files import Rows


def cut(values: Any, bins: int = 4, time: str | None = None) -> Segments:
    frame = pd.DataFrame({"c": values})
    return segments(Rows(frame, "sha256:e", Path("e.csv"), None, time), "c", bins)


def sizes(found: Segments) -> dict[str, int]:
    return dict(zip(found.labels, found.sizes.tolist(), strict=True))


def test_categories_come_with_the_most_frequent_first() -> None:
    found = cut(["b", "a", "b", None, "c", "b", "a"])
    assert sizes(found) == {"b": 3, "a": 2, "c": 1, "missing": 1}
    assert found.codes.dtype == np.int16
    assert found.name(0) == "c b"


def test_a_categorical_without_some_of_its_categories() -> None:
    found = cut(pd.Categorical(["x", "y", "x", None], categories=["unused", "y", "x"]))
    assert sizes(found) == {"x": 2, "y": 1, "missing": 1}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False, True], {"True": 2, "False": 1}),
        (pd.array([True, None, False], dtype="boolean"), {"True": 1, "False": 1, "missing": 1}),
        ([3, 1, 3, 2], {"1": 1, "2": 1, "3": 2}),
        (pd.array([3, None, 3], dtype="Int64"), {"3": 2, "missing": 1}),
        ([0.5, np.nan, np.inf, 0.5], {"0.5": 2, "inf": 1, "missing": 1}),
        ([7.0, 2013.0, 12000.0], {"7": 1, "2013": 1, "12000": 1}),
        (["", " ", "a"], {"''": 1, "' '": 1, "a": 1}),
        (["missing", None], {"missing": 1, "missing (2)": 1}),
        ([1, "1", 1.5], {"1": 1, "1 (2)": 1, "1.5": 1}),
        ([[1], [1], {2: 3}], {"[1]": 2, "{2: 3}": 1}),
        (pd.to_timedelta([1, 2, 1], unit="h"), {"3600": 2, "7200": 1}),
    ],
)
def test_few_values_are_segments_by_value(values: Any, expected: dict[str, int]) -> None:
    assert sizes(cut(values)) == expected


def test_many_numbers_are_cut_at_quantiles() -> None:
    found = cut([*range(100), None])
    assert sizes(found) == {"0 to 24": 25, "25 to 49": 25, "50 to 74": 25, "75 to 99": 25, "missing": 1}


def test_infinite_numbers_fall_into_the_outer_bins() -> None:
    found = cut([*range(98), -np.inf, np.inf])
    assert list(sizes(found).values()) == [25, 25, 25, 25]
    assert found.labels[0] == "-inf to 23"
    assert found.labels[-1] == "74 to inf"


def test_ties_make_fewer_bins() -> None:
    found = cut([0] * 80 + list(range(1, 31)))
    assert sizes(found) == {"0": 80, "1 to 3": 3, "4 to 30": 27}
    assert cut([5.0] * 10).labels == ("5",)


def test_text_among_numbers_is_a_segment_of_its_own() -> None:
    found = cut([*range(40), "unknown", "n/a", None])
    assert sizes(found) == {
        "0 to 9": 10,
        "10 to 19": 10,
        "20 to 29": 10,
        "30 to 39": 10,
        "not a number": 2,
        "missing": 1,
    }


def test_the_rarest_categories_are_put_together() -> None:
    values = [f"t{i}" for i in range(250)] + [f"t{i}" for i in range(150)]
    found = cut(values)
    assert len(found.labels) == module.MOST_SEGMENTS
    assert sizes(found)["others"] == 51
    assert "c has 250 values: the 51 rarest are put together" in found.note


@pytest.mark.parametrize(
    ("last", "labels"),
    [
        ("2013-01-01 20:00", ("2013-01-01 00:00", "2013-01-01 05:00", "2013-01-01 20:00", "missing")),
        ("2013-01-20 00:00", ("2013-01-01", "2013-01-20", "missing")),
        ("2013-12-31 00:00", ("2013-01", "2013-12", "missing")),
        ("2023-01-01 00:00", ("2013", "2023", "missing")),
    ],
)
def test_times_are_cut_by_their_span(last: str, labels: tuple[str, ...]) -> None:
    assert cut(pd.to_datetime(pd.Series(["2013-01-01 00:10", "2013-01-01 05:00", last, None]))).labels == labels


def test_times_in_a_time_zone_are_told_in_it() -> None:
    found = cut(pd.to_datetime(["2013-01-01 23:30", "2013-01-01 23:50"]).tz_localize("America/New_York"))
    assert found.labels == ("2013-01-01 23:00",)


def test_the_time_column_may_be_text() -> None:
    found = cut(["2013-01-01", "2013-03-05", "soon", "2013-12-01"], time="c")
    assert found.labels == ("2013-01", "2013-03", "2013-12", "missing")


@pytest.mark.parametrize("values", [[], pd.Series([], dtype=float), pd.to_datetime([]), pd.Categorical([])])
def test_no_rows_make_no_segments(values: Any) -> None:
    assert cut(values).labels == ()


@pytest.mark.parametrize("values", [[None, None], [np.nan] * 3, pd.to_datetime(pd.Series([None, None]))])
def test_all_missing_is_one_segment(values: Any) -> None:
    assert cut(values).labels == ("missing",)


@given(
    st.lists(st.one_of(st.none(), st.floats(width=32), st.integers(-3, 3).map(float)), min_size=1, max_size=200),
    st.integers(2, 20),
)
def test_every_row_falls_into_one_named_segment_and_order_is_kept(values: list[float | None], bins: int) -> None:
    column = np.array([np.nan if value is None else value for value in values])
    found = cut(column, bins)
    assert found.codes.min() >= 0
    assert sum(found.sizes) == len(values)
    assert (found.sizes > 0).all()
    assert len(set(found.labels)) == len(found.labels)
    known = ~np.isnan(column)
    order = np.argsort(column[known], kind="stable")
    assert (np.diff(found.codes[known][order].astype(int)) >= 0).all()
    assert set(found.codes[~known].tolist()) <= {len(found.labels) - 1}


def test_the_same_number_is_always_in_the_same_segment_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=500).round(1)
    mixed = rng.permutation(500)
    assert (cut(values).codes[mixed] == cut(values[mixed]).codes).all()


def test_pairs_are_the_combinations_with_enough_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 7)  # so that the chunks have to be put together
    rng = np.random.default_rng(0)
    one, other = cut(rng.choice(list("xyz"), 300)), cut(rng.choice(list("pq"), 300))
    pair = Pair.of(one, other, 45, 100)
    names = [f"{one.name(int(a))} and {other.name(int(b))}" for a, b in zip(one.codes, other.codes, strict=True)]
    counted = Counter(names)
    assert {pair.name(i): int(n) for i, n in enumerate(pair.sizes)} == {k: n for k, n in counted.items() if n >= 45}
    assert pair.small == sum(n < 45 for n in counted.values())
    codes = pair.codes()
    assert all(pair.name(code) == name for code, name in zip(codes, names, strict=True) if code < len(pair.kept))
    assert all(counted[name] < 45 for code, name in zip(codes, names, strict=True) if code == len(pair.kept))


def test_a_combination_that_is_all_of_one_part_is_left_out() -> None:
    one, other = cut(["a"] * 50 + ["b"] * 50), cut(["p"] * 50 + ["p", "q"] * 25)
    assert [Pair.of(one, other, 10, 100).name(i) for i in range(1)] == ["c b and c p"]


def test_only_the_most_frequent_combinations_are_looked_at() -> None:
    rng = np.random.default_rng(0)
    one, other = cut(rng.integers(0, 20, 4000)), cut(rng.integers(0, 20, 4000))
    pair = Pair.of(one, other, 1, 50)
    everything = Pair.of(one, other, 1, 1000)
    assert len(pair.kept) == 50
    assert pair.sizes.min() >= np.sort(everything.sizes)[-50]
    assert pair.small == len(everything.kept) - 50
