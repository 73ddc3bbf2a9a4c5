"""A checklist as SARIF 2.1.0 (OASIS), for code scanning: what was found wrong, at its place in the policy.

Only findings are results: code scanning shows every result as an alert, also one of kind `pass`. What passed is among
the rules. An inconclusive rule is a `warning`, for it stops a promotion as well.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from mlship.report.checklist import Check, Checklist, complete, fingerprints
from mlship.report.plain import one_line, plain
from mlship.types import Status

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Status.FAILED: "error", Status.ERROR: "error", Status.INCONCLUSIVE: "warning"}


def render(checklist: Checklist) -> str:
    """The whole document."""
    checks = complete(checklist)
    names = [rule_id(checklist, check) for check in checks]
    rules = list(dict.fromkeys(names))
    described = dict(zip(reversed(names), reversed(checks), strict=True))
    prints = fingerprints(checklist, checks)
    results = [
        _result(check, checklist, {"ruleId": name, "ruleIndex": rules.index(name), "level": level}, print_)
        for check, name, print_ in zip(checks, names, prints, strict=True)
        if (level := _level(check))
    ]
    driver = {
        "name": "mlship",
        "semanticVersion": _version(),
        "rules": [_rule(name, described[name], checklist) for name in rules],
    }
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"mlship/{_id(checklist.command)}/"},
        "invocations": [_invocation(checklist)],
        "columnKind": "unicodeCodePoints",
        "results": results,
        "properties": {plain(name): plain(value) for name, value in checklist.properties}
        | {"title": plain(checklist.title), "status": str(checklist.status), "summary": plain(checklist.summary)},
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def rule_id(checklist: Checklist, check: Check) -> str:
    """What kind of finding it is, the same in every run: `evaluate/metrics/recall-min`, `validate/fault`."""
    parts = [check.kind] if check.kind else [check.group, check.name]
    return "/".join(_id(part) for part in (checklist.command, *parts))


def _id(text: str) -> str:
    return "-".join(one_line(text).replace("/", "-").split()) or "-"


def _version() -> str:
    from importlib.metadata import version

    return version("mlship")


def _level(check: Check) -> str:
    return _LEVELS.get(check.status, "note" if check.warning and check.status is Status.PASSED else "")


def _rule(name: str, check: Check, checklist: Checklist) -> dict[str, Any]:
    if check.kind:
        text = f"{check.kind} that `mlship {checklist.command}` tells"
    else:
        text = f"{check.group} {check.name}" + (f" {check.limit}" if check.limit else "")
    return {
        "id": name,
        "shortDescription": {"text": one_line(text) or name},
        "defaultConfiguration": {"level": _level(check) or "error"},
        "properties": {"tags": ["mlship", _id(checklist.command)]},
    }


def _result(check: Check, checklist: Checklist, named: dict[str, Any], print_: str) -> dict[str, Any]:
    text = plain(f"{check.reason}\nnext: {check.hint}" if check.hint else check.reason)
    found: dict[str, Any] = {
        **named,
        "message": {"text": text or str(check.status)},
        "partialFingerprints": {"mlship/v1": print_, "primaryLocationLineHash": f"{print_[:16]}:1"},
        "properties": {
            name: plain(value)
            for name, value in (("status", check.status), ("limit", check.limit), ("measured", check.measured))
            if value
        },
    }
    if file := plain(check.file or checklist.file):
        place: dict[str, Any] = {"artifactLocation": {"uri": quote(file.replace("\\", "/"), safe="/~")}}
        region = {"startLine": max(1, check.line)}
        if check.line and check.column:
            region["startColumn"] = check.column
        found["locations"] = [{"physicalLocation": place | {"region": region}}]
    return found


def _invocation(checklist: Checklist) -> dict[str, Any]:
    """The run itself was successful when it came to a verdict, whatever that is."""
    told: dict[str, Any] = {"executionSuccessful": checklist.status is not Status.ERROR}
    if checklist.started:
        for name, at in (("startTimeUtc", checklist.started), ("endTimeUtc", checklist.started + checklist.seconds)):
            told[name] = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return told
