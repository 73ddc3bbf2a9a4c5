"""What a rollout will be able to see, foretold from its plan and the traffic: requests, times, regressions. Pure.

The bets, their shares of the error budget and their margins are those that the judge itself begins with.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mlship.rollout import judge
from mlship.rollout.judge import Guards
from mlship.rollout.plan import PlanStep, StepKind
from mlship.stats.eprocess import EProcess
from mlship.stats.planning import ABOUT, Bets, Stretch, needed, smallest

#: Share of failed requests that is assumed where none was measured.
ERRORS = 0.005
#: Of the 1 % of stable's requests beyond its p99, so many are beyond the threshold: that is the edge of a bucket, and
#: buckets are 10 % wide. (A log-normal tail of sigma 0.5 loses 40 % within one, and the p99 lies anywhere in it.)
_BEYOND = 0.8
#: Share of wrong labels that is assumed, and the one that should be seen.
WRONG, WORSE = 0.10, 0.15


@dataclass(frozen=True, slots=True)
class Traffic:
    """What callers send."""

    rate: float | None
    """Requests a second; None when nobody knows."""
    source: str = ""
    """Where the rate is from, as people call it."""
    errors: float = ERRORS
    """Stable's share of failed requests."""
    measured: bool = False
    """Whether `errors` was measured; else it is assumed."""
    failed: int = 0
    """Failed requests that it was measured by,"""
    of: int = 0
    """of so many."""


@dataclass(frozen=True, slots=True)
class Sight:
    """The smallest regression of one signal that is seen with a chance of 80 %."""

    signal: str
    """errors | latency (slower than stable's p99) | agreement (different predictions)"""
    base: float
    """Stable's rate; of agreement, the rate that is tolerated."""
    least: float | None
    """The canary's rate; None: not even a canary that is always bad is seen."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage, or all of them together."""

    requests: float | None
    """On the canary, in its bake; None when the rate is not known and the bake is a time."""
    seconds: float | None
    """That the bake takes; None when the rate is not known, or nobody can know it."""
    sights: tuple[Sight, ...] = ()
    more: bool = False
    """There may be more requests: the bake is a time as well, and the rate is not known."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate takes, for a canary that is as good as stable: the median."""

    signal: str
    factor: float
    base: float
    requests: float
    """Canary requests of the whole rollout; infinite when it cannot be had. Of labels: labelled ones."""
    stretch: float
    """Of these, those at the last weight that the bakes do not bring."""
    seconds: float | None
    """That these take; None when the rate is not known."""


@dataclass(frozen=True, slots=True)
class Foresight:
    """Everything that can be told in advance."""

    stages: tuple[Stage, ...]
    whole: Stage
    """With the stretch; what it sees is told of the bakes alone."""
    stretch: Stage | None
    """How the last step goes on until everything is proved; None: it does not, or nobody knows for how long."""
    certificates: tuple[Certificate, ...]
    labels: float | None
    """Labelled requests on the canary that show 10 -> 15 % wrong; None when labels are not watched."""


def foresee(guards: Guards, steps: Sequence[PlanStep], traffic: Traffic) -> Foresight:
    """What these stages will be able to see."""
    evidence = judge.begin(guards, stages=len(steps))
    parts = [_stretch(step, traffic.rate) for step in steps]
    stages = tuple(
        Stage(
            None if part is None else part.requests,
            _seconds(step, traffic.rate),
            tuple(_sights(evidence, steps, parts, traffic, stage=index)),
            _more(step, traffic.rate),
        )
        for index, (step, part) in enumerate(zip(steps, parts, strict=True))
    )
    seconds = [stage.seconds for step, stage in zip(steps, stages, strict=True) if step.kind is not StepKind.APPROVE]
    certificates = tuple(_certificates(evidence, steps, parts, traffic))
    stretch = None if None in parts or any(stage.more for stage in stages) else _longest(certificates)
    bakes = Stage(
        None if None in parts else sum(part.requests for part in parts if part is not None),
        sum(one for one in seconds if one is not None) if None not in seconds else None,
        tuple(_sights(evidence, steps, parts, traffic)),
        any(stage.more for stage in stages),
    )
    return Foresight(
        stages,
        bakes if stretch is None else _plus(bakes, stretch),
        stretch,
        certificates,
        _labels(evidence, steps) if guards.labels is not None else None,
    )


