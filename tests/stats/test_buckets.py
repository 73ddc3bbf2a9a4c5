"""Ordered buckets: a larger number never has a smaller index, and both ways of counting agree."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.stats.buckets import ACCURACY, INFINITY, MISSING, bucket, counted, middle
from mlship.stats.sketch_numbers import HUGE, TINY, NumberSketch


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_order_is_kept_and_signs_mirror_each_other(one: float, other: float) -> None:
    if one < other:
        assert bucket(one) <= bucket(other)
    assert bucket(-one) == -bucket(one)
    assert MISSING < bucket(one) <= INFINITY


@given(st.floats(2 * TINY, HUGE))
def test_the_middle_of_a_bucket_is_near_every_number_in_it(number: float) -> None:
    assert middle(bucket(number)) == pytest.approx(number, rel=ACCURACY * 1.001)
    assert bucket(middle(bucket(number))) == bucket(number)
    assert middle(-bucket(number)) == -middle(bucket(number))


def test_what_is_no_ordinary_number_has_a_bucket_of_its_own() -> None:
    values = (math.nan, -math.inf, -1e18, 0.0, 1e-12, 1e18, math.inf)
    assert [bucket(value) for value in values[:2]] == [MISSING, -INFINITY]
    assert bucket(0.0) == bucket(1e-12) == bucket(-1e-12) == 0
    assert sorted(map(bucket, values)) == list(map(bucket, values))
    assert math.isnan(middle(MISSING))
    assert (middle(0), middle(INFINITY), middle(-INFINITY)) == (0.0, math.inf, -math.inf)


@given(st.lists(st.floats() | st.sampled_from([0.0, 0.5, -0.5, 1e30, -1e200]), max_size=30))
def test_a_sketch_counts_into_the_same_buckets(values: list[float]) -> None:
    sketch = NumberSketch()
    sketch.add(values)
    found = Counter(counted(sketch))
    wanted = Counter(map(bucket, values))
    moved = sum((found - wanted).values())  # numpy's logarithm may differ in the last bit, at a bucket's very end
    assert found.total() == len(values)
    assert moved == 0 or all(
        abs(a - b) <= 1 for a, b in zip(sorted(found.elements()), sorted(wanted.elements()), strict=True)
    )
