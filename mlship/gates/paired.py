"""One scikit-learn scorer on two models' predictions of the same rows, with paired 95 % intervals."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from mlship.gates import measure, ours
from mlship.gates.base import Predictions
from mlship.gates.measure import Metric
from mlship.gates.side import Array, Side, close, same, spoilt
from mlship.stats import bootstrap, weighted
from mlship.types import Measurement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SOURCE = "paired bootstrap"
#: Replicates where one costs microseconds, and where it costs a call of scikit-learn, which is milliseconds. The number
#: never depends on the clock: the same rows get the same figures.
_REPLICATES = 1000
_GENERAL = 300
_FEWEST_REPLICATES = 300
#: Largest number of classes whose table of (label, candidate, champion) is resampled as a table.
_MOST_CLASSES = 12


@dataclass(frozen=True, slots=True)
class Compared:
    """A metric of candidate and champion, and candidate minus champion; the latter two None without a champion."""

    candidate: Measurement
    champion: Measurement | None
    difference: Measurement | None


def compare(
    metric: str | Metric,
    label: Array,
    candidate: Predictions,
    champion: Predictions | None,
    seed: int,
    *,
    rows: NDArray[np.int64] | None = None,
    confidence: float = bootstrap.CONFIDENCE,
) -> Compared:
    """Measure both models on the same rows: all, or those selected by index.

    Raises ``ValueError`` with a reason when the metric does not fit the task or the model, such as one that wants
    probabilities of a model without.
    """
    chosen = measure.metric(metric) if isinstance(metric, str) else metric
    models = [candidate] if champion is None else [candidate, champion]
    try:
        return _compare(chosen, label, models, seed, rows=rows, confidence=confidence)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(measure.cannot(chosen.name, error, has_scores=candidate.scores is not None)) from error


def _compare(
    metric: Metric,
    label: Array,
    models: list[Predictions],
    seed: int,
    *,
    rows: NDArray[np.int64] | None,
    confidence: float,
) -> Compared:
    import numpy as np
    from sklearn.metrics import cluster

    if hasattr(cluster, metric.name) and models[0].classes is None and np.issubdtype(label.dtype, np.floating):
        raise ValueError("it compares groups, and the labels are numbers")
    sides = [Side.of(label, model, rows, metric.threshold) for model in models]
    n = len(sides[0].label)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a metric that is undefined on one resample is nothing a user can act on
        values = [metric.on(side) for side in sides]
        alike = len(models) == 2 and same(*models)
        # Two models that said the same are one: resampled once, shown twice.
        distinct = sides[:1] if alike else sides
        drawn = _resample(metric, distinct, values[: len(distinct)], seed, confidence)
        ends = [_ends(metric, side, drawn.interval(_only(i), values[i])) for i, side in enumerate(distinct)]
    if alike:
        ends = ends * 2
    measured = [_measurement(metric.name, value, end, n) for value, end in zip(values, ends, strict=True)]
    if len(sides) == 1:
        return Compared(measured[0], None, None)
    difference = (
        Measurement("", 0.0, 0.0, 0.0, n, SOURCE, "both models give the same predictions on every row")
        if alike
        else _difference(metric.name, values, ends, drawn, n)
    )
    return Compared(measured[0], measured[1], replace(difference, metric=f"{metric.name} difference"))


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A score of each side on the same resamples."""

    values: Array
    """Shape (replicates, sides)."""
    left_out: Array | None
    """The same with groups of rows left out, shape (groups, sides); None when cells were drawn: these need none."""
    rows: int
    """Rows of the rarest class; all rows when there are no classes."""
    confidence: float

    def interval(self, of: Callable[[Array], Array], estimate: float) -> tuple[float, float] | None:
        """Ends of the interval of a column, or of a function of the columns, widened to hold the estimate."""
        if self.left_out is None:
            found = bootstrap.interval(of(self.values), self.confidence)
        else:
            found = bootstrap.corrected_interval(
                of(self.values), estimate, of(self.left_out), self.rows, self.confidence
            )
        return found and (min(found[0], estimate), max(found[1], estimate))


def _only(i: int) -> Callable[[Array], Array]:
    return lambda values: values[:, i]


def _resample(metric: Metric, sides: list[Side], values: list[float], seed: int, confidence: float) -> _Drawn:
    """Values of all sides on the same resamples, by the cheapest way that is exact here."""
    import numpy as np

    n = len(sides[0].label)
    weighable = metric.scorer is not None and all(side.weighable(metric.scorer) for side in sides)
    by_classes = all(side.classes is not None for side in sides)
    if metric.scorer is not None and metric.needs == "values" and weighable and by_classes:
        cells = _cells(metric, sides, values, seed)
        if cells is not None:
            return _Drawn(cells, None, n, confidence)
    statistic, most = _statistic(metric, sides, values, weighable=weighable)
    rows = int(np.unique(sides[0].label, return_counts=True)[1].min()) if by_classes else n
    # Fewer replicates for very many rows, where an interval is narrow anyway.
    replicates = max(_FEWEST_REPLICATES, min(most, int(1e8 / n)))
    drawn, left_out = bootstrap.resampled(n, replicates, seed, statistic), bootstrap.left_out(n, seed, statistic)
    return _Drawn(drawn, left_out, rows, confidence)


