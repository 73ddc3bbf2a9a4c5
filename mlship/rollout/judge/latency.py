"""Latency: thresholds frozen at stable's quantiles, and which requests count as slower than one. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from mlship.rollout.judge.evidence import Count, Evidence, Signal
from mlship.stats import histogram
from mlship.types import LATENCY_BOUNDS_MS, ArmWindow

#: Stable requests that freeze the latency thresholds; until then a window gives no latency evidence.
WARM_UP = 200
#: First canary requests that give no latency evidence: a cold start is not how the canary will be.
COLD_START = 20
#: Stable's quantiles that become thresholds: (share, whether few requests are slower, share of the bet).
QUANTILES: tuple[tuple[float, bool, float], ...] = (
    (0.5, False, 0.15),
    (0.9, False, 0.25),
    (0.99, True, 0.2),
    (0.999, True, 0.4),
)
#: The quantile whose counts are shown to a person as long as no other speaks up, and which certificates are about.
SHOWN = 2


def freeze(evidence: Evidence) -> Evidence:
    """The evidence with its thresholds frozen, once stable has answered enough requests."""
    if evidence.thresholds is not None:
        return evidence
    # The last bucket holds failures, and whatever is slower than any bound: no threshold can lie there.
    answered = evidence.warm_up[: len(LATENCY_BOUNDS_MS)]
    if sum(answered) < WARM_UP:
        return evidence
    buckets = tuple(histogram.quantile_bucket(answered, share) or 0 for share, _, _ in QUANTILES)
    return replace(evidence, thresholds=buckets, warm_up=())


def warmer(evidence: Evidence, stable: ArmWindow) -> Evidence:
    """The evidence with one more window of stable's latencies, as long as the thresholds are not frozen."""
    if evidence.thresholds is not None:
        return evidence
    return replace(evidence, warm_up=histogram.add(evidence.warm_up, stable.latency))


def slower(window: ArmWindow, bucket: int) -> Count:
    """(slower than this bucket, counted) of one arm's window.

    A request without an answer in time is slower than anything; one that failed otherwise, or was refused, tells
    nothing about how slow the model is, and is left out: nothing is fast because it fails or refuses. A refusal is
    taken for a fast answer, since nobody tells which it was. Failures are in the last bucket (see
    ``ServerCounters.latency``), and counters are read one after the other, so they may be off by a moment.
    """
    last = window.latency[-1] if window.latency else 0
    failed = min(max(0, window.errors - window.timeouts), last, window.requests)
    counted = max(0, window.requests - failed - max(0, window.refused))
    return min(counted, max(0, histogram.slower(window.latency, bucket) - failed)), counted


def tell(signal: Signal, counts: Sequence[tuple[Count, Count]], usual: int) -> Signal:
    """The signal with one more window's (canary, stable) counts of each threshold, showing those of one of them.

    That is the one whose bet has won most, once its part alone is more than the signal began with; else the usual one.
    """
    nothing: tuple[Count, Count] = ((0, 0), (0, 0))
    # Evidence that was written before each was counted has only those of the usual one.
    past = signal.counts or tuple(
        (signal.canary, signal.stable) if index == usual else nothing for index in range(len(counts))
    )
    together = tuple((_plus(a, c), _plus(b, d)) for (a, b), (c, d) in zip(past, counts, strict=True))
    weights = signal.weights or (1 / len(together),) * len(together)
    weighed = [log + math.log(weight) for log, weight in zip(signal.logs, weights, strict=True)]
    heaviest = max(range(len(weighed)), key=weighed.__getitem__)
    shown = heaviest if weighed[heaviest] > 0 else usual
    canary, stable = together[shown]
    return replace(signal, counts=together, told=shown, canary=canary, stable=stable)


def _plus(left: Count, right: Count) -> Count:
    return left[0] + right[0], left[1] + right[1]


def bucket_of(milliseconds: float) -> int:
    """The bucket whose upper bound is the first at or above this: what is slower is surely above the limit."""
    return min(bisect_left(LATENCY_BOUNDS_MS, milliseconds), len(LATENCY_BOUNDS_MS) - 1)
