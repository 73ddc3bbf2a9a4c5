"""Lint of `monitor.performance`: names that nobody knows, kinds that do not go together, limits beyond all values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from mlship.policy.explain import suggestion
from mlship.policy.faults import Fault, plain
from mlship.policy.lint_gates import crossed
from mlship.policy.monitor import Monitor, PerformanceLimit
from mlship.policy.subject import Subject
from mlship.policy.tree import Location

_HERE: Location = ("monitor", "performance")


class Metric(NamedTuple):
    """What a metric of live traffic is."""

    numbers: bool
    """Of models that predict numbers; else of two classes."""
    low: float
    high: float
    """Its least and its largest value."""
    less_is_better: bool | None
    """None: what is near zero is better."""
    by_score: bool = False
    """It needs probabilities."""


#: What `mlship.stats.reached` can compute of counts; a test compares them.
METRICS = {
    "recall": Metric(numbers=False, low=0, high=1, less_is_better=False),
    "precision": Metric(numbers=False, low=0, high=1, less_is_better=False),
    "f1": Metric(numbers=False, low=0, high=1, less_is_better=False),
    "accuracy": Metric(numbers=False, low=0, high=1, less_is_better=False),
    "error": Metric(numbers=False, low=0, high=1, less_is_better=True),
    "average_precision": Metric(numbers=False, low=0, high=1, less_is_better=False, by_score=True),
    "roc_auc": Metric(numbers=False, low=0, high=1, less_is_better=False, by_score=True),
    "log_loss": Metric(numbers=False, low=0, high=math.inf, less_is_better=True, by_score=True),
    "brier": Metric(numbers=False, low=0, high=1, less_is_better=True, by_score=True),
    "calibration_error": Metric(numbers=False, low=0, high=1, less_is_better=True, by_score=True),
    "mae": Metric(numbers=True, low=0, high=math.inf, less_is_better=True),
    "rmse": Metric(numbers=True, low=0, high=math.inf, less_is_better=True),
    "bias": Metric(numbers=True, low=-math.inf, high=math.inf, less_is_better=None),
}
NEEDS_SCORE = tuple(name for name, metric in METRICS.items() if metric.by_score)
#: What people also call them, and the names of their negatives or relatives among the gates' metrics.
_SYNONYMS = {
    "auc": "roc_auc",
    "auroc": "roc_auc",
    "ap": "average_precision",
    "pr_auc": "average_precision",
    "auprc": "average_precision",
    "brier_score": "brier",
    "brier_score_loss": "brier",
    "neg_brier_score": "brier",
    "logloss": "log_loss",
    "cross_entropy": "log_loss",
    "neg_log_loss": "log_loss",
    "ece": "calibration_error",
    "expected_calibration_error": "calibration_error",
    "error_rate": "error",
    "f1_score": "f1",
    "sensitivity": "recall",
    "true_positive_rate": "recall",
    "tpr": "recall",
    "mean_absolute_error": "mae",
    "neg_mean_absolute_error": "mae",
    "root_mean_squared_error": "rmse",
    "neg_root_mean_squared_error": "rmse",
    "mean_squared_error": "rmse",
    "mse": "rmse",
    "mean_error": "bias",
}
#: Metrics of the gates that tell what the model predicts.
_OF_NUMBERS = ("mae", "rmse", "mape", "smape", "quantile_loss", "r2", "explained_variance")
_OF_CLASSES = (
    *("recall", "precision", "f1", "accuracy", "balanced_accuracy", "average_precision", "roc_auc", "log_loss"),
    *("brier_score", "calibration_error", "matthews_corrcoef"),
)


def lint_performance(subject: Subject, monitor: Monitor) -> Iterable[Fault]:
    """All of them."""
    if subject.has_broken(_HERE):
        return
    for name, limit in monitor.performance.items():
        here: Location = (*_HERE, name)
        metric = METRICS.get(name)
        if metric is None:
            shown = plain(name, 40)
            hint = _meant(name) or f"known here: {', '.join(METRICS)}"
            yield subject.error(here, f"'{shown}' is not a metric of live traffic", hint, at_key=True)
            continue
        yield from _limit(subject, here, name, metric, limit)
    yield from _kinds(subject, monitor)


def _meant(name: str) -> str:
    if found := _SYNONYMS.get(name.lower()):
        return f"did you mean '{found}'?"
    return suggestion(name, list(METRICS))


def _limit(subject: Subject, here: Location, name: str, metric: Metric, limit: PerformanceLimit) -> Iterable[Fault]:
    if limit.min is None and limit.max is None:
        best = "max" if metric.less_is_better else "min"
        yield subject.error(here, f"'{name}' has no limit", f"add {best}", at_key=True)
        return
    yield from crossed(subject, here, limit.min, limit.max)
    span = f"{metric.low:g} to {metric.high:g}" if math.isfinite(metric.high) else f"{metric.low:g} or more"
    for key, value in (("min", limit.min), ("max", limit.max)):
        if value is None:
            continue
        if not metric.low <= value <= metric.high:
            yield subject.error((*here, key), f"'{name}' is never {value:g}: it is {span}", _percent(value, metric))
        elif value == (metric.low if key == "min" else metric.high):
            yield subject.warning((*here, key), f"'{name}' is {span}: this limit is always kept", "a stricter one?")
    lonely, better = ("min", "max") if metric.less_is_better else ("max", "min")
    if metric.less_is_better is not None and getattr(limit, lonely) is not None and getattr(limit, better) is None:
        how = "less" if metric.less_is_better else "more"
        what = f"of '{name}' {how} is better, and this only says how good it may be"
        yield subject.warning((*here, lonely), what, f"did you mean {better}?", at_key=True)


def _percent(value: float, metric: Metric) -> str:
    """60 is mostly meant as 0.6."""
    return f"did you mean {value / 100:g}?" if metric.high == 1 and 1 < value <= 100 else "a value that it can have"


def _kinds(subject: Subject, monitor: Monitor) -> Iterable[Fault]:
    """A model predicts numbers or classes, never both."""
    known = [name for name in monitor.performance if name in METRICS]
    first = known[0] if known else ""
    for name in known[1:]:
        if METRICS[name].numbers != METRICS[first].numbers:
            what = f"'{name}' is of {_of(name)}, and '{first}' of {_of(first)}: a model predicts one of the two"
            yield subject.error((*_HERE, name), what, "keep what fits the model", at_key=True)
            return
    if not first or subject.has_broken(("gates",)):
        return
    others = _OF_CLASSES if METRICS[first].numbers else _OF_NUMBERS
    rules = subject.policy.gates.metrics
    told = next((name for name, rule in rules.items() if name in others and rule.function is None), "")
    value = subject.policy.gates.value
    if told:
        kind = "classes" if METRICS[first].numbers else "numbers"
        what = f"'{first}' is of {_of(first)}, and gates.metrics judges a model of {kind} by '{told}'"
        yield subject.error((*_HERE, first), what, "keep what fits the model", at_key=True)
    elif METRICS[first].numbers and value is not None and value.payoff is not None:
        what = f"'{first}' is of numbers, and gates.value.payoff is for two classes"
        yield subject.error((*_HERE, first), what, "keep what fits the model", at_key=True)


def _of(name: str) -> str:
    return "numbers" if METRICS[name].numbers else "classes"
