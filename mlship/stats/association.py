"""How well one column alone tells the label: the area under its ROC curve, and that area's like for numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FOLDS = 5
#: A column of numbers with at most this many distinct values may be codes, so it is also read as categories.
_MOST_CODES = 50
#: Concordance is exact, but its time grows faster than the rows; beyond this many, every k-th row stands for all.
_MOST_ROWS = 200_000


def auc(positive: NDArray[np.bool_], value: NDArray[np.float64]) -> float:
    """Chance that a positive row has the higher value, ties counted half (Mann & Whitney 1947); nan with one class."""
    from scipy.stats import rankdata

    n, hits = positive.size, int(positive.sum())
    if hits in {0, n}:
        return float("nan")
    return float((rankdata(value)[positive].sum() - hits * (hits + 1) / 2) / (hits * (n - hits)))


def numeric_auc(positive: NDArray[np.bool_], value: NDArray[np.float64]) -> float:
    """The area for a column of numbers in either direction; missing values count as lowest or highest, as tells more.

    A value that is only missing when the answer is "no" gives the answer away too.
    """
    import numpy as np

    missing = np.isnan(value)
    sides = (-np.inf, np.inf) if missing.any() else (0.0,)
    areas = [auc(positive, np.where(missing, side, value)) for side in sides]
    best = max(max(area, 1 - area) for area in areas)
    if np.unique(value[~missing]).size <= _MOST_CODES:
        _, codes = np.unique(np.where(missing, np.inf, value), return_inverse=True)
        best = max(best, category_auc(positive, codes))
    return float(best)


def category_auc(target: NDArray[Any], codes: NDArray[np.int64]) -> float:
    """The area for a column of categories 0..k-1, each row ranked by the mean target of its category in *other* rows.

    The means come from the other four of five folds (drawn with a fixed seed): a name that occurs once, such as an
    identifier, then tells nothing, where a mean over its own row would tell everything. For a numeric target the result
    is the concordance.
    """
    import numpy as np

    values = target.astype(float)
    fold = np.random.default_rng(0).permutation(values.size) % _FOLDS
    encoded = np.empty(values.size)
    for held_out in range(_FOLDS):
        rest = fold != held_out
        overall = values[rest].mean() if rest.any() else 0.0
        size = codes.max() + 1
        totals = np.bincount(codes[rest], weights=values[rest], minlength=size)
        counted = np.bincount(codes[rest], minlength=size)
        # One more row of the overall mean keeps a category of few rows from looking certain.
        means = (totals + overall) / (counted + 1)
        encoded[~rest] = means[codes[~rest]]
    return auc(target, encoded) if target.dtype == bool else concordance(values, encoded)


def concordance(target: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    """Chance that of two rows with different targets, the higher target has the higher value, ties counted half.

    Harrell's C = (1 + D) / 2 with Somers' D from Kendall's tau-b; with a target of two values it is the area under the
    ROC curve. nan when the target does not vary, a half when the value does not.
    """
    import numpy as np
    from scipy.stats import kendalltau

    step = -(-target.size // _MOST_ROWS)
    target, value = target[::step], value[::step]
    pairs = target.size * (target.size - 1) / 2
    untied_target, untied_value = pairs - _tied(target), pairs - _tied(value)
    if untied_target == 0:
        return float("nan")
    if untied_value == 0:
        return 0.5
    surplus = kendalltau(target, value).statistic * np.sqrt(untied_target) * np.sqrt(untied_value)
    return float((1 + surplus / untied_target) / 2)


def numeric_concordance(target: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    """The concordance of a column of numbers in either direction; missing values as in `numeric_auc`."""
    import numpy as np

    missing = np.isnan(value)
    sides = (-np.inf, np.inf) if missing.any() else (0.0,)
    found = [concordance(target, np.where(missing, side, value)) for side in sides]
    return float(max(max(one, 1 - one) for one in found))


def _tied(values: NDArray[np.float64]) -> float:
    import numpy as np

    _, sizes = np.unique(values, return_counts=True)
    return float((sizes.astype(float) * (sizes - 1) / 2).sum())