def _longest(certificates: Sequence[Certificate]) -> Stage | None:
    """The stretch of the last step that brings all of them; nobody knows how many labels come."""
    asked = [one for one in certificates if one.signal != "labels" and 0 < one.stretch < math.inf]
    longest = max(asked, key=lambda one: one.stretch, default=None)
    return None if longest is None else Stage(longest.stretch, longest.seconds)


def _plus(bakes: Stage, stretch: Stage) -> Stage:
    known = bakes.seconds is not None and stretch.seconds is not None
    return replace(
        bakes,
        requests=(bakes.requests or 0.0) + (stretch.requests or 0.0),
        seconds=(bakes.seconds or 0.0) + (stretch.seconds or 0.0) if known else None,
    )


def takes(
    guards: Guards, steps: Sequence[PlanStep], index: int, *, sight: Sight, worse: float, traffic: Traffic
) -> float:
    """Canary requests at one stage that show this rate with a chance of 80 %; infinite when none do.

    Parameters
    ----------
    sight
        Of the stage: which signal, and stable's rate.
    worse
        The canary's rate.
    """
    evidence = judge.begin(guards, stages=len(steps))
    counted = _counted(sight.signal, steps, [_stretch(step, traffic.rate) for step in steps])
    base = _beyond(sight.signal, sight.base)
    bets = _bets(evidence, sight.signal, base, counted[:index])
    return needed(worse / sight.base, bets, weight=_weight(steps[index]), base=base, limit=evidence.limit)


def _stretch(step: PlanStep, rate: float | None) -> Stretch | None:
    """A stage's traffic as the judge sees it: copies are compared with the originals. None when it cannot be known."""
    if step.testers is not None or not (step.weight or step.mirror):
        return Stretch(0.5, 0.0)  # chosen callers are no evidence
    if step.seconds and rate is None:
        return None if not step.requests else Stretch(_weight(step), step.requests)
    arriving = step.seconds * (rate or 0.0) * (step.weight or step.mirror)
    return Stretch(_weight(step), max(float(step.requests), arriving))


def _weight(step: PlanStep) -> float:
    return step.weight or step.mirror / (1 + step.mirror)


def _more(step: PlanStep, rate: float | None) -> bool:
    return bool(rate is None and step.seconds and step.requests and step.testers is None)


def _seconds(step: PlanStep, rate: float | None) -> float | None:
    if step.kind is StepKind.APPROVE or (step.requests and (rate is None or step.testers is not None)):
        return None
    share = step.weight or step.mirror
    return max(step.seconds, step.requests / (rate * share) if rate and share else 0.0)


def _sights(
    evidence: judge.Evidence,
    steps: Sequence[PlanStep],
    parts: Sequence[Stretch | None],
    traffic: Traffic,
    *,
    stage: int | None = None,
) -> Iterable[Sight]:
    """Of one stage, at which the canary turns bad; or of all of them, where it is bad from the start."""
    different = next((one.processes[0].margin for one in evidence.signals if one.name == "agreement"), 0.0)
    bases = {"errors": traffic.errors, "latency": 1 - judge.QUANTILES[judge.SHOWN][0], "agreement": different}
    for signal, base in bases.items():
        counted = _counted(signal, steps, parts)
        here = counted if stage is None else [counted[stage]]
        stretches = [one for one in here if one is not None]
        bets = _bets(evidence, signal, _beyond(signal, base), [] if stage is None else counted[:stage])
        if bets and stretches:
            found = smallest(bets, stretches, base=_beyond(signal, base), limit=evidence.limit)
            yield Sight(signal, base, None if found is None else min(1.0, base * found))


def _counted(signal: str, steps: Sequence[PlanStep], parts: Sequence[Stretch | None]) -> list[Stretch | None]:
    """What a signal counts of each stage; None where it counts nothing, or nobody knows how much.

    The first requests are the canary's cold start, of which latency counts nothing.
    """
    found: list[Stretch | None] = []
    cold = float(judge.COLD_START)
    for step, part in zip(steps, parts, strict=True):
        kinds = {"latency": bool(step.weight), "agreement": bool(step.mirror)}
        if part is None or part.requests <= 0 or not kinds.get(signal, True):
            found.append(None)
        elif signal == "latency":
            found.append(Stretch(part.weight, max(0.0, part.requests - cold)))
        else:
            found.append(part)
        cold = max(0.0, cold - max(float(step.requests), 0.0 if part is None else part.requests))
    return found


