"""How results are told: formats, reports to files, colours, widths, and how much is said."""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from mlship.cli import common, failing, telling
from mlship.cli.main import main
from mlship.cli.telling import Format, Told, destinations, tell, write
from mlship.errors import UsageError
from mlship.report import render
from mlship.report.checklist import of_evaluation
from tests.cli import examples
from tests.report.checks import LIST
from tests.report.test_reports import EVALUATION, RESULTS

TOLD = Told(
    text=lambda: str(render(EVALUATION, "text")),
    document=lambda: render(EVALUATION, "json"),
    markdown=lambda: str(render(EVALUATION, "markdown")),
    checklist=lambda: of_evaluation(EVALUATION, policy="mlship.yaml"),
    html=lambda: str(render(EVALUATION, "html")),
    outputs={"candidate-version": "2"},
)


@pytest.fixture(autouse=True)
def _nothing_is_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is a command of its own, as wide as nobody says."""
    telling.begin()
    monkeypatch.delenv("COLUMNS", raising=False)


def test_a_link_is_written_through(tmp_path: Path) -> None:
    """The link stays a link; its target holds the report."""
    (tmp_path / "target.md").write_text("before")
    (tmp_path / "link.md").symlink_to(tmp_path / "target.md")
    write(TOLD, destinations([f"markdown={tmp_path / 'link.md'}"]))
    assert (tmp_path / "link.md").is_symlink()
    assert (tmp_path / "target.md").read_text().startswith("### ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.md", "target.md"]


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    """As a device would be: it is not replaced by a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write(TOLD, destinations([f"text={pipe}"]))
    reader.join(10)
    assert pipe.is_fifo()
    assert read[0].startswith("FAILED")


def test_a_report_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One clear error, no half-written file, and the result on stdout all the same."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    tell(TOLD, Format.TEXT, destinations([f"json={tmp_path / 'e.json'}"]))
    assert ["No space left" in trouble.what for trouble in telling.troubles()] == [True]
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out.startswith("FAILED")


def test_every_kind_can_be_written_at_once(tmp_path: Path) -> None:
    """Each is what its name says."""
    names = {kind: tmp_path / f"{kind}.out" for kind in telling.KINDS}
    write(TOLD, destinations([f"{kind}={path}" for kind, path in names.items()], load=True))
    begins = {kind: path.read_text().lstrip()[:20] for kind, path in names.items()}
    assert begins["html"].lower().startswith("<!doctype html")
    assert begins["junit"].startswith("<?xml")
    assert begins["gitlab-metrics"].startswith("# TYPE ")
    assert json.loads(names["sarif"].read_text())["version"] == "2.1.0"
    assert isinstance(json.loads(names["gitlab-codequality"].read_text()), list)
    assert json.loads(names["gitlab-performance"].read_text()) == {"metrics": {}}
    assert json.loads(names["json"].read_text())["evaluation_id"] == "01abc"
    assert telling.awaited() == {}


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("pdf=e.pdf", "not KIND=FILE"),
        ("html", "not KIND=FILE"),
        ("html=", "not KIND=FILE"),
        ("html=nowhere/e.html", "no directory nowhere"),
        ("json=.", "is a directory"),
        ("gitlab-performance=l.json", "sends no load"),
    ],
)
def test_a_wrong_report_is_refused_before_anything_is_done(wanted: str, says: str) -> None:
    """With what would be right."""
    with pytest.raises(UsageError, match=says) as refused:
        destinations([wanted])
    assert refused.value.hint


def test_one_file_holds_one_report() -> None:
    """And a command without a page says so."""
    with pytest.raises(UsageError, match="named for json already"):
        destinations(["json=e", "junit=e"])
    with pytest.raises(UsageError, match="has no page"):
        destinations(["html=e.html"], page=False)


def test_words_of_the_command_line_that_are_no_files_are_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a sentence that is too long for a name, or a word that no file has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mlship", "drill", "--reason", "No. " * 2000, "--note=a\0b", "json", "/dev/null"])
    assert set(destinations(["json=e.json", "text=json"])) == {Path("e.json"), Path("json")}
    with pytest.raises(UsageError, match="itself"):
        destinations(["json=/dev/null"])


