"""Intervals without resampling: from how much each row moves a score, its influence (Hampel 1974; Efron 1982).

A score of many rows is its value plus the mean of the rows' influences, so its standard error is the spread of the
influences over the root of n; a paired difference has the differences of influences. One pass, no chance in it, and
good for any confidence, where 1,000 resamples end at 99 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Influence = Callable[[slice], NDArray[np.float64]]

#: Rows looked at together: their temporaries stay in the cache.
_CHUNK = 1 << 17


def chunks(n: int) -> list[slice]:
    """The rows 0 to n in pieces that fit into a cache."""
    return [slice(start, min(start + _CHUNK, n)) for start in range(0, n, _CHUNK)]


@dataclass(frozen=True, eq=False)
class Linear:
    """A score of n rows and its linear part."""

    value: float
    n: int
    influence: Influence
    """By how much each row in a slice moves the score, times n; the mean over all rows is zero."""
    scale: Literal["plain", "share", "root"] = "plain"
    """Where its interval is found: as it is; by log odds, for an area that piles up at 1; by squares, for a root."""
    bias: float = 0.0
    """By how much chance may have raised the value, for scores that mistake chance for an effect; the interval reaches
    that much further down."""
    bias_of_other: float = 0.0
    """The same of what was subtracted; the interval reaches that much further up."""

    def minus(self, other: Linear) -> Linear:
        """The difference of two scores of the same rows."""

        def influence(part: slice) -> NDArray[np.float64]:
            return self.influence(part) - other.influence(part)

        return Linear(self.value - other.value, self.n, influence, bias=self.bias, bias_of_other=other.bias)

    def interval(self, carriers: int, confidence: float) -> tuple[float, float] | None:
        """Ends of the two-sided interval; None without rows, (value, value) when no row moves the score.

        `carriers` is the number of rows that carry the score (for classes: of the rarest): few of them widen the
        interval as Student's t is. Skew influences shift it as the ABC interval does (DiCiccio & Efron 1992).
        """
        from scipy.stats import t

        if self.n < 2 or not math.isfinite(self.value):
            return None
        error, skewness = self.spread()
        if error == 0:
            return self.value, self.value
        few = max(carriers, 2)
        reach = float(t.ppf((1 + confidence) / 2, few - 1)) * math.sqrt(few / (few - 1))
        if self.scale == "share" and 0 < self.value < 1:
            odds = math.log(self.value / (1 - self.value))
            step = reach * error / (self.value * (1 - self.value))
            return _share(odds - step), _share(odds + step)
        acceleration = skewness / (6 * math.sqrt(self.n))

        def end(z: float) -> float:
            shifted = z + acceleration
            moved = shifted / max(1 - acceleration * shifted, 0.5) ** 2
            if self.scale == "root":
                return math.sqrt(max(self.value**2 + 2 * self.value * error * moved, 0.0))
            return self.value + error * moved

        return end(-reach) - self.bias, end(reach) + self.bias_of_other

    def spread(self) -> tuple[float, float]:
        """Standard error of the score, and the skewness of the influences."""
        second = third = 0.0
        for part in chunks(self.n):
            influence = self.influence(part)
            square = influence * influence
            second += float(square.sum())
            square *= influence  # no `@`: its threads wait for one another longer than this takes
            third += float(square.sum())
        variance = second / self.n
        if variance <= 1e-24 * max(1.0, self.value**2):
            return 0.0, 0.0
        return math.sqrt(variance / (self.n - 1)), third / self.n / variance**1.5


def _share(odds: float) -> float:
    return 1 / (1 + math.exp(-odds)) if odds > -700 else 0.0
