"""What a model reached on labelled rows: a metric, its interval, and how it behaves from day to day."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from mlship.stats import live_metrics
from mlship.stats.live_metrics import SHARES, Tables, known, values
from mlship.types.monitoring import Labelled, Reached

if TYPE_CHECKING:
    from mlship.types.monitoring import Baseline

_CONFIDENCE = 0.95
#: So much of a table's rows is put on one cell to see how far it moves a metric.
_STEP = 1e-4


def merged(parts: Iterable[Labelled]) -> Labelled:
    """The labelled rows of several windows as one; empty without any."""
    found = list(parts)

    def cells(rows: list[tuple[tuple[int, ...], ...]]) -> tuple[tuple[int, ...], ...]:
        told = [one for one in rows if one]
        return tuple(tuple(map(sum, zip(*place, strict=True))) for place in zip(*told, strict=True))

    errors = [math.fsum(part.errors[i] for part in found) for i in range(4)]
    return Labelled(
        rows=sum(part.rows for part in found),
        scored=cells([part.scored for part in found]),
        answered=cells([part.answered for part in found]),
        errors=(errors[0], errors[1], errors[2], errors[3]),
    )


def metric(name: str, labelled: Labelled, baseline: Baseline) -> float | None:
    """One metric of labelled rows (`live_metrics.values`); None when they have none, or the model knows no such."""
    if name not in known(baseline):
        return None
    value = float(values(name, Tables.of([labelled], baseline), baseline)[0])
    return value if math.isfinite(value) else None


def by_part(name: str, parts: Sequence[Labelled], baseline: Baseline) -> list[tuple[float | None, int]]:
    """The metric of each part (None: it has none), and its `carriers`."""
    if name not in known(baseline):
        return [(None, 0)] * len(parts)
    tables = Tables.of(parts, baseline)
    each = zip(values(name, tables, baseline), live_metrics.carriers(name, tables, baseline), strict=True)
    return [(float(value), max(1, round(float(rows)))) if math.isfinite(value) else (None, 0) for value, rows in each]


def worth(labelled: Labelled, baseline: Baseline) -> float | None:
    """What 1,000 predictions earned by the payoff table; None without rows or table."""
    return metric("value", labelled, baseline)


def with_interval(name: str, parts: Sequence[Labelled], baseline: Baseline) -> Reached | None:
    """A metric of all parts together, with its 95 % interval; None when it has no value.

    The jackknife over days (parts), as rows of one day are alike: each day is left out in turn (Quenouille 1956; Tukey
    1958), Student's t with days - 1 degrees of freedom. No interval of fewer than three days.
    """
    import numpy as np

    if name not in known(baseline):
        return None
    told = [part for part in parts if part.rows]
    tables = Tables.of(told, baseline)
    whole = tables.total()
    value = float(values(name, whole, baseline)[0]) if told else math.nan
    if not math.isfinite(value):
        return None
    left = values(name, whole - tables, baseline)
    left = left[np.isfinite(left)]
    n = len(left)
    if n < 3:
        return Reached(value)
    error = math.sqrt((n - 1) / n * float(((left - left.mean()) ** 2).sum()))
    return Reached(value, *ends(name, value, quantile(n - 1) * error))


@lru_cache(1024)
def quantile(freedom: float) -> float:
    """Student's t for a two-sided 95 % interval."""
    from scipy.stats import t

    return float(t.ppf((1 + _CONFIDENCE) / 2, freedom))


def ends(name: str, value: float, reach: float) -> tuple[float, float]:
    """value +- reach, within what the metric can be."""
    low, high = value - reach, value + reach
    if name in SHARES:
        return max(0.0, low), min(1.0, high)
    return (low if name in ("value", "bias") else max(0.0, low)), high


def carriers(name: str, labelled: Labelled, baseline: Baseline) -> int:
    """How many labelled rows a metric rests on (`live_metrics.carriers`), at least 1."""
    return max(1, round(float(live_metrics.carriers(name, Tables.of([labelled], baseline), baseline)[0])))


def noise(name: str, labelled: Labelled, baseline: Baseline) -> float | None:
    """Variance of one carrier's share in a metric: that of the metric on n `carriers`, each for itself, is `noise / n`.

    The mean square of the influence function (Hampel 1974), found by putting a little weight on each cell of the
    counts in turn. None when the metric has no value.
    """
    import numpy as np

    if name in ("mae", "rmse", "bias"):
        return _noise_of_errors(name, labelled.errors)
    if name not in known(baseline):
        return None
    whole = Tables.of([labelled], baseline)
    value = float(values(name, whole, baseline)[0])
    if not math.isfinite(value):
        return None
    behind, total = carriers(name, labelled, baseline), 0.0
    for part in ("scored", "answered"):
        counts = getattr(whole, part)[0]
        n = counts.sum()
        if not n:
            continue
        step = _STEP * n
        cells = np.flatnonzero(counts)
        moved = counts + (np.arange(counts.size) == cells[:, None]).reshape(-1, *counts.shape) * step
        many = Tables(*(np.repeat(one, len(cells), axis=0) for one in (whole.scored, whole.answered, whole.errors)))
        influence = (values(name, replace(many, **{part: moved}), baseline) - value) * (n + step) / step
        weight = counts.ravel()[cells] / n
        total += float((weight * (influence - (weight * influence).sum()) ** 2).sum()) / float(n) * behind
    return total


def _noise_of_errors(name: str, errors: tuple[float, float, float, float]) -> float | None:
    rows, signed, absolute, squares = errors
    if not rows:
        return None
    if name == "rmse":
        # Of squares of normal errors: (sd of e^2 / (2 rmse))^2 = rmse^2 / 2.
        return squares / rows / 2
    return max(0.0, squares / rows - ((signed if name == "bias" else absolute) / rows) ** 2)


def reached(name: str, days: Sequence[Labelled], baseline: Baseline) -> Reached | None:
    """A metric of the evaluation data by its days, in order: value, interval, and how it varies from day to day.

    `baseline` is the model's, as far as it is made: task, labels, scores, answers, threshold and payoff are used. Data
    without times is one day, and then there is neither interval nor `steady`. Days without labelled rows are left out.
    None when the metric has no value there, or is none of the model's (`known`, which has `value`, too).
    """
    from mlship.stats.steady import learn

    found = with_interval(name, days, baseline)
    if found is None:
        return None
    told = [day for day in days if day.rows]
    each = noise(name, merged(told), baseline)
    pairs = [(value, rows) for value, rows in by_part(name, told, baseline) if value is not None]
    if each is None or not pairs:
        return found
    learned = learn(
        [value for value, _ in pairs], [rows for _, rows in pairs], [0] * len(pairs), 1, noise=each, a_day=1
    )
    return replace(found, steady=learned)
