"""Contradictions about metrics: names that nobody knows, and limits or options that do not fit them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from mlship.policy.explain import suggestion
from mlship.policy.faults import Fault, plain
from mlship.policy.gates import MetricRule
from mlship.policy.lint_gates import crossed, function_shape
from mlship.policy.scorers import OWN, RATES, SCORERS, SYNONYMS
from mlship.policy.subject import Subject
from mlship.policy.tree import Location

#: Scorers that look at probabilities, so that a threshold changes nothing.
_BY_PROBABILITY = (
    "average_precision",
    "brier_score",
    "calibration_error",
    "d2_brier_score",
    "d2_log_loss_score",
    "log_loss",
    "neg_brier_score",
    "neg_log_loss",
    "roc_auc",
    "roc_auc_ovo",
    "roc_auc_ovo_weighted",
    "roc_auc_ovr",
    "roc_auc_ovr_weighted",
    "top_k_accuracy",
)
_METRICS: Location = ("gates", "metrics")


def lint_metrics(subject: Subject) -> Iterable[Fault]:
    """All of them."""
    for name, rule in subject.policy.gates.metrics.items():
        yield from _rule(subject, (*_METRICS, name), name, rule)
    yield from _named(subject)
    metrics = subject.policy.gates.metrics
    if set(metrics) == {"accuracy"} and not subject.has_broken(_METRICS):
        what = "accuracy is the only metric: where one class is rare, a model that never names it passes"
        yield subject.warning(
            (*_METRICS, "accuracy"), what, "add balanced_accuracy, average_precision or f1", at_key=True
        )


def _rule(subject: Subject, here: Location, name: str, rule: MetricRule) -> Iterable[Fault]:
    shown = plain(name, 40)
    if rule.function is not None:
        yield from function_shape(subject, (*here, "function"), rule.function)
    elif name not in (*SCORERS, *OWN) and not subject.has_broken(here):
        yield subject.error(here, f"'{shown}' is not a metric", _meant(name, [*SCORERS, *OWN]), at_key=True)
    if rule.min is None and rule.max is None and rule.max_drop is None and not subject.has_broken(here):
        yield subject.error(here, f"'{shown}' has no limit", "add min, max or max_drop", at_key=True)
    yield from crossed(subject, here, rule.min, rule.max)
    if rule.threshold is not None and rule.function is None and name in _BY_PROBABILITY:
        what = f"'{shown}' looks at the probabilities themselves: a threshold changes nothing"
        yield subject.error((*here, "threshold"), what, "remove it", at_key=True)
    if name == "quantile_loss" and rule.function is None:
        if rule.quantile is None and not subject.written_at((*here, "quantile")):
            hint = "add quantile: the one that the model predicts, such as 0.9"
            yield subject.error(here, "'quantile_loss' needs its quantile", hint, at_key=True)
    elif rule.quantile is not None:
        yield subject.error((*here, "quantile"), "only quantile_loss has a quantile", "remove it", at_key=True)
    if rule.lower_is_better is not None and rule.function is None and not subject.has_broken(here):
        what = f"for '{shown}' it is known whether less is better"
        yield subject.error(
            (*here, "lower_is_better"), what, "remove it: it is for a function of your own", at_key=True
        )


def _named(subject: Subject) -> Iterable[Fault]:
    """Metrics that other gates name: known ones, rates where groups are compared, and functions of `metrics`."""
    gates = subject.policy.gates
    own = [name for name, rule in gates.metrics.items() if rule.function is not None]
    for gate, more in (("slices", RATES), ("fairness", RATES), ("robustness", ())):
        section = getattr(gates, gate)
        name = getattr(section, "metric", None)
        if name is None:
            continue
        here: Location = ("gates", gate, "metric")
        known = [*SCORERS, *OWN, *more, *own]
        if name not in known:
            shown = subject.shown(here) or plain(name, 40)
            yield subject.error(here, f"'{plain(shown, 40)}' is not a metric", _meant(name, known))
        elif name == "quantile_loss" and name not in gates.metrics and not subject.has_broken(_METRICS):
            hint = "add quantile_loss with its quantile to gates.metrics"
            yield subject.error(here, "'quantile_loss' needs its quantile", hint)


def _meant(name: str, known: list[str]) -> str:
    meant = SYNONYMS.get(name.lower())
    if meant:
        return f"did you mean '{meant}'?"
    return suggestion(name, known) or "see the scorers of scikit-learn's user guide; ours are " + ", ".join(OWN)
