"""Performance before there are labels, from scores whose calibration is known (confidence-based estimation).

How often the positive class comes at each score is known from the evaluation data (histogram binning: Zadrozny & Elkan
2001). Traffic's scores then tell how many of its rows to expect in each cell of the confusion table, and so any metric
of it (CBPE, as NannyML documents it). That rests on one assumption: a score means in traffic what it meant there. How
far whole days and weeks strayed from it in the evaluation data is part of the interval, and labels check it later
(`trust.trusted`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlship.stats.live_metrics import Tables, carriers, known, values
from mlship.stats.reached import ends, quantile
from mlship.types.monitoring import Calibration, Reached, Wander

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlship.types.monitoring import Baseline, Counts, Labelled

    Floats = NDArray[np.float64]

WEEK = 7
#: Fewer days than this do not tell how far days stray; fewer weeks than that not how far weeks do.
_DAYS = 10
_WEEKS = 4
#: Fewer rows of either class leave the rates unknown.
_ROWS = 30
#: A rate starts as that of its neighbours, with the weight of so many rows.
_PRIOR = 1.0
#: So much of a bin's rows is moved from one class to the other to see how far that moves a metric.
_STEP = 1e-4


def estimable(baseline: Baseline) -> tuple[str, ...]:
    """The metrics that can be estimated: all of a binary classifier with scores, but the one that is assumed to hold.

    The calibration error would be estimated from the calibration itself. Metrics of answers need the threshold.
    """
    if baseline.task != "binary" or baseline.scores is None:
        return ()
    names = [name for name in known(baseline) if name != "calibration_error"]
    if baseline.threshold is None:
        names = [name for name in names if name in ("average_precision", "roc_auc", "log_loss", "brier")]
    return tuple(names)


def why_not_calibrated(days: Sequence[Labelled], baseline: Baseline) -> str:
    """Why `learn_calibration` gives None, for `Baseline.why_not["calibration"]`; empty when it does not."""
    if baseline.task != "binary":
        return "performance is estimated for two classes only"
    if baseline.scores is None:
        return "the model gives no scores"
    hits, misses = _by_class(days, baseline)
    told = int(((hits + misses).sum(axis=-1) > 0).sum())
    if min(hits.sum(), misses.sum()) < _ROWS:
        return f"the evaluation data has fewer than {_ROWS} rows with scores of one class"
    if told < _DAYS:
        return f"the evaluation data has {told} of the {_DAYS} days that tell how far whole days stray"
    return ""


def learn_calibration(days: Sequence[Labelled], baseline: Baseline) -> Calibration | None:
    """How often the positive class came by score, from the evaluation data's days in order.

    `baseline` is the model's, as far as it is made: task, labels, scores, threshold and payoff are used. A day's and a
    week's expectation is made of the other weeks' rates, so that nothing is held against itself. None when the model is
    no binary classifier with scores, or there are too few days or labels to tell how far whole days stray
    (`why_not_calibrated` says so).
    """
    import numpy as np

    if why_not_calibrated(days, baseline):
        return None
    hits, misses = _by_class(days, baseline)
    full = (hits + misses).sum(axis=-1) > 0
    hits, misses = hits[full], misses[full]
    count = len(hits)
    # What is left of days joins the last week.
    block = np.minimum(np.arange(count) // WEEK, max(count // WEEK, 2) - 1)
    rates = np.zeros(hits.shape)
    for one in np.unique(block):
        others = block != one
        rates[~others] = _rates(hits[others].sum(axis=0), misses[others].sum(axis=0))
    rows = hits + misses
    spread = (rows * rates * (1 - rates)).sum(axis=-1)
    stray = (hits.sum(axis=-1) - (rows * rates).sum(axis=-1)) / np.sqrt(np.maximum(spread, 1e-12))
    wanders = {}
    for name in estimable(baseline):
        by_day = _wander(name, hits, rows, rows * rates, baseline)
        if by_day is None:
            continue
        by_week = None
        if count >= WEEK * (_WEEKS + 1) - 1:
            by_week = max(
                _wander(name, cut @ hits, cut @ rows, cut @ (rows * rates), baseline) or 0.0 for cut in _weeks(count)
            )
        wanders[name] = Wander(by_day, by_day, count) if by_week is None else Wander(by_day, by_week, count // WEEK)
    return Calibration(
        rates=tuple(float(rate) for rate in _rates(hits.sum(axis=0), misses.sum(axis=0))),
        counts=tuple(int(n) for n in rows.sum(axis=0)),
        strays=float(np.sqrt((stray**2).mean())),
        wanders=wanders,
    )


def estimate(name: str, scores: Counts, baseline: Baseline, days: float = 1.0) -> Reached | None:
    """The metric that rows with these scores should have, and the 95 % interval for what it turns out to be.

    `scores` are counts by position (`Baseline.scores`), of rows that came over so many `days`. The interval holds the
    metric of these very rows, once their labels are there: its variance is the sum of

    - the sampling of labels: `sum n r (1 - r) g^2` over bins of n rows and rate r, where g is by how much a row of the
      bin that turns from negative to positive moves the metric;
    - the rates' own: `sum n^2 r (1 - r) / c g^2`, learned from c rows;
    - `Wander`: how far days and weeks strayed beyond that. Days' part shrinks with their number, weeks' does not: what
      holds for weeks may hold for longer.

    Student's t with half as many degrees of freedom as there were weeks (or days), less one: a week is like the next.
    Of weeks whose strays are correlated by 0.5, intervals learned from 8 then hold 95 %; with all degrees 90 %. None
    where the metric cannot be estimated (`why_not` says why).
    """
    import numpy as np

    calibration = baseline.calibration
    if why_not(name, baseline) or calibration is None or baseline.scores is None:
        return None
    size = baseline.scores.bins.size
    rows = np.array(scores[:size], float)
    rates, behind = np.array(calibration.rates[:size]), np.array(calibration.counts[:size], float)
    found = _Expected.of(name, rows[None], rates[None], baseline)
    value = float(found.value[0])
    if not math.isfinite(value):
        return None
    wander = calibration.wanders[name]
    learned = (rows**2 * rates * (1 - rates) / (behind + _PRIOR) * found.gradient[0] ** 2).sum()
    strayed = max(wander.week**2, wander.day**2 / max(days, 1.0))
    reach = quantile(max((wander.periods - 1) / 2, 1))
    low, high = ends(name, value, reach * math.sqrt(float(found.variance[0] + learned) + strayed))
    return Reached(value, low, high)


def expected_carriers(name: str, scores: Counts, baseline: Baseline) -> int:
    """How many of these rows the metric should rest on (`live_metrics.carriers`); 1 where nothing is expected."""
    import numpy as np

    if why_not(name, baseline) or baseline.calibration is None or baseline.scores is None:
        return 1
    size = baseline.scores.bins.size
    rows, rates = np.array(scores[:size], float), np.array(baseline.calibration.rates[:size])
    tables = _tables((rows * rates)[None], (rows * (1 - rates))[None], baseline)
    return max(1, round(float(carriers(name, tables, baseline)[0])))


def why_not(name: str, baseline: Baseline) -> str:
    """Why a metric cannot be estimated; empty when it can."""
    told = baseline.why_not
    reasons = (
        (baseline.task == "binary", "performance is estimated for two classes only"),
        (baseline.scores is not None, told.get("scores") or "the model gives no scores"),
        (name != "calibration_error", "the estimate rests on the calibration, and cannot tell its error"),
        (name in known(baseline), f"{name} is no metric of its model"),
        (name in estimable(baseline), "the baseline knows no threshold"),
        (baseline.calibration is not None, told.get("calibration") or "the baseline knows no calibration"),
        (
            baseline.calibration is not None and name in baseline.calibration.wanders,
            f"{name} had no value on the days of the evaluation data",
        ),
    )
    return next((reason for holds, reason in reasons if not holds), "")


@dataclass(frozen=True, eq=False)
class _Expected:
    """A metric as scores let it expect, by period."""

    value: Floats
    variance: Floats
    """Of the sampling of labels."""
    gradient: Floats
    """By how much the metric moves when a row of a bin turns from negative to positive, shape (periods, bins)."""

    @classmethod
    def of(cls, name: str, rows: Floats, rates: Floats, baseline: Baseline) -> _Expected:
        """`rows` and `rates` of shape (periods, bins)."""
        import numpy as np

        hits, misses = rows * rates, rows * (1 - rates)
        value = _of(name, hits, misses, baseline)
        step = _STEP * np.maximum(rows, 1.0)
        # One more axis in front: which bin is moved.
        turned = np.eye(rows.shape[-1])[:, None, :] * step
        gradient = ((_of(name, hits + turned, misses - turned, baseline) - value) / step.T).T
        return cls(value, (rows * rates * (1 - rates) * gradient**2).sum(axis=-1), gradient)


def _of(name: str, hits: Floats, misses: Floats, baseline: Baseline) -> Floats:
    return values(name, _tables(hits, misses, baseline), baseline)


def _tables(hits: Floats, misses: Floats, baseline: Baseline) -> Tables:
    import numpy as np

    scored = np.zeros((*hits.shape, len(baseline.labels) + 1))
    scored[..., len(baseline.labels) - 1], scored[..., 0] = hits, misses
    lead = hits.shape[:-1]
    return Tables(scored, np.zeros((*lead, 0, 0)), np.zeros((*lead, 4)))


def _by_class(days: Sequence[Labelled], baseline: Baseline) -> tuple[Floats, Floats]:
    """Rows of the positive class and others by day and bin of the score; rows without a score are left out."""
    scored = Tables.of(days, baseline).scored
    hits = scored[..., len(baseline.labels) - 1]
    return hits, scored.sum(axis=-1) - hits


def _rates(hits: Floats, misses: Floats) -> Floats:
    """Share of positive rows by bin; a bin of few rows leans on its neighbours, and an empty one is as they are."""
    import numpy as np

    rows = hits + misses
    around = np.convolve(hits, np.ones(3), "same") + hits.sum() / rows.sum()
    near = around / (np.convolve(rows, np.ones(3), "same") + 1)
    return np.asarray((hits + _PRIOR * near) / (rows + _PRIOR))


def _weeks(count: int) -> list[Floats]:
    """Days summed to weeks: the seven ways to cut so many days, each of shape (weeks, days)."""
    import numpy as np

    return [
        (np.arange(first, count - WEEK + 1, WEEK)[:, None] == np.arange(count) - np.arange(WEEK)[:, None, None])
        .any(axis=0)
        .astype(float)
        for first in range(WEEK)
    ]


def _wander(name: str, hits: Floats, rows: Floats, expected: Floats, baseline: Baseline) -> float | None:
    """Root mean square of (realised - expected) over periods, less what sampling explains; None without periods.

    All of shape (periods, bins): positive rows, rows, and positive rows as scores let them expect.
    """
    import numpy as np

    rates = expected / np.maximum(rows, 1.0)
    found = _Expected.of(name, rows, rates, baseline)
    apart = _of(name, hits, rows - hits, baseline) - found.value
    told = np.isfinite(apart) & np.isfinite(found.variance)
    if not told.any():
        return None
    return math.sqrt(max(0.0, float((apart[told] ** 2 - found.variance[told]).mean())))
