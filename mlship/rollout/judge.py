"""The judge: what each signal says so far about the canary, as evidence that stays honest at every look. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from mlship.stats import eprocess, histogram
from mlship.stats.eprocess import EProcess
from mlship.types import LATENCY_BOUNDS_MS, ArmWindow, Observation

#: Stable requests that freeze the latency thresholds; until then a window gives no latency evidence.
WARM_UP = 500
#: First canary requests that give no latency evidence: a cold start is not how the canary will be.
COLD_START = 20
#: Stable's quantiles that become thresholds, and the alternatives to bet on at each one's base rate.
QUANTILES: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0.5, eprocess.COMMON),
    (0.9, eprocess.COMMON),
    (0.99, eprocess.RARE),
    (0.999, eprocess.RARE),
)
#: The quantile whose counts are shown to a person.
SHOWN = 2
#: Stretches without a look that are remembered, to drop the labels of their requests.
GAPS = 64


@dataclass(frozen=True, slots=True)
class Guards:
    """Which signals are watched, each with the ratio that is tolerated; None is not watched."""

    errors: float | None = None
    latency: float | None = None
    labels: float | None = None
    false_rollback: float = 0.01
    """Chance that a healthy canary is ever rolled back, over all signals and looks."""
    timeouts: float | None = None
    slow: tuple[tuple[float, float], ...] = ()
    """Limits of the canary's own latency: (quantile, milliseconds)."""
    predictions: float | None = None
    predictions_action: str = "warn"
    """rollback | pause | warn"""
    agreement: float | None = None
    """Share of the mirrored requests on which both arms must agree."""
    agreement_action: str = "rollback"
    certify: tuple[tuple[str, float], ...] = ()
    """What must be proved before promotion: (signal, the canary's rate is below so many times stable's)."""
    negligible: float = 0.0
    """A rate below this is proof enough."""

    @property
    def limit(self) -> float:
        """The total e-value at which the canary is rolled back."""
        return 1 / self.false_rollback

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Guards:
        """Guards as ``dataclasses.asdict`` and JSON left them."""
        pairs = {name: tuple((a, b) for a, b in document[name]) for name in ("slow", "certify")}
        return cls(**{**document, **pairs})


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal: its bets, averaged, and its counts over the whole rollout."""

    name: str
    processes: tuple[EProcess, ...]
    canary: tuple[int, int] = (0, 0)
    """(bad, counted)"""
    stable: tuple[int, int] = (0, 0)

    @property
    def log_e(self) -> float:
        """Natural logarithm of the signal's e-value."""
        return eprocess.log_mean([eprocess.log_e(process) for process in self.processes])


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the judge remembers; constant in size, and kept with the rollout, since a reset would spend alpha
    again."""

    limit: float
    signals: tuple[Signal, ...]
    warm_up: tuple[int, ...] = ()
    """Stable's latency histogram until the thresholds are frozen."""
    thresholds: tuple[int, ...] | None = None
    """Bucket of each frozen threshold; slower means a later bucket."""
    cold: int = 0
    """Canary requests so far, up to `COLD_START`."""
    since: int | None = None
    """First second whose requests were split between the arms."""
    until: float = 0.0
    """End of the last window."""
    gaps: tuple[tuple[int, int], ...] = ()
    """Seconds (first, last) between two windows, in which a weight may have changed."""

    @property
    def total(self) -> float:
        """The e-value of the whole rollout: the mean over its signals."""
        return eprocess.e_value(eprocess.log_mean([signal.log_e for signal in self.signals]))

    @property
    def shares(self) -> dict[str, float]:
        """Each signal's e-value, by its name."""
        return {signal.name: eprocess.e_value(signal.log_e) for signal in self.signals}

    @property
    def unseen(self) -> tuple[str, ...]:
        """Signals that have not seen anything of the canary yet."""
        return tuple(signal.name for signal in self.signals if signal.canary[1] == 0)


