"""The rollouts that judges are tried on: 1/5/25/50 % for five minutes each, healthy and not, simulated from a seed.

Stable fails 0.5 % of its requests (a tenth of these are timeouts), its latency is log-normal with a p99 of 100 ms and
sigma 0.5, 10 % of its predictions are wrong; a fifth of the requests get a label, half of these after a minute and half
after three. Between two stages a second is lost, as routes take a moment to change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from mlship.rollout.judge import Guards
from mlship.types import LATENCY_BOUNDS_MS, ArmWindow, LabelWindow, Observation, Predictions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WEIGHTS, STAGE, START = (0.01, 0.05, 0.25, 0.5), 300, 1_800_000_000
ERRORS, TIMEOUTS, WRONG, LABELLED = 0.005, 0.1, 0.1, 0.2
SIGMA = 0.5
MEDIAN = 100 / math.exp(2.3263 * SIGMA)
SLOWEST = MEDIAN * math.exp(2.0537 * SIGMA)
CLASSES = ("early", "on time", "late", "cancelled")
CLASS_SHARES = np.array([0.45, 0.3, 0.2, 0.05])
SCORES = 20
_BOUNDS = np.log(np.array(LATENCY_BOUNDS_MS))

#: What a policy watches that says nothing about it, and everything that there is.
DEFAULT = Guards(errors=1.25, timeouts=1.25, latency=1.25)
EVERYTHING = Guards(
    errors=1.25, timeouts=1.25, latency=1.25, predictions=1.5, predictions_action="rollback", labels=1.1
)


@dataclass(frozen=True)
class Canary:
    """What is wrong with it; nothing, by default."""

    errors: float = ERRORS
    latency: float = 1.0
    """Factor on every request's latency."""
    tail: float = 1.0
    """Factor on the latency of the slowest 2 %."""
    late: float = float(CLASS_SHARES[2])
    """Share of the class "late"."""
    shift: float = 0.0
    """Of its scores, in their standard deviation."""
    wrong: float = WRONG
    label_delay: int = 0
    """Seconds that its labels come later than stable's."""
    begins: int = 0
    """Seconds of the rollout after which it turns bad."""


@dataclass(frozen=True)
class World:
    """One kind of rollout."""

    name: str
    rate: float = 500.0
    canary: Canary = Canary()
    shape: str = "plain"
    """What happens to both arms alike: plain, bursts, ramp, diurnal, autocorrelated; hosts: to each host by itself."""
    window: float = 10.0
    """Seconds between two looks; 0: as it comes, between half a second and a minute."""
    guards: Guards = DEFAULT
    scores: bool = False
    """It predicts numbers, not classes."""

    @property
    def healthy(self) -> bool:
        """Whether a rollback would be a false one."""
        return self.canary in (Canary(), Canary(label_delay=self.canary.label_delay))


@dataclass(frozen=True)
class Rollout:
    """One rollout as it was drawn: per look, and per arm (stable, canary) where there are two."""

    started: Floats
    ended: Floats
    weight: Floats
    requests: Ints
    errors: Ints
    timeouts: Ints
    latency: Ints
    predicted: Ints
    scores: bool
    labels: tuple[tuple[LabelWindow, ...], ...]
    excess: Floats
    """Answers of the canary that stable would have given better: expected."""
    stage: Ints

    def observation(self, look: int) -> Observation:
        """What a judge is shown."""
        return Observation(
            float(self.started[look]),
            float(self.ended[look]),
            float(self.weight[look]),
            self._arm(look, 0),
            self._arm(look, 1),
            self.labels[look],
        )

    def _arm(self, look: int, arm: int) -> ArmWindow:
        requests, counts = int(self.requests[look, arm]), self.predicted[look, arm].tolist()
        told = (
            Predictions(scores={bucket: n for bucket, n in enumerate(counts) if n})
            if self.scores
            else Predictions(classes={name: n for name, n in zip(CLASSES, counts, strict=True) if n})
        )
        return ArmWindow(
            requests,
            int(self.errors[look, arm]),
            tuple(self.latency[look, arm].tolist()),
            int(self.timeouts[look, arm]),
            told,
            requests,
        )


