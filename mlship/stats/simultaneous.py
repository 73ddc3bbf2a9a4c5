"""Many groups at once: shares, ratios and means of each group, with intervals at any confidence.

Looking at m groups, some look bad by chance. Intervals at confidence `1 - 0.05 / m` (Bonferroni) hold the truth of all
of them together in at least 95 of 100 evaluations, however the groups overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Ends = tuple[Array, Array]

#: Rows that the intervals start from instead of none, spread over the kinds of rows that matter.
_PRIOR = 2.0


@dataclass(frozen=True, eq=False)
class Estimate:
    """One figure for each of `g` groups."""

    value: Array
    """Shape (g,); nan where it is not defined."""
    support: Array
    """Rows that carry the figure (of a recall: the positive ones), shape (g,)."""
    ends: Callable[[float], Ends]
    """Lower and upper ends of the two-sided intervals at a confidence, each of shape (g,)."""


@dataclass(frozen=True, eq=False)
class Ratios:
    """A figure of a table of counts: the mean over `r` ratios of sums of counts, such as a recall per class.

    A table has `t` kinds of rows, such as "label 1, predicted 0".
    """

    above: Array
    """What a row of each kind adds to the numerators, shape (r, t)."""
    below: Array
    """What it adds to the denominators, shape (r, t)."""
    present: Array
    """A ratio counts for a group where this sum is not zero, shape (r, t); a present ratio of 0/0 is 0."""

    def value(self, counts: Array) -> Array:
        """For counts of shape (g, t): shape (g,); nan where no ratio is present."""
        ratios, weights = self._parts(counts)
        return (ratios * weights).sum(axis=1)  # type: ignore[no-any-return]  # numpy's sum of an array is Any

    def influence(self, counts: Array) -> Array:
        """By how much one row of each kind moves the value, times the number of rows; shape (g, t)."""
        import numpy as np

        ratios, weights = self._parts(counts)
        below = counts @ self.below.T
        scale = np.divide(weights, below, out=np.zeros_like(below), where=below > 0)
        return np.asarray(scale @ self.above - (scale * ratios) @ self.below)

    def _parts(self, counts: Array) -> tuple[Array, Array]:
        """The ratios, and the weight of each in the mean; both of shape (g, r)."""
        import numpy as np

        below = counts @ self.below.T
        ratios = np.divide(counts @ self.above.T, below, out=np.zeros_like(below), where=below > 0)
        present = (counts @ self.present.T > 0).astype(float)
        with np.errstate(invalid="ignore"):
            return ratios, present / present.sum(axis=1, keepdims=True)

    @property
    def is_share(self) -> bool:
        """Whether it is one share of rows."""
        return len(self.above) == 1 and set(self.below.ravel()) <= {0, 1} and bool((self.above <= self.below).all())


def jeffreys(hits: Array, n: Array, confidence: float) -> Ends:
    """Jeffreys' interval of the share `hits / n` (Brown, Cai & DasGupta 2001); 0 and 1 when the share is."""
    import numpy as np
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = np.where(hits > 0, beta.ppf(tail, hits + 0.5, n - hits + 0.5), 0.0)
    high = np.where(hits < n, beta.ppf(1 - tail, hits + 0.5, n - hits + 0.5), 1.0)
    return low, high


def ratio(counts: NDArray[Any], of: Ratios) -> Estimate:
    """The figure of each group from its counts, shape (g, t).

    A share gets Jeffreys' interval; a mean of ratios the delta method's on the logit scale, started from two rows.
    """
    import numpy as np

    counts = np.asarray(counts, dtype=float)
    value = of.value(counts)
    support = counts @ (of.below > 0).any(axis=0)
    if of.is_share:
        hits, n = counts @ of.above[0], counts @ of.below[0]
        return Estimate(value, support, lambda confidence: jeffreys(hits, n, confidence))
    smooth = counts + _prior(of)
    centre = np.clip(of.value(smooth), 1e-12, 1 - 1e-12)
    error = np.sqrt((smooth * of.influence(smooth) ** 2).sum(axis=1)) / (centre * (1 - centre))

    def ends(confidence: float) -> Ends:
        reach = _normal(confidence) * error
        logit = np.log(centre / (1 - centre))
        low, high = 1 / (1 + np.exp(reach - logit)), 1 / (1 + np.exp(-reach - logit))
        return np.fmin(low, value), np.fmax(high, value)

    return Estimate(value, support, ends)


