"""`mlship policy test` as a person or a CI step runs it: files, formats, exit codes, a file to begin with."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mlship.cli.main import main
from tests.schemas import conforms

POLICY = """version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com}
data: {evaluation: {path: july.csv, target: late}, reference: {path: may.csv}}
gates:
  contract: {max_missing: 1%, columns: {"dep delay": {min: 0}}}
  metrics: {recall: {min: 0.6, max_drop: 0.01}, brier_score: {max: 0.2}}
  slices: {by: [origin], metric: recall, min: 0.45, max_gap: 0.25}
  fairness: {by: [origin], min_ratio: 0.8}
  value: {payoff: {tp: 12, fp: -3, fn: -40, tn: 0}, min: -100}
  robustness: {max_flipped: 5%}
  drift: {features: {psi: 0.2}}
  skew: {offline: a.csv, online: b.csv, key: [id]}
  leakage: {}
  agreement: {max_changed: 5%}
  latency: {rate: 100/s, p99: 200ms, max_ratio: 1.3x, cold_start: 20s, memory: 600MB}
image: {max_size: 700MB}
rollout:
  steps: [{weight: 10%, bake: {requests: 500}}]
notify: ["${PAGER_OF_NOBODY}"]
"""
TESTS = """policy: mlship.yaml
tests:
  - name: a candidate that finds too few
    given: {metrics: {recall min: 0.5}}
    expect: {verdict: failed, metrics: {recall min: failed}}
  - name: what was not measured does not pass
    expect: {verdict: inconclusive}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlship.yaml").write_text(POLICY)
    (tmp_path / "mlship.test.yaml").write_text(TESTS)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["mlship", "policy", "test", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_every_test_is_named_also_those_that_pass(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 0
    assert capsys.readouterr().out == (
        "+ mlship.test.yaml:3: a candidate that finds too few\n"
        "+ mlship.test.yaml:6: what was not measured does not pass\n"
        "policy tests: 2 as expected\n"
    )


def test_a_looser_policy_is_caught_with_the_judges_reason(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mlship.yaml").write_text(POLICY.replace("min: 0.6,", "min: 0.4,"))
    assert run(monkeypatch, "--report", "junit=junit.xml") == 1
    out = capsys.readouterr().out
    assert "x mlship.test.yaml:3: a candidate that finds too few\n" in out
    assert (
        "    metrics recall min: expected failed, is passed (recall is 0.5, within the limit 0.4 (1,000 rows))\n" in out
    )
    assert out.endswith("policy tests: 1 as expected, 1 not\n")
    suite = ElementTree.parse(here / "junit.xml").getroot()
    assert (len(suite.findall(".//testcase")), len(suite.findall(".//failure"))) == (2, 1)
    assert run(monkeypatch, "--format", "github") == 1
    assert capsys.readouterr().out.startswith("::error file=mlship.test.yaml,line=3,col=")


def test_the_json_document_tells_every_rule(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--format", "json") == 0
    document = conforms("policy-test", capsys.readouterr().out)
    first = document["files"][0]["tests"][0]
    assert (document["passed"], first["passed"], first["verdict"]) == (True, True, "failed")
    (recall,) = [one for one in first["results"] if one["rule"] == "recall min" and one["gate"] == "metrics"]
    assert (recall["status"], recall["limit"]) == ("failed", ">= 0.6")


def test_a_name_is_only_text_in_a_comment(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is mentioned, and nothing becomes markup."""
    tests = (here / "mlship.test.yaml").read_text()
    (here / "mlship.test.yaml").write_text(tests.replace("a candidate that finds too few", '"<b>@ops *all*"'))
    assert run(monkeypatch, "--format", "markdown") == 0
    out = capsys.readouterr().out
    assert "- as expected: \\<b>@\u200bops \\*all\\*\n" in out


def test_a_name_is_one_line_of_the_text(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither it nor the name of a file begins a line, where a pipeline would take it for a command."""
    tests = TESTS.replace("a candidate that finds too few", r'"a\n::error::b\e[31mc\u202Ed"')
    (here / "mlship.test.yaml").write_text(tests)
    (here / "b\n::error::`.test.yaml").write_text("policy: mlship.yaml\n")
    assert run(monkeypatch) == 2
    out = capsys.readouterr().out
    assert "+ mlship.test.yaml:3: a ::error::b\ufffd[31mc\ufffdd\n" in out
    assert "b ::error::`.test.yaml:1:" in out
    assert "\n::error" not in out
    assert run(monkeypatch, "--format", "markdown") == 2
    assert "``b ::error::`.test.yaml``\n" in capsys.readouterr().out


def test_the_draft_for_any_policy_passes_and_names_every_rule(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--draft", "mlship.yaml") == 0
    draft = capsys.readouterr().out
    assert '"dep delay range": {value: 0%' in draft or "dep delay range: {value: 0%" in draft
    assert "memory: {value: 600MB, low: 600MB, high: 600MB}" in draft
    (here / "draft.test.yaml").write_text(draft)
    code = run(monkeypatch, "draft.test.yaml")
    assert code == 0, capsys.readouterr().out


def test_a_file_that_is_not_valid_does_not_keep_the_others_from_being_run(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "bad.test.yaml").write_text(TESTS.replace("recall min: 0.5", "recal min: 0.5"))
    assert run(monkeypatch) == 2
    out = capsys.readouterr().out
    assert "bad.test.yaml:4:23: the policy has no rule 'recal min' of the gate 'metrics'" in out
    assert "^ did you mean 'recall min'?" in out
    assert "+ mlship.test.yaml:3: a candidate that finds too few" in out
    assert out.endswith("policy tests: 3 as expected, 1 fault in the files\n")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("policy: mlship.yaml", "policy: other.yaml"), "mlship.test.yaml:1:9: the policy cannot be used: other.yaml"),
        (("policy: mlship.yaml", "policy: bad.yaml"), "bad.yaml:5:1: unknown key 'gate'"),
        (("tests:", "test:"), "mlship.test.yaml:2:1: unknown key 'test'"),
    ],
)
def test_a_file_without_a_policy_or_tests_ends_with_two(
    here: Path,
    change: tuple[str, str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (here / "bad.yaml").write_text(POLICY.replace("gates:", "gate:"))
    (here / "mlship.test.yaml").write_text(TESTS.replace(*change))
    assert run(monkeypatch) == 2
    assert told in capsys.readouterr().out


def test_no_tests_at_all_are_no_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch) == 2
    said = capsys.readouterr().err
    assert "there is no *.test.yaml in this directory" in said
    assert "mlship policy test --draft mlship.yaml" in said
    assert run(monkeypatch, "nowhere.test.yaml") == 2


def test_the_reference_page_shows_what_its_example_says(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "policy-test.md").read_text(encoding="utf-8")
    policy, tests = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    expected, failed = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    (here / "mlship.yaml").write_text(policy)
    (here / "mlship.test.yaml").write_text(tests)
    assert run(monkeypatch) == 0
    assert capsys.readouterr().out == expected
    (here / "mlship.yaml").write_text(policy.replace("min: 0.6", "min: 0.5"))
    assert run(monkeypatch) == 1
    assert failed in capsys.readouterr().out
