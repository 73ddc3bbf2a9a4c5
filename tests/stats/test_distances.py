"""Distances are distances: zero for equals, symmetric, blind to units; and what chance makes is known beforehand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from mlship.stats.binning import Numbers
from mlship.stats.distances import psi, wasserstein

COUNTS = st.lists(st.integers(0, 5000), min_size=1, max_size=30).filter(any)
PAIRS = st.integers(1, 30).flatmap(
    lambda k: st.tuples(*[st.lists(st.integers(0, 5000), min_size=k, max_size=k).filter(any)] * 2)
)


def _whole(values: np.ndarray) -> slice:
    return slice(0, len(values))


def _distance(ours: np.ndarray, theirs: np.ndarray, bins: int = 10) -> float:
    cut = Numbers.of(theirs, bins)
    now, before = (cut.count(iter([(_whole(side), side)]), None, 0) for side in (ours, theirs))
    found = wasserstein(cut.atoms(now), cut.atoms(before), cut.deviation(before))
    assert found is not None
    return found.value


@given(COUNTS, st.integers(1, 9))
def test_equal_shares_have_no_psi(counts: list[int], times: int) -> None:
    """However many rows stand behind them."""
    found = psi(np.array(counts) * times, np.array(counts))
    assert found.value == 0
    assert found.low == 0


@given(PAIRS)
def test_psi_is_symmetric_and_inside_its_interval(pair: tuple[list[int], list[int]]) -> None:
    """As the formula is; never negative, never infinite, also with empty bins."""
    ours, theirs = (np.array(side) for side in pair)
    one, other = psi(ours, theirs), psi(theirs, ours)
    assert one.value == pytest.approx(other.value)
    assert 0 <= one.low <= one.value <= one.high < np.inf


def test_psi_is_the_formula() -> None:
    """By hand; with very many rows nothing is taken off."""
    c, r = np.array([0.2, 0.3, 0.5]), np.array([0.25, 0.25, 0.5])
    expected = sum((c - r) * np.log(c / r))
    assert psi((c * 1e9).astype(int), (r * 1e9).astype(int)).value == pytest.approx(expected, rel=1e-6)


def test_an_empty_bin_counts_half_a_row() -> None:
    """And one that is empty on both sides does not count."""
    ours, theirs = np.array([0, 1000, 0]), np.array([10, 990, 0])
    c, r = np.array([0.5, 1000]) / 1000.5, np.array([10, 990]) / 1000
    assert psi(ours, theirs).value == pytest.approx(sum((c - r) * np.log(c / r)) - 1 / 1000 - 1 / 1000)


@pytest.mark.parametrize(("bins", "n", "m"), [(10, 1000, 1000), (10, 1000, 100_000), (50, 1000, 5000), (2, 30, 30)])
def test_chance_is_taken_off_psi(bins: int, n: int, m: int) -> None:
    """Two samples of one distribution: the mean of the plain formula is not 0, the mean of ours nearly is."""
    rng = np.random.default_rng(bins)
    shares = np.full(bins, 1 / bins)
    found = [psi(rng.multinomial(n, shares), rng.multinomial(m, shares), 0.01) for _ in range(2000)]
    added = (bins - 1) * (1 / n + 1 / m)
    assert np.mean([one.value for one in found]) < 0.6 * added
    assert np.mean([one.value > one.chance for one in found]) <= 0.02


def test_the_interval_of_psi_covers() -> None:
    """A true shift, 1,000 rows a side: 95 % of the intervals hold its PSI."""
    rng = np.random.default_rng(4)
    c, r = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.25, 0.25, 0.25, 0.25])
    truth = float(((c - r) * np.log(c / r)).sum())
    found = [psi(rng.multinomial(1000, c), rng.multinomial(1000, r)) for _ in range(2000)]
    assert 0.93 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.97


@given(st.floats(-3, 3), st.floats(0.2, 5), st.integers(0, 3))
def test_wasserstein_is_blind_to_units(shift: float, scale: float, seed: int) -> None:
    """Metres or feet, from sea level or from the ground: in standard deviations it is the same."""
    rng = np.random.default_rng(seed)
    ours, theirs = rng.normal(0.4, 1.2, 500), rng.normal(size=700)
    moved = _distance(ours * scale + shift, theirs * scale + shift)
    assert moved == pytest.approx(_distance(ours, theirs), rel=1e-6)


@pytest.mark.parametrize("shift", [0.05, 0.2, 1.0, 30.0])
@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda rng: rng.normal(size=50_000), id="normal"),
        pytest.param(lambda rng: rng.exponential(size=50_000), id="exponential"),
        pytest.param(lambda rng: rng.lognormal(0, 1.5, size=50_000), id="heavy tail"),
        pytest.param(lambda rng: rng.integers(0, 12, 50_000).astype(float), id="few values"),
    ],
)
def test_wasserstein_is_scipys(draw: Callable[[np.random.Generator], np.ndarray], shift: float) -> None:
    """Rows at their bins' means: within 4 %, or 0.002 deviations, of the distance of all rows, shifted or wider."""
    theirs = draw(np.random.default_rng(0))
    for ours in (theirs + shift * theirs.std(), theirs * (1 + shift)):
        truth = wasserstein_distance(ours, theirs) / theirs.std()
        assert _distance(ours, theirs) == pytest.approx(truth, rel=0.04, abs=0.002)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_wasserstein_is_no_less_than_the_distance_of_the_means(theirs: list[float], ours: list[float]) -> None:
    """And zero for equals."""
    before, now = np.array(theirs), np.array(ours)
    cut = Numbers.of(before, 5)
    sides = [cut.atoms(cut.count(iter([(_whole(side), side)]), None, 0)) for side in (now, before)]
    found = wasserstein(sides[0], sides[1], 1.0)
    same = wasserstein(sides[1], sides[1], 1.0)
    assert found is not None
    assert same is not None
    assert same.value == 0
    assert found.value >= abs(now.mean() - before.mean()) * (1 - 1e-9) - 1e-6


