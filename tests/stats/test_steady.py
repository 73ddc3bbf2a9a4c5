"""What a baseline's windows teach: expectations by season, scores of about N(0, 1), and how alike neighbours are."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.stats.steady import LARGEST, cell, cells, learn, score
from mlship.types.monitoring import Steady

Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]


def learned(values: Any, **given: Any) -> Steady:
    count = len(values)
    cell_of = given.pop("cell_of", [0] * count)
    rows = given.pop("rows", [50] * count)
    found = learn(
        values, rows, cell_of, given.pop("cells", 1), noise=given.pop("noise", 0.0), a_day=given.pop("a_day", 24)
    )
    assert found is not None
    return found


def scores(steady: Steady, values: Numbers, rows: int = 50) -> Numbers:
    return np.array([score(steady, value, rows, 0) for value in values.tolist()])


def autocorrelated(rng: np.random.Generator, count: int, rho: float) -> Numbers:
    from scipy.signal import lfilter

    noise = rng.normal(0, np.sqrt(1 - rho**2), count)
    found: Numbers = lfilter([1], [1, -rho], noise)
    return found


@pytest.mark.parametrize(
    ("season", "count", "place"),
    [
        ((), 1, 0),
        (("hour",), 24, 1),
        (("weekday",), 7, 0),
        (("hour", "weekday"), 168, 1),
        (("weekday", "hour"), 168, 1),
    ],
)
def test_cells_of_a_season_are_by_the_clock_on_the_wall(season: tuple[str, ...], count: int, place: int) -> None:
    monday = datetime(2026, 7, 6, 1, 30, tzinfo=ZoneInfo("America/New_York")).timestamp()
    assert cells(season) == count
    assert cell(monday, season, "America/New_York") == place
    assert cell(monday + 86400 * 7, season, "America/New_York") == place
    later = cell(monday + 86400, season, "America/New_York")
    assert later == {0: 0, 1: 0, 24: 1, 7: 1, 168: 25}[count if count != 1 else 0]


def test_too_few_windows_teach_nothing() -> None:
    def asked(count: int, a_day: int) -> Steady | None:
        return learn([0.5] * count, [9] * count, [0] * count, 1, noise=0.1, a_day=a_day)

    assert asked(29, 1) is None
    assert asked(14 * 24 - 1, 24) is None
    assert asked(14 * 24, 24) is not None


@pytest.mark.parametrize("shape", ["normal", "exponential", "heavy", "ties"])
def test_scores_of_the_baselines_own_distribution_are_about_standard_normal(shape: str) -> None:
    rng = np.random.default_rng(0)

    def drawn(count: int) -> Numbers:
        match shape:
            case "normal":
                return rng.normal(0.5, 0.1, count)
            case "exponential":
                return rng.exponential(0.1, count)
            case "heavy":
                return np.asarray(rng.standard_t(3, count) * 0.1)
            case _:
                return rng.poisson(3, count) / 50

    steady = learned(drawn(4000))
    found = scores(steady, drawn(4000))
    assert abs(found.mean()) < 0.06
    assert 0.75 < found.std() < 1.05
    # What is bet on: no exponential moment beyond a normal variable's, but for what 4000 draws leave open.
    for bet in (0.25 * steady.boldest, 0.5 * steady.boldest, steady.boldest):
        allowed = bet * steady.margin + steady.inflation * bet**2 / 2 + 0.03
        assert np.log(np.exp(bet * found).mean()) < allowed
        assert np.log(np.exp(-bet * found).mean()) < allowed


@given(st.lists(st.floats(0, 1), min_size=48, max_size=60), st.floats(-2, 2), st.floats(-2, 2), st.integers(1, 10**9))
def test_a_larger_figure_never_has_a_lower_score(values: list[float], one: float, other: float, rows: int) -> None:
    steady = learned(values, a_day=3)
    low, high = sorted((one, other))
    assert -LARGEST <= score(steady, low, rows, 0) <= score(steady, high, rows, 0) + 1e-9 <= LARGEST + 1e-9


def test_what_never_varied_may_do_so_once() -> None:
    steady = learned([0.0] * 4000)
    assert score(steady, 0.0, 50, 0) == 0
    assert score(steady, 1 / 50, 50, 0) == pytest.approx(1)
    assert score(steady, 2 / 50, 50, 0) == pytest.approx(2)
    assert score(steady, 1.0, 50, 0) == LARGEST
    assert steady.inflation == pytest.approx(1, abs=0.03)


def test_a_window_of_few_rows_is_less_sure() -> None:
    rng = np.random.default_rng(1)
    steady = learned(rng.binomial(50, 0.3, 3000) / 50, noise=0.21)
    assert score(steady, 0.4, 50, 0) == pytest.approx(1.5, abs=0.2)
    assert score(steady, 0.4, 10, 0) < 0.8
    assert score(steady, 0.4, 10**6, 0) == score(steady, 0.4, 50, 0)
    few = rng.binomial(10, 0.3, 3000) / 10
    assert np.std([score(steady, value, 10, 0) for value in few]) == pytest.approx(1, abs=0.1)


def test_windows_that_were_more_alike_than_chance_may_become_as_unlike_as_chance() -> None:
    rng = np.random.default_rng(2)
    timetable = learned(0.3 + rng.normal(0, 0.01, 3000), noise=0.21)
    found = scores(timetable, rng.binomial(50, 0.3, 3000) / 50)
    assert found.std() < 1.1


def test_what_differs_by_hour_and_weekday_is_expected_then() -> None:
    rng = np.random.default_rng(3)
    place = np.arange(24 * 7 * 20) % 168
    wave = np.sin(np.arange(168) / 24 * 2 * np.pi) + (np.arange(168) >= 120)
    steady = learned(wave[place] + rng.normal(0, 0.3, len(place)), cell_of=place.tolist(), cells=168)
    assert np.abs(np.array(steady.expected) - wave).max() < 0.35
    assert np.abs(np.array(steady.expected) - wave).mean() < 0.08
    assert steady.spread == pytest.approx(0.3, rel=0.05)
    assert steady.inflation < 1.3


def test_thin_cells_are_drawn_to_their_hour_and_empty_ones_are_their_hour() -> None:
    rng = np.random.default_rng(4)
    place = np.arange(24 * 16) % 168
    place[place >= 144] = 0  # no Sunday
    values = np.sin(place % 24 / 24 * 2 * np.pi) + rng.normal(0, 0.5, len(place))
    steady = learned(values, cell_of=place.tolist(), cells=168)
    plain = np.array([values[place == one].mean() for one in range(144)])
    truth = np.sin(np.arange(168) % 24 / 24 * 2 * np.pi)
    errors = np.abs(np.array(steady.expected) - truth)
    assert errors[:144].mean() < 0.75 * np.abs(plain - truth[:144]).mean()
    assert errors[144:].mean() < 0.3
    # New windows stray as the baseline's are said to, though each cell was seen but twice or thrice.
    new = np.array(
        [score(steady, truth[one] + rng.normal(0, 0.5), 50, int(one)) for one in np.tile(np.arange(168), 20)]
    )
    assert 0.85 < new.std() < 1.15


def test_neighbours_that_are_alike_inflate_the_variance_of_sums() -> None:
    rng = np.random.default_rng(5)
    assert learned(rng.normal(0, 1, 4000)).inflation < 1.6
    chain = learned(autocorrelated(rng, 4000, 0.8))
    assert 6 < chain.inflation < 14  # (1 + 0.8) / (1 - 0.8) = 9
    days = np.repeat(rng.normal(0, 1, 180), 24) + rng.normal(0, 1, 4320)
    found = learned(days)
    assert 8 < found.inflation < 18  # (1 + 24) / 2 = 12.5
    assert found.margin == pytest.approx(max(0.05, np.sqrt(found.inflation / 4320)))


def test_days_that_are_storms_allow_no_bold_bets() -> None:
    rng = np.random.default_rng(6)
    calm = np.repeat(rng.normal(0, 1, 180), 24)
    stormy = np.where(np.repeat(rng.random(180) < 0.02, 24), 8.0, np.repeat(rng.normal(0, 0.5, 180), 24))
    bold = {
        name: (steady := learned(days + rng.normal(0, 1, 4320))).boldest * steady.inflation
        for name, days in {"calm": calm, "stormy": stormy}.items()
    }
    assert bold["stormy"] < 0.7 * bold["calm"]
    assert learned(rng.normal(0, 1, 4320)).boldest > 0.2


def test_a_figure_that_a_season_explains_wholly_is_steady() -> None:
    hours = np.arange(24 * 60) % 24
    steady = learned(hours / 24, cell_of=hours.tolist(), cells=24, noise=1 / 12)
    assert score(steady, 5 / 24, 50, 5) == pytest.approx(0, abs=1e-6)
    assert score(steady, 6 / 24, 50, 5) == pytest.approx(1, abs=0.1)  # as far off as a row's own deviation / sqrt(50)
