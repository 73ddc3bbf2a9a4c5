"""One scikit-learn scorer on two models' predictions of the same rows, with paired 95 % intervals."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from mlship.gates.base import Predictions
from mlship.gates.side import Array, Scorer, Side, close, same, spoilt
from mlship.stats import bootstrap, weighted
from mlship.types import Measurement

SOURCE = "paired bootstrap"
#: Replicates where one costs microseconds, and where it costs a call of scikit-learn, which is milliseconds. The number
#: never depends on the clock: the same rows get the same figures.
_REPLICATES = 1000
_GENERAL = 300
_FEWEST_REPLICATES = 200
#: Largest number of classes whose table of (label, candidate, champion) is resampled as a table.
_MOST_CLASSES = 12


@dataclass(frozen=True, slots=True)
class Compared:
    """A metric of candidate and champion, and candidate minus champion; the latter two None without a champion."""

    candidate: Measurement
    champion: Measurement | None
    difference: Measurement | None


def compare(metric: str, label: Array, candidate: Predictions, champion: Predictions | None, seed: int) -> Compared:
    """Score the stored predictions of both models by scikit-learn's scorer `metric`.

    Raises ``ValueError`` (``AttributeError``, ``TypeError``) in scikit-learn's words when the scorer does not fit the
    task or the model, such as one that wants probabilities of a model without.
    """
    import numpy as np
    from sklearn.metrics import cluster, get_scorer

    scorer: Scorer = get_scorer(metric)
    if hasattr(cluster, metric) and candidate.classes is None and np.issubdtype(label.dtype, np.floating):
        raise ValueError("it compares groups, and the labels are numbers")
    sides = [Side.of(label, model) for model in (candidate, champion) if model is not None]
    rows = np.arange(len(label))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a metric that is undefined on one resample is nothing a user can act on
        values = [side.score(scorer, rows) for side in sides]
        alike = same(candidate, champion)
        if alike:
            drawn = _replicates(metric, scorer, sides[:1], values[:1], seed)
            drawn = np.repeat(drawn, 2, axis=1)
        else:
            drawn = _replicates(metric, scorer, sides, values, seed)
        ends = [_ends(scorer, side, value, own) for side, value, own in zip(sides, values, drawn.T, strict=True)]
    measured = [_measurement(metric, value, end, len(label)) for value, end in zip(values, ends, strict=True)]
    if len(sides) == 1:
        return Compared(measured[0], None, None)
    return Compared(
        measured[0],
        measured[1],
        _difference(metric, values, ends, drawn, alike=alike, n=len(label)),
    )


def _replicates(metric: str, scorer: Scorer, sides: list[Side], values: list[float], seed: int) -> Array:
    """Values of all sides on the same resamples, shape (replicates, sides), by the cheapest way that is exact here."""
    import numpy as np

    n = len(sides[0].label)
    whole = np.arange(n)
    used = sides[0].scored(scorer, whole)[1]
    weighable = all(side.weighable(scorer) for side in sides)
    if used == {"predict"} and weighable and all(side.classes is not None for side in sides):
        cells = _cells(metric, scorer, sides, values, seed)
        if cells is not None:
            return cells
    quick = [_quick(metric, side) for side in sides]
    if all(
        score is not None and close(float(score(np.ones((1, n)))[0]), value)
        for score, value in zip(quick, values, strict=True)
    ):
        exact = [score for score in quick if score is not None]
        return bootstrap.resampled(
            n, _affordable(n, most=_REPLICATES), seed, lambda w: np.stack([score(w) for score in exact], axis=1)
        )
    if weighable:
        return bootstrap.resampled(n, _affordable(n, most=_GENERAL), seed, partial(_each, scorer, sides, weigh=True))
    return bootstrap.resampled(n, _affordable(n, most=_GENERAL), seed, partial(_each, scorer, sides, weigh=False))


def _affordable(n: int, most: int) -> int:
    """Fewer replicates for very many rows, where an interval is narrow anyway."""
    return max(_FEWEST_REPLICATES, min(most, int(1e8 / max(n, 1))))


def _each(scorer: Scorer, sides: list[Side], weights: Array, *, weigh: bool) -> Array:
    """The scorer itself on each resample: by weights, or by repeating the rows."""
    import numpy as np

    values = np.full((len(weights), len(sides)), np.nan)
    for i, drawn in enumerate(weights):
        chosen = np.flatnonzero(drawn)
        rows = chosen if weigh else np.repeat(chosen, drawn[chosen].astype(int))
        for j, side in enumerate(sides):
            try:
                values[i, j] = side.score(scorer, rows, drawn[chosen] if weigh else None)
            except ValueError:  # a class is absent from this resample: it has no value there
                continue
    return values


def _quick(metric: str, side: Side) -> weighted.Score | None:
    """A many-weights version of the scorer, where there is one for this task."""
    if side.classes is not None:
        return None if side.scores is None else _quick_for_classes(metric, side.label, side.classes, side.scores)
    return _quick_for_numbers(metric, side)


def _quick_for_numbers(metric: str, side: Side) -> weighted.Score | None:
    import numpy as np

    if not np.issubdtype(side.label.dtype, np.number):
        return None
    label, predicted = side.label.astype(float), side.values.astype(float)
    error = label - predicted
    known: dict[str, Callable[[], weighted.Score]] = {
        "neg_mean_absolute_error": lambda: weighted.mean_of(-np.abs(error)),
        "neg_mean_squared_error": lambda: weighted.mean_of(-(error**2)),
        "neg_root_mean_squared_error": lambda: weighted.mean_of(error**2, lambda mean: -np.sqrt(mean)),
        "r2": lambda: weighted.r2(label, predicted),
    }
    return known[metric]() if metric in known else None


def _quick_for_classes(metric: str, label: Array, classes: Array, scores: Array) -> weighted.Score | None:
    """Two classes: by the second one's score. More: each class against the rest, averaged as scikit-learn does."""
    import numpy as np

    ranked = {"average_precision": weighted.average_precision}
    ranked |= dict.fromkeys(("roc_auc", "roc_auc_ovr", "roc_auc_ovr_weighted"), weighted.roc_auc)
    binary = len(classes) == 2
    if binary and metric in ranked:
        return ranked[metric](label == classes[1], scores if scores.ndim == 1 else scores[:, 1])
    if scores.ndim != 2 or scores.min() < 0 or scores.max() > 1:
        return None
    truth = label[:, None] == classes
    if metric in ranked and metric != "roc_auc":
        columns = [ranked[metric](truth[:, k], scores[:, k]) for k in range(len(classes))]
        return weighted.average_of(columns, truth.astype(float) if metric.endswith("weighted") else None)
    if metric == "neg_brier_score":
        return weighted.mean_of(-((truth - scores) ** 2).sum(axis=1) / (2 if binary else 1))
    if metric == "neg_log_loss":
        tiny = np.finfo(scores.dtype).eps
        return weighted.mean_of(np.log(np.clip((truth * scores).sum(axis=1), tiny, 1 - tiny)))
    return None


