"""A mergeable sketch of numbers: quantiles with a relative error, mean and variance, in constant memory.

Quantiles: DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", VLDB 2019). Mean and variance: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for
computing sample variances", 1979.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: A quantile is within this share of the true value, for values between TINY and HUGE by absolute value.
ACCURACY = 0.01
GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA = math.log(GAMMA)
#: Smaller counts as zero (an absolute error of at most this).
TINY = 1e-9
#: Larger counts as this large; the paper's collapsing would let one outlier blur all that is ordinary. Beyond the
#: range of 64-bit integers, so that a time in nanoseconds is told rightly.
HUGE = 1e19
#: Larger counts as infinite, so that squares stay finite.
INFINITE = 1e100
#: Most buckets of one sign.
BUCKETS = math.ceil(math.log(HUGE) / _LOG_GAMMA) - math.ceil(math.log(TINY) / _LOG_GAMMA) + 1


class NumberSketch:
    """What is remembered of a stream of numbers. Merging is exact: no error grows, in whatever order.

    Attributes
    ----------
    count
        Numbers seen, infinite ones included; a NaN is not a number.
    nan
        NaNs seen.
    mean, m2, minimum, maximum
        Of the finite numbers: mean, sum of squared differences from it, extremes (0, 0, inf, -inf without any).
    """

    __slots__ = ("below", "beyond", "count", "m2", "maximum", "mean", "minimum", "nan", "negative", "positive", "zero")

    def __init__(self) -> None:
        self.count = self.nan = self.zero = self.below = self.beyond = 0
        self.mean = self.m2 = 0.0
        self.minimum, self.maximum = math.inf, -math.inf
        self.positive: dict[int, int] = {}
        self.negative: dict[int, int] = {}

    @property
    def finite(self) -> int:
        """How many of the numbers are finite."""
        return self.count - self.below - self.beyond

    @property
    def variance(self) -> float | None:
        """Sample variance of the finite numbers; None when there are fewer than two."""
        return self.m2 / (self.finite - 1) if self.finite > 1 else None

    def add(self, values: Sequence[float | None]) -> None:
        """Take in numbers, all at once; None counts as NaN.

        Raises
        ------
        OverflowError
            An integer is too large for a float.
        """
        import numpy as np

        given = np.array(values, dtype=np.float64)
        numbers = given[~np.isnan(given)]
        self.nan += len(given) - len(numbers)
        self.count += len(numbers)
        below, beyond = int((numbers < -INFINITE).sum()), int((numbers > INFINITE).sum())
        if below or beyond:
            self.below, self.beyond = self.below + below, self.beyond + beyond
            numbers = numbers[np.abs(numbers) <= INFINITE]
        if not len(numbers):
            return
        mean = float(numbers.mean())
        self._moments(len(numbers), mean, float(np.square(numbers - mean).sum()), before=self.finite - len(numbers))
        self.minimum = min(self.minimum, float(numbers.min()))
        self.maximum = max(self.maximum, float(numbers.max()))
        size = np.abs(numbers)
        large = size >= TINY
        self.zero += len(numbers) - int(large.sum())
        index = keys(size[large])
        minus = numbers[large] < 0
        for buckets, chosen in ((self.negative, index[minus]), (self.positive, index[~minus])):
            if len(chosen):
                for key, times in zip(*(part.tolist() for part in np.unique(chosen, return_counts=True)), strict=True):
                    buckets[key] = buckets.get(key, 0) + times

    def merge(self, other: NumberSketch) -> None:
        """Take in everything that another sketch has seen."""
        before = self.finite
        self.count += other.count
        self.nan += other.nan
        self.zero += other.zero
        self.below += other.below
        self.beyond += other.beyond
        if other.finite:
            self._moments(other.finite, other.mean, other.m2, before=before)
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        for mine, theirs in ((self.positive, other.positive), (self.negative, other.negative)):
            for key, times in theirs.items():
                mine[key] = mine.get(key, 0) + times

    def quantile(self, q: float) -> float | None:
        """The value of rank floor(q (count - 1)) among the sorted numbers, to within `ACCURACY` of itself.

        Parameters
        ----------
        q
            From 0 to 1.

        Returns
        -------
        float or None
            Possibly infinite; None without numbers.
        """
        if not self.count:
            return None
        rank = math.floor(q * (self.count - 1))
        seen = self.below
        if rank < seen:
            return -math.inf
        walk = [(-1.0, key, self.negative[key]) for key in sorted(self.negative, reverse=True)]
        walk.append((0.0, 0, self.zero))
        walk += [(1.0, key, self.positive[key]) for key in sorted(self.positive)]
        for sign, key, times in walk:
            seen += times
            if rank < seen:
                middle = sign * 2 * math.exp(key * _LOG_GAMMA) / (GAMMA + 1) if sign else 0.0
                return min(max(middle, self.minimum), self.maximum)
        return math.inf

    def to_json(self) -> dict[str, Any]:
        """A JSON document of plain numbers that `from_json` reads back as the same sketch."""
        return {
            "accuracy": ACCURACY,
            "count": self.count,
            "nan": self.nan,
            "zero": self.zero,
            "below": self.below,
            "beyond": self.beyond,
            "mean": self.mean,
            "m2": self.m2,
            "minimum": self.minimum if self.finite else None,
            "maximum": self.maximum if self.finite else None,
            "positive": {str(key): times for key, times in sorted(self.positive.items())},
            "negative": {str(key): times for key, times in sorted(self.negative.items())},
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The sketch that `to_json` wrote; raises ``ValueError`` when it was made with another accuracy."""
        if document["accuracy"] != ACCURACY:
            raise ValueError(f"a sketch of accuracy {document['accuracy']} cannot be merged with one of {ACCURACY}")
        sketch = cls()
        for name in ("count", "nan", "zero", "below", "beyond", "mean", "m2"):
            setattr(sketch, name, document[name])
        if document["minimum"] is not None:
            sketch.minimum, sketch.maximum = document["minimum"], document["maximum"]
        sketch.positive = {int(key): times for key, times in document["positive"].items()}
        sketch.negative = {int(key): times for key, times in document["negative"].items()}
        return sketch

    def _moments(self, count: int, mean: float, m2: float, *, before: int) -> None:
        """Join mean and squares of `count` more numbers with those of the `before` ones."""
        total = before + count
        difference = mean - self.mean
        self.mean += difference * count / total
        self.m2 += m2 + difference * difference * before * count / total


def keys(sizes: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bucket of each absolute value that is at least `TINY`, as `NumberSketch` numbers them; same shape."""
    import numpy as np

    found: NDArray[np.int64] = np.ceil(np.log(np.minimum(sizes, HUGE)) / _LOG_GAMMA).astype(np.int64)
    return found
