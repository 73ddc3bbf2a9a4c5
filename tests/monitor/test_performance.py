"""Live performance on real flights, hour by hour: realised, estimated, and the same however passes cut it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlship.demo.flights import TARGET, months
from mlship.monitor.limits import asked
from mlship.monitor.performance import Performance
from mlship.monitor.seen import Sight
from mlship.policy.monitor import Monitor
from mlship.stats.reached import metric
from mlship.types.monitoring import Baseline, Finding, Labelled, Tally
from tests.stats.flights_scored import ZONE, bare, by_day, labelled, proved, scored, windows

DAY = 86400.0
SHARES = {"performance": 1 / 3, "estimate": 1 / 3, "value": 1 / 3}


@lru_cache(1)
def summer() -> tuple[Tally, ...]:
    """July and August by hour, with slices."""
    return tuple(windows(months(scored(), 7, 8), proved(), slices=True))


@lru_cache(1)
def asked_in_hours() -> tuple[Tally, ...]:
    """The same flights, asked with delays in hours instead of minutes."""
    return tuple(windows(months(scored(broken=True), 7, 8), proved()))


END = 1378008000.0  # 1 September 2013 in New York


def monitor(**given: Any) -> Monitor:
    return Monitor.model_validate({"performance": {"recall": {"min": 0.5}}, "zone": ZONE, "delay": "0s", **given})


def found(judge: Performance, now: float = END) -> dict[str, Finding]:
    return {f"{one.kind}: {one.subject}": one for one in judge.findings(now)}


def judged(rules: Monitor, traffic: tuple[Tally, ...], baseline: Baseline | None = None) -> Performance:
    judge = Performance(baseline or proved(), rules, SHARES)
    judge.put(traffic)
    return judge


def without_labels(traffic: tuple[Tally, ...], since: float) -> tuple[Tally, ...]:
    return tuple(one if one.start < since else replace(one, labelled=None) for one in traffic)


def test_the_last_days_are_those_of_the_flights() -> None:
    """Value, rows and interval of the last three local days, of all and of a slice; what it was in the evaluation."""
    rules = monitor(slices={"by": ["origin"]}, value={"min": 100})
    now = found(judged(rules, summer()))
    rows = months(scored(), 8, 8)
    rows = rows[rows["time_hour"].dt.day >= 29]
    for subject, part in (("recall", rows), ("origin=JFK recall", rows[rows["origin"] == "JFK"])):
        one = now[f"performance: {subject}"]
        assert one.value == metric("recall", labelled(part, proved()), proved())
        assert one.n == len(part)
        assert one.low is not None
        assert one.high is not None
        assert one.value is not None
        assert one.low < one.value < one.high
        assert one.expected == proved().performance["recall"].value
    assert now["value: value"].value == metric("value", labelled(rows, proved()), proved())
    assert "100% of all" in now["performance: recall"].sentence
    assert not any(one.breach for one in now.values())


def test_a_model_that_is_asked_in_other_units_breaches_and_says_since_when() -> None:
    """From 1 August on delays come in hours: recall falls; told within a fortnight, dated within three days."""
    august = 1375329600.0
    traffic = tuple(one for one in summer() if one.end <= august and not one.slice)
    traffic += tuple(one for one in asked_in_hours() if one.start >= august)
    judge = judged(monitor(value={"min": 500}), traffic)
    looks = [august + DAY * day for day in range(-20, 31)]
    breached = [at for at in looks if found(judge, at)["performance: recall"].breach]
    assert august < breached[0] <= august + 14 * DAY
    last = found(judge)["performance: recall"]
    assert last.breach
    assert last.since is not None
    assert abs(last.since - august) <= 3 * DAY
    assert last.value is not None
    assert last.value < 0.2
    assert last.severity >= 2
    assert "below the limit of 0.5" in last.sentence
    assert "August 2013" in last.sentence
    assert found(judge)["value: value"].breach


def test_a_day_counts_once_its_labels_are_complete() -> None:
    """With a delay of a week, the last known day is a week ago; what labels say of later days is not looked at."""
    judge = judged(monitor(delay="7d"), summer())
    assert judge.over_time("recall", END)[-1].end == END - 7 * DAY
    assert (
        found(judge)["performance: recall"]
        == found(judged(monitor(delay="7d"), without_labels(summer(), END - 7 * DAY)))["performance: recall"]
    )
    assert found(judge, END - 1) != found(judge, END)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.integers(0, 62 * 24), max_size=5), st.booleans())
def test_however_passes_cut_the_time(cuts: list[int], late: bool) -> None:
    """Passes at any hours, each with the windows of its own (and labels a day later), end where one pass does."""
    rules = monitor(delay="2d", performance={"recall": {"min": 0.75}, "error": {"max": 0.09}})
    traffic = tuple(one for one in summer() if not one.slice)
    start, judge = traffic[0].start, Performance(proved(), rules, SHARES)
    before = -1.0
    for hour in sorted({*cuts, 62 * 24}):
        until = start + hour * 3600
        fresh = [one for one in traffic if before < one.end <= until]
        if late:
            judge.put([one for one in traffic if before - DAY < one.end <= until - DAY])
            fresh = [one if one.end <= until - DAY else replace(one, labelled=None) for one in fresh]
        judge.put(fresh)
        judge.findings(until)
        before = until
    judge.put(traffic)
    assert judge.findings(END) == judged(rules, traffic).findings(END)


def test_what_has_no_labels_yet_is_estimated() -> None:
    """No label since 10 August: the estimate of the last week holds what is known here, and labels bear it out."""
    since = END - 21 * DAY
    judge = judged(monitor(delay="1d"), without_labels(summer(), since))
    assert judge.trust("recall", END)[0]
    one = found(judge)["estimate: recall"]
    week = labelled(months(scored(), 8, 8).loc[lambda rows: rows["time_hour"].dt.day >= 25], proved())
    truth = metric("recall", week, proved())
    assert truth is not None
    assert one.low is not None
    assert one.high is not None
    assert one.low <= truth <= one.high
    assert one.n == week.rows
    assert "estimated at" in one.sentence
    assert "weeks with labels" in one.sentence
    assert len(judge.estimates("recall", END)) == 21


def test_an_estimate_alone_can_breach() -> None:
    """What the scores let expect lies far below the limit, with no label at all."""
    rows = months(scored(), 7, 8)
    rows = rows[rows["score"] < 0.6]
    traffic = without_labels(tuple(windows(rows, proved())), 0)
    one = found(judged(monitor(), traffic))["estimate: recall"]
    assert one.breach
    assert one.value is not None
    assert one.value < 0.2
    assert "no labels have come yet to check it by" in one.sentence
    assert found(judged(monitor(), traffic))["performance: recall"].value is None


def test_estimates_that_labels_contradict_are_switched_off_with_the_reason() -> None:
    """Delays in hours: scores no longer mean what they did. What labels say decides, and nothing is estimated."""
    judge = judged(monitor(delay="1d"), without_labels(asked_in_hours(), END - 10 * DAY))
    holds, why = judge.trust("recall", END)
    assert not holds
    assert "missed what came" in why
    assert "scores no longer mean what they did" in why
    one = found(judge)["estimate: recall"]
    assert not one.alarm
    assert one.over
    assert why in one.sentence
    assert judge.estimates("recall", END) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"calibration": None, "why_not": {"calibration": "the evaluation data has 3 of the 10 days"}},
            "3 of the 10 days",
        ),
        ({"threshold": None}, "no threshold"),
        ({"scores": None}, "no scores"),
    ],
)
def test_what_cannot_be_estimated_says_why(change: dict[str, Any], says: str) -> None:
    """And is neither value nor alarm."""
    traffic = tuple(replace(one, labelled=None) for one in summer()[:500] if not one.slice)
    one = found(judged(monitor(), traffic, replace(proved(), **change)))["estimate: recall"]
    assert one.value is None
    assert not one.breach
    assert says in one.sentence


def test_nothing_is_found_of_nothing() -> None:
    """No traffic, or too few rows a day: no value, no breach, and a sentence."""
    for traffic in ((), tuple(replace(one, rows=3, labelled=Labelled(3)) for one in summer()[:1])):
        for one in judged(monitor(min_rows=10), traffic).findings(END):
            assert one.value is None
            assert not one.breach
            assert not one.over
            assert one.sentence


def test_a_baseline_without_days_learns_them_of_the_first_thirty() -> None:
    """An evaluation without times: nothing is held beyond chance until a month of labels, then as ever."""
    reached = {name: replace(one, steady=None) for name, one in proved().performance.items()}
    rules = monitor(performance={"recall": {"min": 0.95}})
    judge = judged(rules, tuple(one for one in summer() if not one.slice), replace(proved(), performance=reached))
    early = found(judge, summer()[0].start + 20 * DAY)["performance: recall"]
    assert early.over
    assert not early.alarm
    assert "not known yet" in early.sentence
    assert found(judge)["performance: recall"].breach


def test_numbers_have_their_errors_judged() -> None:
    """A regressor's mean absolute error by day, worse from the forty-first day on."""
    rng = np.random.default_rng(1)

    def window(day: int) -> Tally:
        off = rng.normal(0, 2 if day < 40 else 4, 200)
        sums = (200.0, float(off.sum()), float(abs(off).sum()), float((off**2).sum()))
        return Tally(day * DAY, DAY, 200, labelled=Labelled(200, errors=sums))

    base = replace(bare(months(scored(), 5, 5)), task="numbers", scores=None, window=DAY, zone="UTC")
    rules = monitor(performance={"mae": {"max": 2.0}, "bias": {"min": -1, "max": 1}}, zone="UTC")
    judge = judged(rules, tuple(window(day) for day in range(60)), base)
    now = judge.findings(60 * DAY)
    mae = next(one for one in now if one.what == "mae")
    assert mae.breach
    assert mae.since is not None
    assert abs(mae.since - 40 * DAY) <= 2 * DAY
    assert mae.value == pytest.approx(3.2, abs=0.2)
    assert not any(one.breach for one in now if one.what == "bias")
    guesses = [one for one in now if one.kind == "estimate"]
    assert "two classes only" in guesses[0].sentence
    assert not any(one.over or one.value is not None for one in guesses), "what labels say is no estimate"


