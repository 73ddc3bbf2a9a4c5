"""Labels switch estimates off when these do not hold, and seldom when they do."""

from __future__ import annotations

import numpy as np
import pytest

from mlship.stats.trust import trusted
from mlship.types.monitoring import Reached

RNG = np.random.default_rng(11)


def pairs(scores: list[float]) -> list[tuple[Reached, Reached]]:
    """Weeks whose realised value lies so many standard errors from the estimate."""
    return [(Reached(0.5, 0.5 - 0.196, 0.5 + 0.196), Reached(0.5 + 0.1 * score)) for score in scores]


@pytest.mark.parametrize(
    ("scores", "holds", "says"),
    [
        pytest.param([], True, "no labels have come yet", id="no labels"),
        pytest.param([0.3], True, "in the week with labels", id="one week"),
        pytest.param([3.0], True, "in the only week with labels", id="one miss proves nothing"),
        pytest.param([3.0, -3.0, 3.0], False, "in 3 of the last 3 weeks", id="three misses of three"),
        pytest.param([0.0] * 11 + [3.0, -3.0], True, "in 11 of the last 13 weeks", id="two misses of 13"),
        pytest.param([3.0, -3.0] * 3 + [0.0] * 7, False, "in 6 of the last 13 weeks", id="six misses of 13"),
        pytest.param([3.0, -3.0] * 3 + [0.0] * 13, True, "in 13 of the last 13 weeks", id="misses of long ago"),
        pytest.param([1.8, 1.9, 1.7, 1.8, 1.9], False, "lay clearly below what came", id="too low"),
        pytest.param([-1.8, -1.9, -1.7, -1.8, -1.9], False, "lay clearly above what came", id="too high"),
        pytest.param([0.5, 0.6] * 6, True, "within", id="a small bias is within the interval"),
    ],
)
def test_past_weeks_decide(scores: list[float], holds: bool, says: str) -> None:
    """The last 13 weeks, by misses and by bias."""
    found, why = trusted(pairs(scores))
    assert found is holds
    assert says in why


def test_an_estimate_without_interval_checks_nothing() -> None:
    """Only what told how sure it was can have been wrong."""
    assert trusted([(Reached(0.5), Reached(0.9))] * 20)[0]


@pytest.mark.parametrize("deviation", [1.0, 1.19])
def test_estimates_that_hold_stay_on(deviation: float) -> None:
    """A look each week for a year, with intervals that hold 95 % and 90 %: off in few years."""
    years = 150
    off = 0
    for _ in range(years):
        year = pairs(RNG.normal(0, deviation, 52).tolist())
        off += any(not trusted(year[:week])[0] for week in range(1, 53))
    assert off / years < 0.12


def test_estimates_that_do_not_hold_go_off_within_weeks() -> None:
    """Biased by two standard errors, or three times as uncertain as they say."""
    for bias, deviation in ((2.0, 1.0), (0.0, 3.0)):
        weeks = []
        for _ in range(50):
            year = pairs(RNG.normal(bias, deviation, 52).tolist())
            weeks.append(next((week for week in range(1, 53) if not trusted(year[:week])[0]), 53))
        assert np.median(weeks) <= 8
