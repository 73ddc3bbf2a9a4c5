"""The judge counts what it should, drops what it must, keeps everything through JSON, and keeps its one promise."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.rollout import judge
from mlship.rollout.judge import Evidence, Guards
from mlship.types import LATENCY_BOUNDS_MS, ArmWindow, LabelWindow, Observation
from tests.fakes.engine import Behaviour

ALL = Guards(errors=1.25, latency=1.25, labels=1.1)
FAST = Behaviour(latency_ms=20).buckets()


def histogram(requests: int, bucket: int = 15) -> tuple[int, ...]:
    return tuple(requests if index == bucket else 0 for index in range(len(LATENCY_BOUNDS_MS) + 1))


def look(
    canary: tuple[int, int] = (0, 0),
    stable: tuple[int, int] = (0, 0),
    *,
    at: float = 1000.0,
    seconds: float = 1.0,
    weight: float = 0.1,
    labels: tuple[LabelWindow, ...] = (),
    slow: int = 0,
) -> Observation:
    """One look: (requests, errors) of each arm; `slow` of the canary's requests take 5 s, failures are slowest."""

    def latency(requests: int, failed: int, slow: int) -> tuple[int, ...]:
        parts = histogram(requests - failed - slow), histogram(slow, 64), histogram(failed, 67)
        return tuple(map(sum, zip(*parts, strict=True)))

    return Observation(
        started=at,
        ended=at + seconds,
        weight=weight,
        stable=ArmWindow(*stable, latency(*stable, 0)),
        canary=ArmWindow(*canary, latency(*canary, slow)),
        labels=labels,
    )


def seen(*looks: Observation, guards: Guards = ALL, history: tuple[int, ...] = histogram(1000)) -> Evidence:
    evidence = judge.begin(guards, history)
    for one in looks:
        evidence = judge.update(evidence, one)
    return evidence


def signal(evidence: Evidence, name: str) -> judge.Signal:
    return next(one for one in evidence.signals if one.name == name)


def test_no_data_is_neutral_and_says_so() -> None:
    evidence = seen()
    assert evidence.total == pytest.approx(1.0)
    assert evidence.unseen == ("errors", "latency", "labels")
    assert judge.sentence(evidence) == "nothing seen yet"


def test_a_look_without_an_arms_counters_changes_nothing() -> None:
    before = seen(look((10, 0), (90, 0)))
    blind = replace(look((10, 10), (90, 0), at=1001), missing=("stable",))
    assert judge.update(before, blind) == before


def test_the_total_is_the_mean_of_the_signals_by_their_budgets() -> None:
    evidence = seen(look((50, 10), (450, 2)))
    shares, budget = evidence.shares, ALL.budget
    assert sum(budget.values()) == pytest.approx(1.0)
    assert evidence.total == pytest.approx(sum(budget[name] * shares[name] for name in budget))
    assert shares["errors"] > 100
    assert shares["labels"] == pytest.approx(1.0)


def test_the_sentence_carries_rates_counts_and_evidence() -> None:
    window = LabelWindow(1002, canary=(212, 51), stable=(1904, 221))
    evidence = seen(look((500, 2), (5000, 25)), look((500, 2), (5000, 25), at=1001, labels=(window,)))
    assert judge.sentence(evidence).startswith("labels: 24.1 % wrong of 212 against 11.6 % of 1,904, evidence ")
    assert judge.say(evidence, "errors") == "errors 0.4 % against 0.5 %"
    assert judge.accusation(evidence).startswith("labels")


