"""Certificates: what is asked is proved by enough good requests, never by silence, and rarely by mistake."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mlship.rollout import judge
from mlship.rollout.judge import Evidence, Guards
from mlship.rollout.judge.proofs import more
from mlship.types import LATENCY_BOUNDS_MS, ArmWindow, LabelWindow, Observation

ASKED = Guards(errors=1.25, certify=(("errors", 3.0),), negligible=0.01)


def look(canary: ArmWindow, stable: ArmWindow, at: float, weight: float = 0.1) -> Observation:
    return Observation(at, at + 1.0, weight, stable, canary)


def proving(
    guards: Guards,
    *,
    rates: tuple[float, float],
    weight: float = 0.1,
    requests: int = 200,
    looks: int = 100,
    seed: int = 1,
) -> int:
    """Canary requests until nothing is left to prove; 0 when so many looks do not prove it. Rates: (canary, stable)."""
    random, evidence, total = np.random.default_rng(seed), judge.begin(guards), 0
    for index in range(looks):
        canary = int(random.binomial(requests, weight))
        failed = int(random.binomial(canary, rates[0])), int(random.binomial(requests - canary, rates[1]))
        arms = ArmWindow(canary, failed[0]), ArmWindow(requests - canary, failed[1])
        evidence, total = judge.update(evidence, look(*arms, 1000.0 + index, weight)), total + canary
        if all(proof.log_e >= math.log(judge.PROVED) for proof in evidence.proofs):
            assert judge.unproved(evidence) == ""
            return total
    return 0


def test_a_model_without_any_errors_is_certified_after_the_known_number_of_requests() -> None:
    """Nothing failed in either arm, so no ratio can be told: the canary's own rate is proved negligible."""
    needed = proving(ASKED, rates=(0.0, 0.0))
    assert math.log(200) / 0.01 <= needed <= 1.15 * math.log(200) / 0.01
    assert proving(replace(ASKED, negligible=0.0), rates=(0.0, 0.0)) == 0, "no ratio of nothing"


@pytest.mark.parametrize(("factor", "most"), [(3.0, 1600), (2.0, 4300)])
def test_a_ratio_is_proved_by_about_as_many_requests_as_the_design_says(factor: float, most: int) -> None:
    """Base rate 0.5 %: about 1,100 for 3x, 3,100 for 2x (medians); half a bet is spent on the other way."""
    guards = Guards(certify=(("errors", factor),), negligible=0.0001)
    needed = sorted(proving(guards, rates=(0.005, 0.005), requests=2000, weight=0.05, seed=seed) for seed in range(15))
    assert 0 < needed[7] < most


def test_a_canary_that_is_not_good_enough_is_hardly_ever_certified() -> None:
    """At the edge of both: 3x stable's rate, and not negligible. Four of 100 would refute 1 % (binomial tail 2 %)."""
    proved = [proving(ASKED, rates=(0.03, 0.01), requests=1000, looks=40, seed=seed) for seed in range(100)]
    assert sum(map(bool, proved)) < 4


def test_what_is_missing_is_said_with_a_forecast_that_comes_true() -> None:
    evidence, at = judge.begin(ASKED), 1000.0
    for _ in range(10):
        evidence, at = judge.update(evidence, look(ArmWindow(20), ArmWindow(180), at)), at + 1
    said = judge.unproved(evidence)
    assert said.startswith("errors: not yet proved below 3x stable's or 1 % (evidence 3.")
    assert said.endswith(" of 100, about 360 more canary requests)")
    for _ in range(18):
        assert judge.unproved(evidence)
        evidence, at = judge.update(evidence, look(ArmWindow(20), ArmWindow(180), at)), at + 1
    assert judge.unproved(evidence) == ""


def test_silence_proves_nothing_and_forecasts_nothing() -> None:
    evidence = judge.begin(ASKED)
    assert judge.unproved(evidence) == "errors: not yet proved below 3x stable's or 1 % (evidence 1.0 of 100)"
    assert more(evidence.proofs[0]) is None
    assert judge.unproved(judge.begin(Guards(errors=1.25))) == ""


def test_a_bad_canary_is_told_no_forecast_that_never_comes() -> None:
    evidence = judge.begin(replace(ASKED, negligible=0.0))
    evidence = judge.update(evidence, look(ArmWindow(500, 0), ArmWindow(500, 0), 1000.0, 0.5))
    assert judge.unproved(evidence) == "errors: not yet proved below 3x stable's (evidence 1.0 of 100)"


def test_latency_and_labels_are_certified_alike() -> None:
    buckets = len(LATENCY_BOUNDS_MS) + 1
    history = tuple(990 if index == 15 else 10 if index == 30 else 0 for index in range(buckets))
    fast = tuple(20 if index == 15 else 0 for index in range(buckets))
    guards = Guards(latency=1.25, labels=1.1, certify=(("latency", 2.0), ("labels", 1.5)), negligible=0.02)
    evidence = judge.begin(guards, history)
    assert [part.split(":")[0] for part in judge.unproved(evidence).split("; ")] == ["latency", "labels"]
    assert "about" not in judge.unproved(evidence)
    for index in range(60):
        stable = replace(ArmWindow(200), latency=tuple(10 * n for n in fast))
        labels = (LabelWindow(1001 + index, (20, 2), (200, 22)),)
        one = look(replace(ArmWindow(20), latency=fast), stable, 1000.0 + index)
        evidence = judge.update(evidence, replace(one, labels=labels))
        if index == 20:
            assert "more canary labels)" in judge.unproved(evidence)
    assert judge.unproved(evidence) == ""


def test_only_rates_can_be_certified() -> None:
    with pytest.raises(ValueError, match="'agreement'"):
        judge.begin(Guards(certify=(("agreement", 2.0),)))


def test_a_certificate_is_lost_when_the_canary_turns_bad() -> None:
    evidence: Evidence = judge.begin(ASKED)
    evidence = judge.update(evidence, look(ArmWindow(800), ArmWindow(800), 1000.0, 0.5))
    assert judge.unproved(evidence) == ""
    assert judge.unproved(judge.update(evidence, look(ArmWindow(100, 50), ArmWindow(100), 1001.0, 0.5)))
