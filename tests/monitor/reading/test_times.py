"""Times of a log, whatever writes them: exact to the microsecond, and in the hour that comes twice."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlship.monitor.reading.times import MICRO, UNREADABLE, instants
from mlship.monitor.reading.windows import GRACE, floor, labelled_until, until

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Europe/Dublin", "Australia/Lord_Howe", "Asia/Kolkata"]


def truth(naive: datetime, zone: str) -> int:
    """What `zoneinfo` says: the first of two, and of none the moment of the change."""
    aware = naive.replace(tzinfo=ZoneInfo(zone), fold=0)
    moment = aware.timestamp()
    if datetime.fromtimestamp(moment, ZoneInfo(zone)).replace(tzinfo=None, fold=0) != naive:
        at = naive
        while (
            datetime.fromtimestamp(at.replace(tzinfo=ZoneInfo(zone)).timestamp(), ZoneInfo(zone)).replace(
                tzinfo=None, fold=0
            )
            != at
        ):
            at = (at + timedelta(minutes=1)).replace(second=0, microsecond=0)
        moment = at.replace(tzinfo=ZoneInfo(zone)).timestamp()
    return round(moment * MICRO)


#: Days on which clocks change somewhere; naive on purpose.
NEAR = st.sampled_from([datetime.fromisoformat(f"2024-{day}") for day in ("10-27", "03-31", "11-03", "03-10", "04-07")])


@settings(max_examples=40)
@given(day=NEAR, minute=st.integers(0, 6 * 60), micro=st.integers(0, 59_999_999), zone=st.sampled_from(ZONES))
def test_times_without_a_zone_are_in_that_of_the_policy(day: datetime, minute: int, micro: int, zone: str) -> None:
    """Also in the nights in which clocks change; as a time, as text, as a category, among others or alone."""
    naive = day + timedelta(minutes=minute, microseconds=micro)
    expected = truth(naive, zone)
    aware = pd.Timestamp(expected, unit="us", tz="UTC").tz_convert(zone)
    text = naive.isoformat(timespec="microseconds")
    columns: list[pd.Series[Any]] = [
        pd.Series([naive]),
        pd.Series([text]),
        pd.Series([text], dtype="category"),
        pd.Series([text.replace("T", " "), "no time", None]),
        pd.Series([naive, "no time", None], dtype=object),
        pd.Series([aware]),
        pd.Series([aware.isoformat(timespec="microseconds")]),
        pd.Series([aware.isoformat(timespec="microseconds"), text]),
        pd.Series([expected]),
    ]
    for column in columns:
        found = instants(column, zone)
        assert found[0] == expected, (column, zone)
        if len(column) == 3:
            assert (found[1:] == UNREADABLE).all()
        elif len(column) == 2:
            assert found[1] == expected


def test_the_hour_that_comes_twice_is_the_first_of_the_two() -> None:
    """03:00 in Berlin on 27 October 2024 is 02:00 again at 01:00 UTC."""
    for text, utc in (
        ("01:59:59", "2024-10-26T23:59:59"),
        ("02:30:00", "2024-10-27T00:30"),
        ("03:00", "2024-10-27T02:00"),
    ):
        (found,) = instants(pd.Series([f"2024-10-27T{text}"]), "Europe/Berlin")
        assert found == pd.Timestamp(utc, tz="UTC").value // 1000
    (gap,) = instants(pd.Series(["2024-03-31 02:30"]), "Europe/Berlin")
    assert gap == pd.Timestamp("2024-03-31T01:00", tz="UTC").value // 1000


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (
            [1_730_678_400, 1_730_678_400_123, 1_730_678_400_123_456, 1_730_678_400_123_456_789],
            [0, 123_000, 123_456, 123_456],
        ),
        ([1_730_678_400.5, None], [500_000, None]),
        (
            [1_730_678_400, "2024-11-04T00:00:01Z", "2024-11-04T01:00:02+0100", [1], True],
            [0, 10**6, 2 * 10**6, None, None],
        ),
        (["2024-11-04", "2024-11-04T00:00Z", "04.11.2024", ""], [0, 0, None, None]),
        ([float("inf"), float("nan"), 1e300, -1e300], [None] * 4),
        ([True, False], [None, None]),
        ([None, None], [None, None]),
    ],
)
def test_what_stands_for_a_time(cells: list[Any], expected: list[int | None]) -> None:
    found = instants(pd.Series(cells), "UTC")
    start = 1_730_678_400 * MICRO
    assert found.tolist() == [UNREADABLE if one is None else start + one for one in expected]


def test_unusual_units_and_sizes() -> None:
    day = pd.Series(np.array(["2024-11-04", "NaT", "20240-01-01"], dtype="datetime64[s]"))
    assert instants(day, "UTC")[:2].tolist() == [1_730_678_400 * MICRO, UNREADABLE]
    zoned = pd.Series([pd.Timestamp("2024-11-04T01:00", tz="Europe/Berlin"), pd.NaT])
    assert instants(zoned, "Asia/Kolkata").tolist() == [1_730_678_400 * MICRO, UNREADABLE]
    assert len(instants(pd.Series([], dtype=object), "UTC")) == 0


@given(
    newest=st.none() | st.floats(0, 1e6),
    now=st.floats(0, 2e6),
    since=st.none() | st.integers(0, 500),
    delay=st.floats(0, 1e5),
)
def test_windows_never_run_ahead_of_log_or_clock(
    newest: float | None, now: float, since: int | None, delay: float
) -> None:
    before = None if since is None else since * 3600.0
    found = until(newest, now, 3600.0, before)
    labelled = labelled_until(found, now, 3600.0, delay, before)
    if found is None:
        assert newest is None
        assert before is None
        return
    assert before is None or found >= before
    if found != before:
        assert newest is not None
        assert found % 3600 == 0
        assert found <= now - GRACE
        assert found <= floor(newest, 3600.0) + 3600
    assert labelled is not None
    assert labelled <= found
    if labelled != before:
        assert labelled <= now - GRACE - delay
