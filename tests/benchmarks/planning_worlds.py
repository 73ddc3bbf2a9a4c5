"""The rollouts that forecasts are tried on: stages drawn once from a seed, and shown with any canary in them.

Stable's latency is log-normal with a p99 of 100 ms and sigma 0.5. A canary that is slower sends more requests beyond
that p99, which are then as slow as stable's there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from mlship.rollout import judge
from mlship.rollout.foresee import Traffic
from mlship.rollout.judge import Evidence, Guards
from mlship.rollout.plan import PlanStep, StepKind
from mlship.types import LATENCY_BOUNDS_MS, ArmWindow, Observation

#: Looks in each stage.
LOOKS = 10
#: Halvings of the logarithm of a ratio.
_HALVINGS = 9
_SIGMA = 0.5
_LAW = NormalDist(math.log(100) - NormalDist().inv_cdf(0.99) * _SIGMA, _SIGMA)
_BELOW = np.array([*(_LAW.cdf(math.log(bound)) for bound in LATENCY_BOUNDS_MS), 1.0])
#: Stable's share of each latency bucket; and that of its quickest 99 % and of its slowest 1 %.
ALL = np.diff(_BELOW, prepend=0.0)
QUICK = np.diff(np.minimum(0.99, _BELOW), prepend=0.0) / 0.99
SLOW = (ALL - 0.99 * QUICK).clip(0) / 0.01

DEFAULT = Guards(errors=1.25, timeouts=1.25, latency=1.25)
STRICT = Guards(errors=1.0, timeouts=1.0, latency=1.0)
ALONE = Guards(errors=1.25)
CAUTIOUS = Guards(errors=1.25, latency=1.25, false_rollback=0.001)
EVERYTHING = Guards(
    errors=1.25, timeouts=1.25, latency=1.25, slow=((0.99, 200.0),), predictions=1.5, agreement=0.95, labels=1.1
)


@dataclass(frozen=True)
class Case:
    """One policy with its traffic."""

    name: str
    guards: Guards
    steps: tuple[PlanStep, ...]
    rate: float
    errors: float = 0.005

    @property
    def traffic(self) -> Traffic:
        """As the forecast wants it."""
        return Traffic(self.rate, "", self.errors)


def weights(*shares: float, seconds: float = 300.0) -> tuple[PlanStep, ...]:
    """Stages of five minutes."""
    return tuple(PlanStep(share, seconds, 0) for share in shares)


FOUR = weights(0.01, 0.05, 0.25, 0.5)
COPIES = (PlanStep(0.0, 300.0, 0, StepKind.MIRROR, mirror=1.0), PlanStep(0.0, 300.0, 0, StepKind.MIRROR, mirror=0.1))

CASES = (
    Case("5/s", DEFAULT, FOUR, 5),
    Case("50/s", DEFAULT, FOUR, 50),
    Case("500/s", DEFAULT, FOUR, 500),
    Case("5,000/s", DEFAULT, FOUR, 5000),
    Case("50/s, 0.1 % errors", DEFAULT, FOUR, 50, 0.001),
    Case("500/s, 2 % errors", DEFAULT, FOUR, 500, 0.02),
    Case("500/s, 10 % errors", DEFAULT, FOUR, 500, 0.1),
    Case("500/s, no margin", STRICT, FOUR, 500),
    Case("50/s, only errors", ALONE, FOUR[2:], 50),
    Case("500/s, false_rollback 0.1 %", CAUTIOUS, FOUR, 500),
    Case("100/s, every signal", EVERYTHING, (*COPIES, *weights(0.1, 1.0)), 100),
)


@dataclass(frozen=True)
class Drawn:
    """One stage's luck, the same whatever the canary is like."""

    step: PlanStep
    began: float
    stable: NDArray[np.int64]
    canary: NDArray[np.int64]
    """Requests at each look."""
    bad: NDArray[np.int64]
    """Of stable's requests."""
    slow: NDArray[np.int64]
    """Stable's latencies by bucket."""
    luck: NDArray[np.float64]
    """Uniform: how many of the canary's requests are bad."""
    seeds: tuple[int, ...]
    """Of its latencies."""

    def look(self, index: int, signal: str, rate: float) -> Observation:
        """A look at a canary whose rate of this signal is `rate`."""
        length = self.step.seconds / LOOKS
        began = self.began + index * length
        canary, stable = int(self.canary[index]), int(self.stable[index])
        bad = int(binom.ppf(self.luck[index], canary, min(1.0, rate))) if canary else 0
        mine, theirs, agreement = ArmWindow(canary, served=canary), ArmWindow(stable, served=stable), (0, 0)
        if signal == "errors":
            mine = ArmWindow(canary, bad, served=canary)
            theirs = ArmWindow(stable, int(self.bad[index]), served=stable)
        elif signal == "agreement":
            agreement = (canary, bad)
        else:
            random = np.random.default_rng(self.seeds[index])
            latency = random.multinomial(canary - bad, QUICK) + random.multinomial(bad, SLOW)
            mine = ArmWindow(canary, 0, tuple(latency.tolist()), served=canary)
            theirs = ArmWindow(stable, 0, tuple(self.slow[index].tolist()), served=stable)
        return Observation(
            began, began + length, self.step.weight, theirs, mine, mirror=self.step.mirror, agreement=agreement
        )


def draw(case: Case, index: int, random: np.random.Generator) -> Drawn:
    """The luck of one stage."""
    step = case.steps[index]
    arriving = random.poisson(case.rate * step.seconds / LOOKS, LOOKS)
    canary = random.binomial(arriving, step.mirror or step.weight)
    stable = arriving if step.mirror else arriving - canary
    return Drawn(
        step,
        1000.0 * (index + 1),
        stable,
        canary,
        random.binomial(stable, case.errors),
        np.array([random.multinomial(n, ALL) for n in stable]),
        random.random(LOOKS),
        tuple(random.integers(0, 2**31, LOOKS).tolist()),
    )


def convictions(
    case: Case, signal: str, base: float, stages: tuple[int, int], random: np.random.Generator
) -> Callable[[float], bool]:
    """One rollout: whether a canary is convicted in it, by its ratio to stable's rate.

    Parameters
    ----------
    base
        Stable's rate.
    stages
        The first at which the canary is bad, before which it is as stable, and the last that is looked at.
    """
    evidence = judge.begin(case.guards, tuple(random.multinomial(20_000, ALL).tolist()), stages=len(case.steps))
    drawn = [draw(case, index, random) for index in range(stages[1] + 1)]
    for stage in drawn[: stages[0]]:
        evidence = _after(evidence, stage, signal, base)

    def convicts(ratio: float) -> bool:
        seen = evidence
        for stage in drawn[stages[0] :]:
            seen = _after(seen, stage, signal, base * ratio)
            if seen.total >= seen.limit:
                return True
        return False

    return convicts


def least(case: Case, signal: str, base: float, stages: tuple[int, int], random: np.random.Generator) -> float:
    """The smallest ratio that is convicted in one rollout; infinite when none is."""
    convicts = convictions(case, signal, base, stages, random)
    low, high = 0.0, math.log(1 / base)
    if not convicts(math.exp(high)):
        return math.inf
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if convicts(math.exp(middle)) else (middle, high)
    return math.exp(high)


def _after(evidence: Evidence, stage: Drawn, signal: str, rate: float) -> Evidence:
    """The evidence after one stage; as soon as it convicts, since a rollout would end there."""
    evidence = judge.restart(evidence)
    for look in range(LOOKS):
        evidence = judge.update(evidence, stage.look(look, signal, rate))
        if evidence.total >= evidence.limit:
            break
    return evidence