def history(random: np.random.Generator, requests: int = 3000) -> tuple[int, ...]:
    """Stable's latencies before the rollout."""
    return tuple(random.multinomial(requests, _latency(np.array([1.0]), 1.0)[0]).tolist())


def draw(world: World, random: np.random.Generator) -> Rollout:
    """One rollout."""
    started, ended, stage = _looks(world, random)
    weight = np.array(WEIGHTS)[stage]
    middle = (started + ended) / 2 - START
    load, failing, slower = _shape(world.shape, middle, random)
    sick = middle >= world.canary.begins
    requests = random.poisson(world.rate * load * (ended - started))
    canary = random.binomial(requests, weight)
    arms = np.stack([requests - canary, canary], axis=1)
    hosts = _hosts(random) if world.shape == "hosts" else (1.0, 1.0)
    rates = np.stack(
        [failing * ERRORS * hosts[0], failing * np.where(sick, world.canary.errors, ERRORS) * hosts[1]], axis=1
    ).clip(0, 1)
    errors = random.binomial(arms, rates)
    slow = [_latency(slower, 1.0), _latency(slower * np.where(sick, world.canary.latency, 1.0), world.canary.tail)]
    slow[1] = np.where(sick[:, None], slow[1], _latency(slower, 1.0))
    latency = np.stack([random.multinomial(arms[:, arm] - errors[:, arm], slow[arm]) for arm in (0, 1)], axis=1)
    latency[:, :, -1] += errors
    said = _scores(world.canary.shift) if world.scores else _classes(world.canary.late)
    usual = _scores(0.0) if world.scores else CLASS_SHARES
    shares = np.where(sick[:, None], said, usual)
    predicted = np.stack([random.multinomial(arms[:, 0], usual), random.multinomial(arms[:, 1], shares)], axis=1)
    return Rollout(
        started,
        ended,
        weight,
        arms,
        errors,
        random.binomial(errors, TIMEOUTS),
        latency,
        predicted,
        world.scores,
        _labels(world, started, ended, random) if world.guards.labels is not None else ((),) * len(started),
        (canary * sick * _excess(world.canary)).astype(np.float64),
        stage,
    )


def _looks(world: World, random: np.random.Generator) -> tuple[Floats, Floats, Ints]:
    started: list[float] = []
    ended: list[float] = []
    stages: list[int] = []
    at = float(START)
    for stage in range(len(WEIGHTS)):
        at += 1.0
        end = at + STAGE
        while at < end - 1e-6:
            length = world.window or min(60.0, 0.5 + random.exponential(8.0))
            started.append(at)
            at = min(end, at + length)
            ended.append(at)
            stages.append(stage)
    return np.array(started), np.array(ended), np.array(stages)


