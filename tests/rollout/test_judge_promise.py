"""The one promise and what it must reach, on simulated rollouts of 1/5/25/50 % with a bet on every stage's start."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from mlship.rollout import judge
from mlship.rollout.judge import Guards
from mlship.types import LATENCY_BOUNDS_MS, ArmWindow, LabelWindow, Observation

FOUR = Guards(errors=1.0, timeouts=1.0, latency=1.0, labels=1.0)
WEIGHTS = (0.01, 0.05, 0.25, 0.5)
Shares = np.ndarray[tuple[int], np.dtype[np.float64]]
Arm = tuple[float, Shares]
"""Share of errors, share of each latency bucket."""


def latencies(slower: float = 1.0, slowest: float = 1.0) -> Shares:
    """Log-normal with p99 = 100 ms; all of it, or the slowest 2 %, take so many times longer."""
    law = NormalDist(math.log(100) - 0.5 * NormalDist().inv_cdf(0.99), 0.5)

    def below(bound: float) -> float:
        fast = min(0.98, law.cdf(math.log(bound / slower)))
        return fast + max(0.0, law.cdf(math.log(bound / slower / slowest)) - 0.98)

    return np.diff(np.array([0.0, *map(below, LATENCY_BOUNDS_MS), 1.0]))


def rollout(
    random: np.random.Generator,
    arms: tuple[Arm, Arm],
    *,
    rate: float,
    window: float,
    bad_from: int = 0,
) -> int | None:
    """Canary requests until it is rolled back; None when it never is. Arms: (stable, canary)."""
    stable, canary = arms
    evidence = judge.begin(FOUR, tuple(map(int, random.multinomial(20_000, stable[1]))), len(WEIGHTS))
    at, total = 1000.0, 0
    for stage, weight in enumerate(WEIGHTS):
        evidence, at = judge.restart(evidence), at + 2
        for _ in range(int(300 / window)):
            n = int(random.poisson(rate * window))
            mine = int(random.binomial(n, weight))
            seen = []
            for (errors, shares), count in ((stable, n - mine), (canary if stage >= bad_from else stable, mine)):
                failed = int(random.binomial(count, errors))
                *quick, last = map(int, random.multinomial(count - failed, shares))
                seen.append(ArmWindow(count, failed, (*quick, last + failed)))
            labels = (LabelWindow(int(at) + 1, (mine, mine // 10), (n - mine, (n - mine) // 10)),)
            evidence = judge.update(evidence, Observation(at, at + window, weight, seen[0], seen[1], labels))
            at, total = at + window, total + mine
            if evidence.total >= evidence.limit:
                return total
    return None


HEALTHY: Arm = (0.005, latencies())


@pytest.mark.parametrize(
    ("canary", "rate", "window", "most"),
    [
        ((0.01, latencies()), 500, 10.0, 4500),
        ((0.05, latencies()), 500, 10.0, 220),
        ((0.005, latencies(slower=2)), 50, 2.0, 60),
        ((0.005, latencies(slowest=2)), 500, 2.0, 400),
    ],
    ids=["errors 0.5 -> 1 %", "errors 0.5 -> 5 %", "latency x2", "slowest 2 % doubled"],
)
def test_a_regression_is_seen_within_so_many_canary_requests(
    canary: Arm, rate: float, window: float, most: int
) -> None:
    random = np.random.default_rng(21)
    needed = sorted(rollout(random, (HEALTHY, canary), rate=rate, window=window) or 10**9 for _ in range(15))
    assert needed[7] <= most


@pytest.mark.parametrize("weight", [0.01, 0.05])
def test_a_total_outage_is_seen_at_the_first_look_with_three_canary_requests(weight: float) -> None:
    """Nothing of stable failed, and every signal has a part of the budget."""
    stable = round(3 / weight) - 3
    evidence = judge.restart(judge.begin(FOUR, stages=4))
    evidence = judge.update(evidence, Observation(1.0, 2.0, weight, ArmWindow(stable), ArmWindow(3, 3)))
    assert evidence.total >= evidence.limit


def test_a_healthy_canary_is_not_rolled_back_whatever_the_stages() -> None:
    """24 rollouts of 120 looks, no margin, four signals, four starts: three false would refute 1 % (tail 0.2 %)."""
    random = np.random.default_rng(22)
    ended = [rollout(random, (HEALTHY, HEALTHY), rate=100, window=10.0) for _ in range(24)]
    assert sum(end is not None for end in ended) < 3


def test_a_regression_that_begins_late_is_seen_soon_thanks_to_the_stage_s_own_bet() -> None:
    """Errors double at 25 %: without a bet that starts there, what was lost before has to be won back first."""
    random = np.random.default_rng(23)
    late = sorted(
        rollout(random, (HEALTHY, (0.01, latencies())), rate=100, window=10.0, bad_from=2) or 10**9 for _ in range(9)
    )
    assert late[4] < 12_000


def test_under_the_null_the_mean_of_evidence_is_one_at_most_at_any_stop() -> None:
    """At the end of every stage, and at the first look with evidence of 3 and above: within Monte Carlo error."""
    random, runs = np.random.default_rng(24), 200
    ends: list[list[float]] = [[] for _ in WEIGHTS]
    for _ in range(runs):
        evidence = judge.begin(Guards(errors=1.0, labels=1.1), stages=len(WEIGHTS))
        at, stopped = 1000.0, 0.0
        for stage, weight in enumerate(WEIGHTS):
            evidence, at = judge.restart(evidence), at + 2
            for _ in range(5):
                canary, stable = (int(n) for n in random.multinomial(60, (weight, 1 - weight)))
                errors = int(random.binomial(canary, 0.05)), int(random.binomial(stable, 0.05))
                wrong = int(random.binomial(canary, 0.22)), int(random.binomial(stable, 0.2))
                labels = (LabelWindow(int(at) + 1, (canary, wrong[0]), (stable, wrong[1])),)
                arms = ArmWindow(stable, errors[1]), ArmWindow(canary, errors[0])
                evidence = judge.update(evidence, Observation(at, at + 1, weight, *arms, labels))
                at += 1
                if evidence.total >= 3 and not stopped:
                    stopped = evidence.total
            ends[stage].append(stopped or evidence.total)
    for values in ends:
        mean, error = float(np.mean(values)), float(np.std(values)) / math.sqrt(runs)
        assert mean - 3 * error <= 1.0


def test_a_look_at_everything_costs_little() -> None:
    """Twelve classes, labels of thirty seconds, every guard and certificate: no more than adding up 100,000 numbers,
    which takes a millisecond and a half; the best of some, each beside its look, for the machine may be busy.
    """
    import time
    from dataclasses import replace

    from mlship.types import Predictions

    guards = Guards(
        errors=1.25, timeouts=1.25, latency=1.25, slow=((0.99, 200.0),), predictions=1.5, agreement=0.9, labels=1.1,
        certify=(("errors", 3.0), ("latency", 3.0), ("labels", 1.5)), negligible=0.01,
    )  # fmt: skip
    random = np.random.default_rng(1)
    evidence, best, adding = judge.begin(guards, tuple(map(int, random.multinomial(5000, latencies()))), 4), 1.0, 1.0
    for index in range(80):
        arms = []
        for n in (450, 50):
            classes = {f"class {k}": int(c) for k, c in enumerate(random.multinomial(n, [1 / 12] * 12))}
            window = ArmWindow(n, 2, tuple(map(int, random.multinomial(n, latencies()))), 1)
            arms.append(replace(window, predictions=Predictions(classes=classes)))
        at = 1000.0 + index
        labels = tuple(LabelWindow(int(at) + 1 - k, (5, k % 3), (40, 4)) for k in range(min(30, index + 1)))
        one = Observation(at, at + 1, 0.1, arms[0], arms[1], labels)
        started = time.thread_time()
        evidence = judge.update(evidence, one)
        looked = time.thread_time()
        sum(range(100_000))
        if index >= 30:
            best, adding = min(best, looked - started), min(adding, time.thread_time() - looked)
    assert best < adding
