"""The intervals keep their promise: coverage by simulation, the same seed the same figures, no false certainty."""

from __future__ import annotations

import numpy as np
import pytest

from mlship.stats import bootstrap, weighted


def _ranked(rng: np.random.Generator, n: int, signal: float) -> tuple[np.ndarray, np.ndarray]:
    positive = rng.random(n) < 0.3
    return positive, positive * signal + rng.normal(size=n)


def test_interval_of_a_score_covers_its_true_value_as_often_as_it_says() -> None:
    """A 95 % interval of an area under the ROC curve covers the true area in 93 to 97 % of 600 simulated data sets."""
    rng = np.random.default_rng(7)
    truth = weighted.roc_auc(*_ranked(rng, 1_000_000, 1.0))(np.ones((1, 1_000_000)))[0]
    covered = 0
    for seed in range(600):
        positive, value = _ranked(rng, 200, 1.0)
        score = weighted.roc_auc(positive, value)
        drawn, jackknife = bootstrap.resampled(200, 200, seed, score), bootstrap.left_out(200, seed, score)
        ends = bootstrap.corrected_interval(drawn, float(score(np.ones((1, 200)))[0]), jackknife, int(positive.sum()))
        assert ends is not None
        covered += ends[0] <= truth <= ends[1]
    assert 0.93 <= covered / 600 <= 0.97


@pytest.mark.parametrize("share", [0.5, 0.9, 0.97])
def test_interval_of_a_proportion_covers_its_true_value_as_often_as_it_says(share: float) -> None:
    """Right and wrong rows as cells: averaged over data sets of 90 to 110 rows, the coverage is 93 to 97 %."""
    rng = np.random.default_rng(11)
    covered = 0
    for seed in range(2000):
        n = int(rng.integers(90, 111))
        right = rng.binomial(n, share)
        drawn = bootstrap.posterior_cells(np.array([right, n - right]), np.array([0.5, 0.5]), 400, seed)
        low, high = bootstrap.interval(drawn[:, 0] / drawn.sum(axis=1)) or (np.nan, np.nan)
        covered += low <= share <= high
    assert 0.93 <= covered / 2000 <= 0.97


@pytest.mark.parametrize("share", [0.5, 0.9, 0.97])
def test_far_tails_of_a_proportion_are_kept(share: float) -> None:
    """99.9 % intervals from 2,000 draws miss in at most 0.4 % of 2,000 data sets of 150 rows."""
    rng = np.random.default_rng(13)
    missed = 0
    for seed in range(2000):
        right = rng.binomial(150, share)
        drawn = bootstrap.posterior_cells(np.array([right, 150 - right]), np.array([0.5, 0.5]), 2000, seed)[:, 0] / 150
        low, high = bootstrap.normal_interval(drawn, right / 150, 150, 0.999) or (np.nan, np.nan)
        missed += not min(low, right / 150) <= share <= max(high, right / 150)
    assert missed / 2000 <= 0.004


@pytest.mark.parametrize("disagreement", [0.02, 0.2])
def test_a_worse_candidate_is_rarely_called_no_worse(disagreement: float) -> None:
    """A candidate exactly as much worse as tolerated passes in at most 5 % (one-sided, 2.5 % at best) of data sets."""
    rng = np.random.default_rng(5)
    drop, granted = 0.01, 0
    only_champion, only_candidate = (disagreement + drop) / 2, (disagreement - drop) / 2
    cells = [only_champion, only_candidate, 0.8, 0.2 - disagreement]
    prior = np.full(4, 0.25)
    for seed in range(1500):
        counts = rng.multinomial(1000, cells)
        drawn = bootstrap.posterior_cells(counts.astype(float), prior, 400, seed)
        ends = bootstrap.interval((drawn[:, 1] - drawn[:, 0]) / drawn.sum(axis=1))
        assert ends is not None
        granted += ends[0] >= -drop
    assert granted / 1500 <= 0.05


def test_the_same_seed_gives_the_same_rows_whatever_was_drawn_before() -> None:
    """Two statistics resampled apart, in any order, see the same resamples: the comparison is paired."""
    first = bootstrap.resampled(50, 20, 3, lambda w: w[:, 0])
    list(bootstrap.counts(80, 5, 3))
    again = bootstrap.resampled(50, 20, 3, lambda w: w[:, 0])
    both = bootstrap.resampled(50, 20, 3, lambda w: w[:, :2])
    assert np.array_equal(first, again)
    assert np.array_equal(first, both[:, 0])
    assert not np.array_equal(first, bootstrap.resampled(50, 20, 4, lambda w: w[:, 0]))


def test_every_resample_has_as_many_rows_as_the_data() -> None:
    """The counts of each resample add up to n."""
    for block in bootstrap.counts(37, 100, 1):
        assert (block.sum(axis=1) == 37).all()


def test_forty_right_of_forty_is_not_certainty() -> None:
    """A table without a single wrong row still gives an interval that a 5 % failure rate is inside of."""
    drawn = bootstrap.posterior_cells(np.array([40.0, 0.0]), np.array([0.5, 0.5]), 4000, 1)
    low, high = bootstrap.interval(drawn[:, 0] / 40) or (np.nan, np.nan)
    assert low < 0.95
    assert high > 0.999


def test_replicates_without_a_value_give_no_interval() -> None:
    """One replicate in ten without a value: no interval; one in a hundred: it is left out."""
    values = np.linspace(0, 1, 1000)
    values[::10] = np.nan
    assert bootstrap.interval(values) is None
    values = np.linspace(0, 1, 1000)
    values[::100] = np.nan
    assert bootstrap.interval(values) == pytest.approx((0.025, 0.975), abs=0.01)
    assert bootstrap.interval(np.full(10, np.nan)) is None


def test_the_rule_of_three() -> None:
    """Nothing seen in 100 rows: up to 3.6 % is possible; nothing seen in no rows: anything is."""
    assert bootstrap.unseen_share(100) == pytest.approx(0.0362, abs=1e-4)
    assert bootstrap.unseen_share(0) == 1


def test_rows_needed_follows_the_square_root() -> None:
    """Half the distance to the limit takes four times the rows; a value on the limit is never settled."""
    assert bootstrap.rows_needed(1000, value=0.62, end=0.58, limit=0.60) == 4000
    assert bootstrap.rows_needed(1000, value=0.60, end=0.58, limit=0.60) is None
    assert bootstrap.rows_needed(1000, value=0.6 + 1e-9, end=0.58, limit=0.60) is None
