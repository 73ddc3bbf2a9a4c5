"""Seeded bootstrap intervals: rows drawn again, or cells of a table drawn from their posterior."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    #: Takes weights of shape (b, n) and returns b values per statistic, shape (b, k).
    Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]

CONFIDENCE = 0.95
#: Numbers held in memory at once while resampling: a replicate of a usual data set then stays in the cache.
_BLOCK = 1 << 18
#: Groups of rows that the jackknife leaves out, one at a time.
_GROUPS = 100
#: Disjoint blocks of very many rows.
BLOCKS = 100


def counts(n: int, replicates: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each of `n` rows is drawn when `n` rows are drawn with replacement, as blocks of shape (b, n).

    The same seed gives the same draws, whatever else was computed before: two models, or two metrics, that are
    resampled with one seed see the same rows, which is what makes their comparison paired.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    block = max(1, min(replicates, _BLOCK // max(n, 1)))
    for start in range(0, replicates, block):
        size = min(block, replicates - start)
        drawn = np.empty((size, n))
        for row in drawn:
            row[:] = np.bincount(rng.integers(0, n, size=n), minlength=n)
        yield drawn


def resampled(n: int, replicates: int, seed: int, statistic: Statistic) -> NDArray[np.float64]:
    """`statistic` on each of `replicates` resamples of `n` rows, shape (replicates, k) (Efron 1979)."""
    import numpy as np

    return np.concatenate([statistic(drawn) for drawn in counts(n, replicates, seed)])


def posterior_cells(
    observed: NDArray[np.float64], prior: NDArray[np.float64], replicates: int, seed: int
) -> NDArray[np.float64]:
    """Weights of table cells drawn from their Dirichlet posterior, shape (replicates, cells), each summing to n.

    The Bayesian bootstrap (Rubin 1981) of rows that fall into few distinct cells, started from a prior of half a row
    instead of none. For a proportion this is Jeffreys' interval (Brown, Cai & DasGupta 2001): it does not collapse to
    a point when 40 of 40 were right, as drawing rows again would.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    drawn = rng.standard_gamma(observed + prior, size=(replicates, observed.size))
    return np.asarray(drawn * (observed.sum() / drawn.sum(axis=1, keepdims=True)), dtype=float)


def left_out(n: int, seed: int, statistic: Statistic) -> NDArray[np.float64]:
    """`statistic` with each of (at most) 100 random groups of rows left out, shape (groups, k): a grouped jackknife."""
    import numpy as np

    groups = min(n, _GROUPS)
    member = np.random.default_rng(seed).permutation(n) % groups
    return np.concatenate([statistic((member != group).astype(float)[None]) for group in range(groups)])


