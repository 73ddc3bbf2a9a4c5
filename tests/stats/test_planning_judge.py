"""What is foretold is what the judge sees, within a fifth; `tests/benchmarks/planning.py` does it for many policies."""

from __future__ import annotations

import numpy as np
import pytest

from mlship.rollout.foresee import foresee
from tests.benchmarks.planning_worlds import CASES, convictions

BY_NAME = {case.name: case for case in CASES}


@pytest.mark.parametrize(
    ("name", "stages", "signal"),
    [
        ("5/s", (2, 2), "errors"),
        ("50/s", (0, 0), "latency"),
        ("50/s", (0, 3), "errors"),
        ("5,000/s", (1, 1), "errors"),
        ("500/s, 10 % errors", (0, 0), "errors"),
        ("100/s, every signal", (0, 0), "agreement"),
        ("100/s, every signal", (1, 1), "errors"),
    ],
)
def test_the_judge_sees_what_is_foretold_within_a_fifth(name: str, stages: tuple[int, int], signal: str) -> None:
    """A fifth above it is seen in at least 80 % of the rollouts, a fifth below it in fewer."""
    case = BY_NAME[name]
    foresight = foresee(case.guards, case.steps, case.traffic)
    stage = foresight.stages[stages[0]] if stages[0] == stages[1] else foresight.whole
    sight = next(one for one in stage.sights if one.signal == signal)
    assert sight.least is not None
    random, ratio = np.random.default_rng(31), sight.least / sight.base
    rollouts = [convictions(case, signal, sight.base, stages, random) for _ in range(40)]
    assert np.mean([convicts(ratio * 1.2) for convicts in rollouts]) >= 0.8
    assert np.mean([convicts(ratio / 1.2) for convicts in rollouts]) < 0.8
