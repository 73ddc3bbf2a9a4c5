"""The share of an error that is removed: scikit-learn's figures, and intervals that hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mlship.stats import gain


def test_the_ranking_error_is_one_minus_the_auc() -> None:
    """Scikit-learn's, with ties; and its variance is DeLong's, which the bootstrap finds too."""
    rng = np.random.default_rng(0)
    positive = rng.random(2000) < 0.3
    score = (positive + rng.normal(size=2000)).round(1)
    found = gain.ranking_error(positive, score)
    assert found.value == pytest.approx(1 - roc_auc_score(positive, score))
    assert found.influence.mean() == pytest.approx(0, abs=1e-9)
    drawn = []
    for _ in range(300):
        rows = rng.integers(0, 2000, 2000)
        drawn.append(gain.ranking_error(positive[rows], score[rows]).value)
    assert found.influence.std() / np.sqrt(2000) == pytest.approx(np.std(drawn), rel=0.15)


def test_one_class_has_no_ranking() -> None:
    """Not zero: none."""
    assert np.isnan(gain.ranking_error(np.ones(5, bool), np.arange(5.0)).value)


def test_the_interval_covers() -> None:
    """Two models of known AUC on the same 500 rows: 95 % of the intervals hold the true share removed."""
    from scipy.stats import norm

    rng = np.random.default_rng(1)
    areas = [norm.cdf(signal / np.sqrt(2)) for signal in (1.5, 1.0)]
    truth = (areas[0] - areas[1]) / (1 - areas[1])
    held = 0
    for _ in range(600):
        positive = rng.random(500) < 0.4
        shared = rng.normal(size=500)
        ours, theirs = (signal * positive + shared for signal in (1.5, 1.0))
        errors = [gain.ranking_error(positive, side) for side in (ours, theirs)]
        _, low, high = gain.removed(errors[0], errors[1], errors[1])
        held += low <= truth <= high
    assert 0.92 <= held / 600 <= 0.98


def test_a_perfect_candidate_removes_everything() -> None:
    """All of it, and no more of it on any sample."""
    losses = np.random.default_rng(2).random(100)
    champion = gain.mean_error(losses)
    value, low, high = gain.removed(gain.mean_error(np.zeros(100)), champion, champion)
    assert (value, low, high) == pytest.approx((1, 1, 1))


def test_there_must_be_an_error_to_remove() -> None:
    """Nothing is no share of nothing."""
    nothing = gain.mean_error(np.zeros(10))
    with pytest.raises(ValueError, match="no error"):
        gain.removed(nothing, nothing, nothing)


def test_the_mean_of_errors() -> None:
    """Of values and of influences."""
    one, other = gain.mean_error(np.array([0.0, 1.0])), gain.mean_error(np.array([1.0, 1.0]))
    both = gain.mean_of([one, other])
    assert both.value == 0.75
    assert both.influence.tolist() == [-0.25, 0.25]
