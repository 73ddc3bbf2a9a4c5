"""One look: what each signal counts of it, and a new stage's start. Every window stands by itself: counts of different
weights are never pooled. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from mlship.rollout.judge import latency, outputs, telemetry
from mlship.rollout.judge.evidence import Count, Evidence, Proof, Signal, Units
from mlship.stats import eprocess, onearm
from mlship.stats.eprocess import Window
from mlship.types import ArmWindow, Observation

#: Stretches of one weight that are remembered, to find the weight that a labelled request met.
SPANS = 64
#: End of the stretch that goes on.
OPEN = 2**53
#: Signals whose outcomes are requests, or users where these are counted.
_BY_REQUEST = ("errors", "timeouts", "refusals", "latency", "latency limits")


def update(evidence: Evidence, observation: Observation) -> Evidence:
    """The evidence after one look.

    A look in which an arm's counters are missing changes nothing. Requests of chosen testers met their arm by choice:
    only what is said of the canary alone counts of them. Mirrored copies give no latency.
    """
    if observation.missing:
        return evidence
    evidence = replace(evidence, spans=_spans(evidence, observation), units=_units(evidence.units, observation))
    labels = tuple(one for one in observation.labels if telemetry.weight_at(evidence, one.second) is not None)
    observation = replace(observation, labels=labels)
    signals = tuple(_look(signal, evidence, observation) for signal in evidence.signals)
    proofs = tuple(_prove(proof, evidence, observation) for proof in evidence.proofs)
    canary = observation.canary
    if observation.testers:
        failed, answered = _count(canary.errors, canary.requests)
        evidence = replace(evidence, testers=(evidence.testers[0] + failed, evidence.testers[1] + answered))
    evidence = replace(
        evidence,
        signals=signals,
        proofs=proofs,
        fresh=evidence.fresh and not (canary.requests or observation.labels),
        until=observation.ended,
        cold=min(latency.COLD_START, evidence.cold + max(canary.requests, canary.served)),
    )
    evidence = latency.freeze(latency.warmer(evidence, observation.stable))
    return outputs.learn(evidence, observation)


def restart(evidence: Evidence) -> Evidence:
    """The evidence at the start of a stage: from here on it also bets on a canary that turns bad only now.

    Doing it again before anything was observed changes nothing, and neither does it beyond the stages foreseen.
    """
    if evidence.fresh or not evidence.stakes:
        return evidence
    share, *later = evidence.stakes
    signals = tuple(
        replace(signal, processes=tuple(eprocess.stake(process, share) for process in signal.processes))
        for signal in evidence.signals
    )
    units = replace(evidence.units, here=0)
    return replace(evidence, signals=signals, stakes=tuple(later), fresh=True, units=units)


def _look(signal: Signal, evidence: Evidence, observation: Observation) -> Signal:
    if signal.name in _LOOKS:
        return _LOOKS[signal.name](signal, evidence, observation)
    return signal if _chosen(signal.name, observation) else _compare(signal, evidence, observation)


def _chosen(name: str, observation: Observation) -> bool:
    """Whether the outcomes of this look are those of chosen callers; labels are of requests before, with a weight."""
    return observation.testers and name != "labels"


def windows(name: str, evidence: Evidence, observation: Observation) -> list[Window]:
    """What a signal counts of one look in which the arms were assigned at random, window by window.

    Labels are those of seconds with one weight.
    """
    canary, stable = observation.canary, observation.stable
    if name == "timeouts" and observation.mirror:
        return []  # nobody waits for a copy, so nobody knows whether it was in time
    if name in _COUNTS:
        return [_window(_COUNTS[name](canary), _COUNTS[name](stable))]
    if name == "latency":
        if evidence.thresholds is None or evidence.cold < latency.COLD_START or observation.mirror:
            return []
        return [_window(latency.slower(canary, t), latency.slower(stable, t)) for t in evidence.thresholds]
    # One window per second of the requests, so that a canary whose labels come later is compared with its peers.
    return [
        _window(_count(one.canary[1], one.canary[0]), _count(one.stable[1], one.stable[0]))
        for one in observation.labels
    ]


def _compare(signal: Signal, evidence: Evidence, observation: Observation) -> Signal:
    seen = windows(signal.name, evidence, observation)
    copies = bool(observation.mirror) and signal.name != "labels"
    processes = tuple(eprocess.update_all(process, seen, copies=copies) for process in signal.processes)
    (x, y), (canary, stable) = eprocess.pooled(seen)
    return replace(
        signal,
        processes=processes,
        canary=_plus(signal.canary, (x, canary)),
        stable=_plus(signal.stable, (y, stable)),
        inflation=_inflation(signal.name, evidence.units),
    )


def _latency(signal: Signal, evidence: Evidence, observation: Observation) -> Signal:
    """Thresholds and cold start are those of EARLIER windows only."""
    seen = windows("latency", evidence, observation)
    if not seen or observation.testers:
        return signal
    processes = tuple(
        eprocess.update_all(process, [window]) for process, window in zip(signal.processes, seen, strict=True)
    )
    counts = [((x, canary), (y, stable)) for (x, y), (canary, stable) in seen]
    signal = replace(signal, processes=processes, inflation=_inflation("latency", evidence.units))
    return latency.tell(signal, counts, latency.SHOWN)


def _limits(signal: Signal, evidence: Evidence, observation: Observation) -> Signal:
    """The canary's own latency, whoever called."""
    if evidence.cold < latency.COLD_START or observation.mirror:
        return signal
    counts = [latency.slower(observation.canary, latency.bucket_of(limit)) for _, limit in evidence.limits]
    processes = tuple(
        onearm.update(process, bad=bad, of=of) for process, (bad, of) in zip(signal.processes, counts, strict=True)
    )
    signal = replace(signal, processes=processes, inflation=_inflation("latency limits", evidence.units))
    return latency.tell(signal, [(one, (0, 0)) for one in counts], len(counts) - 1)


