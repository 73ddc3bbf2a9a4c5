"""A small, seeded part of the calibration (`tests/benchmarks/judge.py`): the whole takes minutes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.judge import Cost, ours, try_out, wilson
from tests.benchmarks.judge_peers import PEERS
from tests.benchmarks.judge_worlds import Canary, World, draw, history


def test_bursts_on_both_arms_do_not_send_a_healthy_canary_back_where_thresholds_do() -> None:
    tallies = try_out(World("bursts", shape="bursts"), 8, 5, Cost())
    assert tallies["mlship"].rolled_back == 0
    assert tallies["Flagger"].rolled_back + tallies["Argo"].rolled_back >= 6


@pytest.mark.parametrize(
    ("canary", "rate", "most"),
    [
        (Canary(errors=0.05), 500, 300),
        (Canary(errors=1.0), 30, 4),
        (Canary(latency=2.0), 50, 60),
        (Canary(tail=2.0), 500, 600),
    ],
    ids=["errors 0.5 -> 5 %", "outage", "latency x2", "slowest 2 % doubled"],
)
def test_a_regression_is_seen_before_anybody_else_sees_it(canary: Canary, rate: float, most: int) -> None:
    tallies = try_out(World("sick", rate, canary), 9, 5, Cost())
    mine = sorted(tallies["mlship"].requests)[4]
    assert mine <= most
    assert all(mine < sorted(tallies[name].requests)[4] for name in ("Flagger", "Argo", "Kayenta"))


def test_evidence_does_not_grow_over_a_rollout() -> None:
    random, cost = np.random.default_rng(1), Cost()
    world = World("healthy", 50, window=5.0)
    assert ours(world, draw(world, random), history(random), cost) is None
    assert cost.late < 1.1 * cost.early


def test_peers_are_fair_to_a_quiet_and_healthy_canary() -> None:
    """At 500/s and 0.5 % errors a threshold of 1 % is far away: what they do in other worlds is not a slip of ours."""
    random = np.random.default_rng(3)
    rollouts = [draw(World("healthy"), random) for _ in range(5)]
    assert [PEERS["Flagger"](one) for one in rollouts] == [None] * 5
    assert [PEERS["Argo"](one) for one in rollouts] == [None] * 5


def test_wilsons_interval_is_the_textbooks() -> None:
    assert wilson(0, 300) == pytest.approx((0, 0.01264), abs=1e-4)
    assert wilson(5, 100) == pytest.approx((0.02154, 0.11175), abs=1e-4)
