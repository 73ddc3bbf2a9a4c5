"""How a figure of a window behaves while nothing has moved, and how unusual a new one is: a score of about N(0, 1).

What is learned of the baseline's own windows: what to expect at each time of the day and week, the quantiles of what
is left, and how alike neighbouring windows are. Asking for a score loads no numpy; only learning does.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from mlship.types.monitoring import Steady

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: No score is further from 0.
LARGEST = 8.0
#: Knots of the map from residuals to scores.
_KNOTS = 41
#: No baseline is surer than this of what it expects, in scores.
_MARGIN = 0.05
_LEAST_WINDOWS = 30
#: Fewer do not tell how alike whole days are: after two days of baseline, false alarms came 20 times too often.
_LEAST_DAYS = 14


def cells(season: Sequence[str]) -> int:
    """How many cells a season has: 1, 7 (weekday), 24 (hour) or 168."""
    return (24 if "hour" in season else 1) * (7 if "weekday" in season else 1)


def cell(at: float, season: Sequence[str], zone: str) -> int:
    """The cell of a moment, by the clock of a time zone: the hour, the weekday (Monday is 0), or 24 weekday + hour.

    Parameters
    ----------
    at
        Unix time of a window's middle.
    """
    if not season:
        return 0
    local = datetime.fromtimestamp(at, ZoneInfo(zone))
    hour, weekday = local.hour if "hour" in season else 0, local.weekday() if "weekday" in season else 0
    return weekday * (24 if "hour" in season else 1) + hour


def learn(
    values: Sequence[float],
    rows: Sequence[int],
    cell_of: Sequence[int],
    count_of_cells: int,
    *,
    noise: float,
    a_day: int,
) -> Steady | None:
    """What a stream of the baseline does from window to window.

    Parameters
    ----------
    values, rows, cell_of
        By window, in the order of time: the figure, the rows behind it (at least 1), the cell of the season.
    noise
        Variance of one row's score in the baseline. It is taken as at least what one more row of another score would
        make it (Laplace), so that a first missing cell among millions is unusual, and not infinitely so.
    a_day
        Windows of a usual day.

    Returns
    -------
    Steady or None
        None for fewer than 30 windows, or less than 14 days of them.
    """
    import numpy as np

    count = len(values)
    if count < max(_LEAST_WINDOWS, _LEAST_DAYS * a_day):
        return None
    x, n, place = np.asarray(values, float), np.asarray(rows, float), np.asarray(cell_of, np.int64)
    expected, leverage = _expectation(x, place, count_of_cells, np.arange(count) // max(1, a_day))
    # What a window is off by, had it not been learned from itself.
    residuals = np.round((x - expected[place]) / (1 - np.minimum(leverage, 0.5)), 12)
    usual = float(np.median(n))
    noise = max(noise, 1 / (float(n.sum()) + 1))
    steady = Steady(tuple(expected.tolist()), (0.0,), (0.0,), 0.0, 1.0, _MARGIN, usual, noise, count)
    steady = replace(steady, spread=_spread(steady, residuals))
    alike = residuals / np.array([_scale(steady, rows) for rows in n.tolist()])
    steady = replace(steady, spread=_spread(steady, alike))
    knots, scores = _normal_scores(alike)
    steady = replace(steady, knots=knots, scores=tuple(map(_nearer, scores, (knot / steady.spread for knot in knots))))
    found = zip(residuals.tolist(), n.tolist(), strict=True)
    z = np.array([_mapped(steady, residual, rows) for residual, rows in found])
    centre = float(z.mean())
    inflation = _inflation(z - centre, a_day)
    # One standard error of a variance that so many stretches tell which are about independent (Bartlett).
    inflation *= 1 + math.sqrt(2 * inflation / count)
    margin = max(_MARGIN, math.sqrt(inflation / count))
    return replace(
        steady,
        scores=tuple(score - centre for score in steady.scores),
        inflation=inflation,
        margin=margin,
        boldest=_boldest(z - centre, a_day, inflation, margin),
    )


def score(steady: Steady, value: float, rows: int, cell: int) -> float:
    """How unusual a window's figure is: about standard normal while nothing has moved, between -8 and 8.

    Beyond the baseline's own residuals it goes on by standard deviations; there, one row more or less counts for at
    most 1. Of a window with fewer rows than usual, the residual is held against the larger spread that it then has.
    """
    return _mapped(steady, value - steady.expected[cell], float(rows))


def _mapped(steady: Steady, residual: float, rows: float) -> float:
    scale = _scale(steady, rows)
    at, knots = residual / scale, steady.knots
    if knots[0] < at < knots[-1]:
        above = bisect_left(knots, at)
        share = (at - knots[above - 1]) / (knots[above] - knots[above - 1])
        found = steady.scores[above - 1] + share * (steady.scores[above] - steady.scores[above - 1])
    else:
        end = 0 if at <= knots[0] else -1
        # A score of one more needs as much as the scores up to there did on average: more than `spread` of a long tail.
        so_far = knots[end] / steady.scores[end] if knots[end] * steady.scores[end] > 0 else 0.0
        found = steady.scores[end] + (at - knots[end]) / max(steady.spread, 1 / rows / scale, so_far)
    return max(-LARGEST, min(LARGEST, found))


def _scale(steady: Steady, rows: float) -> float:
    """How many times as much as usual the figure of a window of so few rows strays; at least 1."""
    sampling = steady.noise / steady.rows
    between = max(0.0, steady.spread**2 - sampling)
    return math.sqrt((between + steady.noise / min(rows, steady.rows)) / (between + sampling))


def _spread(steady: Steady, residuals: NDArray[np.float64]) -> float:
    """Their standard deviation, and at least that of independent rows."""
    return max(float(residuals.std()), math.sqrt(steady.noise / steady.rows))


def _nearer(one: float, other: float) -> float:
    """What two ways to score a residual agree on: its rank, and its size in standard deviations.

    The rank says less of a long tail than the size does. The size says less where windows are more alike than
    independent rows would make them (timetables are): it would be no drift if that came to an end.
    """
    return math.copysign(min(abs(one), abs(other)), one) if one * other > 0 else 0.0


def _expectation(
    x: NDArray[np.float64], place: NDArray[np.int64], count: int, day: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean by cell, shape (cells,), and for each window its own weight in that, shape (windows,).

    A cell's mean is drawn to that of its hour, and an hour's to that of all, as far as days differ more than cells do.
    """
    import numpy as np

    found = np.full(count, x.mean()), np.full(len(x), 1 / len(x))
    groups = [np.arange(count) % 24, np.arange(count)] if count > 24 else [np.arange(count)]
    for group in groups if count > 1 else []:
        found = _drawn(x, place, group, day, found)
    return found