def test_wasserstein_of_one_distribution_is_within_chance() -> None:
    """Two samples of one distribution: below `chance`, all but a few."""
    rng = np.random.default_rng(2)
    beyond = 0
    for _ in range(300):
        ours, theirs = rng.lognormal(size=200), rng.lognormal(size=300)
        cut = Numbers.of(theirs, 10)
        now, before = (cut.count(iter([(_whole(side), side)]), None, 0) for side in (ours, theirs))
        found = wasserstein(cut.atoms(now), cut.atoms(before), cut.deviation(before), 0.01)
        assert found is not None
        beyond += found.value > found.chance
    assert beyond <= 3


def test_the_interval_of_wasserstein_covers() -> None:
    """A true shift of 0.3 deviations, 1,000 rows a side: 95 % of the intervals hold it, or a few more."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        ours, theirs = rng.normal(0.3, 1, 1000), rng.normal(size=1000)
        cut = Numbers.of(theirs, 10)
        now, before = (cut.count(iter([(_whole(side), side)]), None, 0) for side in (ours, theirs))
        found = wasserstein(cut.atoms(now), cut.atoms(before), 1.0)
        assert found is not None
        held += found.low <= 0.3 <= found.high
    assert 0.93 <= held / 400 <= 0.98


def test_a_constant_has_no_unit() -> None:
    """Without a spread nothing can be said in standard deviations."""
    sides = (np.array([5]), np.array([1.0]))
    assert wasserstein(sides, sides, 0.0) is None
    assert wasserstein(sides, sides, float("nan")) is None


def test_no_rows_have_no_distance() -> None:
    """Not zero: none."""
    nothing = np.zeros(3, int)
    with pytest.raises(ValueError, match="without rows"):
        psi(nothing, np.ones(3, int))
    with pytest.raises(ValueError, match="without rows"):
        wasserstein((nothing, np.zeros(3)), (np.ones(3, int), np.zeros(3)), 1.0)
