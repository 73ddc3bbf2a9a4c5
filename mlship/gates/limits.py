"""The limit of each rule that compares a figure with one, read from the policy's sections alone. Pure.

Gates judge by these, and so do policy tests; rules are named as in a report.
"""

from __future__ import annotations

from mlship.gates.judging import Limit
from mlship.policy.gates import (
    AgreementGate,
    ColumnRule,
    ContractGate,
    DriftGate,
    FairnessGate,
    Gates,
    LatencyGate,
    LeakageGate,
    MetricRule,
    RobustnessGate,
    SkewGate,
    SlicesGate,
    ValueGate,
)
from mlship.policy.scorers import OWN

#: Not a single row.
NONE = Limit(0.0, at_least=False, share=True)
#: Rates of errors: the fewer the better. (Of a selection rate, neither is.)
LOWER_IS_BETTER = ("error", "false_negative_rate", "false_positive_rate")
#: Limits of `gates.slices`, in the order of judging.
SLICES = ("min", "max", "max_gap", "max_drop")
#: Share of each text column that is replaced by a text never seen.
UNSEEN_SHARE = 0.1


def contract(section: ContractGate) -> dict[str, Limit]:
    """Of the table as a whole."""
    return {
        name: Limit(getattr(section, name), at_least=False, share=True)
        for name in ("max_missing", "max_duplicates", "max_label_conflicts")
    }


def column(name: str, rule: ColumnRule) -> dict[str, Limit]:
    """Of one column of the contract: what breaks a promise is a share of the rows."""
    limits = {}
    if rule.type is not None:
        limits[f"{name} type"] = NONE
    if rule.min is not None or rule.max is not None:
        limits[f"{name} range"] = NONE
    if rule.values is not None:
        limits[f"{name} values"] = NONE
    if rule.max_missing is not None:
        limits[f"{name} max_missing"] = Limit(rule.max_missing, at_least=False, share=True)
    return limits


def leakage(section: LeakageGate) -> dict[str, Limit]:
    """Of the shares and of the one ranking; the other rules are no figures."""
    shares = {
        "max_overlap": section.max_overlap,
        "max_entity_overlap": section.max_entity_overlap,
        "max_gain": section.max_gain,
    }
    limits = {name: Limit(most, at_least=False, share=True) for name, most in shares.items() if most is not None}
    if section.max_single_feature_auc is not None:
        limits["max_single_feature_auc"] = Limit(section.max_single_feature_auc, at_least=False)
    return limits


def higher_is_better(metric: str, rule: MetricRule | None = None) -> bool:
    """Whether more of a metric, or of a rate by which groups are compared, is better."""
    if rule is not None and rule.function is not None:
        return not rule.lower_is_better
    return metric not in (*OWN, *LOWER_IS_BETTER)


def metric(name: str, rule: MetricRule) -> dict[str, Limit]:
    """Of one metric, by kind: `min`, `max`, `max_drop`; the drop is a difference, candidate minus champion."""
    limits = {}
    if rule.min is not None:
        limits["min"] = Limit(rule.min, at_least=True)
    if rule.max is not None:
        limits["max"] = Limit(rule.max, at_least=False)
    if rule.max_drop is not None:
        limits["max_drop"] = drop(rule.max_drop, is_better=higher_is_better(name, rule))
    return limits


def drop(most: float, *, is_better: bool) -> Limit:
    """Of a change: by how much it may fall where more is better, or rise where less is."""
    if is_better:
        return Limit(-most if most else 0.0, at_least=True)
    return Limit(most, at_least=False)


def slices(section: SlicesGate, kind: str, *, is_better: bool) -> Limit | None:
    """Of one of `SLICES`; None when the policy does not set it."""
    value = getattr(section, kind, None) if kind in SLICES else None
    if value is None:
        return None
    return drop(value, is_better=is_better) if kind == "max_drop" else Limit(value, at_least=kind == "min")