def _drawn(
    x: NDArray[np.float64],
    place: NDArray[np.int64],
    group: NDArray[np.int64],
    day: NDArray[np.int64],
    above: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means by group of cells, each drawn to its parent's by the share of its own variance (empirical Bayes).

    What counts as one observation is a day of a group: windows of one day are alike. Morris, "Parametric empirical
    Bayes inference", Journal of the American Statistical Association 78, 1983, with the moments' estimate.
    """
    import numpy as np

    (parent, leverage), size = above, int(group.max()) + 1
    _, unit, windows = np.unique(group[place] * (int(day.max()) + 1) + day, return_inverse=True, return_counts=True)
    means = np.bincount(unit, weights=x) / windows
    owner = np.zeros(len(windows), np.int64)
    owner[unit] = group[place]
    days = np.bincount(owner, minlength=size)
    there = days > 0
    mean = np.bincount(owner, weights=means, minlength=size) / np.maximum(days, 1)
    before = np.zeros(size)
    before[group] = parent
    freedom = len(means) - int(there.sum())
    if not freedom:  # no cell has been seen twice
        return parent, leverage
    within = float(((means - mean[owner]) ** 2).sum()) / freedom
    apart = (mean - before)[there] ** 2 - within / days[there]
    between = max(0.0, float(apart.mean()))
    weight = np.where(there, days / (days + within / between), 0.0) if between else np.zeros(size)
    drawn = before + weight * (mean - before)
    own = weight[group[place]] / np.maximum(days[group[place]], 1) / windows[unit]
    return drawn[group], own + (1 - weight[group[place]]) * leverage


def _normal_scores(residuals: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Residuals, ascending, and the mean of the standard normal distribution over the quantiles that each takes up."""
    import numpy as np
    from scipy.stats import norm

    distinct, times = np.unique(residuals, return_counts=True)
    until = np.cumsum(times) / len(residuals)
    density = norm.pdf(norm.ppf(np.append(0.0, until)))  # 0 at both ends
    scores = -np.diff(density) / (times / len(residuals))
    if len(distinct) > _KNOTS:
        wanted = np.linspace(scores[0], scores[-1], _KNOTS)
        some = np.unique(np.clip(np.searchsorted(scores, wanted), 0, len(scores) - 1))
        distinct, scores = distinct[some], scores[some]
    return tuple(distinct.tolist()), tuple(scores.tolist())


def _inflation(z: NDArray[np.float64], a_day: int) -> float:
    """The largest variance of a sum of n successive scores, divided by n, over n up to a week; at least 1.

    Sums of n of all N scores about their own mean vary less than those about the true mean, by the factor 1 - n/N.
    Sums of more than a quarter of the baseline are too few to tell.
    """
    import numpy as np

    total = np.append(0.0, np.cumsum(z))
    largest = 1.0
    for n in sorted({1, 2, 4, 8, a_day, 2 * a_day, 7 * a_day}):
        if n == 1 or n <= len(z) // 4:
            sums = total[n:] - total[:-n]
            largest = max(largest, float(np.square(sums).mean()) / n / (1 - n / len(z)))
    return largest


def _boldest(z: NDArray[np.float64], a_day: int, inflation: float, margin: float) -> float:
    """The largest lambda up to 1 at which a record does not win more than it is rare.

    A record is a sum of n scores, of up to two days and up or down, a quarter larger than the largest of the baseline's
    N/n such stretches. As many that follow have one above the largest as likely as not: so the record's factor may be
    about N/n (and e times that, as the largest of normal variables would often be refused without).
    """
    boldest = 1.0
    for n in sorted({1, 2, 4, 8, a_day, 2 * a_day}):
        stretches = len(z) // n
        if stretches < 4 and n > 1:
            continue
        sums = z[: stretches * n].reshape(stretches, n).sum(axis=1)
        largest = 1.25 * max(float(sums.max()), -float(sums.min())) - n * margin
        rare = math.log(1 + stretches) + 1
        # lambda largest - n inflation lambda^2 / 2 = rare, at its smaller root; without one, no bet wins so much.
        under = largest * largest - 2 * n * inflation * rare
        if largest > 0 and under > 0:
            boldest = min(boldest, (largest - math.sqrt(under)) / (n * inflation))
    return boldest
