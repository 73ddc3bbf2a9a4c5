"""The linear part of the metrics that have one: means over rows, areas under curves, calibration; linear in rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlship.gates.metrics import ours
from mlship.gates.metrics.side import Side, close
from mlship.stats import ranking
from mlship.stats.calibration import Reliability
from mlship.stats.linear import Linear, chunks
from mlship.stats.ranking import Ranked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlship.gates.metrics.measure import Metric

    Floats = NDArray[np.float64]

#: Up to this many rows, each value is compared with scikit-learn's; beyond, that of the first so many rows.
_COMPARED = 20_000
_AREAS = {
    "average_precision": ranking.average_precision,
    "roc_auc": ranking.roc_auc,
    "roc_auc_ovr": ranking.roc_auc,
    "roc_auc_ovr_weighted": ranking.roc_auc,
}
#: Scikit-learn's names for means over rows that have a name of ours; theirs are negative.
_NEGATIVE = {
    "neg_brier_score": "brier_score",
    "neg_log_loss": "log_loss",
    "neg_mean_absolute_error": "mae",
    "neg_mean_squared_error": "mse",
    "neg_root_mean_squared_error": "rmse",
}


def linear(metric: Metric, side: Side) -> Linear | None:
    """Value and influences of a metric; None for one without a linear part, or that scikit-learn defines otherwise."""
    found = _formula(metric, side)
    if found is None or metric.scorer is None:
        return found
    if len(side.label) <= _COMPARED:
        return found if close(found.value, metric.on(side)) else None
    few = side.part(slice(0, _COMPARED))
    head = _formula(metric, few)
    return found if head is not None and close(head.value, metric.on(few)) else None


def _formula(metric: Metric, side: Side) -> Linear | None:
    if metric.own is not None:
        return _calibration(side) if metric.own.terms is None else _mean(metric.own, side)
    name = metric.name
    if name in _NEGATIVE:
        return _negative(_mean(ours.ALL[_NEGATIVE[name]], side))
    if name == "r2":
        return _r2(side) if side.classes is None else None
    if name in _AREAS and side.classes is not None and side.scores is not None:
        if side.is_binary:
            return _area(name, side)
        return None if name == "roc_auc" or side.scores.ndim != 2 else _areas(name, side)
    return None


def _calibration(side: Side) -> Linear:
    expected, came = ours.calibrated(side)
    return Reliability.of(expected, came).linear(expected, came)


def _mean(own: ours.Own, side: Side) -> Linear:
    """`sum terms * parts / sum parts`, or its root."""
    assert own.terms is not None, "the caller has looked"
    formula, n, size, total = own.terms, len(side.label), 0.0, 0.0
    for part in chunks(n):
        terms, parts = formula(side.part(part), own.quantile)
        size += len(terms) if parts is None else float(parts.sum())
        total += float(terms.sum()) if parts is None else float((terms * parts).sum())
    mean = total / size if size else math.nan
    value = math.sqrt(mean) if own.root else mean
    slope = (1 / (2 * value) if value else 0.0) if own.root else 1.0

    def influence(part: slice) -> Floats:
        terms, parts = formula(side.part(part), own.quantile)
        moved = slope * (terms.astype(float) - mean)
        return moved if parts is None else moved * parts * (n / size)

    return Linear(value, n, influence, "root" if own.root else "plain")


def _negative(found: Linear) -> Linear:
    """The same as a score; the scale stays plain, since a negative root has no square."""
    return Linear(-found.value, found.n, lambda part: -found.influence(part))


def _r2(side: Side) -> Linear:
    """`1 - residuals / spread`; a row moves both, and the mean that the spread is measured from does not matter."""
    import numpy as np

    n = len(side.label)
    residuals = spread = 0.0
    middle = sum(float(side.part(part).numbers().sum()) for part in chunks(n)) / n
    for part in chunks(n):
        piece = side.part(part)
        residuals += float((piece.error() ** 2).sum())
        spread += float(((piece.numbers() - middle) ** 2).sum())
    ratio = residuals / spread if spread else math.nan

    def influence(part: slice) -> Floats:
        piece = side.part(part)
        return np.asarray((ratio * (piece.numbers() - middle) ** 2 - piece.error() ** 2) * (n / spread))

    return Linear(1 - ratio, n, influence)


def _area(name: str, side: Side) -> Linear | None:
    area = _AREAS[name](side.ranked)
    if area is None:
        return None
    codes, positive = side.ranked.codes, side.positive
    return Linear(area.value, len(codes), lambda part: area.at(codes[part], positive[part]), "share")


def _areas(name: str, side: Side) -> Linear | None:
    """Each class against the rest, averaged over the classes that occur: plainly, or by their rows."""
    import numpy as np

    n, scores = len(side.label), side.probabilities()
    rows = np.bincount(side.codes, minlength=scores.shape[1])
    present = [int(k) for k in np.flatnonzero(rows)]
    if name != "average_precision" and len(present) < scores.shape[1]:
        return None
    found = []
    for k in present:
        ranked = Ranked.of(np.asarray(side.codes == k), scores[:, k])
        area = _AREAS[name](ranked)
        if area is None:
            return None
        found.append((area, ranked.codes))
    by_rows = name.endswith("weighted")
    shares = rows[present] / n if by_rows else np.full(len(present), 1 / len(present))
    values = np.zeros(scores.shape[1])
    values[present] = [area.value for area, _ in found]
    value = float(shares @ values[present])

    def influence(part: slice) -> Floats:
        label = side.codes[part]
        # A row also moves the weight of its own class.
        total: Any = values[label] - value if by_rows else np.zeros(len(label))
        for share, k, (area, codes) in zip(shares, present, found, strict=True):
            total += share * area.at(codes[part], label == k)
        return np.asarray(total)

    return Linear(value, n, influence, "share")
