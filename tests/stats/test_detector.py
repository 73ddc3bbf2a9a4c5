"""The e-detector: seldom wrong on what is steady, quick on what is not, and it tells since when."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.stats.detector import FRESH, Detector, change, evidence, step, threshold
from mlship.stats.steady import learn, score
from mlship.types.monitoring import Steady

Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]
HOUR = 3600.0
YEAR, HALF = 8766, 4383
STEADY = Steady((0.5,), (0.0,), (0.0,), 0.1, 1.0, 0.05, 50, 0.1, 4000)


def alarm(
    scores: Sequence[float | None], steady: Steady, weight: float = 0.5, limit: float | None = None
) -> int | None:
    """The index of the window at which the first alarm is given."""
    state, needed = FRESH, threshold(1, HOUR) if limit is None else limit
    for index, one in enumerate(scores):
        state = step(state, one, steady)
        if evidence(state, weight)[0] >= needed:
            return index
    return None


def world(shape: str, rng: np.random.Generator, count: int) -> Numbers:
    """A stationary series of standard deviation 0.1 about 0.5."""
    from scipy.signal import lfilter

    noise = rng.normal(0, 1, count)
    match shape:
        case "independent":
            z = noise
        case "autoregressive":
            z = lfilter([1], [1, -0.7], noise * math.sqrt(1 - 0.49))
        case "days":
            z = (np.repeat(rng.normal(0, 1, count // 24 + 1), 24)[:count] + noise) / math.sqrt(2)
        case "stormy days":  # some are far off, from morning to night: the promise is kept but roughly
            z = (np.repeat(rng.standard_t(4, count // 24 + 1), 24)[:count] + noise) / math.sqrt(3)
        case _:
            z = (rng.exponential(1, count) - 1) * 1.0
    return 0.5 + 0.1 * np.asarray(z)


@pytest.mark.parametrize(
    ("shape", "most"), [("independent", 1), ("autoregressive", 2), ("days", 3), ("stormy days", 5), ("skewed", 1)]
)
def test_a_year_of_what_is_steady_gives_at_most_the_alarms_promised(shape: str, most: int) -> None:
    rng = np.random.default_rng(11)
    alarms, seeds = 0, 6
    for _ in range(seeds):
        series = world(shape, rng, HALF + YEAR)
        steady = learn(series[:HALF].tolist(), [50] * HALF, [0] * HALF, 1, noise=0.1, a_day=24)
        assert steady is not None
        alarms += alarm([score(steady, one, 50, 0) for one in series[HALF:].tolist()], steady) is not None
    assert alarms <= most  # of a Poisson number with mean 1 a seed, 3.8 of six seeds would have any


@pytest.mark.parametrize("shape", ["independent", "autoregressive", "days", "skewed"])
@pytest.mark.parametrize("direction", [1, -1])
def test_a_shift_of_one_deviation_is_found_with_its_moment(shape: str, direction: int) -> None:
    rng = np.random.default_rng(12)
    series = world(shape, rng, HALF + 3000)
    series[HALF + 1000 :] += direction * 0.1
    steady = learn(series[:HALF].tolist(), [50] * HALF, [0] * HALF, 1, noise=0.1, a_day=24)
    assert steady is not None
    scores = [score(steady, one, 50, 0) for one in series[HALF:].tolist()]
    found = alarm(scores, steady)
    assert found is not None
    assert 1000 <= found <= 1000 + 60 * steady.inflation
    assert change(scores[: found + 1], steady, direction) == pytest.approx(1000, abs=20 * steady.inflation)


def test_the_direction_is_told() -> None:
    up, down = FRESH, FRESH
    for _ in range(20):
        up, down = step(up, 2.0, STEADY), step(down, -2.0, STEADY)
    assert evidence(up, 1)[1] == 1
    assert evidence(down, 1)[1] == -1
    assert evidence(up, 1)[0] == pytest.approx(evidence(down, 1)[0])


def test_a_column_that_breaks_at_once_is_found_within_a_few_windows() -> None:
    assert alarm([8.0] * 9, STEADY, weight=0.001) == 2
    alike = replace(STEADY, inflation=16.0)
    found = alarm([8.0] * 99, alike, weight=0.001)
    assert found is not None
    assert found < 14


def test_it_is_the_sum_over_all_moments_of_change() -> None:
    rng = np.random.default_rng(13)
    scores = rng.normal(0.3, 1, 40)
    state = FRESH
    for one in scores.tolist():
        state = step(state, one, STEADY)
    bet = 0.5
    grown = [math.exp(float((bet * (scores[k:] - 0.05) - bet**2 / 2).sum())) for k in range(40)]
    assert state.up[1] == pytest.approx(math.log(sum(grown)))
    assert state.windows == 40


def test_on_average_the_sum_grows_by_one_a_window() -> None:
    rng = np.random.default_rng(14)
    edge = replace(STEADY, margin=0.0)
    total = 0.0
    for _ in range(4000):
        state = FRESH
        for one in rng.normal(0, 1, 8).tolist():
            state = step(state, one, edge)
        total += 10 ** evidence(Detector(state.up[:2], state.up[:2], state.windows), 1)[0]
    assert total / 4000 == pytest.approx(8, rel=0.1)


@given(st.lists(st.none() | st.floats(-8, 8), max_size=60), st.floats(1, 1000))
def test_its_state_goes_through_json_and_stays_finite(scores: list[float | None], inflation: float) -> None:
    steady = replace(STEADY, inflation=inflation)
    state = FRESH
    for one in scores:
        state = step(state, one, steady)
        read = json.loads(json.dumps(asdict(state), allow_nan=False))
        assert Detector(tuple(read["up"]), tuple(read["down"]), read["windows"]) == state
    assert state.windows == sum(one is not None for one in scores)
    assert state == FRESH or math.isfinite(evidence(state, 1e-6)[0])
    assert change(scores, steady, 1) < max(len(scores), 1)


def test_ten_years_of_the_largest_score_do_not_overflow() -> None:
    state = Detector((1e300,) * 5, (-1e300,) * 5, 1)
    state = step(state, 8.0, STEADY)
    assert math.isfinite(evidence(state, 1e-9)[0])
    assert all(map(math.isfinite, (*state.up, *state.down)))


def test_nothing_seen_is_no_evidence_and_a_window_of_too_few_rows_changes_nothing() -> None:
    assert evidence(FRESH, 1)[0] == -math.inf
    assert step(FRESH, None, STEADY) is FRESH


@pytest.mark.parametrize(("alarms", "window", "wanted"), [(1, 3600, 8766), (2, 86400, 182.625), (365, 7 * 86400, 1)])
def test_the_threshold_is_the_windows_between_two_alarms(alarms: float, window: float, wanted: float) -> None:
    assert 10 ** threshold(alarms, window) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("scores", "direction", "wanted"),
    [
        ([], 1, 0),
        ([0.0, 0.0, 3.0, 3.0], 1, 2),
        ([0.0, 0.0, 3.0, 3.0], -1, 3),
        ([0.0, -3.0, None, -3.0], -1, 1),
        ([3.0, 3.0, 3.0], 1, 0),
        ([5.0, -5.0, -5.0, 1.0], 1, 3),
    ],
)
def test_where_a_change_began(scores: list[float | None], direction: int, wanted: int) -> None:
    assert change(scores, STEADY, direction) == wanted
