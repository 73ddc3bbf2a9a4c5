"""What a pass makes of windows and of incidents: a baseline made anew, a policy that asks for less, a wrong clock."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlship.gates.baseline.windows import Windows
from mlship.monitor.judge import Facts, Judged, State, Watched, judge, judged
from mlship.policy.monitor import Monitor
from mlship.types.monitoring import Baseline, Bins, Column, Counts, Finding, Incident, Tally
from tests.monitor.made import incident

HOUR, DAY = 3600.0, 86400.0
START = 1_600_000_000 // DAY * DAY
BINS = Bins("numbers", tuple(range(1, 10)))
LIMITS = {"features": {"psi": 0.2}, "performance": {"recall": {"min": 0.5}, "error": {"max": 0.5}}}


def monitor(**more: Any) -> Monitor:
    return Monitor.model_validate(LIMITS | more)


def counts(shifts: Sequence[float], seed: int) -> list[Counts]:
    """A window's counts for each shift; 0: every bin is as likely."""
    rng = np.random.default_rng(seed)
    tilted = np.exp(np.outer(shifts, np.linspace(-1, 1, BINS.size)))
    found = [rng.multinomial(100, shares) for shares in tilted / tilted.sum(axis=1, keepdims=True)]
    return [(*(int(one) for one in row), 0, 0, 0) for row in found]


def baseline(seed: int = 0) -> Baseline:
    """Of four weeks of windows with 100 rows."""
    rows = counts([0.0] * 28 * 24, seed)
    moments = np.repeat(START + HOUR * np.arange(len(rows)), 100)
    places = np.concatenate([np.repeat(np.arange(BINS.width), row) for row in rows]).astype(np.int16)
    total = tuple(int(one) for one in np.sum(rows, axis=0))
    steady = Windows.cut(moments, monitor()).learn(places, BINS, total)
    columns = {name: Column(BINS, total, streams=steady) for name in ("delay", "distance")}
    plain = ("m", "4", "d", START, "p", "numbers", HOUR, "UTC", (), len(moments), START, START)
    return Baseline(*plain, features=columns, answers=None, scores=None)  # type: ignore[arg-type]  # as they stand there


def windows(shifts: Sequence[float], first: float = START + 28 * DAY, seed: int = 1) -> list[Tally]:
    steady = counts([0.0] * len(shifts), seed + 1)
    return [
        Tally(first + number * HOUR, HOUR, 100, {"delay": moved, "distance": still})
        for number, (moved, still) in enumerate(zip(counts(shifts, seed), steady, strict=True))
    ]


def watched(tallies: Sequence[Tally], rules: Monitor | None = None, base: Baseline | None = None) -> Watched:
    starts = [one.start for one in tallies]

    def between(since: float, until: float) -> Sequence[Tally]:
        return tallies[bisect_left(starts, since) : bisect_left(starts, until)]

    return Watched("m", "4", base or baseline(), rules or monitor(), lambda _at: [], between)


def a_pass(of: Watched, state: State, open_: Sequence[Incident], tallies: Sequence[Tally], now: float) -> Judged:
    return judge(of, state, open_, tallies, Facts(now, START, now, known=True))


def open_of(found: Judged) -> list[Incident]:
    return [one for one in found.incidents if one.resolved is None]


def test_a_baseline_made_anew_ends_no_incident_of_which_it_tells_the_same() -> None:
    """Given an open incident, when all traffic is held against another baseline, then nobody is told anything."""
    tallies = windows([0.0] * 20 * 24 + [1.5] * 5 * 24)
    now = tallies[-1].end + 130
    first = a_pass(watched(tallies), State(), (), tallies, now)
    assert [(one.what, one.incident.subject) for one in first.events][:1] == [("opened", "delay")]
    again = watched(tallies, base=baseline(seed=9))
    second = a_pass(again, State(at=first.state.at), open_of(first), tallies, now + 60)
    assert second.events == ()
    assert [one.id for one in open_of(second)] == [one.id for one in open_of(first)]
    more = windows([0.0] * 20 * 24, tallies[-1].end, seed=5)
    of = watched([*tallies, *more], base=again.baseline)
    third = a_pass(of, second.state, open_of(second), more, more[-1].end + 130)
    assert [(one.what, one.incident.id) for one in third.events] == [("resolved", open_of(first)[0].id)]
    assert third.events[0].at > now


def test_a_baseline_made_anew_finds_nothing_in_the_past_that_is_over() -> None:
    tallies = windows([0.0] * 5 * 24 + [1.5] * 24 + [0.0] * 20 * 24)
    now = tallies[-1].end + 130
    found = a_pass(watched(tallies), State(at=now - 60), (), tallies, now)
    assert (found.events, found.incidents) == ((), ())


def test_a_clock_that_was_wrong_for_one_pass_holds_up_no_end() -> None:
    """Given a pass that took it for ten years later, then incidents still end when all is within limits."""
    bad = windows([0.0] * 10 * 24 + [1.5] * 2 * 24)
    first = a_pass(watched(bad), State(), (), bad, bad[-1].end + 3650 * DAY)
    assert len(open_of(first)) == 1
    good = windows([0.0] * 15 * 24, bad[-1].end, seed=5)
    found, of, told = first, watched([*bad, *good]), []
    for day in range(15):
        part = good[day * 24 : (day + 1) * 24]
        found = a_pass(of, found.state, open_of(found), part, part[-1].end + 130)
        told += [one.what for one in found.events]
    assert told == ["resolved"]


@pytest.mark.parametrize(
    ("one", "rules", "still"),
    [
        (incident("delay"), {}, True),
        (incident("delay"), {"features": {"columns": ["distance"]}}, False),
        (incident("delay"), {"features": None}, False),
        (incident("recall", kind="performance"), {}, True),
        (incident("recall", kind="performance"), {"performance": {"error": {"max": 0.5}}}, False),
        (incident("origin=JFK recall", kind="performance"), {}, False),
        (incident("recall", kind="estimate"), {}, True),
        (incident("recall", kind="estimate"), {"estimate": False}, False),
        (incident("recall", kind="estimate"), {"performance": {"error": {"max": 0.5}}}, False),
        (incident("value", kind="value"), {}, False),
        (incident("value", kind="value"), {"value": {"min": 1.0}}, True),
    ],
)
def test_what_the_policy_asks_no_more_is_judged_no_more(one: Incident, rules: dict[str, Any], still: bool) -> None:
    """A column, a metric or a slice that was taken out of the policy: nobody would ever end its incident."""
    assert judged(one, watched([], monitor(**rules))) is still


def test_time_alone_ends_no_incident_of_performance() -> None:
    """Recall was in breach, and is within its limit when traffic ends: a month without any resolves nothing."""
    tallies = windows([0.0] * 48)
    end = tallies[-1].end
    fine = Finding("performance", "recall", "recall", 0.6, "recall >= 0.5", False, 0.0, False, None, "recall is fine")
    of = replace(watched(tallies), performance=lambda _at: [fine])
    open_ = [incident(kind="performance", subject="recall", version="4", opened=end - DAY)]
    later = a_pass(of, State(at=end - 1), open_, tallies, end + 30 * DAY)
    assert [event.what for event in later.events] == []
    assert later.incidents[0].resolved is None
    again = a_pass(of, later.state, later.incidents, [], end + 60 * DAY)
    assert again.incidents[0].resolved is None
    assert "recall is fine" in [one.sentence for one in again.findings], "it is told all the same"
