"""The metrics gate: scikit-learn scorers on the evaluation rows, against fixed limits and against the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlship.gates.base import FEWEST_ROWS, GateContext, Limit, judge, noted, without
from mlship.policy.gates import MetricRule
from mlship.report.figures import nearest, quoted, things
from mlship.types import GateResult, Status

if TYPE_CHECKING:
    import pandas as pd

    from mlship.gates.paired import Compared


class Metrics:
    """Limits on any scikit-learn scorer; a scorer's value is always "more is better"."""

    name = "metrics"

    def judge(self, context: GateContext) -> list[GateResult]:
        """Up to three results a metric: `min`, `max`, and `max_drop` against the champion."""
        rules = context.policy.gates.metrics
        return [result for metric, rule in rules.items() for result in self._metric(metric, rule, context)]

    def _metric(self, metric: str, rule: MetricRule, context: GateContext) -> list[GateResult]:
        from sklearn.metrics import get_scorer_names

        from mlship.gates.paired import compare

        asked = _limits(rule)
        if metric not in get_scorer_names():
            reason = f"'{metric}' is not a scikit-learn scorer{nearest(metric, get_scorer_names())}"
            return [without(self.name, f"{metric} {kind}", Status.ERROR, limit, reason) for kind, limit in asked]
        if missing := _too_little(context):
            return [
                without(self.name, f"{metric} {kind}", Status.INCONCLUSIVE, limit, missing) for kind, limit in asked
            ]
        assert context.evaluation is not None, "_too_little has looked"
        assert context.evaluation.target is not None, "_too_little has looked"
        candidate, champion = context.predictions
        label = context.evaluation.frame[context.evaluation.target]
        try:
            compared = compare(metric, label.to_numpy(), candidate, champion, context.seed)
        except (AttributeError, TypeError, ValueError) as error:
            reason = _cannot(metric, error, has_scores=candidate.scores is not None)
            return [without(self.name, f"{metric} {kind}", Status.ERROR, limit, reason) for kind, limit in asked]
        return [self._judge(metric, kind, limit, compared) for kind, limit in asked]

    def _judge(self, metric: str, kind: str, limit: Limit, compared: Compared) -> GateResult:
        rule = f"{metric} {kind}"
        if kind != "max_drop":
            return judge(self.name, rule, compared.candidate, limit, champion=compared.champion)
        if compared.difference is None:
            return without(self.name, rule, Status.SKIPPED, limit, "there is no champion yet to compare with")
        result = judge(self.name, rule, compared.difference, limit, champion=compared.champion)
        measured = compared.difference
        return noted(result, measured.reason) if measured.value is not None and measured.reason else result


def _limits(rule: MetricRule) -> list[tuple[str, Limit]]:
    asked = []
    if rule.min is not None:
        asked.append(("min", Limit(rule.min, at_least=True)))
    if rule.max is not None:
        asked.append(("max", Limit(rule.max, at_least=False)))
    if rule.max_drop is not None:
        asked.append(("max_drop", Limit(-rule.max_drop if rule.max_drop else 0.0, at_least=True)))
    return asked


def _too_little(context: GateContext) -> str:
    """Why nothing can be measured on these rows; empty when something can."""
    rows = context.evaluation
    if rows is None:
        return "the policy names no evaluation data"
    if rows.target is None:
        return "data.evaluation names no target column"
    if len(rows) < FEWEST_ROWS:
        return f"the evaluation data has {things(len(rows), 'row')}; below {FEWEST_ROWS} nothing is decided"
    return _one_class(rows.frame[rows.target])


def _one_class(label: pd.Series) -> str:
    """Why labels that are classes cannot tell models apart; empty when they can, or are numbers."""
    import pandas as pd

    found = label.value_counts()
    if len(found) == 1:
        return f"every row has the same label, {quoted(found.index[0])}: nothing can be told apart"
    few = found[found < 2]
    if len(few) and len(found) == 2 and not pd.api.types.is_float_dtype(label.dtype):
        return f"only {things(int(few.iloc[0]), 'row')} has the label {quoted(few.index[0])}"
    return ""


def _cannot(metric: str, error: Exception, *, has_scores: bool) -> str:
    """Scikit-learn's refusal in one line, with the likely cause in front."""
    said = " ".join(str(error).split())
    if "predict_proba" in said and not has_scores:
        return f"{metric} needs probabilities, and the model gives none (it has no predict_proba)"
    if "multi_class must be in" in said:
        return f"{metric} is for two classes; use {metric}_ovr or {metric}_ovo for more"
    if "Target is multiclass but average='binary'" in said:
        return f"{metric} is for two classes; use {metric}_macro or {metric}_weighted for more"
    return f"{metric} cannot be measured here: {said[:300]}"
