"""What a metric is called and how it is computed: scikit-learn's scorers, our own names, and functions of the team."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlship.gates.base import Predictions
from mlship.gates.metrics import ours
from mlship.gates.metrics.side import Array, Scorer, Side
from mlship.policy.gates import MetricRule
from mlship.policy.scorers import OWN, SCORERS, SYNONYMS
from mlship.report.figures import nearest
from mlship.stats.ranking import Ranked, average_precision

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: Shares of the positive class that has been asked for; without a row of it they have no value.
_OF_POSITIVES = ("recall", "average_precision")
#: Scikit-learn's scorers of numbers.
_OF_NUMBERS = (
    "d2_absolute_error_score",
    "explained_variance",
    "neg_max_error",
    "neg_mean_absolute_error",
    "neg_mean_absolute_percentage_error",
    "neg_mean_gamma_deviance",
    "neg_mean_poisson_deviance",
    "neg_mean_squared_error",
    "neg_mean_squared_log_error",
    "neg_median_absolute_error",
    "neg_root_mean_squared_error",
    "neg_root_mean_squared_log_error",
    "r2",
)


@dataclass(frozen=True, eq=False)
class Metric:
    """One number about one model's predictions of labelled rows."""

    name: str
    higher_is_better: bool
    needs: Literal["values", "scores"]
    """What it looks at: the predicted classes or numbers, or the probabilities (or decision values)."""
    score: Callable[[Side], float] = field(repr=False)
    """Its value on one side; raises in scikit-learn's words when it does not fit."""
    threshold: float | None = None
    """Two classes: from this probability of the positive class on, that class is predicted."""
    scorer: Scorer | None = field(default=None, repr=False)
    """Scikit-learn's scorer, for metrics that are one."""
    of_numbers: bool = False
    """Whether it measures the distance between numbers, so that codes of classes must not stand for them."""
    own: ours.Own | None = field(default=None, repr=False)
    """The formula, for metrics of ours."""
    source: str = ""
    """Where a function of the team was found, with the digest of its file."""

    def of(
        self, label: Array | pd.Series[Any], predictions: Predictions, rows: NDArray[np.int64] | None = None
    ) -> float:
        """Its value on all rows, or on those selected by index; nan where it has none.

        Raises ``ValueError`` with a reason that a person can read when it does not fit the task or the model.
        """
        try:
            side = Side.of(label, predictions, rows, self.threshold)
            return self.on(side)
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(cannot(self.name, error, has_scores=predictions.scores is not None)) from error

    def on(self, side: Side) -> float:
        """Its value on one side; nan where it has none, such as a recall without a positive row."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a metric that is undefined here is told by its value
            if not len(side.label):
                return math.nan
            if self._lacks_positives(side):
                return math.nan
            absent = _of_fewer_classes(self.name, side)
            return float(self.score(side)) if absent is None else absent

    def weighed(self, side: Side, weights: Array) -> float:
        """The value of a scikit-learn scorer on rows that count `weights` times; nan where it has none."""
        import numpy as np

        assert self.scorer is not None, "only scikit-learn's scorers take weights"
        rows = np.flatnonzero(weights)
        counted = side.take(rows)
        return math.nan if self._lacks_positives(counted) else counted.score(self.scorer, weights=weights[rows])

    def _lacks_positives(self, side: Side) -> bool:
        return self.name in _OF_POSITIVES and side.is_binary and not side.positive.any()


def _of_fewer_classes(name: str, side: Side) -> float | None:
    """The value where a class of the model has no row, as in a slice; None where scikit-learn's is right.

    Scikit-learn counts the absent class as an average precision of 0, and refuses a log loss.
    """
    import numpy as np

    if side.classes is None or name not in {"average_precision", "neg_log_loss"} or side.scores is None:
        return None
    present = np.flatnonzero(np.bincount(side.codes, minlength=len(side.classes)))
    if side.is_binary or side.scores.ndim != 2 or len(present) == len(side.classes):
        return None
    if name == "neg_log_loss":
        return -ours.ALL["log_loss"].value(side)
    areas = [average_precision(Ranked.of(np.asarray(side.codes == k), side.scores[:, k])) for k in present]
    return float(np.mean([area.value for area in areas if area is not None]))


def metric(name: str, rule: MetricRule | None = None, resolve: Callable[[str], Path] | None = None) -> Metric:
    """The metric of this name, as its rule wants it.

    `resolve` makes a path of the policy absolute; a metric with `function` is found beside the policy file.

    Raises ``ValueError`` for an unknown name, with the one that was likely meant, and for a rule that lacks what the
    metric needs.
    """
    rule = rule or MetricRule()
    if rule.lower_is_better is not None and rule.function is None:
        raise ValueError(f"lower_is_better is for a metric of your own; what is better of {name} is known")
    if rule.quantile is not None and (name != "quantile_loss" or rule.function is not None):
        raise ValueError(f"quantile is for quantile_loss; {name} has none")
    if rule.function is not None:
        return _custom(name, rule, rule.function, resolve)
    if name in OWN:
        own = ours.OURS[name]
        if name == "quantile_loss" and rule.quantile is None:
            raise ValueError("quantile_loss needs the quantile that the model predicts; did you mean `quantile: 0.9`?")
        if rule.quantile is not None:
            own = replace(own, quantile=rule.quantile)
        return Metric(name, own.higher_is_better, own.needs, own.value, rule.threshold, own=own)
    if name not in SCORERS:
        raise ValueError(_unknown(name))
    from sklearn.metrics import get_scorer

    scorer = get_scorer(name)
    response = getattr(scorer, "_response_method", "predict")
    needs: Literal["values", "scores"] = "values" if response == "predict" else "scores"
    if needs == "scores" and rule.threshold is not None:
        raise ValueError(f"{name} looks at the probabilities themselves, so a threshold changes nothing")
    of_numbers = name in _OF_NUMBERS

    def score(side: Side) -> float:
        return (side.as_numbers() if of_numbers else side).score(scorer)

    return Metric(name, True, needs, score, rule.threshold, scorer=scorer, of_numbers=of_numbers)


def _custom(name: str, rule: MetricRule, function: str, resolve: Callable[[str], Path] | None) -> Metric:
    """A function of (labels, predictions, scores), found beside the policy file."""
    from mlship.gates.metrics import apart

    found = apart.find(function, (resolve or Path)("."))

    def score(side: Side) -> float:
        value = found.call(side.said, side.chosen, side.scores)
        if not isinstance(value, float):
            raise ValueError(f"{function} gives an array of shape {value.shape}, not a number")  # noqa: TRY004 - one kind of fault
        return value

    return Metric(name, not rule.lower_is_better, "scores", score, rule.threshold, source=found.source)


def _unknown(name: str) -> str:
    meant = SYNONYMS.get(name.lower())
    hint = f"; did you mean '{meant}'?" if meant else nearest(name, [*SCORERS, *OWN])
    return f"'{name}' is neither a scikit-learn scorer nor a metric of mlship{hint}"


def cannot(name: str, error: Exception, *, has_scores: bool) -> str:
    """Scikit-learn's refusal in one line, with the likely cause in front."""
    said = " ".join(str(error).split())
    if "predict_proba" in said and not has_scores and not said.startswith(("a threshold", "it needs a prob")):
        return f"{name} needs probabilities, and the model gives none (it has no predict_proba)"
    if "multi_class must be in" in said:
        return f"{name} is for two classes; use {name}_ovr or {name}_ovo for more"
    if "Target is multiclass but average='binary'" in said:
        return f"{name} is for two classes; use {name}_macro or {name}_weighted for more"
    return f"{name} cannot be measured here: {said[:300]}"
