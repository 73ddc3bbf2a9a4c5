"""Every report says the verdict first, the worst rule first, and nothing that could be mistaken for markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from mlship.report import figures, render
from mlship.types import Candidate, Evaluation, GateResult, Measurement, ModelVersion, Status
from tests.report import support
from tests.report.support import nasty

CANDIDATE = Candidate(
    ModelVersion("flight-delay", "2", "sha256:2222", Path("/nowhere"), "run2"),
    ModelVersion("flight-delay", "1", "sha256:1111", Path("/nowhere")),
)
RESULTS = (
    GateResult("ownership", "runbook", Status.SKIPPED, "exists", "owner.runbook is not set"),
    GateResult(
        "contract",
        "max_missing",
        Status.PASSED,
        "<= 1%",
        "largest missing share is 0.12%",
        Measurement("largest missing share", 0.0012, n=28293),
    ),
    GateResult(
        "metrics",
        "recall min",
        Status.INCONCLUSIVE,
        ">= 0.6",
        "it needs about 4,000 rows",
        Measurement("recall", 0.62, 0.58, 0.66, 1000, "paired bootstrap"),
        Measurement("recall", 0.61, 0.57, 0.65, 1000, "paired bootstrap"),
    ),
    GateResult("leakage", "unavailable", Status.FAILED, "no such input", "takes `arr_time` | @team <b> as input"),
    GateResult("metrics", "r2 min", Status.ERROR, ">= 0", "needs numbers", Measurement("r2", float("nan"))),
)
EVALUATION = Evaluation(
    "01abc", CANDIDATE, "sha256:p", "sha256:d", RESULTS, 1763690000.5, 3.21, "run9", reference_digest="sha256:r"
)
PASSED = replace(EVALUATION, results=RESULTS[:2], run_id=None)

DOC = Path(__file__).parents[2] / "docs" / "reference" / "evaluation-json.md"


def _schema() -> dict[str, object]:
    found = re.search(r"```json schema\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    schema: dict[str, object] = json.loads(found[1])
    return schema


def test_the_text_begins_with_the_verdict_and_what_decided_it() -> None:
    """Then the rules, the worst first, with figures in the unit of their limit."""
    lines = str(render(EVALUATION, "text")).splitlines()
    assert lines[0] == ("FAILED  flight-delay 2 (champion 1): 1 of 4 rules failed, 1 skipped: leakage unavailable")
    rules = [line.split()[1] for line in lines if line[:1].isalpha() and "  " in line][2:]
    assert rules == ["unavailable", "r2", "recall", "max_missing", "runbook"]
    assert "? inconclusive  0.62 [0.58, 0.66]  >= 0.6" in str(render(EVALUATION, "text"))
    assert "✓ passed        0.12%" in str(render(EVALUATION, "text"))
    assert lines[-1] == "evaluation 01abc of flight-delay 2 (champion 1), 3.2 s; MLflow run run9"


def test_every_reason_is_in_every_report() -> None:
    """A verdict without its reason is no use."""
    for kind in ("text", "json", "markdown"):
        report = render(EVALUATION, kind)
        text = report if isinstance(report, str) else json.dumps(report)
        for result in RESULTS:
            assert result.reason.split()[-1] in text


def test_a_pass_says_how_many_rules_passed() -> None:
    """And what was skipped, in the same line."""
    assert str(render(PASSED, "text")).startswith("PASSED  flight-delay 2 (champion 1): all 1 rule passed, 1 skipped\n")


def test_an_evaluation_without_results_is_inconclusive() -> None:
    """No rule, no pass."""
    empty = replace(EVALUATION, results=())
    assert str(render(empty, "text")).startswith("INCONCLUSIVE  flight-delay 2 (champion 1): ")


@pytest.mark.parametrize(
    "evaluation",
    [EVALUATION, PASSED, replace(EVALUATION, candidate=replace(CANDIDATE, champion=None)), support.EVALUATION, nasty()],
)
def test_the_json_is_what_its_reference_page_says(evaluation: Evaluation) -> None:
    """The schema on the page accepts it and allows no field that is not described there."""
    document = render(evaluation, "json")
    jsonschema.validate(document, _schema())
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_the_reference_page_shows_a_document_that_is_valid() -> None:
    """The example on the page is accepted by the schema on the page."""
    found = re.search(r"```json\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    jsonschema.validate(json.loads(found[1]), _schema())


def test_markdown_cannot_be_broken_by_names() -> None:
    """Pipes, code, tags and mentions in a reason stay text; what passed is folded away."""
    report = str(render(EVALUATION, "markdown"))
    assert report.startswith("### ❌ flight-delay 2 (champion 1): failed\n")
    assert "takes \\`arr\\_time\\` \\| @\u200bteam \\<b> as input" in report
    assert report.count("<details>") == 1
    assert "2 rules passed or skipped" in report
    for line in report.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 9


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.763123, "0.763"),
        (0.5, "0.5"),
        (0, "0"),
        (12.345, "12.3"),
        (28293, "28,293"),
        (1e-7, "1.0e-07"),
        (-0.0123, "-0.0123"),
        (5e-4, "0.0005"),
        (None, "-"),
        (float("nan"), "-"),
    ],
)
def test_numbers_are_written_as_people_do(value: float | None, shown: str) -> None:
    """Three digits that matter."""
    assert figures.number(value) == shown


def test_a_small_share_is_not_zero() -> None:
    """One row in a million is not `0%`."""
    assert figures.share(1e-6) == "0.0001%"
    assert figures.share(0) == "0%"
