"""How a metric varies over other rows like these: what each way to know it gives, in one shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mlship.gates.metrics import cells
from mlship.gates.metrics.linearise import linear
from mlship.gates.metrics.side import Array, Side, close
from mlship.stats import bootstrap, weighted
from mlship.stats.linear import Linear

if TYPE_CHECKING:
    from mlship.gates.metrics.measure import Metric

    Ends = tuple[float, float] | None

#: Replicates where one costs microseconds, and where it costs a call of scikit-learn, which is milliseconds. The number
#: never depends on the clock: the same rows get the same figures.
_REPLICATES = 1000
_GENERAL = 300
#: Replicates that only have to tell a standard error.
_FOR_ERROR = 100
#: Rows up to which resampling is affordable, for metrics with a linear part, and for all others.
_FEW_ROWS = 5_000
_MOST_ROWS = 50_000


class Variation(Protocol):
    """Values of one or two sides, and their intervals."""

    @property
    def values(self) -> list[float]:
        """The metric on each side."""

    @property
    def source(self) -> str:
        """How it is known."""

    def alone(self, side: int) -> Ends:
        """The interval of one side's value."""

    def difference(self) -> Ends:
        """The interval of the first side's value minus the second's, on the same rows."""


def variation(metric: Metric, sides: list[Side], seed: int, confidence: float) -> Variation:
    """The metric on each side, and how it varies, by the best way for this metric and so many rows."""
    label = sides[0].label
    n = len(label)
    by_classes = sides[0].classes is not None
    if metric.scorer is not None and metric.needs == "values" and by_classes:
        found = cells.draws(metric, sides, seed) if all(cells.weighable(metric, side) for side in sides) else None
        if found is not None:
            return _Drawn(*found, None, n, confidence)
    carriers = _rarest(label) if by_classes else n
    quick = bool(metric.own and metric.own.terms is None) or n > _FEW_ROWS or confidence != bootstrap.CONFIDENCE
    if quick:
        parts = [linear(metric, side) for side in sides]
        exact = [part for part in parts if part is not None]
        if len(exact) == len(sides):
            return _Linear(exact, carriers, confidence)
    values = [metric.on(side) for side in sides]
    if n > _MOST_ROWS:
        return _Blocks(values, _in_blocks(metric, sides, seed), confidence)
    return _resampled(metric, sides, values, seed, carriers=carriers, confidence=confidence)


def _rarest(label: Array) -> int:
    """Rows of the rarest class."""
    import pandas as pd

    return int(pd.Series(label).value_counts().min()) if len(label) else 0


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Replicates of each side on the same draws."""

    values: list[float]
    drawn: Array
    """Shape (replicates, sides)."""
    left_out: Array | None
    """The same with groups of rows left out, shape (groups, sides); None when cells were drawn: these need none."""
    carriers: int
    confidence: float
    source: str = "paired bootstrap"

    def alone(self, side: int) -> Ends:
        return self._interval(lambda values: values[:, side], self.values[side])

    def difference(self) -> Ends:
        return self._interval(lambda values: values[:, 0] - values[:, 1], self.values[0] - self.values[1])

    def _interval(self, of: Callable[[Array], Array], estimate: float) -> Ends:
        """Widened to hold the estimate."""
        drawn = of(self.drawn)
        if len(drawn) * (1 - self.confidence) < 10:
            found = bootstrap.normal_interval(drawn, estimate, self.carriers, self.confidence)
        elif self.left_out is None:
            found = bootstrap.interval(drawn, self.confidence)
        else:
            found = bootstrap.corrected_interval(drawn, estimate, of(self.left_out), self.carriers, self.confidence)
        return found and (min(found[0], estimate), max(found[1], estimate))


@dataclass(frozen=True, eq=False)
class _Linear:
    """The influence of each row on each side."""

    parts: list[Linear]
    carriers: int
    confidence: float
    source: str = "paired influence of each row"

    @property
    def values(self) -> list[float]:
        return [part.value for part in self.parts]

    def alone(self, side: int) -> Ends:
        return self.parts[side].interval(self.carriers, self.confidence)

    def difference(self) -> Ends:
        return self.parts[0].minus(self.parts[1]).interval(self.carriers, self.confidence)


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Values on disjoint random blocks of rows, the same for each side."""

    values: list[float]
    blocks: Array
    """Shape (blocks, sides)."""
    confidence: float
    source: str = "paired random blocks"

    def alone(self, side: int) -> Ends:
        return bootstrap.block_interval(self.blocks[:, side], self.values[side], self.confidence)

    def difference(self) -> Ends:
        apart = self.blocks[:, 0] - self.blocks[:, 1]
        return bootstrap.block_interval(apart, self.values[0] - self.values[1], self.confidence)


def _in_blocks(metric: Metric, sides: list[Side], seed: int) -> Array:
    import numpy as np

    found = np.full((bootstrap.BLOCKS, len(sides)), np.nan)
    for i, rows in enumerate(bootstrap.blocks(len(sides[0].label), seed)):
        for j, side in enumerate(sides):
            try:
                found[i, j] = metric.on(side.take(rows))
            except ValueError:  # it has no value on these rows
                continue
    return found


def _resampled(
    metric: Metric, sides: list[Side], values: list[float], seed: int, *, carriers: int, confidence: float
) -> _Drawn:
    """Rows drawn again with replacement, the same for each side."""
    import numpy as np

    n = len(sides[0].label)
    everything = np.ones((1, n))
    exact = [
        score
        for score, value in zip([_quick(metric, side) for side in sides], values, strict=True)
        if score is not None and close(float(score(everything)[0]), value)
    ]
    weigh = metric.scorer is not None and all(cells.weighable(metric, side) for side in sides)

    def statistic(weights: Array) -> Array:
        if len(exact) == len(sides):
            return np.stack([score(weights) for score in exact], axis=1)
        return cells.each(metric, sides, weights) if weigh else _repeated(metric, sides, weights)

    if confidence != bootstrap.CONFIDENCE:
        return _Drawn(values, bootstrap.resampled(n, _FOR_ERROR, seed, statistic), None, carriers, confidence)
    replicates = _REPLICATES if len(exact) == len(sides) else _GENERAL
    drawn, left_out = bootstrap.resampled(n, replicates, seed, statistic), bootstrap.left_out(n, seed, statistic)
    return _Drawn(values, drawn, left_out, carriers, confidence)


def _repeated(metric: Metric, sides: list[Side], weights: Array) -> Array:
    """The metric on rows repeated as often as they weigh, for those that take no weights."""
    import numpy as np

    values = np.full((len(weights), len(sides)), np.nan)
    for i, drawn in enumerate(weights):
        rows = np.repeat(np.arange(len(drawn)), drawn.astype(int))
        for j, side in enumerate(sides):
            try:
                values[i, j] = metric.on(side.take(rows))
            except ValueError:  # a class is absent from this resample: it has no value there
                continue
    return values


def _quick(chosen: Metric, side: Side) -> weighted.Score | None:
    """A many-weights version of the metric, where there is one for this task."""
    import numpy as np

    if chosen.own is not None and chosen.own.terms is not None:
        terms, parts = chosen.own.terms(side, chosen.own.quantile)
        return weighted.mean_of(terms, np.sqrt if chosen.own.root else None, parts)
    if chosen.scorer is None:
        return None
    if side.classes is not None:
        return None if side.scores is None else _quick_for_classes(chosen.name, side.label, side.classes, side.scores)
    return _quick_for_numbers(chosen.name, side)


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
