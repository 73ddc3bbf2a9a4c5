"""Histograms answer quantiles and exceedances as a sorted list would, up to the width of a bucket."""

from __future__ import annotations

import bisect
import math

from hypothesis import given
from hypothesis import strategies as st

from mlship.stats import histogram

BOUNDS = (1.0, 2.0, 5.0, 10.0)


def build(values: list[float]) -> tuple[int, ...]:
    counts = [0] * (len(BOUNDS) + 1)
    for value in values:
        counts[bisect.bisect_left(BOUNDS, value)] += 1
    return tuple(counts)


@given(st.lists(st.floats(0.01, 20), min_size=1, max_size=50), st.sampled_from([0.5, 0.9, 0.99, 0.999]))
def test_at_most_the_rest_is_slower_than_a_quantile(values: list[float], share: float) -> None:
    counts = build(values)
    bucket = histogram.quantile_bucket(counts, share)
    assert bucket is not None
    assert histogram.slower(counts, bucket) <= (1 - share) * len(values) + 1e-9
    bound = histogram.quantile(counts, BOUNDS, share)
    assert bound is not None
    assert histogram.slower(counts, bucket) == sum(value > bound for value in values)


def test_no_counts_have_no_quantile() -> None:
    assert histogram.quantile((0, 0, 0, 0, 0), BOUNDS, 0.5) is None


def test_above_the_last_bound_the_quantile_is_infinite() -> None:
    assert histogram.quantile((0, 0, 0, 0, 3), BOUNDS, 0.5) == math.inf


def test_an_empty_histogram_adds_nothing() -> None:
    assert histogram.add((), (1, 2)) == (1, 2)
    assert histogram.add((1, 2), (3, 4)) == (4, 6)
