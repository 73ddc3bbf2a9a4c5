"""SARIF: findings at their place, with names that stay the same from run to run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
from hypothesis import given, settings

from mlship.report import sarif
from mlship.report.checklist import Check, Checklist, complete
from mlship.types import Status
from tests.report.checks import LIST, checklists
from tests.report.sarif_schema import SCHEMA


def _run(checklist: Checklist) -> dict[str, Any]:
    document = json.loads(sarif.render(checklist))
    jsonschema.validate(document, SCHEMA)
    run: dict[str, Any] = document["runs"][0]
    return run


def test_a_finding_is_a_result_at_its_place() -> None:
    """What passed or was skipped is no result: code scanning would show it as an alert."""
    run = _run(LIST)
    found = [(result["ruleId"], result["level"]) for result in run["results"]]
    assert found == [
        ("evaluate/metrics/recall-min", "warning"),
        ("evaluate/leakage/unavailable", "error"),
        ("evaluate/metrics/r2-min", "error"),
        ("evaluate/warning", "note"),
    ]
    place = run["results"][1]["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "policies/mlship.yaml"},
        "region": {"startLine": 9, "startColumn": 3},
    }
    assert run["results"][1]["message"]["text"] == "takes arr_time as input\nnext: train without it"
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert "evaluate/contract/max_missing" in rules
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    assert run["invocations"] == [
        {
            "executionSuccessful": True,
            "startTimeUtc": "2025-11-21T01:53:20.500Z",
            "endTimeUtc": "2025-11-21T01:53:23.710Z",
        }
    ]


def test_fingerprints_stay_when_figures_lines_and_neighbours_change() -> None:
    """And are another for another rule, file or command, or the second fault of the same words."""

    def prints(checklist: Checklist) -> list[str]:
        return [result["partialFingerprints"]["mlship/v1"] for result in _run(checklist)["results"]]

    before = prints(LIST)
    moved = tuple(replace(check, line=check.line + 7, measured="1", seconds=3) for check in LIST.checks)
    moved = tuple(check if check.kind else replace(check, reason=f"{check.reason} now") for check in moved)
    assert prints(replace(LIST, checks=moved, started=1.0)) == before
    assert prints(replace(LIST, checks=LIST.checks[::-1])) == before[::-1]
    assert len(set(before)) == len(before)
    assert not set(prints(replace(LIST, command="latency"))) & set(before)
    assert not set(prints(replace(LIST, file="other.yaml"))) & set(before)
    fault = Check("a.yaml", "1:1", Status.FAILED, "unknown key", kind="fault")
    twins = prints(replace(LIST, checks=(fault, replace(fault, name="9:1"), replace(fault, reason="no key"))))
    assert len(set(twins)) == 3
    assert prints(replace(LIST, checks=(replace(fault, name="5:5", line=5),)))[0] == twins[0]


@settings(max_examples=40)
@given(checklists())
def test_any_text_gives_a_valid_document(checklist: Checklist) -> None:
    """With a result for each check that did not pass."""
    run = _run(checklist)
    bad = [check for check in complete(checklist) if check.status not in (Status.PASSED, Status.SKIPPED)]
    assert len([result for result in run["results"] if result["level"] != "note"]) == len(bad)
