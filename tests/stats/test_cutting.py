"""Bins of a baseline: rows and sketches are counted alike, whatever the column's type; what a server adds is told."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.stats.buckets import bucket
from mlship.stats.cutting import (
    added,
    between,
    counted,
    cut,
    cut_scores,
    first_positive,
    middles,
    of_sketch,
    positions,
    sketched,
)
from mlship.stats.sketches import ColumnSketch
from mlship.types.monitoring import Bins

_NUMBERS = st.floats(width=64) | st.integers(-(10**400), 10**400) | st.sampled_from([0, 1, -1, 0.5, 1e-9, 1e19, 1e100])
_TEXTS = st.text(max_size=4) | st.sampled_from(["a", "b", "true", "1", "x" * 64, "x" * 65, "x" * 66, "\ud800"])
_CELLS = st.none() | st.booleans() | _NUMBERS | _TEXTS | st.just([1, 2])
_COLUMNS = st.lists(_CELLS, max_size=60) | st.lists(_NUMBERS | st.none(), max_size=60) | st.lists(_TEXTS, max_size=60)


def sketch_of(cells: list[Any]) -> ColumnSketch:
    sketch = ColumnSketch()
    sketch.add(cells)
    return sketch


def objects(cells: list[Any]) -> np.ndarray[Any, Any]:
    column = np.empty(len(cells), object)
    column[:] = cells
    return column


@given(_COLUMNS, _COLUMNS)
def test_rows_and_their_sketch_are_counted_alike(baseline: list[Any], traffic: list[Any]) -> None:
    for bins in (cut(sketch_of(baseline)), cut_scores(sketch_of(baseline), 0.5)):
        rows = counted(positions(objects(traffic), bins), bins)
        assert rows == of_sketch(sketch_of(traffic), bins)
        assert rows == of_sketch(sketched(objects(traffic)), bins)
        assert sum(rows) == len(traffic)
        assert len(rows) == bins.width


@given(_COLUMNS)
def test_every_row_of_the_baseline_has_a_bin(cells: list[Any]) -> None:
    sketch = sketch_of(cells)
    bins = cut(sketch)
    counts = of_sketch(sketch, bins)
    held = max(sketch.numbers.count, sketch.categories.count)
    assert sum(counts[: bins.size]) == held
    assert counts[bins.unseen] == 0
    assert counts[bins.missing] == sketch.missing
    assert tuple(sorted(set(bins.bounds))) == bins.bounds


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(-1e6, 1e6))
def test_a_larger_number_never_has_a_lower_position(baseline: list[float], at: float) -> None:
    bins = cut(sketch_of(baseline), 5)
    ordered = np.sort(np.array([*baseline, at, np.nextafter(at, np.inf), np.nextafter(at, -np.inf)]))
    assert (np.diff(positions(ordered, bins)) >= 0).all()


def test_numbers_at_the_very_end_of_a_bucket_are_counted_as_the_sketch_counts_them() -> None:
    rng = np.random.default_rng(0)
    baseline = rng.lognormal(0, 3, 5000) * rng.choice([-1, 1], 5000)
    bins = cut(sketch_of(baseline.tolist()), 40)
    from mlship.stats.placing import _largest

    ends = _largest(bins.bounds)
    near = np.concatenate([ends, np.nextafter(ends, np.inf), np.nextafter(ends, -np.inf)])
    for number in near:  # one at a time: which side of the border is told, not only how many are on it
        assert counted(positions(np.array([number]), bins), bins) == of_sketch(sketch_of([float(number)]), bins)


def test_bins_hold_about_as_many_rows_each_and_a_frequent_value_has_its_own() -> None:
    rng = np.random.default_rng(1)
    smooth = sketch_of(rng.normal(50, 10, 10_000).tolist())
    counts = of_sketch(smooth, cut(smooth))[:-3]
    assert len(counts) == 10
    assert max(counts) < 2 * min(counts)
    half = sketch_of([0.0] * 10_000 + rng.lognormal(1, 1, 10_000).tolist())
    bins = cut(half)
    counts = of_sketch(half, bins)[:-3]
    assert len(counts) == 10
    assert counts[0] == 10_000
    assert min(counts[1:]) > 700  # the other nine share the rest


def test_a_column_of_few_values_has_a_bin_for_each_and_for_what_lies_between() -> None:
    bins = cut(sketch_of([1, 1, 3]))
    assert counted(positions(np.array([0, 1, 2, 3, 4]), bins), bins)[: bins.size] == (1, 1, 1, 1, 1)
    constant = cut(sketch_of([0.0] * 9))
    assert positions(np.array([-1e-3, 0.0, 1e-3]), constant).tolist() == [0, 1, 2]


def test_a_constant_infinity_and_a_column_of_nothing_have_bins_too() -> None:
    bins = cut(sketch_of([math.inf]))
    assert positions(np.array([math.inf, 1.0, -math.inf, math.nan]), bins).tolist() == [1, 0, 0, bins.missing]
    empty = cut(ColumnSketch())
    assert empty == Bins("numbers")
    assert counted(positions(objects([None, 3, "a"]), empty), empty) == (1, 0, 1, 1)


@given(st.floats(0.001, 0.999), st.lists(st.floats(0, 1), min_size=1, max_size=100))
def test_predicted_positive_is_a_set_of_bins(threshold: float, scores: list[float]) -> None:
    bins = cut_scores(sketch_of(scores), threshold)
    reached = positions(np.array(scores), bins) >= first_positive(bins, threshold)
    assert bucket(threshold) - 1 in bins.bounds
    for score, yes in zip(scores, reached.tolist(), strict=True):
        assert yes or score < threshold
        assert not yes or score >= threshold * 0.98


def test_many_categories_keep_their_bins_as_long_as_a_sketch_knows_them() -> None:
    names = [f"c{number}" for number in range(128)]
    assert set(cut(sketch_of(names)).names) == set(names)
    crowd = sketch_of([f"c{number}" for number in range(1000) for _ in range(1 + number // 100)] + ["often"] * 5000)
    bins = cut(crowd)
    assert bins.names[0] == "often"
    assert len(bins.names) <= 50


_AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        (pd.Series(["a", "c", None]), ["a", "unseen", "missing"]),
        (pd.Series(["a", "c", None], dtype="string"), ["a", "unseen", "missing"]),
        (pd.Series(["a", "c", None], dtype="category"), ["a", "unseen", "missing"]),
        (pd.Series(["a", "c", None], dtype=object), ["a", "unseen", "missing"]),
        (pd.Series([1, 2, None], dtype="category"), ["unlike", "unlike", "missing"]),
        (pd.Series(["x" * 70, "x" * 71]), ["long", "unseen"]),
        (pd.Series([True, False]), ["true", "unseen"]),
        (pd.Series([True, False, None], dtype="boolean"), ["true", "unseen", "missing"]),
        (pd.Series([True, "a", None, 1, math.nan], dtype=object), ["true", "a", "missing", "unlike", "missing"]),
        (pd.Series([1, 2, None], dtype="Int64"), ["unlike", "unlike", "missing"]),
        (pd.Series([_AT, None]), ["unlike", "missing"]),
        (pd.Series([b"a", None], dtype=object), ["unlike", "missing"]),
        (np.array(["a", "c"]), ["a", "unseen"]),
        (np.array(["a", "c"], dtype=np.dtypes.StringDType()), ["a", "unseen"]),
        (["a", "c", None], ["a", "unseen", "missing"]),
        (pa.array(["a", "c", None]), ["a", "unseen", "missing"]),
        (pa.array(["a", "c", None]).dictionary_encode(), ["a", "unseen", "missing"]),
        (pa.chunked_array([["a"], ["c", None]]).dictionary_encode(), ["a", "unseen", "missing"]),
        (pa.chunked_array([], pa.string()), []),
        (pa.array(["a", "c", None], pa.string_view()), ["a", "unseen", "missing"]),
        (pa.array([True, None]), ["true", "missing"]),
        (pa.array([1, None]), ["unlike", "missing"]),
        (pa.array([None, None]), ["missing", "missing"]),
        (pa.array([[1], None]), ["unlike", "missing"]),
    ],
)
def test_categories_of_any_type(column: Any, wanted: list[str]) -> None:
    bins = cut(sketch_of(["a", True, "x" * 70]))
    places = {text: place for place, text in enumerate(bins.names)}
    places["long"] = next(place for text, place in places.items() if text.startswith("xxx"))
    places |= {"unseen": bins.unseen, "missing": bins.missing, "unlike": bins.unlike}
    assert positions(column, bins).tolist() == [places[word] for word in wanted]
    assert of_sketch(sketched(column), bins) == counted(positions(column, bins), bins)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 3, 9, None]),
        pd.Series([1, 3, 9, None], dtype="Int64"),
        pd.Series([1, 3, 9, None], dtype="category"),
        pd.Series([1, 3, 9, None], dtype=object),
        pd.Series([1, 3, 9, None], dtype="float32"),
        pd.Series([1, 3, 9, None], dtype="int64[pyarrow]"),
        pd.Series([Decimal(1), Decimal(3), Decimal(9), None]),
        pa.array([Decimal(1), Decimal(3), Decimal(9), None]),
        pa.array([1, 3, 9, None]),
        pa.array([1.0, 3.0, 9.0, math.nan]),
        pa.array([1, 3, 9, None]).dictionary_encode(),
        [1, 3.0, np.int8(9), math.nan],
        [1, 3.0, 10**400, math.nan],
    ],
)
def test_numbers_of_any_type(column: Any) -> None:
    bins = cut(sketch_of([1, 3]))
    assert positions(column, bins).tolist() == [1, 3, 4, bins.missing]
    assert of_sketch(sketched(column), bins) == counted(positions(column, bins), bins)


def test_text_among_numbers_is_of_another_kind() -> None:
    bins = cut(sketch_of([1.0, 2.0, 3.0]))
    column = pd.Series(["1", None, "many"])
    assert positions(column, bins).tolist() == [bins.unlike, bins.missing, bins.unlike]


@given(_COLUMNS, _COLUMNS)
def test_what_came_since_is_what_came_since(first: list[Any], more: list[Any]) -> None:
    before, now = sketch_of(first), sketch_of(first)
    now.add(more)
    came, wanted = between(before, now).to_json(), sketch_of(more).to_json()
    for document in (came, wanted):
        for key in ("mean", "m2", "minimum", "maximum"):
            (document["numbers"] or {}).pop(key, None)
    assert came == wanted


def test_mean_and_variance_of_what_came_since() -> None:
    rng = np.random.default_rng(2)
    first, more = rng.normal(100, 3, 500), rng.normal(110, 5, 400)
    before, now = sketch_of(first.tolist()), sketch_of([*first, *more])
    came = between(before, now)
    assert came.numbers.mean == pytest.approx(more.mean())
    assert came.numbers.variance == pytest.approx(more.var(ddof=1))
    assert came.numbers.quantile(0.5) == pytest.approx(np.median(more), rel=0.02)


def test_without_a_before_all_is_new_and_the_given_one_is_left_alone() -> None:
    now = sketch_of([1, "a", None])
    came = between(None, now)
    came.add([2])
    assert now.count == 3
    assert came.count == 4


@pytest.mark.parametrize(
    ("before", "now"), [([1, 1], [1]), ([1, 2], [1, 3]), (["a"], ["b"]), ([None], []), ([[1]], [])]
)
def test_a_server_that_began_anew_is_told(before: list[Any], now: list[Any]) -> None:
    with pytest.raises(ValueError, match="begun anew"):
        between(sketch_of(before), sketch_of(now))


def test_with_more_categories_than_a_sketch_remembers_the_frequent_ones_stay_exact() -> None:
    rng = np.random.default_rng(3)

    def traffic(rows: int) -> list[str]:
        often = rng.choice(["red", "green"], rows, p=[0.7, 0.3])
        return [str(text) if rng.random() < 0.5 else f"once {rng.integers(10**9)}" for text in often]

    before = ColumnSketch()
    for _ in range(20):
        before.add(traffic(500))
    now = ColumnSketch.from_json(before.to_json())
    more = [traffic(500) for _ in range(20)]
    for part in more:
        now.add(part)
    came = between(before, now).categories
    told = [text for part in more for text in part]
    assert came.count == len(told)
    assert came.counts["red"] == told.count("red")
    assert came.counts["green"] == told.count("green")
    assert came.other >= 0


def test_middles_are_means_of_bins_and_belong_there_when_a_bin_is_empty() -> None:
    rng = np.random.default_rng(4)
    values = rng.gamma(2, 10, 5000)
    sketch = sketch_of(values.tolist())
    bins = cut(sketch)
    found, place = middles(sketch, bins), positions(values, bins)
    for index in range(bins.size):
        assert found[index] == pytest.approx(values[place == index].mean(), rel=0.011)
    few = cut(sketch_of([1, 3, math.inf]))
    ends = middles(ColumnSketch(), few)
    assert positions(np.array(ends[:-1]), few).tolist() == list(range(few.size - 1))
    assert all(map(math.isfinite, ends))


def test_sums_of_counts() -> None:
    assert added() == ()
    assert added((1, 2), (3, 4), (5, 6)) == (9, 12)
    with pytest.raises(ValueError, match="zip"):
        added((1, 2), (1, 2, 3))
