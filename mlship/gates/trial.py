"""Figures that a person gives, judged by a policy: what a policy test asks of the gates' own judges. Pure.

Rules that no figure decides (a scan, a signature, a runbook) are not part of a policy test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mlship.gates import limits, parts
from mlship.gates.judging import Limit, judge, without
from mlship.policy.schema import Policy
from mlship.policy.units import parse_duration, parse_factor, parse_share, parse_size
from mlship.types import GateResult, Measurement, Status

#: What a reader is told to have been counted, where a figure does not say.
ROWS = 1000
_SOURCE = "policy test"
_NO_CHAMPION = "there is no champion yet to compare with"
_READ: dict[str, Callable[[Any], float]] = {
    " ms": lambda value: parse_duration(value) * 1000,
    " s": parse_duration,
    " MB": lambda value: parse_size(value) / 1e6,
    "x": parse_factor,
}


@dataclass(frozen=True, slots=True)
class Given:
    """What was measured for one rule, in the unit of its limit; no value: it was not measured."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    champion: float | None = None
    n: int = ROWS
    groups: int = 2
    """How many groups it is the extreme of (fairness)."""
    chance: float = 0.0
    """How much chance alone makes of so many rows (drift)."""

    def measurement(self, metric: str) -> Measurement:
        """As a gate would have it."""
        reason = "" if self.value is not None else "it was not measured"
        return Measurement(metric, self.value, self.low, self.high, self.n, _SOURCE, reason)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule that the policy asks for, and how figures are judged by it."""

    gate: str
    name: str
    limit: Limit
    compares: bool
    """Whether it needs a champion."""
    by: Callable[[Given], GateResult]

    def number(self, value: object) -> float:
        """A figure in the unit of the limit. Raises ``ValueError`` with the likely fix."""
        if self.limit.share:
            return parse_share(value)
        if self.limit.unit in _READ:
            return _READ[self.limit.unit](value)
        if isinstance(value, (int, float)):
            return float(value)
        raise ValueError("must be a number, such as 0.64")

    def judge(self, given: Given, *, has_champion: bool = True) -> GateResult:
        """The result that the gate would give for such figures."""
        if self.compares and not has_champion:
            return without(self.gate, self.name, Status.SKIPPED, self.limit, _NO_CHAMPION)
        if given.value is None:
            return judge(self.gate, self.name, given.measurement(self.name), self.limit)
        return self.by(given)


def rules(policy: Policy) -> list[Rule]:
    """Every rule of the policy's gates that a figure decides, in the order of judging."""
    return [rule for gate in _GATES for rule in gate(policy)]


def _plain(gate: str, name: str, limit: Limit, *, metric: str = "", compares: bool = False) -> Rule:
    """A rule of the one judge."""

    def by(given: Given) -> GateResult:
        champion = None if given.champion is None else Measurement(metric or name, given.champion, n=given.n)
        return judge(gate, name, given.measurement(metric or name), limit, champion=champion)

    return Rule(gate, name, limit, compares, by)


def _contract(policy: Policy) -> Iterator[Rule]:
    section = policy.gates.contract
    if section is not None:
        columns = [limits.column(name, rule) for name, rule in section.columns.items()]
        for asked in (limits.contract(section), *columns):
            for name, limit in asked.items():
                yield _plain("contract", name, limit)


def _leakage(policy: Policy) -> Iterator[Rule]:
    section = policy.gates.leakage
    if section is not None:
        for name, limit in limits.leakage(section).items():
            yield _plain("leakage", name, limit, compares=name == "max_gain")


def _skew(policy: Policy) -> Iterator[Rule]:
    section = policy.gates.skew
    if section is not None:
        for name, limit in limits.skew(section).items():
            yield _plain("skew", name, limit)


def _drift(policy: Policy) -> Iterator[Rule]:
    section = policy.gates.drift
    if section is None:
        return
    has_recent = policy.data is not None and policy.data.recent is not None
    for side in ("", "recent ") if has_recent else ("",):
        for name, limit in limits.drift(section).items():
            rule = f"{side}{name}"
            yield Rule("drift", rule, limit, False, _distance(rule, limit))


def _distance(rule: str, limit: Limit) -> Callable[[Given], GateResult]:
    return lambda given: parts.distance(rule, limit, given.measurement(rule), given.chance)


