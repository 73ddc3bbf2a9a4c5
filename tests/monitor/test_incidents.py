"""The life of incidents: opened once, worsened upwards only, resolved once, never lost; however passes cut the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.monitor import documents
from mlship.monitor.incidents import event_id, step
from mlship.types.monitoring import Finding, Incident, IncidentEvent, Kind

HOUR, DAY = 3600.0, 86400.0
RECOVERED = 3 * DAY


def finding(
    subject: str = "dep_delay",
    severity: int = 1,
    *,
    kind: Kind = "features",
    what: str = "psi",
    over: bool | None = None,
    alarm: bool | None = None,
    value: float | None = 0.31,
) -> Finding:
    """A breach of this severity; of 0, none."""
    breach = severity > 0
    return Finding(
        kind,
        subject,
        what,
        value,
        "psi <= 0.2",
        breach if over is None else over,
        9.0,
        breach if alarm is None else alarm,
        1000.0,
        f"{subject} has moved: {what} {value}",
        severity=severity,
    )


def quiet(subject: str = "dep_delay") -> Finding:
    return finding(subject, 0, value=0.05)


def walk(*looks: tuple[float, list[Finding]], version: str = "4") -> tuple[tuple[Incident, ...], list[IncidentEvent]]:
    """Incidents that are open after these looks, and all that was told."""
    open_: tuple[Incident, ...] = ()
    told: list[IncidentEvent] = []
    for at, found in looks:
        after, events = step(open_, found, at, recovered=RECOVERED, model="m", version=version)
        open_ = tuple(one for one in after if one.resolved is None)
        told += events
    return open_, told


def test_a_breach_opens_an_incident_once() -> None:
    open_, told = walk((HOUR, [finding()]), (2 * HOUR, [finding()]), (3 * HOUR, [finding()]))
    assert [(one.what, one.at) for one in told] == [("opened", HOUR)]
    [incident] = open_
    assert (incident.opened, incident.since, incident.worst, incident.quiet) == (HOUR, 1000.0, 1, None)
    assert incident.sentence == "dep_delay has moved: psi 0.31"


def test_alarm_without_excess_and_excess_without_alarm_are_none() -> None:
    assert walk((HOUR, [finding(severity=0, alarm=True), finding("other", 0, over=True)])) == ((), [])


def test_the_gravest_of_several_figures_speaks_for_a_subject() -> None:
    _, [event] = walk((HOUR, [finding(), finding(severity=3, what="missing"), finding(severity=2, what="unseen")]))
    assert (event.incident.worst, event.incident.sentence) == (3, "dep_delay has moved: missing 0.31")


def test_it_worsens_upwards_only() -> None:
    grades = [1, 2, 2, 1, 2, 4, 3, 4]
    _, told = walk(*((hour * HOUR, [finding(severity=grade)]) for hour, grade in enumerate(grades, 1)))
    assert [(one.what, one.incident.worst) for one in told] == [("opened", 1), ("worsened", 2), ("worsened", 4)]
    assert len({event_id(one) for one in told}) == 3


def test_it_is_resolved_when_all_was_within_limits_for_so_long() -> None:
    looks = [(hour * HOUR, [finding() if hour == 1 else quiet()]) for hour in range(1, 80)]
    open_, told = walk(*looks)
    assert open_ == ()
    assert [(one.what, one.at) for one in told] == [("opened", HOUR), ("resolved", 2 * HOUR + RECOVERED)]
    assert told[1].incident.sentence == "dep_delay: within limits since 1970-01-01 02:00 UTC"


def test_one_look_beyond_the_limit_begins_that_time_anew() -> None:
    beyond = finding(severity=0, over=True)
    looks = [(hour * HOUR, [finding() if hour == 1 else beyond if hour == 40 else quiet()]) for hour in range(1, 150)]
    _, told = walk(*looks)
    assert [(one.what, one.at) for one in told] == [("opened", HOUR), ("resolved", 41 * HOUR + RECOVERED)]


def test_no_data_is_no_recovery() -> None:
    unknown = [finding(severity=0, value=None)]
    open_, told = walk((HOUR, [finding()]), *((hour * DAY, unknown) for hour in range(1, 30)), (31 * DAY, []))
    assert [one.what for one in told] == ["opened"]
    assert open_[0].quiet is None


def test_a_gap_after_good_news_waits_for_more_good_news() -> None:
    _, told = walk((HOUR, [finding()]), (2 * HOUR, [quiet()]), (9 * DAY, []), (10 * DAY, [quiet()]))
    assert [(one.what, one.at) for one in told] == [("opened", HOUR), ("resolved", 10 * DAY)]


def test_a_new_version_ends_what_was_said_of_the_old_one() -> None:
    open_, _ = walk((HOUR, [finding(), finding("origin")]))
    after, told = step(open_, [finding()], 2 * HOUR, recovered=RECOVERED, model="m", version="5")
    assert [(one.what, one.incident.version) for one in told] == [("resolved", "4"), ("resolved", "4"), ("opened", "5")]
    assert "version 4 serves no more, version 5 does" in told[0].incident.sentence
    assert len({one.id for one in after}) == 3


def test_what_the_policy_no_longer_judges_is_over() -> None:
    open_, _ = walk((HOUR, [finding(), finding("origin")]))
    after, told = step(
        open_, [], 2 * HOUR, recovered=RECOVERED, model="m", version="4", dropped={("features", "origin")}
    )
    assert [(one.what, one.incident.subject) for one in told] == [("resolved", "origin")]
    assert sum(one.resolved is None for one in after) == 1


def test_a_second_incident_of_a_subject_is_another_one() -> None:
    looks = [(hour * HOUR, [finding() if hour in (1, 100) else quiet()]) for hour in range(1, 101)]
    open_, told = walk(*looks)
    assert [one.what for one in told] == ["opened", "resolved", "opened"]
    assert open_[0].id != told[0].incident.id


@pytest.mark.parametrize("change", [{"kind": "predictions"}, {"subject": "origin"}])
def test_ids_are_of_model_version_kind_subject_and_time(change: dict[str, str]) -> None:
    _, [one] = walk((HOUR, [finding()]))
    _, [same] = walk((HOUR, [finding(severity=2)]))
    _, [other] = walk((HOUR, [replace(finding(), **change)]))  # type: ignore[arg-type]  # a kind, or a subject
    _, [newer] = walk((HOUR, [finding()]), version="5")
    assert one.incident.id == same.incident.id
    assert len({one.incident.id, other.incident.id, newer.incident.id}) == 3


SUBJECTS = ("a", "b", "c")
LOOKS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(SUBJECTS), st.sampled_from(["quiet", "unknown", "over", "1", "2", "3"])),
        st.sampled_from(["4", "4", "4", "4", "5"]),
        st.floats(0.1 * HOUR, 2 * DAY),
    ),
    max_size=40,
)
STATES: dict[str, Callable[[str], Finding]] = {
    "quiet": quiet,
    "unknown": lambda name: finding(name, 0, value=None),
    "over": lambda name: finding(name, 0, over=True),
}


def found(state: str, subject: str) -> Finding:
    return STATES[state](subject) if state in STATES else finding(subject, int(state))


@given(LOOKS)
def test_whatever_is_found(looks: list[tuple[dict[str, str], str, float]]) -> None:
    """At most one open incident a subject; each breach is in one; each life is told in order, each event once."""
    open_: tuple[Incident, ...] = ()
    told: list[IncidentEvent] = []
    at = 0.0
    for states, version, pause in looks:
        at += pause
        findings = [found(state, subject) for subject, state in states.items()]
        after, events = step(open_, findings, at, recovered=RECOVERED, model="m", version=version)
        again = step(
            tuple(documents.incident(documents.of(one)) for one in open_),
            findings,
            at,
            recovered=RECOVERED,
            model="m",
            version=version,
        )
        assert again == (after, events), "the same, also from what was kept"
        assert {one.id for one in open_} <= {one.id for one in after}, "none is lost"
        open_ = tuple(one for one in after if one.resolved is None)
        told += events
        assert len({(one.kind, one.subject) for one in open_}) == len(open_)
        assert {one.subject for one in findings if one.breach} <= {one.subject for one in open_}
        assert all(one.version == version for one in open_)
        for event in events:
            if event.what == "resolved" and event.incident.version == version:
                incident = event.incident
                assert incident.quiet is not None
                assert at - incident.quiet >= RECOVERED
    ids = [event_id(event) for event in told]
    assert len(set(ids)) == len(ids), "each once"
    lives: dict[str, list[IncidentEvent]] = {}
    for event in told:
        lives.setdefault(event.incident.id, []).append(event)
    for id_, life in lives.items():
        words = [event.what for event in life]
        assert words[0] == "opened"
        assert "opened" not in words[1:]
        assert words.count("resolved") == (0 if id_ in {one.id for one in open_} else 1)
        assert "resolved" not in words[:-1]
        grades = [event.incident.worst for event in life if event.what != "resolved"]
        assert grades == sorted(set(grades))
