"""Many groups at once: values, intervals and differences, against known formulas and by simulation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from mlship.stats import simultaneous
from mlship.stats.simultaneous import Ratios

#: Kinds of rows: (label, predicted) of 0 0, 0 1, 1 0, 1 1.
RECALL = Ratios(np.array([[0.0, 0, 0, 1]]), np.array([[0.0, 0, 1, 1]]), np.array([[0.0, 0, 1, 1]]))
F1 = Ratios(np.array([[0.0, 0, 0, 2]]), np.array([[0.0, 1, 1, 2]]), np.array([[0.0, 1, 1, 1]]))


def test_a_share_has_jeffreys_interval() -> None:
    found = simultaneous.ratio(np.array([[50, 10, 20, 60], [10, 0, 0, 40], [9, 0, 0, 0]]), RECALL)
    low, high = found.ends(0.95)
    assert found.value[0] == 0.75
    assert low[0] == pytest.approx(beta.ppf(0.025, 60.5, 20.5))
    assert high[0] == pytest.approx(beta.ppf(0.975, 60.5, 20.5))
    assert (found.value[1], high[1]) == (1, 1)
    assert 0.9 < low[1] < 0.95
    assert np.isnan(found.value[2])
    assert found.support.tolist() == [80, 40, 0]


def test_more_confidence_is_wider() -> None:
    found = simultaneous.ratio(np.array([[50, 10, 20, 60]]), F1)
    ends = [found.ends(confidence) for confidence in (0.8, 0.95, 0.9999)]
    assert all(inner[0] > outer[0] and inner[1] < outer[1] for inner, outer in pairwise(ends))
    assert 0 < ends[-1][0][0] < found.value[0] < ends[-1][1][0] < 1


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4), st.floats(0.5, 0.9999))
def test_intervals_hold_their_value_and_stay_between_0_and_1(counts: list[int], confidence: float) -> None:
    for of in (RECALL, F1):
        found = simultaneous.ratio(np.array([counts]), of)
        if np.isnan(found.value[0]):
            continue
        low, high = found.ends(confidence)
        assert 0 <= low[0] <= found.value[0] <= high[0] <= 1


@pytest.mark.parametrize("of", [RECALL, F1])
def test_intervals_of_a_ratio_miss_as_often_as_they_say(of: Ratios) -> None:
    """300 rows; 95 % and the far tail that 100 slices need, on each side."""
    p = np.array([0.6, 0.1, 0.1, 0.2])
    counts = np.random.default_rng(5).multinomial(300, p, size=40_000)
    found, truth = simultaneous.ratio(counts, of), float(of.value(p[None])[0])
    for confidence in (0.95, 1 - 0.05 / 20):
        low, high = found.ends(confidence)
        for missed in (high < truth, low > truth):
            assert missed.mean() < 1.5 * (1 - confidence) / 2 + 0.0005


def test_a_paired_difference_of_ratios_misses_as_often_as_it_says() -> None:
    """Kinds: label 0; label 1 with (candidate, champion) wrong or right; 300 rows, 90 of them positive."""
    ours = Ratios(np.array([[0.0, 0, 0, 1, 1]]), np.array([[0.0, 1, 1, 1, 1]]), np.array([[0.0, 1, 1, 1, 1]]))
    theirs = Ratios(np.array([[0.0, 0, 1, 0, 1]]), ours.below, ours.present)
    p = np.array([0.7, 0.06, 0.03, 0.03, 0.18])
    found = simultaneous.ratio_difference(np.random.default_rng(6).multinomial(300, p, size=40_000), ours, theirs)
    for confidence in (0.95, 1 - 0.05 / 20):
        low, high = found.ends(confidence)
        for missed in (high < 0, low > 0):
            assert missed.mean() < 1.5 * (1 - confidence) / 2 + 0.0005


@pytest.mark.parametrize("root", [False, True])
def test_means_of_skewed_errors_miss_about_as_often_as_they_say(root: bool) -> None:
    """Squared errors of 400 rows: the mean of a long-tailed number."""
    errors = np.random.default_rng(7).normal(size=(10_000, 400)) ** 2
    powers = np.stack([(errors**k).sum(axis=1) for k in (1, 2, 3)])
    found = simultaneous.mean(np.full(10_000, 400.0), powers, root=root)
    low, high = found.ends(0.99)
    assert (high < 1).mean() < 0.0085
    assert (low > 1).mean() < 0.0085


def test_the_difference_of_two_roots_is_paired() -> None:
    rng = np.random.default_rng(8)
    hard = rng.normal(size=(5_000, 300)) ** 2
    ours, theirs = hard * rng.uniform(0.8, 1.2, hard.shape), hard * rng.uniform(0.8, 1.2, hard.shape)
    powers = [np.stack([(side**k).sum(axis=1) for k in (1, 2, 3)]) for side in (ours, theirs)]
    n = np.full(5_000, 300.0)
    found = simultaneous.root_difference(n, powers[0], powers[1], (ours * theirs).sum(axis=1))
    low, high = found.ends(0.95)
    assert 0.03 < ((high < 0) | (low > 0)).mean() < 0.07
    alone = simultaneous.mean(n, powers[0], root=True).ends(0.95)
    assert (high - low).mean() < (alone[1] - alone[0]).mean() / 3


def test_all_differences_of_groups() -> None:
    value, low, high = np.array([0.5, 0.8]), np.array([0.4, 0.7]), np.array([0.65, 0.85])
    difference, least, most = simultaneous.spread(value, low, high)
    assert difference[1, 0] == pytest.approx(0.3)
    assert least[1, 0] == pytest.approx(0.3 - np.hypot(0.1, 0.15))
    assert most[1, 0] == pytest.approx(0.3 + np.hypot(0.05, 0.1))
    assert least[0, 1] == pytest.approx(-most[1, 0])


def test_ends_at_another_confidence_grow_like_the_normal_quantile() -> None:
    ends = simultaneous.rescaled(np.array([1.0]), np.array([0.0]), np.array([3.0]), 0.95)
    low, high = ends(0.95)
    assert (low[0], high[0]) == (pytest.approx(0), pytest.approx(3))
    wider = ends(0.9999)
    assert (wider[1][0] - 1) / 2 == pytest.approx(1 - wider[0][0]) == pytest.approx(3.8906 / 1.95996, rel=1e-4)
