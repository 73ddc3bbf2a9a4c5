"""The metrics gate: scikit-learn scorers on the evaluation rows, against fixed limits and against the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlship.gates.base import GateContext, Limit, judge, noted, without
from mlship.gates.labelled import too_little
from mlship.policy.gates import MetricRule
from mlship.policy.scorers import OWN
from mlship.types import GateResult, Status

if TYPE_CHECKING:
    from mlship.gates.paired import Compared


class Metrics:
    """Limits on any scikit-learn scorer; a scorer's value is always "more is better"."""

    name = "metrics"

    def judge(self, context: GateContext) -> list[GateResult]:
        """Up to three results a metric: `min`, `max`, and `max_drop` against the champion."""
        rules = context.policy.gates.metrics
        return [result for metric, rule in rules.items() for result in self._metric(metric, rule, context)]

    def _metric(self, metric: str, rule: MetricRule, context: GateContext) -> list[GateResult]:
        from mlship.gates import measure
        from mlship.gates.paired import compare

        less = metric in OWN or (rule.function is not None and bool(rule.lower_is_better))
        asked = _limits(rule, less=less)
        try:
            chosen = measure.metric(metric, rule, context.resolve)
        except ValueError as error:
            return [without(self.name, f"{metric} {kind}", Status.ERROR, limit, str(error)) for kind, limit in asked]
        if missing := too_little(context):
            return [
                without(self.name, f"{metric} {kind}", Status.INCONCLUSIVE, limit, missing) for kind, limit in asked
            ]
        assert context.evaluation is not None, "too_little has looked"
        assert context.evaluation.target is not None, "too_little has looked"
        candidate, champion = context.predictions
        label = context.evaluation.frame[context.evaluation.target]
        try:
            compared = compare(chosen, label, candidate, champion, context.seed)
        except ValueError as error:
            return [without(self.name, f"{metric} {kind}", Status.ERROR, limit, str(error)) for kind, limit in asked]
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


def _limits(rule: MetricRule, *, less: bool) -> list[tuple[str, Limit]]:
    asked = []
    if rule.min is not None:
        asked.append(("min", Limit(rule.min, at_least=True)))
    if rule.max is not None:
        asked.append(("max", Limit(rule.max, at_least=False)))
    if rule.max_drop is not None:
        drop = rule.max_drop if less else -rule.max_drop if rule.max_drop else 0.0
        asked.append(("max_drop", Limit(drop, at_least=not less)))
    return asked