def test_a_limit_with_two_ends_is_told_by_the_one_in_breach() -> None:
    """A bias of 4 is above 1 and not below -1: its row is a breach, of the limit that is passed."""

    def window(day: int) -> Tally:
        off = 0.1 * (day % 3) + (0 if day < 40 else 4)
        return Tally(day * DAY, DAY, 200, labelled=Labelled(200, errors=(200.0, 200 * off, 200 * off, 200 * off**2)))

    base = replace(bare(months(scored(), 5, 5)), task="numbers", scores=None, window=DAY, zone="UTC")
    rules = monitor(performance={"bias": {"min": -1, "max": 1}}, zone="UTC")
    windows = tuple(window(day) for day in range(60))
    judge = judged(rules, windows, base)
    sight = Sight(base, rules, judge.findings(60 * DAY), windows, windows, judge, 60 * DAY)
    told = [sight.figure(one) for one in asked(rules, base)]
    assert {(one.breach, one.limit) for one in told} == {(True, "<= 1")}


def test_labels_of_part_of_the_rows_are_told_as_such() -> None:
    """One flight in three has its label: the sentence says how many, and the figure is of these."""
    rows = months(scored(), 7, 8)
    some = {one.start: one for one in windows(rows.iloc[::3], proved())}
    traffic = tuple(
        replace(one, labelled=some[one.start].labelled if one.start in some else None)
        for one in summer()
        if not one.slice
    )
    one = found(judged(monitor(), traffic))["performance: recall"]
    assert "33.4% of all" in one.sentence or "33.3% of all" in one.sentence
    assert one.n < 1000
    assert rows[TARGET].mean() > 0
    assert len(by_day(rows, proved())) == 62
