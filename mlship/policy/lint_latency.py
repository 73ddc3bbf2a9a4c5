"""Contradictions in the latency budget: limits that cross, keys without what they need, too few requests. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

from mlship.policy.faults import Fault
from mlship.policy.gates import LatencyGate
from mlship.policy.subject import Subject
from mlship.policy.tree import Location
from mlship.policy.units import format_duration, format_size

_HERE: Location = ("gates", "latency")
#: Share of the requests that may take longer than each limit.
_TAILS = {"p50": 0.5, "p95": 0.05, "p99": 0.01, "p999": 0.001}
#: Requests on each side that a ratio of p99 needs in any case: with 500, one in five intervals ends beyond 1.9.
_RATIO = 750
#: The interval's upper end for two equal servers stays below exp(this / sqrt(requests)) in four of five runs; simulated
#: with independent log-normal latencies (sigma 0.5) and 750 to 6,000 requests. Latencies that hang together need more.
_WIDTH = 9.3


def lint_latency(subject: Subject) -> Iterable[Fault]:
    """All of them."""
    section = subject.policy.gates.latency
    if section is None or subject.has_broken(_HERE):
        return
    limits = [(name, limit) for name in _TAILS if (limit := getattr(section, name)) is not None]
    for (low, smaller), (high, larger) in pairwise(limits):
        if smaller > larger:
            what = f"{low} of {format_duration(smaller)} is more than {high} of {format_duration(larger)}"
            yield subject.error((*_HERE, low), what, "swap them?")
    if section.volume is None:
        for name in ("peak", "max_replicas"):
            if subject.written_at((*_HERE, name)):
                what = f"'{name}' needs volume"
                yield subject.error((*_HERE, name), what, "add volume, such as 10000000/d", at_key=True)
    memory = subject.policy.serving.memory
    if section.memory is not None and memory is not None and section.memory > memory:
        what = f"a container is ended beyond serving.memory, {format_size(memory)}: this limit is never reached"
        yield subject.warning((*_HERE, "memory"), what, "lower it, or raise serving.memory")
    yield from _enough(subject, section)


def _enough(subject: Subject, section: LatencyGate) -> Iterable[Fault]:
    """A quantile has an upper end only when so many requests would hardly all stay below it: ln(2.5 %) / ln(share)."""
    due = section.rate * section.for_
    needed = {
        name: math.ceil(math.log(0.025) / math.log(1 - tail))
        for name, tail in _TAILS.items()
        if getattr(section, name) is not None
    }
    if section.max_ratio is not None:
        needed["max_ratio"] = _ratio(section.max_ratio)
    for name, least in needed.items():
        if due < least:
            what = f"about {due:,.0f} requests cannot tell {name}: {least:,} are needed at least"
            hint = f"for: {format_duration(math.ceil(least / section.rate))}, or a higher rate"
            yield subject.warning((*_HERE, name), what, hint)


def _ratio(limit: float) -> int:
    """Requests on each side that let a candidate as quick as the champion keep this ratio, with a chance of 80 %."""
    return max(_RATIO, math.ceil((_WIDTH / math.log(limit)) ** 2)) if limit > 1 else _RATIO
