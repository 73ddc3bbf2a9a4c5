"""Windows by local day: every window in one, the same however they come, and complete when labels are."""

from __future__ import annotations

import random
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.monitor.days import Cut, Days, complete
from mlship.types.monitoring import Labelled, Tally

ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo")
WINDOWS = (60.0, 900.0, 3600.0, 7200.0, 86400.0, 7 * 86400.0)


def at(text: str, zone: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@given(
    st.sampled_from(ZONES),
    st.sampled_from(WINDOWS),
    st.floats(0, 2e9),
)
def test_days_meet_without_gap_or_overlap(zone: str, window: float, moment: float) -> None:
    """A day ends where the next begins, at whole windows, and holds the window that it was asked for."""
    cut = Cut(zone, window)
    start = moment // window * window
    first, end = cut.day(start)
    assert first <= start < start + window <= end
    assert first % window == end % window == 0
    assert cut.day(first) == cut.day(end - window) == (first, end)
    assert cut.day(end)[0] == end


@pytest.mark.parametrize(("date", "hours"), [("2013-03-10", 23), ("2013-03-11", 24), ("2013-11-03", 25)])
def test_days_are_those_of_the_clock(date: str, hours: int) -> None:
    """In spring a day has 23 hours, in autumn one has 25."""
    noon = at(f"{date}T12:00", "America/New_York")
    first, end = Cut("America/New_York", 3600.0).day(noon)
    assert first == at(f"{date}T00:00", "America/New_York")
    assert end - first == hours * 3600


def hour(number: int, rows: int, labelled: int | None, part: str = "") -> Tally:
    known = None if labelled is None else Labelled(labelled, scored=((labelled, 0, 0),))
    return Tally(number * 3600.0, 3600.0, rows, scores=(rows, 0), labelled=known, slice=part)


def test_a_day_is_all_of_its_windows_and_slices_are_apart() -> None:
    """Counts add up; what lacks labels adds none."""
    days = Days("UTC", 3600.0)
    days.put([hour(1, 10, 4), hour(2, 5, None), hour(25, 7, 7), hour(1, 3, None, "origin=JFK")])
    found = days.until(2 * 86400.0)
    assert [(day.start, day.seconds, day.rows, day.scores) for day in found[""]] == [
        (0.0, 86400.0, 15, (15, 0)),
        (86400.0, 86400.0, 7, (7, 0)),
    ]
    assert found[""][0].labelled == Labelled(4, scored=((4, 0, 0),))
    assert found["origin=JFK"][0].labelled is None
    assert [day.start for day in days.until(2 * 86400.0 - 1)[""]] == [0.0]
    assert days.until(0.0) == {"": []}


def test_a_window_that_comes_again_takes_its_own_place() -> None:
    """Late labels are no new rows."""
    days = Days("UTC", 3600.0)
    days.put([hour(1, 10, None)])
    assert days.until(86400.0)[""][0].labelled is None
    days.put([hour(1, 10, 9)])
    assert days.until(86400.0)[""][0] == Tally(0.0, 86400.0, 10, scores=(10, 0), labelled=Labelled(9, ((9, 0, 0),)))


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(1, 9)), max_size=40), st.randoms())
def test_the_order_of_windows_does_not_matter(hours: list[tuple[int, int]], chance: random.Random) -> None:
    """One by one, all at once, or shuffled."""
    windows = list({number: hour(number, rows, rows) for number, rows in hours}.values())
    whole, apart = Days("Asia/Kolkata", 3600.0), Days("Asia/Kolkata", 3600.0)
    whole.put(windows)
    chance.shuffle(windows)
    for window in windows:
        apart.put([window])
        apart.until(chance.random() * 4e5)
    assert apart.until(4e5) == whole.until(4e5)


def test_labels_are_complete_a_delay_after_the_end() -> None:
    """Not a second before; and it is known when the next day changes."""
    days = Days("UTC", 3600.0)
    days.put([hour(1, 1, 1), hour(25, 1, 1), hour(49, 1, 1)])
    found = days.until(3 * 86400.0)[""]
    assert [len(part) for part in complete(found, 3 * 86400.0, 86400.0)] == [2, 1]
    assert [len(part) for part in complete(found, 3 * 86400.0 - 1, 86400.0)] == [1, 2]
    assert [len(part) for part in complete(found, 3 * 86400.0, 0.0)] == [3, 0]
    assert days.following(1.5 * 86400.0, 0.25 * 86400.0) == 2 * 86400.0
    assert days.following(2 * 86400.0, 0.25 * 86400.0) == 2.25 * 86400.0
    assert days.following(4 * 86400.0, 0.25 * 86400.0) == float("inf")
