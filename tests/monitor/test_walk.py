"""Evidence by day: seldom an alarm within limits, soon one beyond, and it ends with the breach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.monitor.limits import Asked
from mlship.monitor.walk import Point, State, Walk, at_limit, learned
from mlship.stats import detector
from mlship.types.monitoring import Reached

RNG = np.random.default_rng(2)
THRESHOLD = detector.threshold(1.0, 3600.0)
LEAST = Asked("performance", "recall", -1, 0.6)
MOST = Asked("performance", "error", 1, 0.2)
NOISE = 0.21


def days(values: Sequence[float | None], rows: int = 200) -> list[Point]:
    return [Point(86400.0 * at, 86400.0 * (at + 1), value, rows) for at, value in enumerate(values)]


USUAL = learned(days((0.7 + 0.05 * RNG.normal(size=60)).tolist()), None, NOISE)
assert USUAL is not None


def walk(asked: Asked = LEAST) -> Walk:
    return Walk(asked, 24.0, THRESHOLD)


def test_a_stable_figure_at_its_limit_alarms_less_than_once_a_year() -> None:
    """The worst stable case: the mean is the limit itself, year after year; either way round."""
    assert USUAL is not None
    for asked in (LEAST, MOST):
        alarms = 0
        for _ in range(40):
            one = walk(asked)
            one.along(days((asked.bound + 0.05 * RNG.normal(size=365)).tolist()), at_limit(asked, USUAL, 0.7))
            on = [state.since is not None for state in one.states]
            alarms += sum(now and not before for before, now in zip([False, *on], on, strict=False))
        assert alarms / 40 <= 1


@pytest.mark.parametrize(("asked", "good", "bad"), [(LEAST, 0.7, 0.5), (MOST, 0.1, 0.3)])
def test_a_breach_is_found_dated_and_ended(asked: Asked, good: float, bad: float) -> None:
    """Forty days within, thirty beyond, thirty within: within two weeks, from the right day on, until it is over."""
    assert USUAL is not None
    means = [good] * 40 + [bad] * 30 + [good] * 30
    values = [mean + 0.05 * float(RNG.normal()) for mean in means]
    one = walk(asked)
    one.along(days(values), at_limit(asked, USUAL, 0.7))
    alarmed = [at for at, state in enumerate(one.states) if state.since is not None]
    assert 40 <= alarmed[0] < 54
    since = one.states[alarmed[0]].since
    assert since is not None
    assert abs(since - 40) <= 2
    assert alarmed[-1] < 76
    assert alarmed == list(range(alarmed[0], alarmed[-1] + 1))
    assert one.states[-1].since is None


def test_better_than_the_limit_is_no_breach() -> None:
    """However far."""
    assert USUAL is not None
    one = walk()
    state = one.along(days([0.99] * 100), at_limit(LEAST, USUAL, 0.7))
    assert state.since is None
    assert one.evidence(state) < 1


@given(st.lists(st.none() | st.floats(0, 1), max_size=40), st.data())
def test_looking_in_between_changes_nothing(values: list[float | None], data: st.DataObject) -> None:
    """Any days asked for before, also others, leave the state as if nobody had looked."""
    assert USUAL is not None
    usual, points, busy = at_limit(LEAST, USUAL, 0.7), days(values), walk()
    for length, other in data.draw(st.lists(st.tuples(st.integers(0, len(points)), st.booleans()), max_size=4)):
        part = points[:length]
        if part and other:
            part = [*part[:-1], replace(part[-1], value=0.1)]
        busy.along(part, usual)
    assert busy.along(points, usual) == walk().along(points, usual)


def test_a_figure_of_few_rows_says_less() -> None:
    """Ten rows a day, or two hundred."""
    assert USUAL is not None
    usual = at_limit(LEAST, USUAL, 0.7)
    few, many = walk(), walk()
    assert few.evidence(few.along(days([0.5] * 4, rows=10), usual)) < many.evidence(many.along(days([0.5] * 4), usual))


def test_how_it_varies_is_learned_of_the_baseline_or_of_the_first_thirty_days() -> None:
    """Later days do not change what was learned; fewer teach nothing."""
    values = (0.7 + 0.05 * RNG.normal(size=80)).tolist()
    assert learned(days(values), Reached(0.7, steady=USUAL), None) is USUAL
    assert learned(days(values[:29]), None, NOISE) is None
    assert learned(days(values), None, None) is None
    assert learned(days(values), Reached(0.7), NOISE) == learned(days(values[:30]), None, NOISE)


def test_the_limit_is_about_all_rows_not_about_the_mean_of_days() -> None:
    """Days' values may lie lower on the mean than that of all rows: that is no breach."""
    assert USUAL is not None
    middle = USUAL.expected[0]
    one = walk(replace(LEAST, bound=middle + 0.02))
    usual = at_limit(replace(LEAST, bound=middle + 0.02), USUAL, pooled=middle + 0.03)
    assert one.along(days([middle] * 200), usual).since is None
    assert Walk(LEAST, 0.0, THRESHOLD).evidence(State()) == 0.0
