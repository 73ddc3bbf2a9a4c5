"""JUnit XML: what a reader that knows nothing of mlship finds in it."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

from hypothesis import given, settings
from junitparser import Error, Failure, JUnitXml, Skipped

from mlship.report import junit
from mlship.report.checklist import Check, Checklist, complete
from mlship.types import Status
from tests.report.checks import LIST, checklists


def test_a_gate_is_a_suite_and_a_rule_a_case() -> None:
    """Each status as its reader's own; inconclusive is an error, so that nobody takes it for a pass."""
    xml = JUnitXml.fromstring(junit.render(LIST).encode())
    assert (xml.tests, xml.failures, xml.errors, xml.skipped) == (6, 1, 2, 1)
    assert [suite.name for suite in xml] == ["ownership", "contract", "metrics", "leakage", "mlship.yaml"]
    cases = {(case.classname, case.name): case for suite in xml for case in suite}
    assert [type(found) for found in cases["leakage", "unavailable"].result] == [Failure]
    failure = cases["leakage", "unavailable"].result[0]
    assert (failure.message, failure.type) == ("takes arr_time as input", "failed")
    assert failure.text == "takes arr_time as input\nnext: train without it"
    undecided = cases["metrics", "recall min"].result[0]
    assert (type(undecided), undecided.type) == (Error, "inconclusive")
    assert [type(found) for found in cases["ownership", "runbook"].result] == [Skipped]
    assert cases["ownership", "runbook"].result[0].message == "owner.runbook is not set"
    assert cases["contract", "max_missing"].result == []
    assert cases["contract", "max_missing"].system_out == "largest missing share is 0.12%"
    assert cases["mlship.yaml", "3:5"].system_out == "warning: steps overlap"


def test_suites_carry_ids_and_cases_their_limits() -> None:
    """What a reader may want to follow, in properties; the file and line of each case."""
    root = ET.fromstring(junit.render(LIST))
    suite = root.find("testsuite")
    assert suite is not None
    assert suite.get("timestamp") == "2025-11-21T01:53:20"
    told = {each.get("name"): each.get("value") for each in suite.iterfind("properties/property")}
    assert (told["model"], told["candidate_version"]) == ("flight-delay", "2")
    case = root.find(".//testcase[@name='recall min']")
    assert case is not None
    assert (case.get("file"), case.get("line")) == ("policies/mlship.yaml", "12")
    assert [(each.get("name"), each.get("value")) for each in case.iterfind("properties/property")] == [
        ("limit", ">= 0.6")
    ]


def test_a_verdict_that_no_check_tells_is_a_case_of_its_own() -> None:
    """A rollout that somebody has aborted has not passed, whatever its signals say."""
    aborted = replace(LIST, status=Status.INCONCLUSIVE, checks=LIST.checks[:2], summary="aborted by ann")
    xml = JUnitXml.fromstring(junit.render(aborted).encode())
    assert (xml.tests, xml.errors) == (3, 1)
    assert junit.render(replace(LIST, status=Status.FAILED, checks=())).count("<failure") == 1


def test_cases_of_one_name_stay_two() -> None:
    """GitLab shows one case a name."""
    twice = replace(LIST, checks=(*LIST.checks[2:3] * 2, replace(LIST.checks[2], name="recall min (2)")))
    names = [case.get("name") for case in ET.fromstring(junit.render(twice)).iter("testcase")]
    assert names[1:] == ["recall min", "recall min (2)", "recall min (2) (2)"]
    assert len(set(names)) == len(names)


@settings(max_examples=40)
@given(checklists())
def test_any_text_gives_a_document_that_can_be_read(checklist: Checklist) -> None:
    """The sums agree with the cases, and no case with a bad end is without its element."""
    text = junit.render(checklist)
    root = ET.fromstring(text.encode())
    cases = list(root.iter("testcase"))
    checks = complete(checklist)
    assert len(cases) == len(checks) == int(root.get("tests", "-1"))
    bad = sum(check.status in (Status.FAILED, Status.ERROR, Status.INCONCLUSIVE) for check in checks)
    assert bad == len(list(root.iter("failure"))) + len(list(root.iter("error")))
    assert bad == sum(int(suite.get(name, "0")) for suite in root for name in ("failures", "errors"))
    names = [(case.get("classname"), case.get("name")) for case in cases]
    assert len(set(names)) == len(names)
    JUnitXml.fromstring(text.encode())


def test_what_xml_cannot_hold_is_removed() -> None:
    """And all else is there when it is read back."""
    odd = Check("a", "b", Status.FAILED, "x\x00\x1b[31m]]>\ud800🛫\n\u05d0")
    root = ET.fromstring(junit.render(replace(LIST, checks=(odd,))))
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.text == "x[31m]]>🛫\n\u05d0"
