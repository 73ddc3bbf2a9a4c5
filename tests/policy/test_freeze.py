"""Freeze windows: by their zone's clock, over the week's end and both changes of the clock, against brute force."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlship.policy.freeze import DAYS, FREEZE_PATTERN, always, frozen, meant
from tests.policy.conftest import Changed

WEEKEND = "Fri 16:00 - Mon 08:00 Europe/Berlin"
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: str = "Europe/Berlin", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


@pytest.mark.parametrize(
    ("when", "until"),
    [
        ("2026-11-20 15:59:59", ""),
        ("2026-11-20 16:00", "Mon 08:00 Europe/Berlin"),
        ("2026-11-22 12:00", "Mon 08:00 Europe/Berlin"),
        ("2026-11-23 07:59:59", "Mon 08:00 Europe/Berlin"),
        ("2026-11-23 08:00", ""),
        ("2026-07-24 16:00", "Mon 08:00 Europe/Berlin"),  # in summer it is the same hour on the clock
    ],
)
def test_a_window_holds_from_its_first_minute_up_to_and_without_its_last(when: str, until: str) -> None:
    assert frozen([WEEKEND], at(when)) == until


def test_without_a_zone_it_is_utc() -> None:
    assert frozen(["Sat 00:00 - Sun 00:00"], at("2026-11-21 00:30", "UTC")) == "Sun 00:00"
    assert frozen(["Sat 00:00 - Sun 00:00"], at("2026-11-21 00:30")) == ""


def test_windows_that_follow_on_each_other_are_one() -> None:
    windows = ["Mon 06:00 - Mon 12:00 UTC", WEEKEND, "Mon 07:00 - Tue 06:00 America/New_York"]
    assert frozen(windows, at("2026-11-21 00:00")) == "Tue 06:00 America/New_York"
    assert frozen(windows[1:2], at("2026-11-21 00:00")) == "Mon 08:00 Europe/Berlin"


@pytest.mark.parametrize(
    ("window", "when", "fold", "holds"),
    [
        # 2026-10-25 03:00 becomes 02:00: from 02:00 to 03:00 comes twice.
        ("Sat 22:00 - Sun 02:30 Europe/Berlin", "2026-10-25 02:45", 0, True),  # and at 02:10 it would hold again
        ("Sat 22:00 - Sun 02:30 Europe/Berlin", "2026-10-25 02:10", 1, True),
        ("Sat 22:00 - Sun 02:30 Europe/Berlin", "2026-10-25 02:30", 1, False),
        ("Sun 02:30 - Sun 06:00 Europe/Berlin", "2026-10-25 02:29", 0, False),
        ("Sun 02:30 - Sun 06:00 Europe/Berlin", "2026-10-25 02:30", 0, True),
        ("Sun 02:30 - Sun 06:00 Europe/Berlin", "2026-10-25 02:10", 1, True),  # it has begun
        # 2026-03-29 02:00 becomes 03:00: from 02:00 to 03:00 does not come.
        ("Sun 02:30 - Sun 06:00 Europe/Berlin", "2026-03-29 01:59", 0, False),
        ("Sun 02:30 - Sun 06:00 Europe/Berlin", "2026-03-29 03:00", 0, True),
        ("Sat 22:00 - Sun 02:30 Europe/Berlin", "2026-03-29 01:59", 0, True),
        ("Sat 22:00 - Sun 02:30 Europe/Berlin", "2026-03-29 03:00", 0, False),
    ],
)
def test_a_change_of_the_clock_neither_interrupts_a_window_nor_moves_it(
    window: str, when: str, fold: int, holds: bool
) -> None:
    assert bool(frozen([window], at(when, fold=fold))) is holds


#: Zones and weeks with changes of the clock: by an hour, by half of one, over midnight, and a day that was left out.
CHANGES = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("America/Havana", "2026-11-01"),
    ("America/Sao_Paulo", "2018-02-18"),
    ("Pacific/Apia", "2011-12-30"),
    ("Asia/Kathmandu", "2026-05-01"),
]
#: Seconds; divides every offset from UTC.
STEP = 300


def brute(begin: timedelta, length: timedelta, zone: ZoneInfo, middle: float) -> list[range]:
    """Steps of Unix time: for each week's window, from the first whose clock time is in it to the last."""
    times = range(int(middle) - 9 * 86400, int(middle) + 9 * 86400, STEP)
    local = [datetime.fromtimestamp(time, zone).replace(tzinfo=None) for time in times]
    monday = datetime.fromtimestamp(middle, zone).replace(tzinfo=None, hour=0)
    monday -= timedelta(days=monday.weekday())
    held = []
    for week in (-2, -1, 0, 1):
        start = monday + week * timedelta(days=7) + begin
        if inside := [time for time, clock in zip(times, local, strict=True) if start <= clock < start + length]:
            held.append(range(inside[0], inside[-1] + STEP, STEP))
    return held


