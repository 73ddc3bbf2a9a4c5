"""A checklist as GitLab's report artifacts: code quality, metrics, and load performance.

Forms: docs.gitlab.com, "Code quality report format", "Metrics reports" and "Load performance testing".
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from mlship.report.checklist import Check, Checklist, Figure, complete, fingerprints
from mlship.report.plain import one_line
from mlship.report.sarif import rule_id
from mlship.types import Status

_SEVERITIES = {Status.FAILED: "critical", Status.ERROR: "major", Status.INCONCLUSIVE: "minor"}


def code_quality(checklist: Checklist) -> str:
    """The findings as a list of issues; an empty one when there are none."""
    checks = complete(checklist)
    issues = [
        {
            "description": one_line(_said(check)),
            "check_name": rule_id(checklist, check),
            "fingerprint": print_,
            "severity": severity,
            "location": {
                # Without a file there is no issue for GitLab: the repository's root stands for it.
                "path": one_line(check.file or checklist.file).removeprefix("./") or ".",
                "lines": {"begin": max(1, check.line)},
            },
        }
        for check, print_ in zip(checks, fingerprints(checklist, checks), strict=True)
        if (severity := _SEVERITIES.get(check.status, "info" if _warned(check) else ""))
    ]
    return json.dumps(issues, indent=2) + "\n"


def _warned(check: Check) -> bool:
    return check.warning and check.status is Status.PASSED


def _said(check: Check) -> str:
    name = "" if check.kind else f"{check.group} {check.name}: "
    return f"{name}{check.reason}" + (f" (next: {check.hint})" if check.hint else "")


def metrics(checklist: Checklist) -> str:
    """OpenMetrics text: the checks by status, and every figure that is finite."""
    checks = complete(checklist)
    counts = [
        Figure("mlship_checks", sum(check.status is status for check in checks), (("status", str(status)),))
        for status in Status
    ]
    families: dict[str, dict[str, float]] = {}
    for figure in [*counts, *checklist.figures]:
        if math.isfinite(figure.value):
            name = _name(figure.name)
            families.setdefault(name, {}).setdefault(f"{name}{_labels(figure)}", float(figure.value))
    lines = []
    for family, samples in families.items():
        lines += [f"# TYPE {family} gauge", *(f"{sample} {_number(value)}" for sample, value in samples.items())]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _name(text: str) -> str:
    name = re.sub(r"[^a-zA-Z0-9_]", "_", text)
    return name if re.match(r"[a-zA-Z_]", name) else f"_{name}"


def _labels(figure: Figure) -> str:
    """Each label once; its value on one line, between quotes that it cannot end."""
    told = {_name(name): one_line(value).replace("\\", "\\\\").replace('"', '\\"') for name, value in figure.labels}
    return "{" + ",".join(f'{name}="{value}"' for name, value in told.items()) + "}" if told else ""


def load_performance(checklist: Checklist) -> str:
    """A summary in k6's form, of which GitLab's widget reads checks, the quantiles 90 and 95, and the rate.

    Times are milliseconds from a request's intended time to its last byte, which is what the budget judges; k6's own
    are times to the first byte, and never longer. What was not measured is left out; the document of a command that
    sends no load has no metrics, and GitLab shows nothing for it.
    """
    found: dict[str, Any] = {}
    figures = {(figure.name, *sorted(figure.labels)): figure.value for figure in checklist.figures}
    arm = ("arm", "candidate")
    requests = figures.get(("mlship_load_requests", arm))
    rate = figures.get(("mlship_load_requests_per_second", arm))
    failed = figures.get(("mlship_load_failed_share", arm))
    if requests and failed is not None:
        fails = round(failed * requests)
        found["checks"] = {"passes": round(requests) - fails, "fails": fails, "value": 1 - failed}
    if requests and rate is not None:
        found["http_reqs"] = {"count": round(requests), "rate": rate}
    quantiles = {
        f"p({100 * share:g})": 1000 * value
        for share in (0.5, 0.9, 0.95, 0.99)
        if (value := figures.get(("mlship_load_seconds", arm, ("quantile", f"{share:g}")))) is not None
    }
    if {"p(90)", "p(95)"} <= quantiles.keys():
        found["http_req_waiting"] = quantiles
    return json.dumps({"metrics": found}, indent=2) + "\n"
