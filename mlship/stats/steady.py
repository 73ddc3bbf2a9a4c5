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
_LEAST_DAYS = 2


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
        Variance of one row's share in the figure.
    a_day
        Windows of a usual day.

    Returns
    -------
    Steady or None
        None for fewer than 30 windows, or less than two days of them.
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
    # One more row than the baseline has, and as far off as can be (Laplace): what never varied may do so once.
    noise = max(noise, 1 / (float(n.sum()) + 1))
    spread = max(float(residuals.std()), math.sqrt(noise / usual))
    steady = Steady(tuple(expected.tolist()), (0.0,), (0.0,), spread, 1.0, _MARGIN, usual, noise, count)
    knots, scores = _normal_scores(residuals / np.array([_scale(steady, rows) for rows in n.tolist()]))
    steady = replace(steady, knots=knots, scores=scores)
    found = zip(residuals.tolist(), n.tolist(), strict=True)
    z = np.array([_mapped(steady, residual, rows) for residual, rows in found])
    centre = float(z.mean())
    inflation = _inflation(z - centre, a_day)
    return replace(
        steady,
        scores=tuple(score - centre for score in scores),
        inflation=inflation,
        margin=max(_MARGIN, math.sqrt(inflation / count)),
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
    unit = max(steady.spread, 1 / rows / scale)
    if at >= knots[-1]:
        found = steady.scores[-1] + (at - knots[-1]) / unit
    elif at <= knots[0]:
        found = steady.scores[0] + (at - knots[0]) / unit
    else:
        above = bisect_left(knots, at)
        share = (at - knots[above - 1]) / (knots[above] - knots[above - 1])
        found = steady.scores[above - 1] + share * (steady.scores[above] - steady.scores[above - 1])
    return max(-LARGEST, min(LARGEST, found))


def _scale(steady: Steady, rows: float) -> float:
    """How many times as much as usual the figure of a window of so few rows strays; at least 1."""
    sampling = steady.noise / steady.rows
    between = max(0.0, steady.spread**2 - sampling)
    return math.sqrt((between + steady.noise / min(rows, steady.rows)) / (between + sampling))


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

    A sum of n of all N scores about their own mean varies less than one about the true mean, by the factor 1 - n/N.
    Sums of more than a quarter of the baseline are too few to tell.
    """
    import numpy as np

    total = np.append(0.0, np.cumsum(z))
    largest = 1.0
    for n in sorted({1, 2, 4, 8, a_day, 2 * a_day, 7 * a_day}):
        if n <= len(z) // 4 or n == 1:
            sums = total[n:] - total[:-n]
            largest = max(largest, float(np.square(sums).mean()) / n / (1 - n / len(z)))
    return largest
