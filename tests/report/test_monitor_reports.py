"""A pass of the monitor in every format: the verdict first, nothing left out, no name becomes markup."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlship.report import monitor_json, monitor_page, monitor_text
from mlship.report import monitor_words as words
from mlship.report.monitor_seen import Seen, Share
from mlship.types import Status
from tests.report import monitored
from tests.report.test_html import Page
from tests.schemas import conforms

CASES = {
    "breach": (monitored.BREACH, Status.FAILED, "BREACH"),
    "within": (monitored.WITHIN, Status.PASSED, "WITHIN LIMITS"),
    "dead": (monitored.DEAD, Status.ERROR, "COULD NOT ASK"),
    "empty": (monitored.EMPTY, Status.INCONCLUSIVE, "NOTHING JUDGED"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_stands_first_in_every_format(name: str) -> None:
    seen, status, word = CASES[name]
    assert seen.status is status
    assert monitor_text.text(seen).startswith(f"{word}  flight-delay 3: ")
    assert monitor_text.markdown(seen).splitlines()[0].endswith(f"flight-delay 3: {word.lower()}")
    assert conforms("monitor", monitor_json.document(seen))["status"] == str(status)
    page = Page(monitor_page.render(seen))
    assert word.lower() in page.said
    assert monitor_text.checklist(seen).status is status


@pytest.mark.parametrize("name", CASES)
def test_the_page_is_whole_and_needs_nothing_else(name: str) -> None:
    text = monitor_page.render(CASES[name][0])
    page = Page(text)
    ids = [str(attributes["id"]) for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert not {"script", "link", "iframe", "img", "base", "form"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not [each for each in attributes if each.startswith("on") or each in ("src", "style")], tag
        if tag == "a":
            assert str(attributes["href"]).removeprefix("#") in ids
    assert """content="default-src 'none'; style-src 'unsafe-inline'\"""" in text


def test_a_breach_says_since_when_what_how_much_and_which_requests() -> None:
    for said in (monitor_text.text(monitored.BREACH), Page(monitor_page.render(monitored.BREACH)).said):
        for part in (
            "since about 3 September 2026, 06:00 UTC",
            "17 to 20 h were 22% of the rows, and are 35%",
            "dep_hour=19, origin=JFK, dest=LAX",
            "severity 2",
        ):
            assert part in said, part


def test_trouble_is_told_as_such_and_is_no_drift() -> None:
    said = monitor_text.text(monitored.DEAD)
    assert "! registry: the registry does not answer (connection refused)" in said
    assert "this is no drift" in said
    checks = monitor_text.checklist(monitored.DEAD).checks
    assert [(one.name, one.status) for one in checks if one.group == "trouble"] == [
        ("registry", Status.ERROR),
        ("labels", Status.ERROR),
    ]
    assert not [one for one in checks if one.status is Status.FAILED]
    both = replace(monitored.BREACH, troubles=monitored.TROUBLES)
    assert both.status is Status.FAILED
    assert "could not be asked: registry and labels" in words.summary(both)


def test_an_open_incident_fails_a_pass_that_found_nothing() -> None:
    quiet = replace(monitored.WITHIN, incidents=monitored.INCIDENTS[:1])
    assert quiet.status is Status.FAILED
    [check] = [one for one in monitor_text.checklist(quiet).checks if one.status is Status.FAILED]
    assert check.name == "predictions incident"


@pytest.mark.parametrize(
    ("limit", "bound"),
    [
        ("psi <= 0.2", 0.2),
        (">= 0.6", 0.6),
        ("missing <= 5%", 0.05),
        (">= 1,200", 1200.0),
        ("age <= 90 d", 90.0),
        ("", None),
    ],
)
def test_the_number_of_a_limit_is_read(limit: str, bound: float | None) -> None:
    assert words.bound(limit) == bound


def test_what_a_dashboard_keeps_of_a_pass_is_its_last_weeks() -> None:
    found = monitor_json.traces(monitored.BREACH)
    assert found["drift"]["name"] == "PSI of predictions"
    assert found["drift"]["limit"] == 0.1
    assert len(found["drift"]["at"]) == len(found["drift"]["value"]) == 56
    assert (found["performance"]["name"], found["performance"]["limit"]) == ("recall", 0.6)
    assert monitor_json.traces(monitored.EMPTY) == {}


def test_no_name_becomes_markup() -> None:
    evil = '<script>alert(1)</script>"&\x07'
    column = replace(
        monitored.FEATURES[0], name=evil, sentence=evil, shares=(Share(evil, 0.5, 0.5), Share("b", 0.5, 0.5))
    )
    seen: Seen = replace(
        monitored.BREACH,
        model=evil,
        version=evil,
        policy=evil,
        findings=tuple(replace(one, subject=evil, sentence=evil) for one in monitored.FINDINGS),
        incidents=tuple(replace(one, subject=evil, sentence=evil, detail=evil) for one in monitored.INCIDENTS),
        features=(column,),
        figures=tuple(replace(one, name=evil, why_not=evil) for one in monitored.BREACH.figures),
        examples=tuple(replace(one, subject=evil, requests=(evil,)) for one in monitored.BREACH.examples),
        facts=((evil, evil),),
    )
    text = monitor_page.render(seen)
    assert "<script" not in text
    assert "\x07" not in text
    Page(text)
    assert "<script" not in monitor_text.markdown(seen).replace("\\<", "")
    conforms("monitor", monitor_json.document(seen))


def test_what_the_requests_say_is_not_said_twice() -> None:
    """In the pass that opens an incident its requests are listed; later they are what is kept with it."""
    seen = monitored.BREACH
    first = seen.examples[0]
    incidents = tuple(
        replace(one, detail=f"such as {'; '.join(first.requests)}") if one.subject == first.subject else one
        for one in monitored.INCIDENTS
    )
    opened = replace(seen, incidents=incidents)
    assert monitor_text.text(opened).count(first.requests[0]) == 1
    assert monitor_text.text(replace(opened, examples=())).count(first.requests[0]) == 1


def test_findings_without_a_value_are_no_pass() -> None:
    """Before the first window each limit has a finding that says so; what a clock alone tells is enough only alone."""
    unknown = tuple(
        replace(one, value=None, over=False, alarm=False) for one in monitored.FINDINGS if one.kind != "age"
    )
    clock = tuple(one for one in monitored.FINDINGS if one.kind == "age")
    assert replace(monitored.EMPTY, judged=0, findings=unknown).status is Status.INCONCLUSIVE
    assert replace(monitored.EMPTY, judged=0, findings=(*unknown, *clock)).status is Status.INCONCLUSIVE
    assert replace(monitored.EMPTY, judged=0, findings=clock).status is Status.PASSED
