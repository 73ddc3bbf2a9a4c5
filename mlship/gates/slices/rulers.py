"""One metric of candidate and champion on every slice of the rows at once: the cheapest way that is exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.gates.base import Predictions
from mlship.gates.metrics import measure, ours
from mlship.gates.metrics.paired import compare_sides
from mlship.gates.metrics.side import Array, Side
from mlship.gates.slices import rates
from mlship.gates.slices.measured import Measured, Ruler, side_of
from mlship.gates.slices.segments import CHUNK
from mlship.gates.slices.tallies import tallies
from mlship.policy.gates import MetricRule
from mlship.policy.scorers import OWN, RATES, SCORERS
from mlship.report.figures import nearest
from mlship.stats import simultaneous
from mlship.stats.simultaneous import Estimate
from mlship.types import Measurement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlship.gates.slices.measured import Codes, Labels

#: Scikit-learn's names of what is a mean over rows: ours, of which it is the negative.
_NEGATIVE = {
    "neg_brier_score": "brier_score",
    "neg_log_loss": "log_loss",
    "neg_mean_absolute_error": "mae",
    "neg_mean_squared_error": "mse",
    "neg_root_mean_squared_error": "rmse",
}


def ruler(
    name: str,
    label: Labels | None,
    candidate: Predictions,
    champion: Predictions | None,
    *,
    seed: int,
    rule: MetricRule | None = None,
    resolve: Callable[[str], Path] | None = None,
) -> Ruler:
    """The metric `name`, with the threshold, quantile or function of its `rule` in `gates.metrics`, if it has one.

    Without labels only `selection_rate` can be measured.

    Raises ``ValueError`` with a reason that a person can read when the metric is unknown or does not fit.
    """
    models = [candidate] if champion is None else [candidate, champion]
    rule = rule or MetricRule()
    custom = rule.function is not None
    if name not in (*SCORERS, *OWN, *RATES) and not custom:
        try:
            measure.metric(name, rule, resolve)
        except ValueError as error:
            raise ValueError(str(error) + _nearest_rate(name, str(error))) from None
    if label is None:
        if name not in rates.WITHOUT_LABELS:
            raise ValueError(f"{name} needs labels, and data.evaluation names no target column")
        label = _stand_in(candidate)
    if rates.is_known(name) and not custom:
        table = tallies(name, label, models, rule.threshold)
        if table is not None:
            return table
        if name in RATES:
            raise ValueError(f"{name} is for classes, and there are more than {rates.MOST_CLASSES} different answers")
    metric = measure.metric(name, rule, resolve)
    own = metric.own or (ours.ALL[_NEGATIVE[name]] if name in _NEGATIVE else None)
    if own is not None and own.terms is not None and not custom:
        return _means(name, own, label, models, negative=metric.own is None)
    sides = [side_of(name, label, model, metric.threshold) for model in models]
    return _Each(name, metric.higher_is_better, metric, sides, seed)


def _nearest_rate(name: str, said: str) -> str:
    return "" if "did you mean" in said else nearest(name, list(RATES))


def _stand_in(model: Predictions) -> Array:
    """Labels for what does not look at labels."""
    import numpy as np

    return np.asarray(model.values)


@dataclass(frozen=True, eq=False)
class _Means:
    """A metric that is a mean over rows, or the square root of one: sums of powers in each slice."""

    name: str
    higher_is_better: bool
    terms: list[NDArray[np.float32]]
    """One number per row for each model."""
    weights: Array | None
    """Whether a row counts; None when all do."""
    root: bool
    negative: bool

    def on(self, codes: Codes, slices: int, wanted: NDArray[np.bool_], confidence: float) -> Measured:  # noqa: ARG002 - all slices cost the same, and so does any confidence
        """One pass over the rows, whatever the number of slices."""
        import numpy as np

        n = np.zeros(slices)
        columns = 2 * len(self.terms) - 1
        powers, product = np.zeros((columns, 3, slices)), np.zeros(slices)
        for start in range(0, len(codes), CHUNK):
            part = slice(start, start + CHUNK)
            code = codes[part].astype(np.intp)
            counts = None if self.weights is None else self.weights[part].astype(float)
            n += np.bincount(code, counts, minlength=slices)
            rows = [terms[part].astype(float) * (1.0 if counts is None else counts) for terms in self.terms]
            if len(rows) == 2:
                product += np.bincount(code, rows[0] * rows[1], minlength=slices)
                rows.append(rows[0] - rows[1])
            for column, values in enumerate(rows):
                raised = values.copy()
                for power in range(3):
                    powers[column, power] += np.bincount(code, raised, minlength=slices)
                    raised *= values
        found = [simultaneous.mean(n, column, root=self.root) for column in powers]
        if self.root and columns == 3:
            found[2] = simultaneous.root_difference(n, powers[0], powers[1], product)
        return Measured(*(_negated(one) if self.negative else one for one in found))


def _means(name: str, own: ours.Own, label: Labels, models: list[Predictions], *, negative: bool) -> _Means:
    import numpy as np

    assert own.terms is not None, "the caller has looked"
    terms = [np.empty(len(label), dtype=np.float32) for _ in models]
    weights: list[Array] = []
    for model, found in zip(models, terms, strict=True):
        side = side_of(name, label, model, None)
        weights = []
        try:
            for start in range(0, len(label), CHUNK):
                part = slice(start, start + CHUNK)
                found[part], counts = own.terms(side.part(part), own.quantile)
                if counts is not None:
                    weights.append(counts.astype(bool))
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(measure.cannot(name, error, has_scores=model.scores is not None)) from error
    counting = np.concatenate(weights) if weights else None
    return _Means(name, negative, terms, counting, own.root, negative)


@dataclass(frozen=True, eq=False)
class _Each:
    """Any other metric: slice by slice, with the intervals of the metrics gate."""

    name: str
    higher_is_better: bool
    metric: measure.Metric
    sides: list[Side]
    seed: int

    def on(self, codes: Codes, slices: int, wanted: NDArray[np.bool_], confidence: float) -> Measured:
        """The rows are put in the order of their slices once (small integers: a radix sort, linear in the rows)."""
        import numpy as np

        sizes = np.bincount(codes, minlength=slices)
        ends = np.cumsum(sizes)
        order = np.argsort(codes, kind="stable")
        found: dict[int, list[Measurement | None]] = {}
        refusal: Exception | None = None
        for code in np.flatnonzero(wanted):
            rows = order[ends[code] - sizes[code] : ends[code]]
            try:
                compared = compare_sides(self.metric, [side.take(rows) for side in self.sides], self.seed, confidence)
            except (AttributeError, TypeError, ValueError) as error:  # such as a slice of one class
                refusal = error
                continue
            found[int(code)] = [compared.candidate, compared.champion, compared.difference]
        if refusal is not None and not found:
            has_scores = all(side.scores is not None for side in self.sides)
            raise ValueError(measure.cannot(self.name, refusal, has_scores=has_scores)) from refusal
        return Measured(*(_estimate(i, found, sizes, confidence) for i in range(2 * len(self.sides) - 1)))


def _estimate(
    which: int, found: dict[int, list[Measurement | None]], sizes: NDArray[np.int64], confidence: float
) -> Estimate:
    import numpy as np

    figures = np.full((3, len(sizes)), np.nan)
    for code, measured in found.items():
        one = measured[which]
        if one is not None and None not in (one.value, one.low, one.high):
            figures[:, code] = one.value, one.low, one.high
    value, low, high = figures
    return Estimate(value, sizes.astype(float), simultaneous.rescaled(value, low, high, confidence))


def _negated(one: Estimate) -> Estimate:
    def ends(confidence: float) -> simultaneous.Ends:
        low, high = one.ends(confidence)
        return -high, -low

    return Estimate(-one.value, one.support, ends)