def begin(guards: Guards, history: tuple[int, ...] = (), stages: int = 1) -> Evidence:
    """Evidence that has seen nothing.

    Parameters
    ----------
    guards
        The signals to watch.
    history
        Stable's latency histogram from before the canary had traffic, if there is one.
    stages
        How often `restart` may be called, and once more.
    """
    del stages
    signals = []
    if guards.errors is not None:
        signals.append(Signal("errors", (eprocess.begin(eprocess.RARE, guards.errors),)))
    if guards.latency is not None:
        bets = tuple(eprocess.begin(ratios, guards.latency) for _, ratios in QUANTILES)
        signals.append(Signal("latency", bets))
    if guards.labels is not None:
        signals.append(Signal("labels", (eprocess.begin(eprocess.COMMON, guards.labels),)))
    return _freeze(Evidence(guards.limit, tuple(signals), warm_up=tuple(history)))


def update(evidence: Evidence, observation: Observation) -> Evidence:
    """The evidence after one look. Every window stands by itself: counts of different weights are never pooled.

    A look in which an arm's counters are missing changes nothing.
    """
    if observation.missing:
        return evidence
    if evidence.until and observation.started > evidence.until:
        gap = (math.floor(evidence.until), math.floor(observation.started))
        evidence = replace(evidence, gaps=(*evidence.gaps, gap)[-GAPS:])
    if evidence.since is None and observation.weight > 0:
        evidence = replace(evidence, since=math.floor(observation.started) + 1)
    signals = tuple(_look(signal, evidence, observation) for signal in evidence.signals)
    evidence = replace(
        evidence,
        signals=signals,
        until=observation.ended,
        cold=min(COLD_START, evidence.cold + observation.canary.requests),
    )
    if evidence.thresholds is None:
        evidence = replace(evidence, warm_up=histogram.add(evidence.warm_up, observation.stable.latency))
    return _freeze(evidence)


def restart(evidence: Evidence) -> Evidence:
    """The evidence at the start of a stage: from here on it also bets on a canary that turns bad only now."""
    return evidence


def objections(evidence: Evidence) -> tuple[str, ...]:
    """Names of the signals that have convicted the canary, and only ask for a pause."""
    del evidence
    return ()


def warnings(evidence: Evidence) -> tuple[str, ...]:
    """What the signals say that have convicted the canary, and only warn."""
    del evidence
    return ()


def unproved(evidence: Evidence) -> str:
    """What is not proved yet and must be, before promotion, as people say it; empty when everything is."""
    del evidence
    return ""


def say(evidence: Evidence, name: str) -> str:
    """What one signal says."""
    return next((_say(signal, evidence) for signal in evidence.signals if signal.name == name), name)


def _look(signal: Signal, evidence: Evidence, observation: Observation) -> Signal:
    if signal.name == "errors":
        return _errors(signal, observation)
    if signal.name == "latency":
        return _latency(signal, evidence, observation)
    return _labels(signal, evidence, observation)


def _errors(signal: Signal, observation: Observation) -> Signal:
    canary, stable = observation.canary, observation.stable
    return _count(signal, (canary.errors, canary.requests), (stable.errors, stable.requests))


def _latency(signal: Signal, evidence: Evidence, observation: Observation) -> Signal:
    """Bad is slower than the threshold, or failed; thresholds and cold start are those of EARLIER windows only."""
    if evidence.thresholds is None or evidence.cold < COLD_START:
        return signal
    canary, stable = observation.canary, observation.stable
    pairs = [((_bad(canary, t), canary.requests), (_bad(stable, t), stable.requests)) for t in evidence.thresholds]
    processes = tuple(
        eprocess.update(process, bad=(c[0], s[0]), requests=(c[1], s[1]))
        for process, (c, s) in zip(signal.processes, pairs, strict=True)
    )
    c, s = pairs[SHOWN]
    return replace(signal, processes=processes, canary=_plus(signal.canary, c), stable=_plus(signal.stable, s))


def _labels(signal: Signal, evidence: Evidence, observation: Observation) -> Signal:
    """One window per second of the requests, so that a canary whose labels come later is compared with its peers."""
    for window in observation.labels:
        if evidence.since is None or window.second < evidence.since:
            continue
        if any(first <= window.second <= last for first, last in evidence.gaps):
            continue
        signal = _count(signal, (window.canary[1], window.canary[0]), (window.stable[1], window.stable[0]))
    return signal