def fairness(section: FairnessGate) -> dict[str, Limit]:
    """By kind; each holds for every column."""
    limits = {}
    if section.max_difference is not None:
        limits["max_difference"] = Limit(section.max_difference, at_least=False)
    if section.min_ratio is not None:
        limits["min_ratio"] = Limit(section.min_ratio, at_least=True)
    return limits


def value(section: ValueGate) -> dict[str, Limit]:
    """Of the money per 1,000 predictions."""
    asked = {"min": section.min, "min_gain": section.min_gain}
    return {name: Limit(least, at_least=True) for name, least in asked.items() if least is not None}


def agreement(section: AgreementGate) -> dict[str, Limit]:
    """Of the answers that change."""
    limits = {}
    if section.max_changed is not None:
        limits["max_changed"] = Limit(section.max_changed, at_least=False, share=True)
    if section.min_better is not None:
        limits["min_better"] = Limit(section.min_better, at_least=True, share=True)
    return limits


def robustness_metric(gates: Gates) -> str | None:
    """The metric that the robustness gate judges by: the one that it names, else the first of `gates.metrics` by the
    alphabet, for the order of keys means nothing in a policy, and is not in its digest. None: neither names one.
    """
    named = gates.robustness.metric if gates.robustness is not None else None
    return named or min(gates.metrics, default=None)


def perturbations(section: RobustnessGate) -> dict[str, float]:
    """What is done to the rows, and how much of it; what is turned off is not here."""
    unseen = UNSEEN_SHARE if section.unseen_categories else 0.0
    known = {"noise": section.noise, "missing": section.missing, "scale": section.scale, "unseen_categories": unseen}
    return {name: strength for name, strength in known.items() if strength}


def robustness(section: RobustnessGate, *, is_better: bool) -> dict[str, Limit]:
    """By kind; each holds for every perturbation."""
    limits = {"max_drop": drop(section.max_drop, is_better=is_better)}
    if section.max_flipped is not None:
        limits["max_flipped"] = Limit(section.max_flipped, at_least=False, share=True)
    return limits


def drift(section: DriftGate) -> dict[str, Limit]:
    """Of the distances to the reference."""
    distances = {
        "features psi": section.features.psi if section.features else None,
        "features wasserstein": section.features.wasserstein if section.features else None,
        "predictions psi": section.predictions.psi if section.predictions else None,
        "outcomes psi": section.outcomes.psi if section.outcomes else None,
    }
    limits = {name: Limit(most, at_least=False) for name, most in distances.items() if most is not None}
    if section.max_unseen is not None:
        limits["max_unseen"] = Limit(section.max_unseen, at_least=False, share=True)
    return limits


def skew(section: SkewGate) -> dict[str, Limit]:
    """Of the rows that do not match, and of the values that differ in any one column."""
    return {
        "unmatched": Limit(section.max_unmatched, at_least=False, share=True),
        "mismatch": Limit(section.max_mismatch, at_least=False, share=True),
    }


def latency(section: LatencyGate, max_size: int | None = None) -> dict[str, Limit]:
    """Of what the server takes: time in milliseconds and seconds, memory and the image in MB."""
    quantiles = {name: getattr(section, name) for name in ("p50", "p95", "p99", "p999")}
    limits = {
        name: Limit(seconds * 1000, at_least=False, unit=" ms")
        for name, seconds in quantiles.items()
        if seconds is not None
    }
    limits["errors"] = Limit(section.errors, at_least=False, share=True)
    if section.max_ratio is not None:
        limits["ratio"] = Limit(section.max_ratio, at_least=False, unit="x")
    if section.cold_start is not None:
        limits["cold_start"] = Limit(section.cold_start, at_least=False, unit=" s")
    if section.memory is not None:
        limits["memory"] = Limit(section.memory / 1e6, at_least=False, unit=" MB")
    if max_size is not None:
        limits["size"] = Limit(max_size / 1e6, at_least=False, unit=" MB")
    return limits
