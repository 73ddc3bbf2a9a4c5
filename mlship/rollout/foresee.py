"""What a rollout will be able to see, foretold from its plan and the traffic: requests, times, regressions. Pure.

The bets, their shares of the error budget and their margins are those that the judge itself begins with.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlship.rollout import judge
from mlship.rollout.judge import Guards
from mlship.rollout.plan import PlanStep, StepKind
from mlship.stats.eprocess import EProcess
from mlship.stats.planning import ABOUT, Bets, Stretch, needed, smallest

#: Share of failed requests that is assumed where none was measured.
ERRORS = 0.005
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
    certificates: tuple[Certificate, ...]
    labels: float | None
    """Labelled requests on the canary that show 10 -> 15 % wrong; None when labels are not watched."""


def foresee(guards: Guards, steps: Sequence[PlanStep], traffic: Traffic) -> Foresight:
    """What these stages will be able to see."""
    evidence = judge.begin(guards, stages=len(steps))
    later = list(evidence.stakes)
    stakes = [1.0 - sum(later), *later]
    parts = [_stretch(step, traffic.rate) for step in steps]
    colds = list(_cold(steps, parts))
    stages = tuple(
        Stage(
            None if part is None else part.requests,
            _seconds(step, traffic.rate),
            () if part is None else tuple(_sights(evidence, guards, [(step, part)], stake, traffic, cold=cold)),
        )
        for step, part, stake, cold in zip(steps, parts, stakes, colds, strict=True)
    )
    cold = next((left for step, left in zip(steps, colds, strict=True) if step.weight), 0.0)
    known = [(step, part) for step, part in zip(steps, parts, strict=True) if part is not None]
    seconds = [stage.seconds for step, stage in zip(steps, stages, strict=True) if step.kind is not StepKind.APPROVE]
    whole = Stage(
        sum(part.requests for _, part in known) if all(part is not None for part in parts) else None,
        sum(one for one in seconds if one is not None) if None not in seconds else None,
        tuple(_sights(evidence, guards, known, stakes[0], traffic, cold=cold)) if known else (),
    )
    weights = [step.weight for step in steps if step.weight]
    return Foresight(
        stages,
        whole,
        tuple(_certificates(evidence, steps, parts, traffic)),
        needed(
            WORSE / WRONG,
            _bets(evidence, "labels", 0, stakes[0]),
            weight=min(weights[-1], 0.99),
            base=WRONG,
            limit=evidence.limit,
        )
        if guards.labels is not None and weights
        else None,
    )


def takes(guards: Guards, steps: Sequence[PlanStep], index: int, ratio: float, traffic: Traffic) -> float:
    """Canary requests at one stage that show this ratio of errors with a chance of 80 %; infinite when none do."""
    evidence = judge.begin(guards, stages=len(steps))
    stake = [1.0 - sum(evidence.stakes), *evidence.stakes][index]
    bets = _bets(evidence, "errors", 0, stake)
    if not bets:
        return math.inf
    return needed(ratio, bets, weight=_weight(steps[index]), base=traffic.errors, limit=evidence.limit)


def _stretch(step: PlanStep, rate: float | None) -> Stretch | None:
    """A stage's traffic as the judge sees it: copies are compared with the originals. None when it cannot be known."""
    if step.testers is not None or not (step.weight or step.mirror):
        return Stretch(0.5, 0.0)  # chosen callers are no evidence
    if step.seconds and rate is None:
        return None if not step.requests else Stretch(_weight(step), step.requests)
    arriving = step.seconds * (rate or 0.0) * (step.weight or step.mirror)
    return Stretch(_weight(step), max(float(step.requests), arriving))


def _cold(steps: Sequence[PlanStep], parts: Sequence[Stretch | None]) -> Iterable[float]:
    """Of each stage, the first requests that are still the canary's cold start."""
    left = float(judge.COLD_START)
    for step, part in zip(steps, parts, strict=True):
        yield left
        left -= min(left, max(float(step.requests), 0.0 if part is None else part.requests))


def _weight(step: PlanStep) -> float:
    return min(step.weight, 0.999) if step.weight else step.mirror / (1 + step.mirror)


def _seconds(step: PlanStep, rate: float | None) -> float | None:
    if step.kind is StepKind.APPROVE or (step.requests and (rate is None or step.testers is not None)):
        return None
    share = step.weight or step.mirror
    return max(step.seconds, step.requests / (rate * share) if rate and share else 0.0)


def _sights(
    evidence: judge.Evidence,
    guards: Guards,
    parts: Iterable[tuple[PlanStep, Stretch]],
    stake: float,
    traffic: Traffic,
    *,
    cold: float = 0.0,
) -> Iterable[Sight]:
    """`cold`: so many canary requests give no latency evidence yet."""
    parts = [(step, part) for step, part in parts if part.requests > 0]
    weighed = [part for step, part in parts if step.weight]
    if weighed and cold > 0:
        weighed[0] = Stretch(weighed[0].weight, max(0.0, weighed[0].requests - cold))
    copied = [part for step, part in parts if step.mirror]
    if not parts:
        return
    for signal, index, base, stretches in (
        ("errors", 0, traffic.errors, [part for _, part in parts]),
        ("latency", judge.SHOWN, 1 - judge.QUANTILES[judge.SHOWN][0], weighed),
        ("agreement", 0, 1 - (guards.agreement or 0.0), copied),
    ):
        bets = _bets(evidence, signal, index, stake, alone=signal == "agreement")
        if bets and stretches:
            found = smallest(bets, stretches, base=base, limit=evidence.limit)
            yield Sight(signal, base, None if found is None else base * found)


def _bets(evidence: judge.Evidence, name: str, index: int, stake: float, *, alone: bool = False) -> tuple[Bets, ...]:
    """One bet of one signal that may roll back or has a budget of its own, with its share of that budget."""
    signal = next((one for one in evidence.signals if one.name == name), None)
    if signal is None or not signal.processes:
        return ()
    process = signal.processes[index]
    weights = signal.weights or (1 / len(signal.processes),) * len(signal.processes)
    budget = signal.budget if signal.action == "rollback" else 1.0
    return (_of(process, budget * weights[index] * stake, alone=alone),)


def _of(process: EProcess, share: float, *, alone: bool) -> Bets:
    weights = process.weights or (1 / len(process.grid),) * len(process.grid)
    return Bets(process.grid, tuple(share * weight for weight in weights), process.margin, alone=alone)


def _certificates(
    evidence: judge.Evidence, steps: Sequence[PlanStep], parts: Sequence[Stretch | None], traffic: Traffic
) -> Iterable[Certificate]:
    weights = [step.weight for step in steps if step.weight]
    if not weights:
        return
    last = min(weights[-1], 0.999)
    before = [part for step, part in zip(steps, parts, strict=True) if part is not None and step.weight]
    for proof in evidence.proofs:
        base = {"errors": traffic.errors, "latency": 0.01, "labels": WRONG}[proof.name]
        halves = 2 if proof.alone is not None else 1
        bets = [_of(proof.ratio, 1 / halves, alone=False)]
        if proof.alone is not None:
            bets.append(_of(proof.alone, 1 / halves, alone=True))
        seen = [] if proof.name == "labels" else before
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
