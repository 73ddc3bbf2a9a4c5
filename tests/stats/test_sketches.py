"""Sketches keep their promises: quantiles within one percent, merges in any order, and whatever a cell holds."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlship.stats.sketch_categories import CAPACITY, NAME, CategorySketch
from mlship.stats.sketch_numbers import ACCURACY, BUCKETS, HUGE, INFINITE, TINY, NumberSketch
from mlship.stats.sketches import ColumnSketch

FLOATS = st.lists(st.floats(), max_size=60)
#: Values for which the relative error is promised.
ORDINARY = st.floats(TINY, HUGE) | st.floats(-HUGE, -TINY) | st.just(0.0)
CELLS: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from([np.float64(1.5), np.int64(3), np.bool_(1), np.array([1, 2]), np.array([]), b"bytes", object()]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
#: More categories than a sketch tells apart, a few of them frequent.
STREAMS = st.lists(st.integers(0, 300).map(lambda number: f"c{number * number // 300}"), max_size=500)


def numbers(values: list[float]) -> NumberSketch:
    sketch = NumberSketch()
    sketch.add(values)
    return sketch


def categories(values: list[str]) -> CategorySketch:
    sketch = CategorySketch()
    sketch.add(values)
    return sketch


def column(cells: list[Any]) -> ColumnSketch:
    sketch = ColumnSketch()
    sketch.add(cells)
    return sketch


def exact(sketch: NumberSketch) -> dict[str, Any]:
    """Everything that merging must leave exactly equal: all but the moments."""
    return {key: value for key, value in sketch.to_json().items() if key not in ("mean", "m2")}


@given(st.lists(ORDINARY, min_size=1, max_size=80), st.floats(0, 1))
def test_a_quantile_is_within_one_percent_of_the_number_at_its_rank(values: list[float], q: float) -> None:
    truth = sorted(values)[math.floor(q * (len(values) - 1))]
    assert numbers(values).quantile(q) == pytest.approx(truth, rel=ACCURACY * 1.0001, abs=TINY)


@given(FLOATS, FLOATS, FLOATS)
def test_merging_numbers_is_associative_commutative_and_the_same_as_seeing_all(
    one: list[float], two: list[float], three: list[float]
) -> None:
    left = numbers(one)
    left.merge(numbers(two))
    left.merge(numbers(three))
    rest = numbers(three)
    rest.merge(numbers(two))
    rest.merge(numbers(one))
    assert exact(left) == exact(rest) == exact(numbers(one + two + three))


@given(*[st.lists(st.floats(-1e6, 1e6), max_size=50)] * 2)
def test_mean_and_variance_survive_merging(one: list[float], two: list[float]) -> None:
    merged = numbers(one)
    merged.merge(numbers(two))
    both = one + two
    if len(both) > 1:
        assert merged.mean == pytest.approx(np.mean(both), rel=1e-9, abs=1e-6)
        assert merged.variance == pytest.approx(np.var(both, ddof=1), rel=1e-6, abs=1e-3)
    else:
        assert merged.variance is None


@given(FLOATS)
def test_numbers_are_written_as_strict_json_and_read_back(values: list[float]) -> None:
    sketch = numbers(values)
    text = json.dumps(sketch.to_json(), allow_nan=False)
    assert NumberSketch.from_json(json.loads(text)).to_json() == sketch.to_json()


def test_nans_are_no_numbers_infinities_are_and_neither_touches_the_mean() -> None:
    sketch = numbers([1.0, math.nan, math.inf, -math.inf, 3.0, 2 * INFINITE])
    assert (sketch.count, sketch.nan, sketch.finite, sketch.mean) == (5, 1, 2, 2.0)
    assert (sketch.quantile(0), sketch.quantile(1)) == (-math.inf, math.inf)
    assert numbers([]).quantile(0.5) is None


def test_one_outlier_does_not_blur_the_rest() -> None:
    values = [float(value) for value in range(1, 1000)]
    assert numbers([*values, 1e90]).quantile(0.5) == pytest.approx(500, rel=2 * ACCURACY)


def test_memory_is_bounded_over_the_whole_range_of_floats() -> None:
    sketch = NumberSketch()
    rng = np.random.default_rng(0)
    for _ in range(20):
        sketch.add((10 ** rng.uniform(-300, 300, 20_000) * rng.choice([-1, 1], 20_000)).tolist())
    assert len(sketch.positive) <= BUCKETS
    assert len(sketch.negative) <= BUCKETS
    assert BUCKETS < 3300


@given(STREAMS, STREAMS, STREAMS)
@settings(max_examples=60)
def test_merged_categories_keep_their_bounds_in_any_order(one: list[str], two: list[str], three: list[str]) -> None:
    truth = Counter(one + two + three)
    orders = [(one, two, three), (three, one, two), (two, three, one)]
    for parts in orders:
        merged = CategorySketch()
        for part in parts:
            merged.merge(categories(part))
        assert merged.count == truth.total()
        assert len(merged.counts) <= CAPACITY
        assert merged.error * (CAPACITY + 1) <= merged.other
        for key, times in truth.items():
            kept = merged.counts.get(key, 0)
            assert kept <= times <= kept + merged.error
        if len(truth) <= CAPACITY:
            assert (merged.counts, merged.other, merged.error) == (dict(truth), 0, 0)


@given(STREAMS, STREAMS)
@settings(max_examples=40)
def test_merging_two_sketches_of_categories_commutes_exactly(one: list[str], two: list[str]) -> None:
    left, right = categories(one), categories(two)
    left.merge(right)
    right.merge(categories(one))
    assert left.to_json() == right.to_json()


def test_a_long_name_is_cut_and_still_told_apart() -> None:
    sketch = categories(["x" * 1000 + "a", "x" * 1000 + "b", "x" * 1000 + "b"])
    assert sorted(sketch.counts.values()) == [1, 2]
    assert all(len(key) == NAME for key in sketch.counts)


@given(st.lists(CELLS, max_size=20), st.lists(CELLS, max_size=20))
def test_a_column_takes_every_cell_and_counts_each_once(one: list[Any], two: list[Any]) -> None:
    sketch = column(one)
    sketch.merge(column(two))
    assert sketch.count == len(one) + len(two)
    text = json.dumps(sketch.to_json(), allow_nan=False)
    assert ColumnSketch.from_json(json.loads(text)).to_json() == sketch.to_json()


def test_a_column_tells_missing_numbers_categories_and_the_rest_apart() -> None:
    sketch = column([1, 2.5, None, math.nan, "a", True, [1], np.int64(4), 10**400])
    assert (sketch.missing, sketch.unlike, sketch.numbers.count, sketch.numbers.beyond) == (2, 1, 4, 1)
    assert sketch.categories.counts == {"a": 1, "true": 1}


def test_sketches_of_another_make_are_refused() -> None:
    document = numbers([1.0]).to_json() | {"accuracy": 0.05}
    with pytest.raises(ValueError, match=r"accuracy 0\.05"):
        NumberSketch.from_json(document)
    with pytest.raises(ValueError, match="7 categories"):
        CategorySketch.from_json(categories(["a"]).to_json() | {"capacity": 7})


def test_reading_and_merging_load_no_numpy() -> None:
    document = json.dumps(column([1.0, "a"]).to_json())
    program = (
        "import json, sys; from mlship.stats.sketches import ColumnSketch as C; d = json.loads(sys.argv[1]);"
        "a = C.from_json(d); a.merge(C.from_json(d)); assert a.to_json(); print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, document], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