def _shape(shape: str, at: Floats, random: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Factors on traffic, on the error rate and on latency, of both arms, at each look."""
    one = np.ones_like(at)
    span = len(WEIGHTS) * STAGE
    if shape == "bursts":
        hit = np.zeros(len(at), dtype=bool)
        for _ in range(3):
            begins = random.uniform(0, span)
            hit |= (at >= begins) & (at < begins + random.uniform(20, 60))
        return one, np.where(hit, 40.0, 1.0), np.where(hit, 3.0, 1.0)
    if shape == "ramp":
        return one, 1 + 9 * at / span, 1 + at / span
    if shape == "diurnal":
        wave = np.sin(2 * np.pi * (at / span + random.uniform()))
        return 1 + 0.8 * wave, 1 + 0.7 * wave, 1 + 0.3 * wave
    if shape == "autocorrelated":
        return one, np.exp(_wander(at, 1.0, random)), np.exp(_wander(at, 0.3, random))
    return one, one, one


def _wander(at: Floats, deviation: float, random: np.random.Generator) -> Floats:
    """An Ornstein-Uhlenbeck path with a memory of a minute."""
    path = np.empty_like(at)
    value, before = random.normal(0, deviation), at[0]
    for index, now in enumerate(at):
        keep = math.exp(-(now - before) / 60)
        value = keep * value + math.sqrt(1 - keep * keep) * random.normal(0, deviation)
        path[index], before = value, now
    return path


def _hosts(random: np.random.Generator) -> tuple[float, float]:
    """Each arm's factor on the error rate: the mean of 20 hosts, each log-normal with a deviation of 0.6."""
    arms = np.exp(random.normal(-0.18, 0.6, (2, 20))).mean(axis=1)
    return float(arms[0]), float(arms[1])


def _latency(factor: Floats, tail: float) -> Floats:
    """Probability of each latency bucket at each look."""
    mu = np.log(MEDIAN * factor)[:, None]
    below = ndtr((_BOUNDS - mu) / SIGMA)
    if tail != 1.0:  # the slowest 2 % are slower still: nothing lies between the quantile and its multiple
        edge = np.log(SLOWEST * factor)[:, None]
        below = np.where(edge < _BOUNDS, np.maximum(0.98, ndtr((_BOUNDS - math.log(tail) - mu) / SIGMA)), below)
    edges = np.concatenate([np.zeros((len(factor), 1)), below, np.ones((len(factor), 1))], axis=1)
    found: Floats = np.diff(edges, axis=1).clip(0)
    found /= found.sum(axis=1, keepdims=True)
    return found


def _classes(late: float) -> Floats:
    rest: Floats = CLASS_SHARES * (1 - late) / (1 - CLASS_SHARES[2])
    rest[2] = late
    return rest


def _scores(shift: float) -> Floats:
    edges = ndtr(np.linspace(-3, 3, SCORES - 1) - shift)
    shares: Floats = np.diff(np.concatenate([[0.0], edges, [1.0]]))
    return shares


def _labels(
    world: World, started: Floats, ended: Floats, random: np.random.Generator
) -> tuple[tuple[LabelWindow, ...], ...]:
    """Labels by second of the request, at the look in which they have arrived."""
    arriving: list[dict[int, list[list[int]]]] = [{} for _ in started]
    seconds = np.arange(START, int(ended[-1]))
    seconds = seconds[(seconds - START) % (STAGE + 1) > 0]
    stage = np.minimum((seconds - START) // (STAGE + 1), len(WEIGHTS) - 1)
    requests = random.poisson(world.rate * LABELLED, len(seconds))
    canary = random.binomial(requests, np.array(WEIGHTS)[stage])
    wrong = np.where(seconds - START >= world.canary.begins, world.canary.wrong, WRONG)
    arms: tuple[tuple[Ints, Floats, int], ...] = (
        (requests - canary, np.full(len(seconds), WRONG), 0),
        (canary, wrong, world.canary.label_delay),
    )
    for delay in (60, 180):
        for arm, (count, rate, extra) in enumerate(arms):
            labelled = count // 2 if delay == 60 else count - count // 2
            bad = random.binomial(labelled, rate)
            when = np.searchsorted(ended, seconds + delay + extra + 1)
            for second, n, k, at in zip(seconds.tolist(), labelled.tolist(), bad.tolist(), when.tolist(), strict=True):
                if at < len(ended) and n:
                    cell = arriving[at].setdefault(second, [[0, 0], [0, 0]])
                    cell[arm][0] += n
                    cell[arm][1] += k
    return tuple(
        tuple(LabelWindow(s, (c[1][0], c[1][1]), (c[0][0], c[0][1])) for s, c in sorted(at.items())) for at in arriving
    )


def _excess(canary: Canary) -> float:
    """Share of its answers that stable would have given better: failed, above 100 ms, another prediction, or wrong."""
    slow = _latency(np.array([canary.latency]), canary.tail)[0]
    above = float(slow[np.searchsorted(_BOUNDS, math.log(101)) + 1 :].sum()) - 0.01
    changed = 0.5 * float(
        np.abs(_classes(canary.late) - CLASS_SHARES).sum() + np.abs(_scores(canary.shift) - _scores(0)).sum()
    )
    return (canary.errors - ERRORS) + max(0.0, above) + changed + (canary.wrong - WRONG)