def _agreement(signal: Signal, evidence: Evidence, observation: Observation) -> Signal:
    """Pairs of predictions for the same request; a request's rows come together."""
    different, compared = _count(observation.agreement[1], observation.agreement[0])
    processes = tuple(onearm.update(process, bad=different, of=compared) for process in signal.processes)
    inflation = evidence.units.rows_per_request
    return replace(signal, processes=processes, canary=_plus(signal.canary, (different, compared)), inflation=inflation)


def _prove(proof: Proof, evidence: Evidence, observation: Observation) -> Proof:
    if _chosen(proof.name, observation):
        return proof
    seen = windows(proof.name, evidence, observation)
    if proof.name == "errors":
        seen = [_window(_worked(observation.canary), _worked(observation.stable))]
    if proof.name == "latency" and seen:
        seen = [seen[latency.SHOWN]]
    if not seen:
        return proof
    (x, y), (canary, stable) = eprocess.pooled(seen)
    alone = None if proof.alone is None else onearm.update(proof.alone, bad=x, of=canary)
    return replace(
        proof,
        ratio=eprocess.update_all(proof.ratio, seen),
        alone=alone,
        canary=_plus(proof.canary, (x, canary)),
        stable=_plus(proof.stable, (y, stable)),
        weight=canary / (canary + stable) if canary else proof.weight,
        inflation=_inflation(proof.name, evidence.units),
    )


def _inflation(name: str, units: Units) -> float:
    """How many outcomes of this signal come together, so far."""
    if name in _BY_REQUEST:
        return units.counts_per_user
    return units.rows_per_request * units.requests_per_user


def _units(units: Units, observation: Observation) -> Units:
    arms = (observation.canary, observation.stable)
    mine, theirs = observation.canary.predictions, observation.stable.predictions
    if mine is not None and theirs is not None:
        canary = units.canary.add(mine.total, telemetry.answered(observation.canary))
        stable = units.stable.add(theirs.total, telemetry.answered(observation.stable))
        units = replace(units, canary=canary, stable=stable)
    if not observation.users:
        return units
    counted = sum(max(0, arm.requests) for arm in arms)
    here = units.here + counted
    return replace(
        units,
        served=units.served + sum(max(arm.served, arm.requests) for arm in arms),
        counted=units.counted + counted,
        here=here,
        most=max(units.most, here),
    )


def _spans(evidence: Evidence, observation: Observation) -> tuple[tuple[int, int, float], ...]:
    """The stretches of one weight, with this window in them; the current one is open.

    A window that follows the last one without a gap, at the same weight, prolongs its stretch. Else the seconds at
    either end of the gap may have met two weights; and no second is used twice, whatever the clock does.
    """
    spans, weight = evidence.spans, observation.weight
    random = weight > 0 and not observation.testers and not observation.mirror
    follows = abs(observation.started - evidence.until) < 1e-3
    if random and follows and spans and spans[-1][1] == OPEN and spans[-1][2] == weight:
        return spans
    before, now = math.floor(evidence.until), math.floor(observation.started)
    end = min(before, now) - 1
    spans = tuple((first, min(last, end), past) for first, last, past in spans if first <= end)
    return (*spans, (max(before, now) + 1, OPEN, weight))[-SPANS:] if random else spans


def _worked(arm: ArmWindow) -> Count:
    """(failed, counted) of the requests that the model worked on: what was refused does not show that it can."""
    return _count(arm.errors, arm.requests - arm.refused)


def _window(canary: Count, stable: Count) -> Window:
    return (canary[0], stable[0]), (canary[1], stable[1])


def _count(bad: int, of: int) -> Count:
    """Counters are read one after the other, so a failure may be seen a moment before the request it belongs to."""
    of = max(0, of)
    return min(max(0, bad), of), of


def _plus(left: Count, right: Count) -> Count:
    return left[0] + right[0], left[1] + right[1]


_LOOKS: dict[str, Callable[[Signal, Evidence, Observation], Signal]] = {
    "latency": _latency,
    "latency limits": _limits,
    "predictions": outputs.look,
    "agreement": _agreement,
    "telemetry": telemetry.look,
}
#: (bad, counted) of one arm. Refused are those that did not fail, or an arm that fails more would seem to refuse less.
_COUNTS: dict[str, Callable[[ArmWindow], Count]] = {
    "errors": lambda arm: _count(arm.errors, arm.requests),
    "timeouts": lambda arm: _count(arm.timeouts, arm.requests),
    "refusals": lambda arm: _count(arm.refused, arm.requests - arm.errors),
}
