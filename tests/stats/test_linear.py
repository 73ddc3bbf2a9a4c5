"""Intervals from influences keep their promise, at any confidence, for each kind of score, alone and paired."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from mlship.stats import bootstrap, ranking
from mlship.stats.calibration import Reliability
from mlship.stats.linear import Linear, chunks
from mlship.stats.ranking import Ranked

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


def _rows(rng: np.random.Generator, n: int) -> Rows:
    """Labels, and the probabilities of a candidate and of a champion that share most of what they know."""
    label, shared = rng.random(n) < 0.1, 0.6 * rng.normal(size=n)
    candidate = 1.5 * label + shared + 0.8 * rng.normal(size=n)
    champion = 1.35 * label + shared + 0.8 * rng.normal(size=n)
    return label, 1 / (1 + np.exp(1 - candidate)), 1 / (1 + np.exp(1 - champion))


def _area(area: Callable[[Ranked], ranking.Area | None]) -> Callable[[np.ndarray, np.ndarray], Linear]:
    def of(label: np.ndarray, score: np.ndarray) -> Linear:
        ranked = Ranked.of(label, score)
        found = area(ranked)
        assert found is not None
        return Linear(found.value, len(label), lambda part: found.at(ranked.codes[part], label[part]), "share")

    return of


def _mean(terms: np.ndarray) -> Linear:
    value = float(terms.mean())
    return Linear(value, len(terms), lambda part: terms[part] - value)


def _log_loss(label: np.ndarray, score: np.ndarray) -> Linear:
    return _mean(-np.log(np.where(label, score, 1 - score)))


def _root(label: np.ndarray, score: np.ndarray) -> Linear:
    squares = (label - score) ** 2
    value = math.sqrt(squares.mean())
    return Linear(value, len(label), lambda part: (squares[part] - value**2) / (2 * value), "root")


def _calibration(label: np.ndarray, score: np.ndarray) -> Linear:
    return Reliability.of(score, label).linear(score, label)


SCORES = {
    "average_precision": _area(ranking.average_precision),
    "roc_auc": _area(ranking.roc_auc),
    "log_loss": _log_loss,
    "root of the Brier score": _root,
    "calibration_error": _calibration,
}


@pytest.mark.parametrize("paired", [False, True], ids=["alone", "paired"])
@pytest.mark.parametrize("name", SCORES)
def test_the_interval_covers_the_truth_as_often_as_it_says(name: str, paired: bool) -> None:
    """95 % intervals of 2,000 rows, 200 of them positive, cover the truth in 93 to 97 % of 1,500 data sets."""
    score, rng = SCORES[name], np.random.default_rng(17)

    def linear(rows: Rows) -> Linear:
        label, candidate, champion = rows
        return score(label, candidate).minus(score(label, champion)) if paired else score(label, candidate)

    truth, covered = linear(_rows(rng, 2_000_000)).value, 0
    for _ in range(1500):
        rows = _rows(rng, 2000)
        low, high = linear(rows).interval(int(rows[0].sum()), 0.95) or (math.nan, math.nan)
        covered += low <= truth <= high
    assert 0.93 <= covered / 1500 <= 0.97


@pytest.mark.parametrize("name", ["average_precision", "log_loss"])
def test_far_tails_are_kept_too(name: str) -> None:
    """99.9 % intervals, as slices ask for them, miss in at most 0.4 % of 2,000 data sets of 500 rows."""
    score, rng = SCORES[name], np.random.default_rng(23)
    truth, missed = score(*_rows(rng, 2_000_000)[:2]).value, 0
    for _ in range(2000):
        label, candidate, _ = _rows(rng, 500)
        low, high = score(label, candidate).interval(int(label.sum()), 0.999) or (math.nan, math.nan)
        missed += not low <= truth <= high
    assert missed / 2000 <= 0.004


@pytest.mark.parametrize("name", ["average_precision", "roc_auc", "log_loss"])
def test_a_worse_candidate_is_rarely_called_no_worse(name: str) -> None:
    """A candidate exactly as much worse as tolerated passes in at most 5 % (one-sided, 2.5 % at best) of data sets."""
    score, rng = SCORES[name], np.random.default_rng(29)
    sign = -1 if name == "log_loss" else 1

    def drop(rows: Rows) -> Linear:
        label, better, worse = rows
        return score(label, worse).minus(score(label, better))

    tolerated, granted = drop(_rows(rng, 2_000_000)).value, 0
    for _ in range(1500):
        rows = _rows(rng, 2000)
        low, high = drop(rows).interval(int(rows[0].sum()), 0.95) or (math.nan, math.nan)
        granted += low >= tolerated if sign > 0 else high <= tolerated
    assert granted / 1500 <= 0.05


def test_a_calibrated_model_is_not_blamed_for_chance() -> None:
    """Its error is near zero; few rows per bin make it look larger, and the interval reaches down to the truth."""
    rng = np.random.default_rng(31)
    covered = judged = 0
    for _ in range(400):
        score = rng.random(3000)
        label = rng.random(3000) < score
        low, high = _calibration(label, score).interval(1500, 0.95) or (math.nan, math.nan)
        covered += low <= 0.0005
        judged += high > 0
    assert covered / 400 >= 0.93
    assert judged == 400


def test_a_calibrated_champion_is_not_matched_by_a_worse_candidate() -> None:
    """What chance adds to the champion's error must not hide that the candidate's is larger."""
    rng = np.random.default_rng(37)
    granted = 0
    for _ in range(400):
        odds = rng.normal(-1, 1.2, 5000)
        label, champion = rng.random(5000) < 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-odds))
        candidate = 1 / (1 + np.exp(-1.3 * odds))
        apart = _calibration(label, candidate).minus(_calibration(label, champion))
        granted += (apart.interval(1000, 0.95) or (0, 0))[1] <= 0.03
    # The candidate's true error is 0.041, the champion's zero: worse by more than the 0.03 that is tolerated.
    assert granted / 400 <= 0.05


def test_blocks_cover_the_truth_as_often_as_they_say() -> None:
    """A median of 20,000 skewed rows from 100 random blocks: 93 to 97 % of 500 data sets."""
    rng = np.random.default_rng(41)
    covered = 0
    for seed in range(500):
        values = rng.exponential(size=20_000)
        found = np.array([np.median(values[rows]) for rows in bootstrap.blocks(20_000, seed)])
        low, high = bootstrap.block_interval(found, float(np.median(values))) or (math.nan, math.nan)
        covered += low <= math.log(2) <= high
    assert 0.93 <= covered / 500 <= 0.97


def test_blocks_deal_every_row_once() -> None:
    """100 blocks, disjoint, the same for the same seed."""
    dealt = list(bootstrap.blocks(10_000, 3))
    assert len(dealt) == 100
    assert np.array_equal(np.sort(np.concatenate(dealt)), np.arange(10_000))
    assert all(np.array_equal(one, other) for one, other in zip(dealt, bootstrap.blocks(10_000, 3), strict=True))
    assert not np.array_equal(dealt[0], next(bootstrap.blocks(10_000, 4)))


@pytest.mark.parametrize("name", SCORES)
def test_the_influence_is_what_one_row_changes(name: str) -> None:
    """Counting a row twice moves the score by its influence over n; the influences' mean is zero."""
    score, rng = SCORES[name], np.random.default_rng(43)
    label, candidate, _ = _rows(rng, 1500)
    linear = score(label, candidate)
    influence = linear.influence(slice(0, 1500))
    assert abs(influence.mean()) < 1e-9
    for row in (int(np.flatnonzero(label)[0]), int(np.flatnonzero(~label)[0])):
        twice = np.append(np.arange(1500), row)
        moved = score(label[twice], candidate[twice]).value - linear.value
        assert moved == pytest.approx(influence[row] / 1500, rel=0.05, abs=2e-6)


def test_nothing_to_tell_is_no_interval() -> None:
    """One row, or a value that is not defined: None. Rows that are all alike: the value twice."""
    assert Linear(1.0, 1, lambda _: np.zeros(1)).interval(1, 0.95) is None
    assert Linear(math.nan, 50, lambda _: np.zeros(50)).interval(50, 0.95) is None
    assert _mean(np.full(50, 2.0)).interval(50, 0.95) == (2.0, 2.0)


def test_chunks_cover_all_rows() -> None:
    """In order, without a gap."""
    assert chunks(0) == []
    parts = chunks(300_000)
    assert parts[0].start == 0
    assert parts[-1].stop == 300_000
    assert all(before.stop == after.start for before, after in pairwise(parts))