def _bets(evidence: judge.Evidence, name: str, base: float, before: Sequence[Stretch | None] = ()) -> tuple[Bets, ...]:
    """What one signal bets at a stage, after others with a healthy canary: the stakes of each start that are left."""
    signal = next((one for one in evidence.signals if one.name == name), None)
    if signal is None or not signal.processes:
        return ()
    index = judge.SHOWN if name == "latency" else 0
    process, weights = signal.processes[index], signal.weights or (1 / len(signal.processes),) * len(signal.processes)
    budget = (signal.budget if signal.action == "rollback" else 1.0) * weights[index]
    first = 1.0 - sum(evidence.stakes)
    bets = _of(process, budget * first, alone=name == "agreement")
    for stake, stretch in zip(evidence.stakes, before, strict=False):
        left = bets.shares if stretch is None else bets.after(stretch, base=base).shares
        more = _of(process, budget * stake, alone=bets.alone).shares
        bets = replace(bets, shares=tuple(a + b for a, b in zip(left, more, strict=True)))
    return (bets,)


def _beyond(signal: str, base: float) -> float:
    """Stable's rate as it is counted."""
    return base * _BEYOND if signal == "latency" else base


def _labels(evidence: judge.Evidence, steps: Sequence[PlanStep]) -> float | None:
    """At the last weight that leaves stable something; None when there is none."""
    weights = [step.weight for step in steps if 0 < step.weight < 1]
    if not weights:
        return None
    bets = _bets(evidence, "labels", WRONG)
    return needed(WORSE / WRONG, bets, weight=weights[-1], base=WRONG, limit=evidence.limit)


def _of(process: EProcess, share: float, *, alone: bool) -> Bets:
    weights = process.weights or (1 / len(process.grid),) * len(process.grid)
    return Bets(process.grid, tuple(share * weight for weight in weights), process.margin, alone=alone)


def _certificates(
    evidence: judge.Evidence, steps: Sequence[PlanStep], parts: Sequence[Stretch | None], traffic: Traffic
) -> Iterable[Certificate]:
    last = next((step.weight for step in reversed(steps) if step.weight), 0.0)
    for proof in evidence.proofs:
        base = {"errors": traffic.errors, "latency": 0.01 * _BEYOND, "labels": WRONG}[proof.name]
        halves = 2 if proof.alone is not None else 1
        bets = [_of(proof.ratio, 1 / halves, alone=False)]
        if proof.alone is not None:
            bets.append(_of(proof.alone, 1 / halves, alone=True))
        seen = [] if proof.name == "labels" else [one for one in _counted(proof.name, steps, parts) if one is not None]
        if not last:  # without any traffic of its own a canary is promoted at once, and nothing stretches
            yield Certificate(proof.name, proof.factor, base, math.inf, math.inf, None)
            continue
        stretch = needed(1.0, bets, weight=last, base=base, limit=judge.PROVED, z=ABOUT, before=seen)
        rate = traffic.rate if proof.name != "labels" else None
        yield Certificate(
            proof.name,
            proof.factor,
            base,
            math.fsum([stretch, *(part.requests for part in seen)]) if stretch else _least(bets, last, base, seen),
            stretch,
            None if rate is None or math.isinf(stretch) else stretch / (rate * last),
        )


def _least(bets: Sequence[Bets], weight: float, base: float, seen: Sequence[Stretch]) -> float:
    """Canary requests after which the bakes have brought the certificate, stage by stage."""
    total, before = 0.0, list[Stretch]()
    for part in seen:
        due = needed(1.0, bets, weight=part.weight, base=base, limit=judge.PROVED, z=ABOUT, before=before)
        if due <= part.requests:
            return total + due
        total, before = total + part.requests, [*before, part]
    return total + needed(1.0, bets, weight=weight, base=base, limit=judge.PROVED, z=ABOUT, before=before)