def ratio_difference(counts: NDArray[Any], ours: Ratios, theirs: Ratios) -> Estimate:
    """Our figure minus theirs on the same rows, by the delta method, started from two rows (Agresti & Min 2005)."""
    import numpy as np

    counts = np.asarray(counts, dtype=float)
    value = ours.value(counts) - theirs.value(counts)
    carries = (ours.below > 0).any(axis=0) | (theirs.below > 0).any(axis=0)
    smooth = counts + _PRIOR * carries / max(carries.sum(), 1)
    centre = ours.value(smooth) - theirs.value(smooth)
    moved = ours.influence(smooth) - theirs.influence(smooth)
    return Estimate(value, counts @ carries, _around(value, centre, np.sqrt((smooth * moved**2).sum(axis=1))))


def mean(n: Array, powers: Array, *, root: bool = False) -> Estimate:
    """The mean of one number per row in each group, or its square root.

    `powers` holds the sums of the numbers, their squares and their cubes, shape (3, g). The interval is Student's,
    shifted for skewness by the Cornish-Fisher expansion (Hall 1992): errors of numbers have long tails.
    """
    import numpy as np
    from scipy.stats import t

    with np.errstate(invalid="ignore", divide="ignore"):
        average, square, cube = powers / n
        variance = np.maximum(square - average**2, 0)
        skew = np.where(variance > 0, (cube - 3 * average * square + 2 * average**3) / variance**1.5, 0.0)
        error = np.sqrt(variance / np.maximum(n - 1, 1))

    def ends(confidence: float) -> Ends:
        reach = t.ppf((1 + confidence) / 2, np.maximum(n - 1, 1))
        shift = skew * (2 * reach**2 + 1) / (6 * np.sqrt(np.maximum(n, 1)))
        low, high = average + error * (np.minimum(shift, reach) - reach), average + error * (reach + shift)
        low, high = np.asarray(np.fmin(low, average)), np.asarray(np.fmax(high, average))
        return (_root(low), _root(high)) if root else (low, high)

    return Estimate(_root(average) if root else average, n, ends)


def _root(values: Array) -> Array:
    import numpy as np

    return np.asarray(np.sqrt(np.maximum(values, 0)))


def root_difference(n: Array, ours: Array, theirs: Array, product: Array) -> Estimate:
    """The square root of our mean minus the square root of theirs, paired, by the delta method.

    `ours` and `theirs` are powers as in `mean`, `product` the sums of our number times theirs.
    """
    import numpy as np

    with np.errstate(invalid="ignore", divide="ignore"):
        (a, aa, _), (b, bb, _) = ours / n, theirs / n
        ra, rb = np.sqrt(np.maximum(a, 0)), np.sqrt(np.maximum(b, 0))
        spread = (aa - a**2) / (4 * a) + (bb - b**2) / (4 * b) - (product / n - a * b) / (2 * ra * rb)
        error = np.sqrt(np.maximum(np.nan_to_num(spread), 0) / np.maximum(n - 1, 1))
    return Estimate(ra - rb, n, _around(ra - rb, ra - rb, error))


def spread(value: Array, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """All differences between two groups: value, lower and upper end, each of shape (g, g): row minus column.

    Ends by the method of variance estimates recovery from the groups' own ends (MOVER; Newcombe 1998, Zou & Donner
    2008). For simultaneous ends, give ends at the confidence of that many differences.
    """
    import numpy as np

    difference = value[:, None] - value[None, :]
    down, up = (value - low) ** 2, (high - value) ** 2
    return (
        difference,
        difference - np.sqrt(down[:, None] + up[None, :]),
        difference + np.sqrt(up[:, None] + down[None, :]),
    )


def rescaled(value: Array, low: Array, high: Array, confidence: float) -> Callable[[float], Ends]:
    """Ends at any confidence, from ends at one, as if the figure were normal on either side of its value."""

    def ends(wanted: float) -> Ends:
        factor = _normal(wanted) / _normal(confidence)
        return value - (value - low) * factor, value + (high - value) * factor

    return ends


def _around(value: Array, centre: Array, error: Array) -> Callable[[float], Ends]:
    import numpy as np

    def ends(confidence: float) -> Ends:
        reach = _normal(confidence) * error
        return np.asarray(np.fmin(centre - reach, value)), np.asarray(np.fmax(centre + reach, value))

    return ends


def _prior(of: Ratios) -> Array:
    import numpy as np

    carries = (of.below > 0).any(axis=0)
    return np.asarray(_PRIOR * carries / max(int(carries.sum()), 1), dtype=float)


def _normal(confidence: float) -> Any:
    from scipy.stats import norm

    return norm.ppf((1 + confidence) / 2)
