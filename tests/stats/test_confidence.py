"""Estimates before labels come: their intervals hold what comes, as often as they say, or there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from mlship.demo.flights import TARGET, months
from mlship.stats.confidence import (
    estimable,
    estimate,
    expected_carriers,
    learn_calibration,
    why_not,
    why_not_calibrated,
)
from mlship.stats.reached import merged, metric
from mlship.types.monitoring import Baseline, Labelled
from tests.stats.flights_scored import bare, by_day, labelled, proved, scored
from tests.stats.test_live_metrics import plain

RNG = np.random.default_rng(7)
#: Fewer bins than a real one, which hundreds of worlds are learned in.
BARE = bare(months(scored(), 5, 6), most=12)
SHAPE = learn_calibration(by_day(months(scored(), 5, 6), BARE), BARE)


def scores_of(days: Sequence[Labelled]) -> tuple[int, ...]:
    return tuple(sum(place) for place in merged(days).scored)


def world(days: int, *, sway: float = 0.0, rows: int = 600, shift: float = 0.0) -> list[Labelled]:
    """Days of flights' scores whose labels come as calibrated, each day's log odds moved by about `sway`."""
    assert SHAPE is not None
    assert BARE.scores is not None
    size = BARE.scores.bins.size
    share = np.array(SHAPE.counts[:size]) / sum(SHAPE.counts[:size])
    odds = np.log(np.array(SHAPE.rates[:size]) / (1 - np.array(SHAPE.rates[:size])))
    found = []
    for _ in range(days):
        n = RNG.multinomial(rows, share)
        hits = RNG.binomial(n, 1 / (1 + np.exp(-odds - RNG.normal(shift, sway))))
        table = np.zeros((size + 3, 3), int)
        table[:size, 0], table[:size, 1] = n - hits, hits
        found.append(Labelled(rows, scored=tuple(tuple(row) for row in table.tolist())))
    return found


def learned(days: Sequence[Labelled]) -> Baseline:
    return replace(BARE, calibration=learn_calibration(days, BARE))


def test_independent_rows_do_not_stray() -> None:
    """Where rows are independent, days stray by chance alone, and estimates are as narrow as labels are noisy."""
    baseline = learned(world(90))
    assert baseline.calibration is not None
    assert baseline.calibration.strays == pytest.approx(1, abs=0.2)
    assert baseline.calibration.wanders["error"].day < 0.005
    found = estimate("error", scores_of(world(7)), baseline, 7)
    assert found is not None
    assert found.low is not None
    assert found.value - found.low < 0.015


@pytest.mark.parametrize("sway", [0.0, 0.6])
@pytest.mark.parametrize("days", [1, 7])
def test_intervals_hold_what_comes(sway: float, days: int) -> None:
    """Each world has its own evaluation of nine weeks: what labels of later days say lies in the interval."""
    names = ("recall", "precision", "error", "average_precision", "value")
    inside = dict.fromkeys(names, 0)
    runs = 60
    for _ in range(runs):
        baseline = learned(world(63, sway=sway, rows=300))
        later = world(days, sway=sway, rows=300)
        for name in names:
            guess, came = estimate(name, scores_of(later), baseline, days), metric(name, merged(later), baseline)
            assert guess is not None
            assert guess.low is not None
            assert guess.high is not None
            assert came is not None
            inside[name] += guess.low <= came <= guess.high
    assert all(held / runs >= 0.9 for held in inside.values()), inside


def test_estimates_of_flights_hold_in_nine_weeks_of_ten() -> None:
    """July to December by weeks, whole regimes of weather that May and June have not seen."""
    baseline, days = proved(), by_day(months(scored(), 7, 12), proved())
    for name in estimable(baseline):
        held = []
        for first in range(0, len(days) - 6, 7):
            week = days[first : first + 7]
            guess, came = estimate(name, scores_of(week), baseline, 7), metric(name, merged(week), baseline)
            assert guess is not None
            assert guess.low is not None
            assert guess.high is not None
            assert came is not None
            held.append(guess.low <= came <= guess.high)
        assert np.mean(held) >= 0.9, (name, held)


def test_other_scores_have_another_performance() -> None:
    """Other flights than those of the evaluation: as their scores say, 80 % of some come late, and 10 % of others."""
    baseline = proved()
    rows = months(scored(), 6, 6)
    for part in (rows[rows["score"] > 0.3], rows[rows["score"] < 0.3]):
        counted = labelled(part, baseline)
        guess = estimate("positive_rate", scores_of([counted]), baseline, 30)
        assert guess is not None
        assert guess.low is not None
        assert guess.high is not None
        assert guess.low <= part[TARGET].mean() <= guess.high


def test_an_estimate_of_more_days_is_surer_until_weeks_stray() -> None:
    """Days cancel out in a week; what weeks stray by does not go away."""
    baseline, days = proved(), by_day(months(scored(), 7, 7), proved())
    scores = scores_of(days[:7])
    reaches = []
    for count in (1, 3, 7, 28):
        found = estimate("error", scores, baseline, count)
        assert found is not None
        assert found.high is not None
        reaches.append(found.high - found.value)
    assert reaches[0] > reaches[1] > reaches[2] == reaches[3]
    assert expected_carriers("recall", scores, baseline) < sum(scores) / 2


def test_who_cannot_be_estimated_says_why() -> None:
    """Numbers, several classes, no scores, too few days, no threshold: each its own reason, and no estimate."""
    days = world(20)
    few = learned(days[:9])
    assert few.calibration is None
    assert "9 of the 10 days" in why_not_calibrated(days[:9], BARE)
    told = replace(few, why_not={"calibration": why_not_calibrated(days[:9], BARE)})
    assert "9 of the 10 days" in why_not("recall", told)
    scores = scores_of(days)
    for baseline, name, reason in (
        (plain("numbers"), "mae", "two classes only"),
        (plain("classes", ("a", "b", "c")), "recall", "two classes only"),
        (plain("binary", ("no", "yes")), "recall", "no scores"),
        (few, "recall", "no calibration"),
        (learned(days), "calibration_error", "rests on the calibration"),
        (learned(days), "mae", "no metric"),
        (replace(learned(days), threshold=None), "recall", "no threshold"),
    ):
        assert reason in why_not(name, baseline)
        assert estimate(name, scores, baseline) is None
        assert expected_carriers(name, scores, baseline) == 1
    assert why_not_calibrated(days, plain("numbers"))
    assert why_not_calibrated(days, plain("binary", ("no", "yes")))
    one_class = [replace(day, scored=tuple((sum(row), 0, 0) for row in day.scored)) for day in days]
    assert "one class" in why_not_calibrated(one_class, BARE)
    assert learn_calibration(one_class, BARE) is None
    assert not why_not("recall", learned(days))


def test_too_few_weeks_are_as_uncertain_as_their_days() -> None:
    """Three weeks do not tell what weeks do: a week is taken to stray as a day does."""
    few, many = learned(world(21, sway=0.6)), learned(world(63, sway=0.6))
    assert few.calibration is not None
    assert many.calibration is not None
    wander = few.calibration.wanders["error"]
    assert wander.week == wander.day
    assert many.calibration.wanders["error"].week < many.calibration.wanders["error"].day
    assert many.calibration.wanders["error"].periods == 9


def test_nothing_is_estimated_of_nothing() -> None:
    """No rows, no estimate; rows without a score neither."""
    baseline = proved()
    assert baseline.scores is not None
    width = baseline.scores.bins.width
    assert estimate("recall", (0,) * width, baseline) is None
    assert estimate("recall", (*(0,) * (width - 2), 50, 0), baseline) is None
