"""A checklist as JUnit XML, as GitHub's and GitLab's test reports, Jenkins and editors read it.

A suite is a gate (or a file, or a step), a case is a rule. There is no word for inconclusive in JUnit: it is an `error`
of type `inconclusive`, for a case that could not be decided must not look passed, and has not failed either.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count
from xml.etree import ElementTree as ET

from mlship.report.checklist import Check, Checklist, complete
from mlship.report.plain import one_line, plain
from mlship.types import Status

_ELEMENTS = {Status.FAILED: "failure", Status.ERROR: "error", Status.INCONCLUSIVE: "error", Status.SKIPPED: "skipped"}
_COUNTED = {"failure": "failures", "error": "errors", "skipped": "skipped"}


def render(checklist: Checklist) -> str:
    """The whole document; readable back by any XML parser, whatever the texts are."""
    checks = complete(checklist)
    groups: dict[str, list[Check]] = {}
    for check in checks:
        groups.setdefault(one_line(check.group), []).append(check)
    root = ET.Element("testsuites", {"name": one_line(f"mlship {checklist.command}"), **_totals(checks)})
    root.set("time", f"{checklist.seconds:.3f}")
    for name, members in groups.items():
        root.append(_suite(name, members, checklist))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False).join(['<?xml version="1.0"?>\n', "\n"])


def _totals(checks: Iterable[Check]) -> dict[str, str]:
    totals = {"tests": 0, **dict.fromkeys(_COUNTED.values(), 0)}
    for check in checks:
        totals["tests"] += 1
        if element := _ELEMENTS.get(check.status):
            totals[_COUNTED[element]] += 1
    return {name: str(value) for name, value in totals.items()}


def _suite(name: str, checks: list[Check], checklist: Checklist) -> ET.Element:
    suite = ET.Element("testsuite", {"name": name, **_totals(checks)})
    suite.set("time", f"{sum(check.seconds for check in checks):.3f}")
    if checklist.started:
        began = datetime.fromtimestamp(checklist.started, UTC)
        suite.set("timestamp", began.replace(tzinfo=None).isoformat(timespec="seconds"))
    _properties(suite, [("title", checklist.title), ("summary", checklist.summary), *checklist.properties])
    names: dict[str, int] = {}
    for check in checks:
        suite.append(_case(_unique(one_line(check.name), names), name, check, checklist))
    return suite


def _unique(name: str, names: dict[str, int]) -> str:
    """GitLab shows one of those cases of a suite that have the same name."""
    if name not in names:
        names[name] = 1
        return name
    free = next(text for nth in count(2) if (text := f"{name} ({nth})") not in names)
    names[free] = 1
    return free


def _case(name: str, group: str, check: Check, checklist: Checklist) -> ET.Element:
    case = ET.Element("testcase", {"name": name, "classname": group, "time": f"{check.seconds:.3f}"})
    if file := check.file or checklist.file:
        case.set("file", one_line(file))
        if check.line:
            case.set("line", str(check.line))
    _properties(case, [("limit", check.limit), ("measured", check.measured)])
    text = plain(f"{check.reason}\nnext: {check.hint}" if check.hint else check.reason)
    element = _ELEMENTS.get(check.status)
    if element is None:
        ET.SubElement(case, "system-out").text = f"warning: {text}" if check.warning else text
        return case
    said = ET.SubElement(case, element, {"message": one_line(check.reason)})
    if element != "skipped":
        said.set("type", str(check.status))
        said.text = text
    return case


def _properties(parent: ET.Element, pairs: Iterable[tuple[str, str]]) -> None:
    told = [(one_line(name), one_line(value)) for name, value in pairs if value]
    if told:
        section = ET.SubElement(parent, "properties")
        for name, value in told:
            ET.SubElement(section, "property", {"name": name, "value": value})