@pytest.mark.parametrize(("runner", "line"), [("", "::error::own"), ("true", ": :error::own")])
def test_names_from_elsewhere_command_neither_terminal_nor_runner(
    runner: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither in an error nor in a result nor in a report; whatever they hold, the message's own lines stay."""
    monkeypatch.setenv("GITHUB_ACTIONS", runner)
    monkeypatch.setattr(sys, "argv", ["mlship", "status", "a/\x1b[2J\n::error::own\n  ::error::own\n##[error]own"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert said.startswith(f"mlship: a/\ufffd[2J\n{line}\n  {line}\n#{' ' * bool(runner)}#[error]own: a path or")
    assert "\n  next: " in said
    hostile = Told(lambda: "\x1b[2J\r\x9b\n::error::own\n", dict, lambda: "\x1b", lambda: LIST)
    tell(hostile, Format.TEXT, destinations([f"text={tmp_path / 't'}"]))
    assert capsys.readouterr().out == (tmp_path / "t").read_text() == f"\ufffd[2J\ufffd\ufffd\n{line}\n"


def test_github_gets_annotations_a_summary_and_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paths are named from the root of the workspace, wherever the step works."""
    step = tmp_path / "models" / "late"
    step.mkdir(parents=True)
    monkeypatch.chdir(step)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    tell(TOLD, Format.GITHUB, destinations(["html=report.html", "sarif=found.sarif"]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("::error file=models/late/mlship.yaml,title=mlship evaluate%3A leakage unavailable::")
    assert lines[3].startswith("::stop-commands::mlship-")
    assert lines[4].startswith("FAILED  flight-delay 2")
    assert (tmp_path / "summary.md").read_text().startswith("### ❌ flight-delay 2 (champion 1): failed")
    output = (tmp_path / "output").read_text()
    for name, value in {
        "verdict": "failed",
        "failed-gates": "leakage",
        "report-path": "report.html",
        "candidate-version": "2",
    }.items():
        assert f"{name}<<" in output
        assert f"\n{value}\n" in output
    found = json.loads((step / "found.sarif").read_text())["runs"][0]["results"][0]
    assert found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "models/late/mlship.yaml"


def test_a_failure_is_told_in_the_format_and_in_the_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A test report that is missing says less than one with an error in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setattr(sys, "argv", ["mlship", "evaluate", "mlship.yaml", "--format", "github"])
    destinations(["junit=junit.xml", "html=report.html"])
    failing.tell_failure("error", 3, "the registry is away", "start it")
    said = capsys.readouterr().out
    assert said.startswith("::error title=mlship evaluate%3A evaluate error::the registry is away%0Anext: start it\n")
    assert said.count("::error") == 1
    assert "verdict<<" in (tmp_path / "output").read_text()
    assert "\nerror\n" in (tmp_path / "output").read_text()
    assert '<error message="the registry is away" type="error">' in (tmp_path / "junit.xml").read_text()
    assert not (tmp_path / "report.html").exists()
    monkeypatch.setattr(sys, "argv", ["mlship", "evaluate", "mlship.yaml", "--format=json"])
    telling.begin()
    failing.tell_failure("error", 3, "the registry is away", "start it")
    document = {"verdict": "error", "exit_code": 3, "reason": "the registry is away", "hint": "start it"}
    assert json.loads(capsys.readouterr().out) == document
    failing.tell_failure("error", 3, "a second one")
    assert capsys.readouterr().out == ""


def test_names_from_elsewhere_can_be_written_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of a surrogate pair is no reason to lose a report."""
    odd = Told(lambda: "a\ud800b", lambda: {"a": "\ud800"}, lambda: "\ud800", lambda: LIST)
    write(odd, destinations([f"text={tmp_path / 't'}", f"json={tmp_path / 'j'}"]))
    assert (tmp_path / "t").read_text() == "a?b\n"
    tell(odd, Format.TEXT)
    assert capsys.readouterr().out == "a\\ud800b\n"


def test_lines_are_whole_where_nobody_knows_the_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No 80 columns are guessed; COLUMNS is obeyed."""
    telling.put("word " * 100)
    assert capsys.readouterr().out.count("\n") == 1
    assert common.columns() is None
    monkeypatch.setenv("COLUMNS", "72")
    assert common.columns() == common.columns(terminal=False) == 72
    monkeypatch.setenv("COLUMNS", "wide")
    assert common.columns() is None


def test_reasons_are_wrapped_to_the_width() -> None:
    """As narrow as asked, but never a column of words."""
    from mlship.report.text import render as text

    def longest(columns: int | None) -> int:
        long = replace(EVALUATION, results=(replace(RESULTS[3], reason="as long as this " * 20),))
        lines = text(long, columns).splitlines()
        return max(len(line) for line in lines if line.startswith(" " * 6))

    assert 60 < longest(None) <= 118
    assert longest(60) <= 60
    assert longest(5) <= 40


@pytest.mark.parametrize(
    "name",
    ["validate", "plan", "doctor", "policy test", "policy diff", "drill", "evaluate", "rollout", "watch", "why", "ship",
     "latency"],
)  # fmt: skip
def test_the_help_of_a_command_offers_the_reports_that_it_writes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no other: one that it offers fails here for its directory only."""
    (tmp_path / "mlship.yaml").touch()
    monkeypatch.chdir(tmp_path)
    page = "".join(examples.page(name).partition("KIND is one of")[2].partition(".\n")[0].split())
    assert page
    for kind in telling.KINDS:
        monkeypatch.setattr("sys.argv", ["mlship", *name.split(), "--report", f"{kind}=no/x"])
        with pytest.raises(SystemExit) as end:
            main()
        offered = "there is no directory no" in capsys.readouterr().err
        assert (end.value.code, offered) == (2, kind in page.split(",")), kind