def _cells(metric: str, scorer: Scorer, sides: list[Side], values: list[float], seed: int) -> Array | None:
    """Replicates for a scorer that only looks at classes: the table of (label, candidate, champion) is resampled.

    None when the table would be too large.
    """
    import numpy as np

    names, codes = np.unique(np.concatenate([sides[0].label, *(side.values for side in sides)]), return_inverse=True)
    label, *chosen = codes.reshape(1 + len(sides), -1)
    k = len(names)
    if k > _MOST_CLASSES or k < 2:
        return None
    real = np.unique(label)
    own = [np.union1d(real, column) for column in chosen]
    grid = np.stack([axis.ravel() for axis in np.meshgrid(real, *own, indexing="ij")])
    observed = np.zeros((k,) * (1 + len(sides)))
    np.add.at(observed, (label, *chosen), 1)
    # Half a row for the right class and half a row over the wrong ones, for each true label: Jeffreys' prior.
    prior = np.ones(grid.shape[1])
    for column, possible in zip(grid[1:], own, strict=True):
        prior *= np.where(column == grid[0], 0.5, 0.5 / max(len(possible) - 1, 1))
    quick = [weighted.from_confusion(metric, grid[0], column, k) for column in grid[1:]]
    binary = k == 2 and names.tolist() == [0, 1]
    actual = observed[tuple(grid)]
    exact = [score for score in quick if score is not None and (binary or "_" in metric or metric == "accuracy")]
    if len(exact) < len(sides) or not all(
        close(float(score(actual[None])[0]), value) for score, value in zip(exact, values, strict=True)
    ):
        small = [
            replace(side, label=names[grid[0]], values=names[column], scores=None)
            for side, column in zip(sides, grid[1:], strict=True)
        ]
        drawn = bootstrap.posterior_cells(actual, prior, _GENERAL, seed)
        return _each(scorer, small, drawn, weigh=True)
    drawn = bootstrap.posterior_cells(actual, prior, 2 * _REPLICATES, seed)
    return np.stack([score(drawn) for score in exact], axis=1)


def _ends(scorer: Scorer, side: Side, value: float, drawn: Array) -> tuple[float, float] | None:
    """The interval's ends; one that collapsed to a point is widened by what so few rows cannot exclude."""
    found = bootstrap.interval(drawn)
    if found is None:
        return None
    low, high = found
    if high - low > 1e-12 * max(1.0, abs(value)):
        return min(low, value), max(high, value)
    try:
        worst = spoilt(scorer, side)
    except (TypeError, ValueError):
        return None
    return min(low, worst), max(high, worst)


def _measurement(metric: str, value: float, ends: tuple[float, float] | None, n: int) -> Measurement:
    import math

    if not math.isfinite(value):
        return Measurement(metric, None, n=n, source=SOURCE, reason=f"{metric} is not defined on these rows")
    if ends is None:
        reason = f"{metric} is {value:.3g}, but too few rows carry it for an interval"
        return Measurement(metric, None, n=n, source=SOURCE, reason=reason)
    return Measurement(metric, value, *ends, n=n, source=SOURCE)


def _difference(
    metric: str, values: list[float], ends: list[tuple[float, float] | None], drawn: Array, *, alike: bool, n: int
) -> Measurement:
    """Candidate minus champion. Two models that said the same about every row differ by nothing, exactly."""
    name = f"{metric} difference"
    if alike:
        return Measurement(name, 0.0, 0.0, 0.0, n, SOURCE, "both models give the same predictions on every row")
    value = values[0] - values[1]
    found = bootstrap.interval(drawn[:, 0] - drawn[:, 1])
    if found is not None and found[1] - found[0] <= 1e-12:
        # Neither model varies: each may be off by what its own rows cannot exclude.
        found = None if None in ends else _opposed(ends)
    measured = _measurement(name, value, found and (min(found[0], value), max(found[1], value)), n)
    return replace(measured, metric=name)


def _opposed(ends: list[tuple[float, float] | None]) -> tuple[float, float]:
    (ours_low, ours_high), (theirs_low, theirs_high) = [end for end in ends if end is not None]
    return ours_low - theirs_high, ours_high - theirs_low
