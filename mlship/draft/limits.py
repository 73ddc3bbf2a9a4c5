"""Limits on metrics, from the intervals that the metrics gate measured of the version in production. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from mlship.draft.facts import Facts, Task
from mlship.draft.layout import Line, decimal, down, step_of, up
from mlship.policy.scorers import OWN
from mlship.report.figures import count, number
from mlship.types import Measurement

#: What says most about a model of each kind; the first is the one that robustness would look at.
METRICS: dict[Task, tuple[str, ...]] = {
    "binary": ("average_precision", "recall", "precision", "calibration_error"),
    "classes": ("balanced_accuracy", "f1_macro", "log_loss"),
    "labels": ("balanced_accuracy", "f1_macro"),
    "numbers": ("mae", "rmse", "r2"),
}
#: Asked for where a model of two classes gives no probabilities.
WITHOUT_SCORES = ("balanced_accuracy", "recall", "precision")
#: Limits for a comment, where nothing was measured; all of them metrics that need no probabilities.
_EXAMPLES: dict[Task, tuple[str, ...]] = {
    "binary": tuple(f"{name}: {{min: 0.5, max_drop: 0.01}}" for name in WITHOUT_SCORES),
    "labels": tuple(f"{name}: {{min: 0.5, max_drop: 0.01}}" for name in METRICS["labels"]),
    "numbers": ("r2: {min: 0, max_drop: 0.01}", "mae: {max_drop: 0.1}"),
}
#: A limit that everything keeps: what the gate is asked with when it is only to measure.
FAR = 1e12


@dataclass(frozen=True, slots=True)
class Limits:
    """What a metric must keep: one of `min` and `max`, and the largest loss against the champion."""

    min: float | None
    max: float | None
    max_drop: float


def limits(measured: Measurement) -> Limits | None:
    """Limits that this version keeps, and one as good as it would keep on other rows; None without an interval.

    The gate judges the worst end of the interval. On other rows that end lies elsewhere, lower by more than half an
    interval's width in one case of twelve (both are estimates, so their difference has sqrt(2) times the error of one).
    So the limit lies half a width beyond the worst end. The largest loss is half a width too: the interval of a
    difference between two models on the same rows is narrower than that of one model, as a rule.
    """
    value, low, high = measured.value, measured.low, measured.high
    if value is None or low is None or high is None:
        return None
    worst, best = Decimal(repr(float(low))), Decimal(repr(float(high)))  # 0.893 - 0.881 is 0.012, and not a little more
    half = float((best - worst) / 2)
    step = step_of(half if half > 0 else max(abs(value), 1e-3) / 100)
    drop = max(up(half, step), step)
    if measured.metric in OWN:
        return Limits(None, up(float(best + (best - worst) / 2), step), drop)
    return Limits(down(float(worst - (best - worst) / 2), step), None, drop)


def metric_lines(facts: Facts) -> list[Line]:
    """A line for each metric that was measured, and a comment for each that could not be."""
    asked = list(dict.fromkeys(result.rule.split()[0] for result in facts.results if result.gate == "metrics"))
    return [_line(facts, metric) for metric in asked]


def example_lines(likely: Task | None) -> list[Line]:
    """Comments with metrics that fit the labels; of classes where these do not tell."""
    return [Line(f"  #   {one}") for one in _EXAMPLES.get(likely or "labels", _EXAMPLES["labels"])]


def measured_metrics(facts: Facts) -> list[str]:
    """Names of the metrics that the draft limits."""
    return [
        line.text.strip().partition(":")[0] for line in metric_lines(facts) if not line.text.strip().startswith("#")
    ]


def _line(facts: Facts, metric: str) -> Line:
    rule = f"{metric} {'max' if metric in OWN else 'min'}"
    result = facts.measured("metrics", rule)
    found = limits(result.measured) if result is not None and result.measured is not None else None
    if found is None or result is None or result.measured is None:
        reason = next((one.reason for one in facts.results if one.rule == rule), "it was not measured")
        return Line(f"    # {metric}: no limit", f"not measured: {reason}")
    it = result.measured
    end = f"max: {decimal(found.max)}" if found.max is not None else f"min: {decimal(found.min or 0.0)}"
    return Line(f"    {metric}: {{{end}, max_drop: {decimal(found.max_drop)}}}", f"{facts.subject} {shown(it)}")


def shown(measured: Measurement) -> str:
    """Value, interval and rows, with as many decimals as tell the ends apart: `0.887 [0.881, 0.893] on 28,293 rows`."""
    low, high = measured.low or 0.0, measured.high or 0.0
    places = max(0, min(6, 1 - math.floor(math.log10(high - low)))) if high > low else 3
    figures = [f"{one:,.{places}f}" if abs(one) < 1e9 else number(one) for one in (measured.value or 0.0, low, high)]
    return f"{figures[0]} [{figures[1]}, {figures[2]}] on {count(measured.n)} rows"
