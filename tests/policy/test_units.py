"""Quantities: what people write is read, what they forget is explained, and writing is the inverse of reading."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.policy.units import (
    UnitError,
    format_duration,
    format_percent,
    parse_duration,
    parse_factor,
    parse_percent,
    parse_rate,
    parse_share,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("200ms", 0.2),
        ("30s", 30),
        ("1.5s", 1.5),
        ("10m", 600),
        ("24h", 86400),
        ("90d", 90 * 86400),
        (" 5 m ", 300),
        ("0s", 0),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.5 %", 0.005), ("100%", 1.0), ("0%", 0.0)])
def test_a_percentage_is_read_as_a_share(text: str, share: float) -> None:
    assert parse_percent(text) == pytest.approx(share)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (10, "did you mean '10s' or '10ms'"),
        ("10", "did you mean '10s'"),
        ("5 parsecs", "is not a duration"),
        (True, "is not a duration"),
        (None, "is not a duration"),
        (["1s"], "is not a duration"),
        (-1, "is negative"),
        ("9" * 30 + "d", "longer than ten years"),
        ("٣s", "is not a duration"),
    ],
)
def test_a_wrong_duration_says_what_was_probably_meant(value: object, said: str) -> None:
    with pytest.raises(UnitError, match=said.replace("(", r"\(")):
        parse_duration(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (5, "did you mean '5%'"),
        (0.05, "did you mean '5%' or '0.05%'"),
        ("101%", "more than 100%"),
        ("half", "is not a percentage"),
        (False, "is not a percentage"),
    ],
)
def test_a_wrong_percentage_says_what_was_probably_meant(value: object, said: str) -> None:
    with pytest.raises(UnitError, match=said):
        parse_percent(value)


def test_a_share_may_be_a_plain_zero_and_nothing_else_plain() -> None:
    assert parse_share(0) == parse_share("0%") == 0.0
    for value in (1, False, "0"):
        with pytest.raises(UnitError):
            parse_share(value)


@given(st.integers(0, 10**7), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_written_duration_reads_back_as_the_same(number: int, unit: str) -> None:
    try:
        seconds = parse_duration(f"{number}{unit}")
    except UnitError:
        assert number * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit] > 3650 * 86400
        return
    assert math.isclose(parse_duration(format_duration(seconds)), seconds, rel_tol=1e-9, abs_tol=1e-9)


@given(st.decimals(0, 100, places=4))
def test_a_written_percentage_reads_back_as_the_same(percent: object) -> None:
    share = parse_percent(f"{percent}%")
    assert math.isclose(parse_percent(format_percent(share)), share, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "200ms"), (5, "5s"), (90, "90s"), (600, "10m"), (86400, "24h"), (7776000, "90d"), (0, "0s")],
)
def test_durations_are_written_as_people_do(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "per_second"),
    [("100/s", 100.0), (" 6000 / m ", 100.0), ("3600/h", 1.0), ("10000000/d", 10_000_000 / 86_400)],
)
def test_rates_are_read_in_events_per_second(text: str, per_second: float) -> None:
    assert parse_rate(text) == pytest.approx(per_second)


@pytest.mark.parametrize("text", ["100", "x/s", "100/y", "-1/s", "100 s", "", "1e3/s"])
def test_what_is_no_rate_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(UnitError, match="/s"):
        parse_rate(text)


def test_a_factor_carries_its_sign() -> None:
    assert parse_factor("1.5x") == 1.5
    with pytest.raises(UnitError, match="did you mean '3x'"):
        parse_factor("3")
    with pytest.raises(UnitError, match="write it as 3x"):
        parse_factor("x3")
