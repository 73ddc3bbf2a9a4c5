"""Ordered buckets of numbers: those of `NumberSketch` numbered so that a larger index holds larger numbers.

Counts by such an index can be added and subtracted, and never move to another bucket; plain arithmetic, without numpy.
"""

from __future__ import annotations

import math
from math import ceil, log

from mlship.stats.sketch_numbers import ACCURACY, BUCKETS, GAMMA, HUGE, INFINITE, TINY, NumberSketch

_LOG_GAMMA = math.log(GAMMA)
_LOWEST = math.ceil(math.log(TINY) / _LOG_GAMMA)
#: Bucket of numbers beyond `INFINITE`, and with the opposite sign of those below -`INFINITE`.
INFINITY = BUCKETS + 1
#: Bucket of what is no number, below all others.
MISSING = -BUCKETS - 2


def bucket(number: float) -> int:
    """The bucket of a number: 0 for zero (closer than `TINY`), as many negative ones as positive, `MISSING` for NaN.

    Numbers of one bucket lie within 2 % of each other (`ACCURACY` of its middle); those larger than `HUGE` share one.
    """
    size = abs(number)
    if size < TINY:
        return 0
    if size <= HUGE:
        index = ceil(log(size) / _LOG_GAMMA) - _LOWEST + 1
    elif size <= INFINITE:
        index = BUCKETS
    elif size > INFINITE:
        index = INFINITY
    else:
        return MISSING
    return index if number > 0 else -index


def middle(index: int) -> float:
    """A number within `ACCURACY` of all those in a bucket; infinite, 0 or NaN for the buckets of those."""
    if index == MISSING:
        return math.nan
    if index == 0:
        return 0.0
    if abs(index) >= INFINITY:
        return math.copysign(math.inf, index)
    return math.copysign(2 * math.exp((abs(index) + _LOWEST - 1) * _LOG_GAMMA) / (GAMMA + 1), index)


def counted(sketch: NumberSketch) -> dict[int, int]:
    """Counts by bucket of all that a sketch has seen."""
    shift = 1 - _LOWEST
    counts = {key + shift: times for key, times in sketch.positive.items()}
    counts |= {-key - shift: times for key, times in sketch.negative.items()}
    rest = {0: sketch.zero, INFINITY: sketch.beyond, -INFINITY: sketch.below, MISSING: sketch.nan}
    return counts | {index: times for index, times in rest.items() if times}


__all__ = ["ACCURACY", "INFINITY", "MISSING", "bucket", "counted", "middle"]
