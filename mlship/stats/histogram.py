"""Histograms over fixed upper bounds: sums, quantiles, and how many were slower than a bound.

A histogram is a tuple of counts, one per bound and one more for everything above the last bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate


def add(left: Sequence[int], right: Sequence[int]) -> tuple[int, ...]:
    """Sum of two histograms; an empty one is zero."""
    if not left or not right:
        return tuple(left or right)
    return tuple(a + b for a, b in zip(left, right, strict=True))


def quantile_bucket(histogram: Sequence[int], share: float) -> int | None:
    """Index of the bucket that holds the `share` quantile (0 to 1); None when there are no counts."""
    total = sum(histogram)
    if total == 0:
        return None
    rank = max(1, math.ceil(share * total))
    return next(index for index, below in enumerate(accumulate(histogram)) if below >= rank)


def quantile(histogram: Sequence[int], bounds: Sequence[float], share: float) -> float | None:
    """Upper bound of the bucket that holds the `share` quantile, in the unit of the bounds.

    None when there are no counts; infinite when the quantile lies above the last bound.
    """
    bucket = quantile_bucket(histogram, share)
    if bucket is None:
        return None
    return float(bounds[bucket]) if bucket < len(bounds) else math.inf


def slower(histogram: Sequence[int], bucket: int) -> int:
    """How many lie above the upper bound of this bucket."""
    return sum(histogram[bucket + 1 :])