@settings(max_examples=25, deadline=None)
@given(
    change=st.sampled_from(CHANGES),
    begin=st.integers(0, 7 * 24 * 6 - 1),
    length=st.integers(1, 7 * 24 * 6 - 1),
    hours=st.integers(-60, 60),
)
@example(change=CHANGES[1], begin=6 * 144 + 15, length=21, hours=2)
@example(change=CHANGES[5], begin=0, length=6, hours=0)
@example(change=CHANGES[6], begin=4 * 144 + 30, length=60, hours=0)
def test_a_window_holds_when_brute_force_says_so(change: tuple[str, str], begin: int, length: int, hours: int) -> None:
    name, day = change
    zone = ZoneInfo(name)
    moments = [timedelta(minutes=10 * minutes) for minutes in (begin, begin + length)]
    text = " - ".join(
        f"{DAYS[moment.days % 7]} {moment.seconds // 3600:02}:{moment.seconds // 60 % 60:02}" for moment in moments
    )
    middle = datetime.fromisoformat(day).replace(tzinfo=zone).timestamp() // STEP * STEP
    held = brute(moments[0], moments[1] - moments[0], zone, middle)
    for offset in range(-12, 13):
        now = int(middle) + hours * 3600 + offset * STEP
        assert bool(frozen([f"{text} {name}"], now)) == any(now in steps for steps in held), now


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 335), st.integers(1, 200), st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"])),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 335),
)
def test_what_it_names_is_when_something_may_move_again(windows: list[tuple[int, int, str]], half: int) -> None:
    def clock(halves: int) -> str:
        return f"{DAYS[halves // 48 % 7]} {halves % 48 // 2:02}:{halves % 2 * 30:02}"

    texts = [f"{clock(begin)} - {clock(begin + length)} {zone}" for begin, length, zone in windows]
    now = at("2026-11-02 00:00", "UTC") + half * 1800
    until = frozen(texts, now)
    if not until or always(texts, now):
        return
    free = next(now + step * 1800 for step in range(1, 2 * 336) if not frozen(texts, now + step * 1800))
    zone = until.split(" ")[2]
    assert f"{datetime.fromtimestamp(free, ZoneInfo(zone)):%a %H:%M} {zone}" == until
    assert all(frozen(texts, second) for second in (now, (now + free) // 2, free - 1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fri 16:00 - mon 08:00", "Fri 16:00 - Mon 08:00"),
        ("FRI 16:00 - MON 08:00 Europe/Berlin", "Fri 16:00 - Mon 08:00 Europe/Berlin"),
        ("Friday 16:00 - Monday 8:00", "Fri 16:00 - Mon 08:00"),
        ("Fri 16 - Mon 8", "Fri 16:00 - Mon 08:00"),
        ("Fri 16h - Mon 8h UTC", "Fri 16:00 - Mon 08:00 UTC"),
        ("Fri 16:00-Mon 08:00", "Fri 16:00 - Mon 08:00"),
        ("Fri 16:00 \u2013 Mon 08:00", "Fri 16:00 - Mon 08:00"),
        ("Fri 16:00 to Mon 08:00 (Europe/Berlin)", "Fri 16:00 - Mon 08:00 Europe/Berlin"),
        ("Fri, 16:00 - Mon, 08:00 Z", "Fri 16:00 - Mon 08:00 UTC"),
        ("Sat 00:00 - Sun 24:00", "Sat 00:00 - Mon 00:00"),
        ("  Fri  16:00  -  Mon  08:00  ", "Fri 16:00 - Mon 08:00"),
        ("Thurs 16:00 - Tues 08:00", "Thu 16:00 - Tue 08:00"),
        ("Fri 25:00 - Mon 08:00", ""),
        ("Fri 16:60 - Mon 08:00", ""),
        ("Fry 16:00 - Mon 08:00", ""),
        ("Fr 16:00 - Mo 08:00", ""),
        ("weekends", ""),
        ("", ""),
    ],
)
def test_what_was_meant_is_said(text: str, said: str) -> None:
    assert meant(text) == said
    with pytest.raises(ValueError, match="is not written like"):
        frozen([text], 0.0)


@given(st.text(alphabet="frimonFRIMON 0123456789:-hto/UTC", max_size=40))
def test_what_is_suggested_is_always_valid(text: str) -> None:
    near = meant(text)
    assert not near or frozen([near.rpartition(" ")[0] if near.count(" ") == 5 else near], 0.0) is not None


