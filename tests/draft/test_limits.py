"""Limits from intervals: the version itself keeps them, and they lie half a width beyond its worst end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.draft.layout import decimal, down, up
from mlship.draft.limits import limits, shown
from mlship.types import Measurement


def test_a_score_gets_a_floor_below_its_interval() -> None:
    found = limits(Measurement("recall", 0.887, 0.881, 0.893, n=28293))
    assert found is not None
    assert (found.min, found.max, found.max_drop) == (0.875, None, 0.006)


def test_an_error_gets_a_ceiling_above_its_interval() -> None:
    found = limits(Measurement("mae", 12.4, 12.0, 12.8, n=500))
    assert found is not None
    assert (found.min, found.max, found.max_drop) == (None, 13.2, 0.4)


def test_without_an_interval_there_is_no_limit() -> None:
    assert limits(Measurement("recall", None, n=40, reason="too few rows carry it")) is None
    assert limits(Measurement("recall", 0.5, n=40)) is None


def test_the_figures_tell_the_ends_apart() -> None:
    assert shown(Measurement("recall", 0.887, 0.881, 0.893, n=28293)) == "0.887 [0.881, 0.893] on 28,293 rows"
    assert shown(Measurement("mae", 1234.5, 1200.0, 1260.0, n=9)) == "1,234 [1,200, 1,260] on 9 rows"


ENDS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 9))


@given(st.lists(ENDS, min_size=3, max_size=3), st.sampled_from(["recall", "mae"]))
def test_the_version_keeps_its_own_limits(ends: list[float], metric: str) -> None:
    """Whatever the interval is: its worst end is inside, and a loss of nothing is allowed."""
    low, value, high = sorted(ends)
    found = limits(Measurement(metric, value, low, high, n=100))
    assert found is not None
    assert found.min is None or found.min <= low
    assert found.max is None or found.max >= high
    assert (found.min is None) != (found.max is None)
    assert found.max_drop > 0
    for number in (found.min, found.max, found.max_drop):
        assert number is None or ("e" not in decimal(number) and float(decimal(number)) == number)


@given(st.floats(-1e9, 1e9, allow_nan=False), st.sampled_from([0.001, 0.1, 1.0, 100.0]))
def test_rounding_never_crosses_the_value(value: float, step: float) -> None:
    assert down(value, step) <= value <= up(value, step)


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "0.1"), (1e-7, "0.0000001"), (-0.0, "0"), (1e15, "1000000000000000"), (600.0, "600")]
)
def test_decimals_have_no_exponent(value: float, text: str) -> None:
    assert decimal(value) == text
