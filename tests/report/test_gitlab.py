"""GitLab's artifacts: code quality, OpenMetrics, and a load summary in k6's form."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings

from mlship.gates.latency import exhibits
from mlship.gates.latency.measured import Arm, Measured
from mlship.gates.latency.measured import Figure as Seen
from mlship.gates.latency.reading import curve
from mlship.load.histogram import encoded
from mlship.policy.gates import LatencyGate
from mlship.report import gitlab
from mlship.report.checklist import Checklist, Figure, complete, of_evaluation
from mlship.types import GateResult, Measurement, Status
from tests.report.checks import LIST, checklists
from tests.report.test_reports import EVALUATION

#: One sample: a name, labels with escaped values, a number.
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
_SAMPLE = re.compile(rf"[a-zA-Z_][a-zA-Z0-9_]*(\{{{_LABEL}(,{_LABEL})*\}})? -?[0-9.]+(e[+-]?[0-9]+)?")


def test_findings_are_issues() -> None:
    """With a place, a severity that GitLab knows, and a fingerprint each."""
    issues = json.loads(gitlab.code_quality(LIST))
    assert [(issue["check_name"], issue["severity"]) for issue in issues] == [
        ("evaluate/metrics/recall-min", "minor"),
        ("evaluate/leakage/unavailable", "critical"),
        ("evaluate/metrics/r2-min", "major"),
        ("evaluate/warning", "info"),
    ]
    assert issues[1]["location"] == {"path": "policies/mlship.yaml", "lines": {"begin": 9}}
    assert issues[1]["description"] == "leakage unavailable: takes arr_time as input (next: train without it)"
    assert json.loads(gitlab.code_quality(replace(LIST, status=Status.PASSED, checks=LIST.checks[:2]))) == []


@settings(max_examples=40)
@given(checklists())
def test_any_text_gives_issues_that_gitlab_reads(checklist: Checklist) -> None:
    """Every bad check is one, with a path, a line from 1 on and a fingerprint of its own."""
    issues = json.loads(gitlab.code_quality(checklist))
    bad = [check for check in complete(checklist) if check.status not in (Status.PASSED, Status.SKIPPED)]
    assert len([issue for issue in issues if issue["severity"] != "info"]) == len(bad)
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)
    for issue in issues:
        assert issue["location"]["path"]
        assert issue["location"]["lines"]["begin"] >= 1
        assert "\n" not in issue["description"]


def test_figures_are_openmetrics() -> None:
    """One family a name, typed; counts of checks by status; `# EOF` last."""
    assert gitlab.metrics(LIST).splitlines() == [
        "# TYPE mlship_checks gauge",
        'mlship_checks{status="passed"} 2',
        'mlship_checks{status="failed"} 1',
        'mlship_checks{status="inconclusive"} 1',
        'mlship_checks{status="error"} 1',
        'mlship_checks{status="skipped"} 1',
        "# TYPE mlship_measured gauge",
        'mlship_measured{gate="metrics",rule="recall min",arm="candidate"} 0.62',
        "# EOF",
    ]


@settings(max_examples=40)
@given(checklists())
def test_any_label_gives_lines_that_can_be_read(checklist: Checklist) -> None:
    """Each sample once, each line of the form that OpenMetrics has."""
    text = gitlab.metrics(checklist)
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""]
    samples = [line for line in lines[:-2] if not line.startswith("# TYPE ")]
    assert all(_SAMPLE.fullmatch(line) for line in samples), samples
    names = [line.rpartition(" ")[0] for line in samples]
    assert len(set(names)) == len(names)


def test_a_latency_budget_is_a_load_summary() -> None:
    """Quantiles in milliseconds as they were measured, the rate, and the share of good answers."""
    latency = encoded([0.010] * 900 + [0.020] * 60 + [0.080] * 40)
    arm = Arm("2", 1000, {}, {}, Seen(0.01), curve=curve(latency))
    section = LatencyGate.model_validate({"rate": "100/s", "for": "10s", "p99": "200ms"})
    drawn = exhibits.curves(section, Measured("process", arm))
    errors = Measurement("share of requests without a good answer", 0.01, n=1000)
    results = (
        GateResult("latency", "p99", Status.PASSED, "<= 200 ms", "", Measurement("p99", 80.0, n=1000), exhibits=drawn),
        GateResult("latency", "errors", Status.PASSED, "<= 2%", "", errors),
    )
    told = of_evaluation(replace(EVALUATION, results=results), command="latency", rate=100.0)
    found = json.loads(gitlab.load_performance(told))["metrics"]
    assert found["checks"] == {"passes": 990, "fails": 10, "value": 0.99}
    assert found["http_reqs"] == {"count": 1000, "rate": 100.0}
    waited = found["http_req_waiting"]
    assert waited["p(90)"] == pytest.approx(10, rel=0.01)
    assert waited["p(95)"] == pytest.approx(20, rel=0.01)
    assert waited["p(99)"] == pytest.approx(80, rel=0.01)


def test_a_command_without_load_has_an_empty_summary() -> None:
    """GitLab reads `metrics`, finds none of its own, and shows nothing."""
    assert json.loads(gitlab.load_performance(LIST)) == {"metrics": {}}
    half = replace(LIST, figures=(Figure("mlship_load_requests", 10, (("arm", "candidate"),)),))
    assert json.loads(gitlab.load_performance(half)) == {"metrics": {}}