def _metrics(policy: Policy) -> Iterator[Rule]:
    for metric, rule in policy.gates.metrics.items():
        for kind, limit in limits.metric(metric, rule).items():
            is_drop = kind == "max_drop"
            name = f"difference of {metric}" if is_drop else metric
            yield _plain("metrics", f"{metric} {kind}", limit, metric=name, compares=is_drop)


def _slices(policy: Policy) -> Iterator[Rule]:
    section = policy.gates.slices
    if section is None:
        return
    metric = section.metric
    is_better = limits.higher_is_better(metric, policy.gates.metrics.get(metric))
    for kind in limits.SLICES:
        limit = limits.slices(section, kind, is_better=is_better)
        if limit is not None:
            rule = f"{metric} {kind}"
            by = _gap(metric, rule, limit) if kind == "max_gap" else _slice(metric, rule, limit, kind == "max_drop")
            yield Rule("slices", rule, limit, kind == "max_drop", by)


def _slice(metric: str, rule: str, limit: Limit, difference: bool) -> Callable[[Given], GateResult]:
    """The given figure is that of the worst slice."""

    def by(given: Given) -> GateResult:
        assert given.value is not None, "the rule has looked"
        low = given.value if given.low is None else given.low
        high = given.value if given.high is None else given.high
        own = given.value + (given.champion or 0.0) if difference else given.value
        one = parts.Slice("the worst slice", given.n, given.value, low, high, own, given.champion)
        return parts.slices(metric, rule, limit, [one], difference=difference and given.champion is not None)

    return by


def _gap(metric: str, rule: str, limit: Limit) -> Callable[[Given], GateResult]:
    def by(given: Given) -> GateResult:
        measured = given.measurement(f"{metric} gap")
        low, high = limit.figure(given.low), limit.figure(given.high)
        said = f"{metric} has a gap of {limit.figure(given.value)} (interval {low} to {high})"
        return parts.widest(rule, measured, limit, said=said)

    return by


def _fairness(policy: Policy) -> Iterator[Rule]:
    section = policy.gates.fairness
    if section is None:
        return
    for column in dict.fromkeys(section.by):
        for kind, limit in limits.fairness(section).items():
            rule = f"{column} {kind}"
            yield Rule("fairness", rule, limit, False, _extreme(section.metric, rule, kind, limit))


def _extreme(metric: str, rule: str, kind: str, limit: Limit) -> Callable[[Given], GateResult]:
    name = f"{'difference' if kind == 'max_difference' else 'ratio'} of {metric}"

    def by(given: Given) -> GateResult:
        champion = None if given.champion is None else Measurement(name, given.champion, n=given.n)
        return parts.extreme(rule, given.measurement(name), limit, groups=given.groups, champion=champion)

    return by


def _value(policy: Policy) -> Iterator[Rule]:
    section = policy.gates.value
    if section is not None:
        for name, limit in limits.value(section).items():
            metric = "value per 1,000 predictions" if name == "min" else "gain per 1,000 predictions"
            yield _plain("value", name, limit, metric=metric, compares=name == "min_gain")


def _agreement(policy: Policy) -> Iterator[Rule]:
    section = policy.gates.agreement
    if section is not None:
        for name, limit in limits.agreement(section).items():
            yield _plain("agreement", name, limit, compares=True)


def _robustness(policy: Policy) -> Iterator[Rule]:
    section = policy.gates.robustness
    if section is None:
        return
    metric = limits.robustness_metric(policy.gates)
    is_better = metric is None or limits.higher_is_better(metric, policy.gates.metrics.get(metric))
    for perturbation in limits.perturbations(section):
        for kind, limit in limits.robustness(section, is_better=is_better).items():
            name = f"change of {metric}" if kind == "max_drop" else "share of predictions that change"
            yield _plain("robustness", f"{perturbation} {kind}", limit, metric=name)


def _latency(policy: Policy) -> Iterator[Rule]:
    if policy.gates.latency is not None:  # it brings the load generator's figures with it
        from mlship.gates.latency import trial

        for name, limit, by in trial.rules(policy):
            yield Rule("latency", name, limit, name == "ratio", _from_latency(by))


def _from_latency(by: Callable[..., GateResult]) -> Callable[[Given], GateResult]:
    return lambda given: by(given.value, given.low, given.high, given.n)


_GATES = (
    _contract,
    _leakage,
    _skew,
    _drift,
    _metrics,
    _slices,
    _fairness,
    _value,
    _agreement,
    _robustness,
    _latency,
)