def _count(signal: Signal, canary: tuple[int, int], stable: tuple[int, int]) -> Signal:
    # Counters are read one after the other, so a failure may be seen a moment before the request it belongs to.
    canary, stable = (min(canary), canary[1]), (min(stable), stable[1])
    processes = tuple(
        eprocess.update(process, bad=(canary[0], stable[0]), requests=(canary[1], stable[1]))
        for process in signal.processes
    )
    return replace(
        signal, processes=processes, canary=_plus(signal.canary, canary), stable=_plus(signal.stable, stable)
    )


def _bad(window: ArmWindow, bucket: int) -> int:
    """Slower than the threshold, or failed: failures are in the last bucket (see ``ServerCounters.latency``)."""
    return min(window.requests, histogram.slower(window.latency, bucket))


def _plus(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    return left[0] + right[0], left[1] + right[1]


def _freeze(evidence: Evidence) -> Evidence:
    if evidence.thresholds is not None or sum(evidence.warm_up) < WARM_UP:
        return evidence
    buckets = tuple(histogram.quantile_bucket(evidence.warm_up, share) or 0 for share, _ in QUANTILES)
    return replace(evidence, thresholds=buckets, warm_up=())


def sentence(evidence: Evidence) -> str:
    """What the signals say, as a person would: `errors 0.4 % against 0.5 %, evidence 0.3`."""
    said = [_say(signal, evidence) for signal in evidence.signals]
    return ", ".join([*said, f"evidence {number(evidence.total)}"])


def accusation(evidence: Evidence) -> str:
    """What the signal with the most evidence says."""
    if not evidence.signals:
        return "nothing is watched"
    return _say(max(evidence.signals, key=lambda signal: signal.log_e), evidence)


def _say(signal: Signal, evidence: Evidence) -> str:
    canary, stable = signal.canary, signal.stable
    if not canary[1] or not stable[1]:
        return f"{signal.name}: nothing seen yet"
    mine, theirs = _percent(*canary), _percent(*stable)
    if signal.name == "labels":
        return f"labels: {mine} wrong of {canary[1]:,} against {theirs} of {stable[1]:,}"
    if signal.name == "latency":
        bucket = (evidence.thresholds or (0, 0, 0, 0))[SHOWN]
        bound = LATENCY_BOUNDS_MS[min(bucket, len(LATENCY_BOUNDS_MS) - 1)]
        return f"latency: {mine} above {bound:g} ms against {theirs}"
    return f"errors {mine} against {theirs}"


def number(value: float) -> str:
    """An e-value as people read it: `0.03`, `0.3`, `23`, `1,234`, `4e+12`."""
    if value < 0.095:
        return f"{value:.2f}" if value >= 0.005 else "0.00"
    if value < 9.95:
        return f"{value:.1f}"
    return f"{value:,.0f}" if value < 1e6 else f"{value:.0e}"


def _percent(bad: int, of: int) -> str:
    share = 100 * bad / of
    return f"{share:.2f} %" if 0 < share < 0.1 else f"{share:.1f} %"


def to_json(evidence: Evidence) -> dict[str, Any]:
    """A document that `from_json` reads back as the same value, to the last bit."""
    return {
        "limit": evidence.limit,
        "signals": [
            {
                "name": signal.name,
                "bets": [[list(p.grid), list(p.sums), p.margin] for p in signal.processes],
                "canary": list(signal.canary),
                "stable": list(signal.stable),
            }
            for signal in evidence.signals
        ],
        "warm_up": list(evidence.warm_up),
        "thresholds": None if evidence.thresholds is None else list(evidence.thresholds),
        "cold": evidence.cold,
        "since": evidence.since,
        "until": evidence.until,
        "gaps": [list(gap) for gap in evidence.gaps],
    }


def from_json(document: dict[str, Any]) -> Evidence:
    """Evidence as `to_json` wrote it."""
    return Evidence(
        limit=document["limit"],
        signals=tuple(
            Signal(
                name=one["name"],
                processes=tuple(EProcess(tuple(grid), tuple(sums), margin) for grid, sums, margin in one["bets"]),
                canary=(one["canary"][0], one["canary"][1]),
                stable=(one["stable"][0], one["stable"][1]),
            )
            for one in document["signals"]
        ),
        warm_up=tuple(document["warm_up"]),
        thresholds=None if document["thresholds"] is None else tuple(document["thresholds"]),
        cold=document["cold"],
        since=document["since"],
        until=document["until"],
        gaps=tuple((first, last) for first, last in document["gaps"]),
    )
