"""One metric on two models' predictions of the same rows, with paired intervals."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.gates.base import Predictions
from mlship.gates.metrics import measure
from mlship.gates.metrics.measure import Metric
from mlship.gates.metrics.resample import Variation, variation
from mlship.gates.metrics.side import Array, Side, same, spoilt
from mlship.stats import bootstrap
from mlship.types import Measurement

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Compared:
    """A metric of candidate and champion, and candidate minus champion; the latter two None without a champion."""

    candidate: Measurement
    champion: Measurement | None
    difference: Measurement | None


def compare(
    metric: str | Metric,
    label: Array | pd.Series[Any],
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
        sides = [Side.of(label, model, rows, chosen.threshold) for model in models]
        return compare_sides(chosen, sides, seed, confidence)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(measure.cannot(chosen.name, error, has_scores=candidate.scores is not None)) from error


def compare_sides(metric: Metric, sides: list[Side], seed: int, confidence: float = bootstrap.CONFIDENCE) -> Compared:
    """`compare` on sides made before; raises in scikit-learn's words."""
    import numpy as np
    from sklearn.metrics import cluster

    sides = [side.as_numbers() for side in sides] if metric.of_numbers else sides
    n = len(sides[0].label)
    if hasattr(cluster, metric.name) and sides[0].classes is None and np.issubdtype(sides[0].label.dtype, np.floating):
        raise ValueError("it compares groups, and the labels are numbers")
    alike = len(sides) == 2 and same(*sides)
    # Two models that said the same are one: looked at once, shown twice.
    distinct = sides[:1] if alike else sides
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a metric that is undefined on one resample is nothing a user can act on
        found = variation(metric, distinct, seed, confidence)
        ends = [_ends(metric, side, found.alone(i)) for i, side in enumerate(distinct)]
        source = f"{found.source}; {metric.source}" if metric.source else found.source
        measured = [
            _measurement(metric.name, value, end, n, source) for value, end in zip(found.values, ends, strict=True)
        ]
        if len(sides) == 1:
            return Compared(measured[0], None, None)
        name = f"{metric.name} difference"
        if alike:
            said = "both models give the same predictions on every row"
            return Compared(measured[0], measured[0], Measurement(name, 0.0, 0.0, 0.0, n, source, said))
        difference = _difference(found, ends)
    apart = _measurement(name, found.values[0] - found.values[1], difference, n, source)
    return Compared(measured[0], measured[1], apart)


def _ends(metric: Metric, side: Side, found: tuple[float, float] | None) -> tuple[float, float] | None:
    """The interval's ends; one that collapsed to a point is widened by what so few rows cannot exclude."""
    if found is None or found[1] - found[0] > 1e-12 * max(1.0, abs(found[0])):
        return found
    try:
        worst = spoilt(metric.on, side)
    except (TypeError, ValueError):
        return None
    return min(found[0], worst), max(found[1], worst)


def _difference(found: Variation, ends: list[tuple[float, float] | None]) -> tuple[float, float] | None:
    """Candidate minus champion, on the same rows."""
    apart = found.difference()
    if apart is not None and apart[1] - apart[0] <= 1e-12:
        # Neither model varies: each may be off by what its own rows cannot exclude.
        return None if None in ends else _opposed(ends)
    return apart


def _opposed(ends: list[tuple[float, float] | None]) -> tuple[float, float]:
    (ours_low, ours_high), (theirs_low, theirs_high) = [end for end in ends if end is not None]
    return ours_low - theirs_high, ours_high - theirs_low


def _measurement(metric: str, value: float, ends: tuple[float, float] | None, n: int, source: str) -> Measurement:
    import math

    if not math.isfinite(value):
        return Measurement(metric, None, n=n, source=source, reason=f"{metric} is not defined on these rows")
    if ends is None:
        reason = f"{metric} is {value:.3g}, but too few rows carry it for an interval"
        return Measurement(metric, None, n=n, source=source, reason=reason)
    return Measurement(metric, value, *ends, n=n, source=source)