def test_latency_waits_for_frozen_thresholds_and_passes_over_the_cold_start() -> None:
    """Windows that shape the thresholds, and the canary's first requests, are no evidence."""
    young = judge.begin(ALL)
    for at in range(1000, 1005):
        assert young.thresholds is None
        young = judge.update(young, look((30, 0), (judge.WARM_UP // 5, 0), at=at, slow=30))
    assert young.thresholds is not None
    assert signal(young, "latency").canary == (0, 0)
    cold = seen(look((judge.COLD_START, 0), (200, 0), slow=judge.COLD_START))
    assert signal(cold, "latency").canary == (0, 0)
    warm = judge.update(cold, look((20, 0), (200, 0), at=1001, slow=15))
    assert signal(warm, "latency").canary == (15, 20)
    assert warm.shares["latency"] > 1000


def test_thresholds_stay_frozen_when_stable_slows_down() -> None:
    evidence = seen(look((30, 0), (300, 0)))
    frozen = evidence.thresholds
    slow_stable = replace(look((30, 0), (300, 0), at=1001), stable=ArmWindow(300, 0, histogram(300, 60)))
    assert judge.update(evidence, slow_stable).thresholds == frozen


def test_nothing_is_fast_because_it_fails() -> None:
    """A failure tells nothing about latency and is left out; one without an answer in time is slower than anything."""
    window = look((10, 4), (100, 0), at=1001)
    failed = seen(look((30, 0), (300, 0)), window)
    assert signal(failed, "latency").canary == (0, 6)
    timed_out = seen(look((30, 0), (300, 0)), replace(window, canary=replace(window.canary, timeouts=3)))
    assert signal(timed_out, "latency").canary == (3, 9)


def test_labels_of_seconds_around_a_weight_change_are_dropped() -> None:
    """The window closes at 1001.0 and opens again at 1003.2: requests of 1001 to 1003 saw two weights."""
    evidence = seen(
        look((10, 0), (90, 0), at=1000.0),
        look((10, 0), (90, 0), at=1003.2, weight=0.5),
        look(
            (10, 0),
            (90, 0),
            at=1004.2,
            weight=0.5,
            labels=tuple(LabelWindow(second, (5, 1), (50, 5)) for second in (999, 1000, 1001, 1002, 1003, 1004)),
        ),
    )
    assert signal(evidence, "labels").canary == (1, 5), "only second 1004 is left: 1000 was before the canary was sure"


def test_counters_read_in_the_wrong_order_are_no_fault() -> None:
    evidence = seen(replace(look((3, 3), (90, 0)), canary=ArmWindow(3, 5, histogram(3))))
    assert signal(evidence, "errors").canary == (3, 3)


observations = st.builds(
    lambda c, s, ce, se, at, labels: look(
        (c, min(c, ce)),
        (s, min(s, se)),
        at=at,
        labels=tuple(LabelWindow(second, (n, min(n, k)), (9, 1)) for second, n, k in labels),
    ),
    st.integers(0, 50),
    st.integers(0, 500),
    st.integers(0, 50),
    st.integers(0, 20),
    st.floats(1000, 2000),
    st.lists(st.tuples(st.integers(1000, 2000), st.integers(0, 9), st.integers(0, 9)), max_size=3),
)


@given(st.lists(observations, max_size=5))
def test_evidence_survives_json_to_the_last_bit(looks: list[Observation]) -> None:
    """A restarted controller that lost a bit of it would spend alpha again."""
    evidence = seen(*looks)
    assert judge.from_json(json.loads(json.dumps(judge.to_json(evidence), allow_nan=False))) == evidence


@given(st.lists(observations, min_size=1, max_size=5), st.integers(0, 5))
def test_carrying_on_from_json_gives_what_an_undisturbed_judge_would_say(looks: list[Observation], cut: int) -> None:
    whole = seen(*looks)
    half = judge.from_json(json.loads(json.dumps(judge.to_json(seen(*looks[:cut])))))
    for one in looks[cut:]:
        half = judge.update(half, one)
    assert half == whole


def rollouts(runs: int, *, canary: Behaviour, seed: int) -> list[int | None]:
    """Whole rollouts of 5/25/50 %, 40 looks of 1 s each at 100/s, all signals; canary requests until rollback."""
    random = np.random.default_rng(seed)
    stable = Behaviour(wrong=0.1)
    shares = {arm: arm.buckets() for arm in (stable, canary)}
    ended: list[int | None] = []
    for _ in range(runs):
        evidence = judge.begin(ALL, tuple(int(n) for n in random.multinomial(2000, shares[stable])))
        at, total, end = 1000.0, 0, None
        for weight in (0.05, 0.25, 0.5):
            at += 2.0
            for _second in range(40):
                requests = int(random.poisson(100))
                to_canary = int(random.binomial(requests, weight))
                arms = []
                for arm, n in ((stable, requests - to_canary), (canary, to_canary)):
                    failed = int(random.binomial(n, arm.errors))
                    *counts, slowest = (int(c) for c in random.multinomial(n - failed, shares[arm]))
                    wrong = int(random.binomial(n, arm.wrong))
                    arms.append((ArmWindow(n, failed, (*counts, slowest + failed)), (n, wrong)))
                (s, ls), (c, lc) = arms
                labels = (LabelWindow(int(at), lc, ls),)
                evidence = judge.update(evidence, Observation(at, at + 1.0, weight, s, c, labels))
                at, total = at + 1.0, total + to_canary
                if evidence.total >= evidence.limit:
                    end = total
                    break
            if end is not None:
                break
        ended.append(end)
    return ended


def test_a_healthy_canary_is_rolled_back_in_at_most_one_rollout_of_a_hundred() -> None:
    """100 rollouts of 120 looks at all three signals: five false ones would refute 1 % (binomial tail 0.3 %)."""
    false = [end for end in rollouts(100, canary=Behaviour(wrong=0.1), seed=3) if end is not None]
    assert len(false) < 5


@pytest.mark.parametrize(
    ("canary", "most"),
    [
        (Behaviour(errors=0.05), 250),
        (Behaviour(errors=1.0), 25),
        (Behaviour(latency_ms=40), 80),
        (Behaviour(wrong=0.24), 300),
    ],
    ids=["ten times the errors", "outage", "twice the latency", "labels 10 -> 24 % wrong"],
)
def test_a_regression_is_seen_within_so_many_canary_requests(canary: Behaviour, most: int) -> None:
    ended = rollouts(15, canary=canary, seed=5)
    assert None not in ended
    assert sorted(end for end in ended if end is not None)[7] < most


def test_a_look_costs_less_than_a_millisecond() -> None:
    """Measured at about 0.1 ms; the limit leaves room for a busy machine."""
    evidence = seen(look((30, 0), (300, 0)))
    window = look((20, 2), (200, 1), at=1001, labels=(LabelWindow(1001, (20, 3), (200, 20)),), slow=3)
    best = 1.0
    for _ in range(20):
        started = time.perf_counter()
        judge.update(evidence, window)
        best = min(best, time.perf_counter() - started)
    assert best < 0.001
