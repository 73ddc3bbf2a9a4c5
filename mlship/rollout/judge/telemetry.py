"""Missing telemetry: is one arm counted less than the router's weight says? A metrics source that is down is not a bad
canary, so this only ever asks for a pause. Pure."""

from __future__ import annotations

import math
from dataclasses import replace

from mlship.rollout.judge.evidence import Count, Evidence, Signal
from mlship.stats import eprocess
from mlship.types import LATENCY_BOUNDS_MS, ArmWindow, Observation

#: What is counted, in the order of the bets, and which signals rest on it.
COUNTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("requests", ("errors", "timeouts", "refusals", "latency")),
    ("predictions", ("predictions",)),
    ("labels", ("labels",)),
)


def look(signal: Signal, evidence: Evidence, observation: Observation) -> Signal:
    """The signal after one window; chosen testers, and copies of requests, say nothing of weights."""
    if observation.testers or observation.mirror:
        return signal
    requests, predictions, labels = signal.processes
    canary, stable, units = observation.canary, observation.stable, evidence.units
    counted = max(0, canary.requests), max(0, stable.requests)
    if 0 < observation.weight < 1 and _settled(evidence, observation):
        requests = eprocess.routed(requests, counted=counted, weight=observation.weight)
        signal = replace(
            signal,
            canary=(signal.canary[0] + counted[0], signal.canary[1] + sum(counted)),
            stable=(signal.stable[0] + counted[1], signal.stable[1] + sum(counted)),
        )
    mine, theirs = answered(canary), answered(stable)
    if canary.predictions is not None and stable.predictions is not None and mine and theirs:
        told, weight = (canary.predictions.total, stable.predictions.total), mine / (mine + theirs)
        predictions = eprocess.routed(predictions, counted=told, weight=weight)
    for weight, (mine, theirs) in _labelled(evidence, observation).items():
        labels = eprocess.routed(labels, counted=(mine, theirs), weight=weight)
    rows = units.rows_per_request
    inflations = units.counts_per_user, rows, rows * units.requests_per_user
    return replace(signal, processes=(requests, predictions, labels), inflations=inflations)


def _settled(evidence: Evidence, observation: Observation) -> bool:
    """Whether requests that were under way when the weight changed are over: twice stable's slowest in a thousand.

    Until then the canary has not finished its first ones, while stable still finishes those of the weight before.
    """
    if evidence.thresholds is None or not evidence.spans:
        return False
    slowest = LATENCY_BOUNDS_MS[min(evidence.thresholds[-1], len(LATENCY_BOUNDS_MS) - 1)] / 1000
    return observation.started >= evidence.spans[-1][0] + 2 * slowest


def answered(arm: ArmWindow) -> int:
    """Requests of a window that have given predictions: those that neither failed nor were refused."""
    served = max(arm.served, arm.requests, 0)
    silent = arm.errors + arm.refused
    return served - min(served, round(served * silent / arm.requests)) if arm.requests > 0 else served


def lacking(evidence: Evidence) -> tuple[str, ...]:
    """What is counted less on one arm than it should be, as far as that has been shown: `requests`, `labels`."""
    signal = next((one for one in evidence.signals if one.name == "telemetry"), None)
    if signal is None:
        return ()
    limit = math.log(evidence.limit)
    return tuple(what for log, (what, _) in zip(signal.logs, COUNTS, strict=True) if log >= limit)


def doubted(evidence: Evidence, name: str) -> tuple[str, ...]:
    """What this signal rests on, and is counted less on one arm than it should be."""
    rests = dict(COUNTS)
    return tuple(what for what in lacking(evidence) if name in rests[what])


def _labelled(evidence: Evidence, observation: Observation) -> dict[float, Count]:
    """(canary, stable) labelled requests by the weight that they met."""
    counts: dict[float, Count] = {}
    for one in observation.labels:
        weight = weight_at(evidence, one.second)
        if weight is not None:
            mine, theirs = counts.get(weight, (0, 0))
            counts[weight] = mine + max(0, one.canary[0]), theirs + max(0, one.stable[0])
    return counts


def weight_at(evidence: Evidence, second: int) -> float | None:
    """The weight that every request of this second met; None when there was no single one, or it is forgotten."""
    for first, last, weight in reversed(evidence.spans):
        if first <= second <= last:
            return weight
    return None
