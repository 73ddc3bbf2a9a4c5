"""When a stream has left its ordinary course: an e-detector for each direction, and where the change began. Pure.

Shin, Ramdas, Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", 2022 (New England
Journal of Statistics in Data Science, 2023). For scores z of a steady stream, mean at most `margin` and inflation phi,
each factor exp(lambda (z - margin) - phi lambda^2 / 2) is an e-value, taken over the days and weeks that phi is the
variance of; its sum over all moments at which a change may have begun,

    M = (M + 1) exp(lambda (z - margin) - phi lambda^2 / 2)        (Shiryaev and Roberts)

has a mean of at most n after n windows. So an alarm at M >= c comes after c windows or more on average, however often
one looks; and so does one at sum(w M) >= c over streams with weights w of sum 1. M is averaged over changes of
different size: lambda = d / phi for d of `SIZES`, the best bet on a change of d scores.

The factor is an e-value when sums of scores have tails no heavier than the normal distribution's. A share in few rows
has, and so have days when some are storms; the bolder the bet, the more it wins by them. So lambda is at most
`Steady.boldest`: the boldest bet that the baseline itself bears out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log1p

from mlship.types.monitoring import Steady

#: Sizes of changes that are bet on, in standard deviations of a window's score.
SIZES = (0.25, 0.5, 1.0, 2.0, 4.0)
_NONE = (-math.inf,) * len(SIZES)
#: Of a year of 365.25 days.
_YEAR = 31_557_600.0


@dataclass(frozen=True, slots=True)
class Detector:
    """The natural logarithms of M, by `SIZES`; plain numbers that JSON holds. Empty before the first window."""

    up: tuple[float, ...] = ()
    down: tuple[float, ...] = ()
    windows: int = 0
    """Windows that counted."""


#: Nothing seen yet.
FRESH = Detector()


def step(state: Detector, score: float | None, steady: Steady) -> Detector:
    """Take in a window's score (`steady.score`); None, a window with too few rows, changes nothing."""
    if score is None:
        return state
    rise, fall = score - steady.margin, -score - steady.margin
    up, down = [], []
    bets = _bets(steady.inflation, steady.boldest)
    # log(exp(log) + 1), so that neither end overflows; written out, as this is most of what a look costs.
    for (bet, cost), high, low in zip(bets, state.up or _NONE, state.down or _NONE, strict=True):
        up.append((high + log1p(exp(-high)) if high > 0 else log1p(exp(high))) + bet * rise - cost)
        down.append((low + log1p(exp(-low)) if low > 0 else log1p(exp(low))) + bet * fall - cost)
    return Detector(tuple(up), tuple(down), state.windows + 1)


def evidence(state: Detector, weight: float) -> tuple[float, int]:
    """Log10 of weight * M for the direction of the larger M, and that direction: 1 for up, -1 for down.

    Minus infinity before the first window.
    """
    up, down = _mean(state.up), _mean(state.down)
    best, direction = (up, 1) if up >= down else (down, -1)
    return (best + math.log(weight)) / math.log(10), direction


def threshold(false_alarms: float, window: float) -> float:
    """Log10 of the c at which an alarm is given: windows a year over alarms a year.

    Parameters
    ----------
    false_alarms
        So many a year at most, on average, from what has not changed.
    window
        Its length in seconds.
    """
    return math.log10(max(1.0, _YEAR / window / false_alarms))


def change(scores: Sequence[float | None], steady: Steady, direction: int) -> int:
    """Where the change to the latest scores began: the index of the first window after it.

    The start k that makes a shift of unknown size from k until now likeliest: the largest C_k^2 / (2 phi n_k), with
    C_k the sum of (direction * z - margin) over the n_k scores since k, where that is positive. The last index when it
    nowhere is; 0 without scores.
    """
    best, found = 0.0, max(len(scores) - 1, 0)
    total, n = 0.0, 0
    for index in range(len(scores) - 1, -1, -1):
        score = scores[index]
        if score is None:
            continue
        total, n = total + direction * score - steady.margin, n + 1
        likelihood = total * total / n
        if total > 0 and likelihood >= best:
            best, found = likelihood, index
    return found


@lru_cache(maxsize=4096)
def _bets(inflation: float, boldest: float) -> tuple[tuple[float, float], ...]:
    """By `SIZES`: lambda, and phi lambda^2 / 2."""
    bets = [min(size / inflation, boldest) for size in SIZES]
    return tuple((bet, inflation * bet * bet / 2) for bet in bets)


def _mean(logs: tuple[float, ...]) -> float:
    """Log of the mean of exp."""
    if not logs:
        return -math.inf
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs) / len(logs))
