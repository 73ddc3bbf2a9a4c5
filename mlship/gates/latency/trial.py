"""Figures that a person gives, judged by the latency gate's own rules: as if one measurement had found them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from mlship.gates import limits
from mlship.gates.judging import Limit
from mlship.gates.latency.gate import results
from mlship.gates.latency.measured import QUANTILES, Arm, Figure, Measured
from mlship.gates.latency.target import Memory
from mlship.policy.schema import Policy
from mlship.types import GateResult

#: (value, low, high, requests) in the limit's unit, to a result.
Judge = Callable[[float, float | None, float | None, int], GateResult]


def rules(policy: Policy) -> Iterator[tuple[str, Limit, Judge]]:
    """Each rule that a figure decides; replicas and agreement are found by searching and by comparing."""
    section = policy.gates.latency
    assert section is not None, "the policy asks for it"
    max_size = policy.image.max_size if policy.image else None
    for name, limit in limits.latency(section, max_size).items():
        yield name, limit, _judge(policy, name)


def _judge(policy: Policy, rule: str) -> Judge:
    section = policy.gates.latency
    assert section is not None, "the policy asks for it"
    max_size = policy.image.max_size if policy.image else None

    def by(value: float, low: float | None, high: float | None, n: int) -> GateResult:
        found = _measured(rule, value, low, high, n)
        return next(result for result in results(section, found, max_size) if result.rule == rule)

    return by


def _measured(rule: str, value: float, low: float | None, high: float | None, n: int) -> Measured:
    """A measurement that found this one figure."""
    arm = Arm("candidate", n, {}, {}, Figure(None))
    if rule in QUANTILES:
        least, most = (None if end is None else end / 1000 for end in (low, high))
        return Measured("process", replace(arm, quantiles={rule: Figure(value / 1000, least, most, n)}))
    if rule == "errors":
        return Measured("process", replace(arm, errors=Figure(value, low, high)))
    if rule == "ratio":
        return Measured("process", arm, champion=arm, ratio=Figure(value, low, high, worth=n))
    if rule == "cold_start":
        return Measured("process", replace(arm, cold_start=value))
    if rule == "memory":
        return Measured("process", replace(arm, memory=Memory(round(value * 1e6), "as given")))
    return Measured("process", arm, image_size=round(value * 1e6))