@settings(max_examples=30, deadline=None)
@given(st.from_regex(FREEZE_PATTERN, fullmatch=True))
def test_whatever_has_the_shape_is_read_or_refused_for_its_zone(text: str) -> None:
    try:
        assert frozen([text], 0.0) in ("", text.partition(" - ")[2])
    except ValueError as error:
        assert "time zone" in str(error)  # noqa: PT017 - few zones of this shape exist, and those have no error


@pytest.mark.parametrize("zone", ["Europe/Berln", "europe/berlin/x", "Europe", "Europe/", "A" * 300])
def test_a_zone_that_is_not_there_is_named(zone: str) -> None:
    with pytest.raises(ValueError, match="there is no time zone"):
        frozen([f"Fri 16:00 - Mon 08:00 {zone}"], 0.0)


def test_a_machine_without_time_zones_is_told_what_to_install() -> None:
    """Neither the system nor the package has any: then nothing may pass as if no window held."""
    script = (
        "import sys; sys.modules['tzdata'] = None\n"
        "from mlship.policy.freeze import frozen\n"
        "assert frozen(['Thu 00:00 - Fri 00:00'], 0.0) == 'Fri 00:00'\n"
        "try: frozen(['Fri 16:00 - Mon 08:00 Europe/Berlin'], 0.0)\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONTZPATH": ""}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "this machine has no time zones: neither its system nor the package tzdata\n"


@pytest.mark.parametrize(
    ("freeze", "what", "hint"),
    [
        ("[fri 16:00 - mon 08:00]", "this is no window of the week", "did you mean 'Fri 16:00 - Mon 08:00'?"),
        ("[weekends]", "this is no window of the week", "write 'Fri 16:00 - Mon 08:00 Europe/Berlin'"),
        ("[Fri 16:00 - Mon 08:00 europe/berlin]", "there is no time zone", "did you mean 'Europe/Berlin'?"),
        ("[Fri 16:00 - Mon 08:00 Berlin]", "there is no time zone 'Berlin'", "did you mean 'Europe/Berlin'?"),
        ("[Fri 16:00 - Mon 08:00 Europe/Berln]", "no time zone 'Europe/Berln'", "did you mean 'Europe/Berlin'?"),
        ("[Fri 16:00 - Mon 08:00 Xyzzy]", "there is no time zone 'Xyzzy'", "such as Europe/Berlin or UTC"),
        ("[Fri 16:00 - Fri 16:00]", "this window holds all week", "shorten it"),
        ("[Fri 16:00 - Mon 08:00, Mon 07:00 - Fri 17:00]", "together these windows hold all week", "leave some time"),
        ("[Fri 16:00 - Mon 08:00, Mon 07:00 - Fri 17:30 Europe/Berlin]", "together these windows", "leave some time"),
        ("Fri 16:00 - Mon 08:00", "'freeze': must be a list", "write [Fri 16:00 - Mon 08:00]"),
        ("[7]", "item 1 of 'freeze': must be text", ""),
        ('["${W}"]', "the value of '${W}' is not valid here", "check what the variable holds"),
        ('["Fri 16:00 - Mon 08:00 ${Z}"]', "there is no such time zone", "such as Europe/Berlin or UTC"),
    ],
)
def test_a_window_that_cannot_hold_is_told_at_its_place(changed: Changed, freeze: str, what: str, hint: str) -> None:
    environ = {"W": "hunter2", "Z": "hunter2"}
    [fault] = changed("rollout:\n", f"rollout:\n  freeze: {freeze}\n", environ)
    assert what in fault.what
    assert hint in fault.hint
    assert fault.severity == "error"
    assert fault.source_line.strip().startswith("freeze:")
    assert "hunter2" not in str(fault)


def test_every_window_has_its_own_fault(changed: Changed) -> None:
    faults = changed(
        "rollout:\n", "rollout:\n  freeze:\n  - Fri 16:00 - Mon 08:00 A/B\n  - x\n  - Mon 1:00 - Tue 2:00\n"
    )
    assert len({fault.line for fault in faults}) == len(faults) == 2  # the zone is asked once all are windows


def test_windows_that_are_right_have_no_fault(changed: Changed) -> None:
    text = f"rollout:\n  freeze: ['{WEEKEND}', \"${{W:-Wed 00:00 - Wed 01:00}}\"]\n"
    assert changed("rollout:\n", text) == []


def test_time_costs_nothing_to_speak_of() -> None:
    """It is asked at every look."""
    now, begun = at("2026-11-21 12:00"), datetime.now(UTC)
    for second in range(1000):
        assert frozen([WEEKEND], now + second)
    assert datetime.now(UTC) - begun < timedelta(seconds=1)
