"""What the candidate reached on the evaluation rows: labelled rows by day, counted as those of live traffic will be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlship.gates.base import Predictions
from mlship.gates.baseline.task import Task
from mlship.report.figures import listed
from mlship.stats import confidence, cutting, live_metrics, reached
from mlship.types.monitoring import Baseline, Labelled

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_DAY = 86400.0


def days(
    task: Task,
    said: Predictions,
    label: pd.Series[Any],
    moments: NDArray[np.float64] | None,
    baseline: Baseline,
) -> list[Labelled]:
    """The rows by day, in the order of time; without times all are one day, and rows without a time are left out.

    A row is of the local day (`Baseline.zone`) that the middle of its window is in, as in live traffic; a window longer
    than a day is a day of its own.
    """
    if moments is None:
        return [_labelled(task, said, label, slice(None), baseline)]
    return [_labelled(task, said, label, rows, baseline) for rows in _by_day(moments, baseline)]


def with_performance(baseline: Baseline, days: Sequence[Labelled], asked: Sequence[str]) -> Baseline:
    """The baseline with every metric that its model has, its calibration, and why any that was asked for is not there.

    Parameters
    ----------
    asked
        Metrics that the policy limits.
    """
    found = {name: reached.reached(name, days, baseline) for name in live_metrics.known(baseline)}
    performance = {name: one for name, one in found.items() if one is not None}
    why_not = dict(baseline.why_not)
    lacking = [name for name in asked if name not in performance]
    if lacking:
        known = listed(list(performance), 20) or "none"
        why_not["performance"] = f"{listed(lacking)}: no such metric of these rows and predictions (there are: {known})"
    elif performance and all(one.steady is None for one in performance.values()):
        few = "no times: data.evaluation.time is not set" if len(days) < 2 else f"{len(days)} days, which are too few"
        why_not["performance"] = f"how it varies from day to day is not known: the evaluation data has {few}"
    calibration = confidence.learn_calibration(days, baseline)
    if calibration is None and baseline.scores is not None:
        why_not["calibration"] = confidence.why_not_calibrated(days, baseline)
    return replace(baseline, performance=performance, calibration=calibration, why_not=why_not)


def _by_day(moments: NDArray[np.float64], baseline: Baseline) -> Iterator[Any]:
    """The rows of each day, as indices."""
    import numpy as np
    import pandas as pd

    window = np.floor(moments / baseline.window)
    days, found = window, np.flatnonzero(np.isfinite(window))
    if baseline.window <= _DAY:
        middle = pd.to_datetime((window[found] + 0.5) * baseline.window, unit="s", utc=True)
        local = middle.tz_convert(baseline.zone).tz_localize(None)
        days = np.full(len(moments), np.nan)
        days[found] = local.to_numpy(dtype="datetime64[D]").astype(np.int64)
    order = found[np.argsort(days[found], kind="stable")]
    yield from np.split(order, np.flatnonzero(np.diff(days[order])) + 1)


def _labelled(task: Task, said: Predictions, label: pd.Series[Any], rows: Any, baseline: Baseline) -> Labelled:
    import numpy as np

    some = _Some(said, rows)
    if task.kind == "numbers":
        error = np.asarray(some.values, dtype=float) - label.iloc[rows].to_numpy(dtype=float)
        sums = (float(error.sum()), float(abs(error).sum()), float((error**2).sum()))
        return Labelled(rows=len(error), errors=(float(len(error)), *sums))
    labels = task.labelled(label.iloc[rows])
    width = len(task.labels) + 1
    scored: tuple[tuple[int, ...], ...] = ()
    scores = task.scores(some)
    if scores is not None and baseline.scores is not None:
        bins = baseline.scores.bins
        scored = _table(cutting.positions(scores, bins), labels, bins.width, width)
    # Where the policy has another threshold than the model, its decision is by score.
    answered = () if task.is_chosen else _table(task.answers(some), labels, task.bins.width, width)
    return Labelled(rows=len(labels), scored=scored, answered=answered)


class _Some:
    """The predictions of some rows."""

    def __init__(self, said: Predictions, rows: Any) -> None:
        self.values = said.values[rows]
        self.scores = None if said.scores is None else said.scores[rows]
        self.classes = said.classes


def _table(
    places: NDArray[np.int16], labels: NDArray[np.int16], height: int, width: int
) -> tuple[tuple[int, ...], ...]:
    import numpy as np

    flat = np.bincount(places.astype(np.int64) * width + labels, minlength=height * width)
    return tuple(tuple(row) for row in flat.reshape(height, width).tolist())
