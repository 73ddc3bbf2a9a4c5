"""The metrics gate: any metric on the evaluation rows, against fixed limits and against the champion."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlship.exhibits import Exhibit
from mlship.gates import limits
from mlship.gates.base import GateContext, Limit, Predictions, judge, noted, without
from mlship.gates.labelled import too_little
from mlship.policy.gates import MetricRule
from mlship.report.figures import number, quoted, share, things
from mlship.types import GateResult, Status

if TYPE_CHECKING:
    import pandas as pd

    from mlship.gates.metrics.measure import Metric
    from mlship.gates.metrics.paired import Compared
    from mlship.gates.metrics.side import Side

#: What says the same as accuracy.
_ACCURACY = ("accuracy", "f1_micro", "jaccard_micro", "precision_micro", "recall_micro", "recall_weighted")
#: With a class rarer than this, accuracy alone hides how the rare class fares.
_RARE = 0.2


class Metrics:
    """Limits on any metric: scikit-learn's scorers, our own names, or a function of the team."""

    name = "metrics"

    def judge(self, context: GateContext) -> list[GateResult]:
        """Up to three results a metric: `min`, `max`, and `max_drop` against the champion."""
        rules = context.policy.gates.metrics
        missing = too_little(context)
        rows = _Labelled(context) if not missing else None
        results = []
        for done, (metric, rule) in enumerate(rules.items()):
            context.tick(done, len(rules))
            results += self._metric(metric, rule, context, rows if rows is not None else missing)
        if rows is None:
            return results
        return _shown(_warned(results, rules, rows), rows)

    def _metric(self, metric: str, rule: MetricRule, context: GateContext, rows: _Labelled | str) -> list[GateResult]:
        from mlship.gates.metrics import measure

        asked = list(limits.metric(metric, rule).items())

        def none(status: Status, reason: str) -> list[GateResult]:
            return [without(self.name, f"{metric} {kind}", status, limit, reason) for kind, limit in asked]

        try:
            chosen = measure.metric(metric, rule, context.resolve)
        except ValueError as error:
            return none(Status.ERROR, str(error))
        if isinstance(rows, str):
            return none(Status.INCONCLUSIVE, rows)
        unknown = ""
        try:
            compared = rows.compare(chosen, context.seed)
        except ValueError as error:
            try:
                # What fails may be the champion's: the candidate's own limits hold all the same.
                compared, unknown = rows.compare(chosen, context.seed, alone=True), str(error)
            except ValueError as own:
                return none(Status.ERROR, str(own))
        note = _note(chosen, rows)
        return [self._judge(metric, kind, limit, compared, note=note, unknown=unknown) for kind, limit in asked]

    def _judge(
        self, metric: str, kind: str, limit: Limit, compared: Compared, *, note: str, unknown: str
    ) -> GateResult:
        rule = f"{metric} {kind}"
        if kind != "max_drop":
            return judge(self.name, rule, compared.candidate, limit, champion=compared.champion, note=note)
        if compared.difference is None and unknown:
            return without(self.name, rule, Status.INCONCLUSIVE, limit, f"the champion cannot be compared: {unknown}")
        if compared.difference is None:
            return without(self.name, rule, Status.SKIPPED, limit, "there is no champion yet to compare with")
        result = judge(self.name, rule, compared.difference, limit, champion=compared.champion, note=note)
        measured = compared.difference
        return noted(result, measured.reason) if measured.value is not None and measured.reason else result


@dataclass
class _Labelled:
    """The evaluation rows with the predictions of both models, made comparable once for all metrics."""

    context: GateContext
    _sides: dict[float | None, list[Side]] = field(default_factory=dict)

    @property
    def label(self) -> pd.Series[Any]:
        """The labels of the evaluation rows."""
        rows = self.context.evaluation
        assert rows is not None, "too_little has looked"
        assert rows.target is not None, "too_little has looked"
        return rows.frame[rows.target]

    @property
    def models(self) -> list[Predictions]:
        """Candidate and, when there is one, champion."""
        return [model for model in self.context.predictions if model is not None]

    def sides(self, threshold: float | None = None) -> list[Side]:
        """Both models beside the labels; raises ``ValueError`` when they do not fit."""
        from mlship.gates.metrics.side import Side

        if threshold not in self._sides:
            self._sides[threshold] = [Side.of(self.label, model, None, threshold) for model in self.models]
        return self._sides[threshold]

    def compare(self, metric: Metric, seed: int, *, alone: bool = False) -> Compared:
        """Raises ``ValueError`` with a reason that a person can read."""
        from mlship.gates.metrics.measure import cannot
        from mlship.gates.metrics.paired import compare, compare_sides

        if alone:
            return compare(metric, self.label, self.models[0], None, seed)
        try:
            return compare_sides(metric, self.sides(metric.threshold), seed)
        except (AttributeError, TypeError, ValueError) as error:
            has_scores = all(model.scores is not None for model in self.models)
            raise ValueError(cannot(metric.name, error, has_scores=has_scores)) from error


def _note(metric: Metric, rows: _Labelled) -> str:
    """What a reader must know to read the figure."""
    if metric.threshold is not None:
        return f"the positive class is predicted from a probability of {number(metric.threshold)} on"
    if metric.name == "mape" and metric.own is not None:
        zero = int((rows.label == 0).sum())
        return (
            f"{things(zero, 'row')} with the label 0 left out: a share of zero is nothing (smape counts them)"
            if zero
            else ""
        )
    return ""


def _warned(results: list[GateResult], rules: dict[str, MetricRule], rows: _Labelled) -> list[GateResult]:
    """The same results; where a class is rare and only accuracy is gated, with what that hides."""
    if rows.models[0].classes is None or any(name not in _ACCURACY for name in rules):
        return results
    found = rows.label.value_counts(normalize=True)
    found = found[found > 0]
    if len(found) < 2 or found.iloc[-1] >= _RARE:
        return results
    commonest, rarest = found.index[0], found.index[-1]
    warning = (
        f"warning: accuracy alone says little here, since always predicting {quoted(commonest)} would reach "
        f"{number(float(found.iloc[0]))} and never find {quoted(rarest)} ({share(float(found.iloc[-1]))} of the rows); "
        "gate recall or average_precision too"
    )
    return [noted(result, warning) for result in results]


def _shown(results: list[GateResult], rows: _Labelled) -> list[GateResult]:
    """The same results, each with the plots that explain it; plots that nobody asked for go to the first."""
    from mlship.gates.metrics.plots import plots

    threshold = next((rule.threshold for rule in rows.context.policy.gates.metrics.values() if rule.threshold), None)
    try:
        found = plots(rows.sides(threshold))
    except (TypeError, ValueError):  # predictions that cannot be plotted have given errors above
        return results
    home: dict[int, list[Exhibit]] = {}
    for names, exhibit in found:
        told = [i for i, result in enumerate(results) if result.measured is not None]
        at = next((i for name in names for i in told if results[i].rule.split()[0].startswith(name)), None)
        at = at if at is not None else next(iter(told), None)
        if at is not None:
            home.setdefault(at, []).append(exhibit)
    return [replace(result, exhibits=tuple(home.get(i, ()))) for i, result in enumerate(results)]
