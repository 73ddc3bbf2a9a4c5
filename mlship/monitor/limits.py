"""The policy's limits of live performance and value, one by one, and the share of false alarms that each may spend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mlship.policy.monitor import Monitor
from mlship.stats.live_metrics import SHARES
from mlship.types.monitoring import Baseline, Kind

#: Name of the metric that is money per 1,000 predictions.
VALUE = "value"


@dataclass(frozen=True, slots=True)
class Asked:
    """One end of one limit, of all traffic or of a slice."""

    kind: Kind
    metric: str
    sign: Literal[1, -1]
    """1: a largest value; -1: a least one."""
    bound: float
    slice: str = ""

    @property
    def subject(self) -> str:
        """`recall`, `origin=JFK recall`, `value`."""
        return f"{self.slice} {self.metric}".lstrip()

    @property
    def limit(self) -> str:
        """`recall >= 0.6`."""
        return f"{self.metric} {'<=' if self.sign > 0 else '>='} {self.bound:g}"

    def over(self, value: float | None) -> bool:
        """Whether a value is beyond the limit; nothing is not."""
        return value is not None and self.sign * (value - self.bound) > 0

    def severity(self, value: float | None) -> int:
        """0 within the limit, 1 beyond it, and one more each time that what is wrong doubles.

        Of shares that is the ratio of the value to the limit, or of what is left of each to 1, the larger one; of other
        numbers the excess over the limit, in units of the limit.
        """
        if value is None or not self.over(value):
            return 0
        if self.metric not in SHARES:
            return _doubled(1 + abs(value - self.bound) / max(abs(self.bound), 1e-9))
        low, high = sorted((max(value, 1e-9), max(self.bound, 1e-9)))
        left = max(1 - low, 1e-9) / max(1 - high, 1e-9)
        return _doubled(max(high / low, left))


def _doubled(ratio: float) -> int:
    """1, and one more for each doubling, up to ten; just below counts, as 0.9 and 0.95 leave 0.1 and 0.05."""
    return 1 + min(10, int(math.log2(ratio) + 1e-9))


def asked(monitor: Monitor, baseline: Baseline) -> tuple[Asked, ...]:
    """All that is judged of labelled rows: metrics (of all, then of the slices), then value."""
    found = []
    for part in ("", *slices(monitor, baseline)):
        for name, limit in monitor.performance.items():
            found += [Asked("performance", name, -1, limit.min, part)] if limit.min is not None else []
            found += [Asked("performance", name, 1, limit.max, part)] if limit.max is not None else []
    if monitor.value is not None:
        found.append(Asked("value", VALUE, -1, monitor.value.min))
    return tuple(found)


def estimated(monitor: Monitor, baseline: Baseline) -> tuple[Asked, ...]:
    """All that is judged of rows whose labels are to come: the same limits, of all traffic."""
    if not monitor.estimate:
        return ()
    return tuple(
        Asked("estimate", one.metric, one.sign, one.bound) for one in asked(monitor, baseline) if not one.slice
    )


def slices(monitor: Monitor, baseline: Baseline) -> tuple[str, ...]:
    """The parts that are looked at on their own, as `Tally.slice` names them."""
    if monitor.slices is None:
        return ()
    return tuple(
        f"{column}={value}"
        for column in monitor.slices.by
        for value in baseline.slices.get(column, ())[: monitor.slices.most]
    )


def weights(judged: tuple[Asked, ...], shares: Mapping[str, float]) -> dict[Asked, float]:
    """The part of the policy's false alarms of each limit: its kind's share, in equal parts."""
    count = {one.kind: sum(other.kind == one.kind for other in judged) for one in judged}
    return {one: shares.get(one.kind, 0.0) / count[one.kind] for one in judged}
