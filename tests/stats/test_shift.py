"""PSI and Wasserstein's distance of counts: as the gates' own, unbiased, and told bin by bin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlship.stats import distances
from mlship.stats.buckets import bucket
from mlship.stats.cutting import counted, cut, middles, positions, sketched
from mlship.stats.shift import labels, parts, psi, shown, wasserstein
from mlship.types.monitoring import Bins, Column

_COUNTS = st.lists(st.integers(0, 1000), min_size=5, max_size=5)


@given(_COUNTS, _COUNTS)
def test_it_is_the_psi_of_the_gates(now: list[int], then: list[int]) -> None:
    assume(sum(now) and sum(then))
    assert psi(tuple(now), tuple(then)) == pytest.approx(distances.psi(np.array(now), np.array(then)).value, abs=1e-12)


@given(_COUNTS, _COUNTS)
def test_the_parts_are_the_whole_before_chance_is_taken_off(now: list[int], then: list[int]) -> None:
    assume(sum(now) and sum(then))
    found = parts(tuple(now), tuple(then), Bins("categories", names=("a", "b")))
    assert [part[3] for part in found] == sorted((part[3] for part in found), reverse=True)
    assert sum(part[1] for part in found) == pytest.approx(1)
    assert sum(part[2] for part in found) == pytest.approx(1)
    chance = (len(found) - 1) * (1 / sum(now) + 1 / sum(then))
    assert max(0.0, sum(part[3] for part in found) - chance) == pytest.approx(psi(tuple(now), tuple(then)))


def test_chance_alone_is_near_nothing_and_a_side_without_rows_is_none() -> None:
    rng = np.random.default_rng(0)
    then = rng.multinomial(100_000, [0.1] * 10)
    found = [psi(tuple(rng.multinomial(200, [0.1] * 10)), tuple(then)) for _ in range(300)]
    assert np.mean(found) < 0.015  # the plain formula has a mean of 0.045
    assert psi((0, 0), (1, 2)) == psi((1, 2), (0, 0)) == 0


def test_what_moved_most_comes_first() -> None:
    bins = Bins("categories", names=("JFK", "LGA"))
    found = parts((10, 80, 0, 10, 0), (50, 50, 0, 0, 0), bins)
    assert [part[0] for part in found] == ["JFK", "missing", "LGA"]
    assert found[0][1:3] == (0.5, 0.1)


def test_bins_read_as_numbers() -> None:
    few = cut(sketched([1, 1, 3]))
    assert labels(few) == ["below 1", "1", "between 1 and 3", "3", "above 3"]
    assert labels(Bins("numbers")) == ["any number"]
    assert labels(Bins("numbers", (bucket(-5.0), bucket(0.0), bucket(250.0)))) == [
        "-5 or less",
        "-5 to 0",
        "0 to 250",
        "above 250",
    ]
    assert labels(Bins("categories", names=("a", "b"))) == ["a", "b"]


@given(st.floats(-1e18, 1e18))
def test_a_shown_number_is_of_its_bucket(number: float) -> None:
    assert bucket(float(shown(bucket(number)).replace(",", ""))) == bucket(number)


@pytest.mark.parametrize(("number", "wanted"), [(17, "17"), (1, "1"), (0, "0"), (-0.5, "-0.5"), (10_000, "10,000")])
def test_round_numbers_are_shown_as_such(number: float, wanted: str) -> None:
    assert shown(bucket(number)) == wanted


def column(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Column:
    sketch = sketched(values)
    bins = cut(sketch)
    return Column(bins, counted(positions(values, bins), bins), float(values.std()), middles(sketch, bins))


def test_the_distance_of_a_shift_inside_the_range_is_about_the_shift() -> None:
    rng = np.random.default_rng(1)
    then = column(rng.normal(50, 10, 20_000))
    now = counted(positions(rng.normal(53, 10, 20_000), then.bins), then.bins)
    assert wasserstein(now, then) == pytest.approx(0.3, abs=0.06)
    assert wasserstein(then.counts, then) == 0


def test_there_is_no_distance_without_a_unit_rows_or_numbers() -> None:
    constant = column(np.full(9, 3.0))
    assert wasserstein(constant.counts, constant) is None
    spread = column(np.arange(100.0))
    assert wasserstein((0,) * len(spread.counts), spread) is None
    assert wasserstein((1, 0, 0, 0), Column(Bins("categories", names=("a",)), (1, 0, 0, 0))) is None
    assert wasserstein(spread.counts, Column(spread.bins, spread.counts, math.nan, spread.middles)) is None