def interval(values: NDArray[np.float64], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Ends of the two-sided percentile interval of replicates; None when one replicate in 20 has no value."""
    import numpy as np

    defined = _defined(values)
    if defined is None:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def corrected_interval(
    values: NDArray[np.float64],
    estimate: float,
    jackknife: NDArray[np.float64],
    rows: int,
    confidence: float = CONFIDENCE,
) -> tuple[float, float] | None:
    """Ends of the bias-corrected and accelerated interval (BCa; Efron 1987) of resamples; None as in `interval`.

    `estimate` is the statistic of the data itself, `jackknife` what `left_out` gives. `rows` is the number of rows that
    carry the statistic (for classes: of the rarest); with few of them the interval is widened as Student's t is
    (Hesterberg 2015). For 100 to 300 rows of a skewed score, the plain percentile interval misses on its lower side,
    which is the side that is judged, three times as often as it says; this one does not.
    """
    import numpy as np
    from scipy.stats import norm, t

    defined = _defined(values)
    if defined is None:
        return None
    below = np.clip(np.mean(defined < estimate) + np.mean(defined == estimate) / 2, 1 / defined.size, None)
    bias = norm.ppf(min(below, 1 - 1 / defined.size))
    known = jackknife[np.isfinite(jackknife)]
    deviation = known.mean() - known if known.size else np.zeros(1)
    spread = float((deviation**2).sum()) ** 1.5
    acceleration = float((deviation**3).sum()) / (6 * spread) if spread > 0 else 0.0
    few = max(rows, 2)
    reach = t.ppf((1 + confidence) / 2, few - 1) * math.sqrt(few / (few - 1))
    shifted = bias + np.array([-reach, reach])
    low, high = np.quantile(defined, norm.cdf(bias + shifted / np.maximum(1 - acceleration * shifted, 0.1)))
    return float(low), float(high)


def normal_interval(
    values: NDArray[np.float64], estimate: float, rows: int, confidence: float
) -> tuple[float, float] | None:
    """Ends by the standard error of replicates that are too few for the tails; None as in `interval`.

    Replicates that all lie between 0 and 1 are taken for shares, and by their log odds, around their own mean. `rows`
    carry the statistic: few of them, or few replicates, widen the interval as Student's t is.
    """
    import numpy as np
    from scipy.stats import t

    defined = _defined(values)
    if defined is None or defined.size < 2:
        return None
    few = max(rows, 2)
    reach = float(t.ppf((1 + confidence) / 2, min(few, defined.size) - 1) * math.sqrt(few / (few - 1)))
    if defined.min() > 0 and defined.max() < 1:
        odds = np.log(defined / (1 - defined))
        ends = odds.mean() + np.array([-reach, reach]) * odds.std(ddof=1)
        low, high = 1 / (1 + np.exp(-ends))
        return float(low), float(high)
    step = reach * float(defined.std(ddof=1))
    return estimate - step, estimate + step


def blocks(n: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """The rows 0 to n dealt at random into 100 disjoint blocks, each in order."""
    import numpy as np

    member = np.random.default_rng(seed).integers(0, BLOCKS, n, dtype=np.uint8)
    order = np.argsort(member, kind="stable")
    ends = np.cumsum(np.bincount(member, minlength=BLOCKS))
    yield from np.split(order, ends[:-1])


def block_interval(
    values: NDArray[np.float64], estimate: float, confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Ends by the spread over disjoint blocks of rows: `estimate +- t sd / sqrt(blocks)`; None as in `interval`.

    One pass over very many rows where resampling would take hundreds (batch means; Student's t with blocks - 1 degrees
    of freedom).
    """
    from scipy.stats import t

    defined = _defined(values)
    if defined is None or defined.size < 2:
        return None
    step = float(t.ppf((1 + confidence) / 2, defined.size - 1) * defined.std(ddof=1) / math.sqrt(defined.size))
    return estimate - step, estimate + step


def _defined(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    import numpy as np

    defined = values[np.isfinite(values)]
    return None if defined.size < 0.95 * values.size or not defined.size else defined


def unseen_share(n: int, confidence: float = CONFIDENCE) -> float:
    """Largest share of rows that may be otherwise although `n` rows out of `n` were alike (the "rule of three").

    The upper end of the exact two-sided interval for 0 of n (Clopper & Pearson 1934): 1 - ((1 - confidence) / 2)^(1/n).
    """
    return 1.0 if n <= 0 else 1 - ((1 - confidence) / 2) ** (1 / n)


def rows_needed(n: int, value: float, end: float, limit: float) -> int | None:
    """About how many rows would bring the interval's `end` to `limit`, if `value` stays; None when no number would.

    The width of an interval shrinks with the square root of the rows: N = n ((value - end) / (value - limit))^2,
    rounded up to two digits.
    """
    if value == limit or not math.isfinite((value - end) / (value - limit)):
        return None
    wanted = n * ((value - end) / (value - limit)) ** 2
    if wanted > 1e9:
        return None
    digit: int = 10 ** max(0, math.floor(math.log10(max(wanted, 1))) - 1)
    return math.ceil(wanted / digit) * digit