def _statistic(
    metric: Metric, sides: list[Side], values: list[float], *, weighable: bool
) -> tuple[Callable[[Array], Array], int]:
    """The scores of all sides as a function of weights, and how many replicates of it one can wait for."""
    import numpy as np

    everything = np.ones((1, len(sides[0].label)))
    exact = [
        score
        for score, value in zip([_quick(metric, side) for side in sides], values, strict=True)
        if score is not None and close(float(score(everything)[0]), value)
    ]
    if len(exact) == len(sides):
        return lambda weights: np.stack([score(weights) for score in exact], axis=1), _REPLICATES
    return partial(_each, metric, sides, weigh=weighable), _GENERAL


def _each(metric: Metric, sides: list[Side], weights: Array, *, weigh: bool) -> Array:
    """The metric itself on each resample: by weights, or by repeating the rows."""
    import numpy as np

    values = np.full((len(weights), len(sides)), np.nan)
    for i, drawn in enumerate(weights):
        chosen = np.flatnonzero(drawn)
        repeated = None if weigh else np.repeat(chosen, drawn[chosen].astype(int))
        for j, side in enumerate(sides):
            try:
                if repeated is not None:
                    values[i, j] = metric.on(side.take(repeated))
                else:
                    assert metric.scorer is not None, "only scikit-learn's scorers are weighable"
                    values[i, j] = side.score(metric.scorer, chosen, drawn[chosen])
            except ValueError:  # a class is absent from this resample: it has no value there
                continue
    return values


def _quick(chosen: Metric, side: Side) -> weighted.Score | None:
    """A many-weights version of the metric, where there is one for this task."""
    if chosen.own is not None:
        return _quick_for_ours(chosen.own, side)
    metric = chosen.name
    if side.classes is not None:
        return None if side.scores is None else _quick_for_classes(metric, side.label, side.classes, side.scores)
    return _quick_for_numbers(metric, side)


def _quick_for_ours(own: ours.Own, side: Side) -> weighted.Score:
    import numpy as np

    if own.terms is None:
        return weighted.calibration_error(*ours.calibrated(side))
    terms, parts = own.terms(side, own.quantile)
    return weighted.mean_of(terms, np.sqrt if own.root else None, parts)


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


def _cells(metric: Metric, sides: list[Side], values: list[float], seed: int) -> Array | None:
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
    quick = [weighted.from_confusion(metric.name, grid[0], column, k) for column in grid[1:]]
    binary = k == 2 and names.tolist() == [0, 1]
    actual = observed[tuple(grid)]
    told = binary or "_" in metric.name or metric.name == "accuracy"
    exact = [score for score in quick if score is not None and told]
    if len(exact) < len(sides) or not all(
        close(float(score(actual[None])[0]), value) for score, value in zip(exact, values, strict=True)
    ):
        small = [
            replace(side, label=names[grid[0]], values=names[column], scores=None)
            for side, column in zip(sides, grid[1:], strict=True)
        ]
        drawn = bootstrap.posterior_cells(actual, prior, _GENERAL, seed)
        return _each(metric, small, drawn, weigh=True)
    drawn = bootstrap.posterior_cells(actual, prior, 2 * _REPLICATES, seed)
    return np.stack([score(drawn) for score in exact], axis=1)


def _ends(metric: Metric, side: Side, found: tuple[float, float] | None) -> tuple[float, float] | None:
    """The interval's ends; one that collapsed to a point is widened by what so few rows cannot exclude."""
    if found is None or found[1] - found[0] > 1e-12 * max(1.0, abs(found[0])):
        return found
    try:
        worst = spoilt(metric.on, side)
    except (TypeError, ValueError):
        return None
    return min(found[0], worst), max(found[1], worst)


def _measurement(metric: str, value: float, ends: tuple[float, float] | None, n: int) -> Measurement:
    import math

    if not math.isfinite(value):
        return Measurement(metric, None, n=n, source=SOURCE, reason=f"{metric} is not defined on these rows")
    if ends is None:
        reason = f"{metric} is {value:.3g}, but too few rows carry it for an interval"
        return Measurement(metric, None, n=n, source=SOURCE, reason=reason)
    return Measurement(metric, value, *ends, n=n, source=SOURCE)


def _difference(
    metric: str, values: list[float], ends: list[tuple[float, float] | None], drawn: _Drawn, n: int
) -> Measurement:
    """Candidate minus champion, on the same resamples."""
    value = values[0] - values[1]
    found = drawn.interval(lambda pair: pair[:, 0] - pair[:, 1], value)
    if found is not None and found[1] - found[0] <= 1e-12:
        # Neither model varies: each may be off by what its own rows cannot exclude.
        found = None if None in ends else _opposed(ends)
    return _measurement(metric, value, found, n)


def _opposed(ends: list[tuple[float, float] | None]) -> tuple[float, float]:
    (ours_low, ours_high), (theirs_low, theirs_high) = [end for end in ends if end is not None]
    return ours_low - theirs_high, ours_high - theirs_low
