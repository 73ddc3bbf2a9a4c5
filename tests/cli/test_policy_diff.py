"""`mlship policy diff` as a person or a CI step runs it: files and revisions, formats, exit codes, misuse."""

from __future__ import annotations

import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mlship.cli.main import main
from tests.schemas import conforms

OLD = """version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com}
data: {evaluation: {path: july.csv, target: late}}
gates:
  metrics: {recall: {min: 0.6}}
"""
NEW = OLD.replace("min: 0.6", "min: 0.5, max_drop: 0")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose working tree has a looser policy than its last commit."""
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    git("init", "-q", "-b", "main")
    (tmp_path / "mlship.yaml").write_text(OLD)
    git("add", "mlship.yaml")
    git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "policy")
    (tmp_path / "mlship.yaml").write_text(NEW)
    return tmp_path


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["mlship", "policy", "diff", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_alone_it_compares_the_working_tree_with_the_last_commit(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 0
    assert capsys.readouterr().out == (
        "- looser    gates.metrics.recall.min: 0.6 -> 0.5\n"
        "+ stricter  gates.metrics.recall.max_drop: none -> 0\n"
        "HEAD:mlship.yaml -> mlship.yaml: 1 looser, 1 stricter\n"
    )


@pytest.mark.parametrize(
    ("fail_on", "code"), [("looser", 1), ("stricter", 1), ("any", 1), ("changed", 0), ("changed looser", 1)]
)
def test_fail_on_ends_with_one_when_there_is_such_a_change(
    here: Path, fail_on: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [part for kind in fail_on.split() for part in ("--fail-on", kind)]
    assert run(monkeypatch, "main:mlship.yaml", "mlship.yaml", *options) == code


@pytest.mark.parametrize(("kind", "code"), [("looser", 1), ("changed", 3)])
def test_a_report_that_cannot_be_written_takes_the_place_of_a_pass_only(
    kind: str, code: int, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdict is kept, the other report is written, and stderr tells of the one that is not."""
    reports = ("--report", "json=/dev/full", "--report", "text=diff.txt")
    assert run(monkeypatch, "--fail-on", kind, *reports) == code
    told = capsys.readouterr()
    assert "1 looser, 1 stricter" in told.out
    assert told.err.count("/dev/full: the report cannot be written: No space left on device") == 1
    assert (here / "diff.txt").read_text() == told.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mlship.yaml", "other.yaml", "--report", "markdown=other.yaml"], "reads or writes other.yaml itself"),
        (["mlship.yaml", "other.yaml", "--report=markdown=./link.yaml"], "reads or writes link.yaml itself"),
        (["HEAD:mlship.yaml", "other.yaml", "--report", "text=mlship.yaml"], "reads or writes mlship.yaml itself"),
        (["--report", "text=mlship.yaml"], "reads or writes mlship.yaml itself"),
        (["--report", "json=found", "--report", "text=same"], "same is named for json already"),
    ],
)
def test_a_report_never_takes_the_place_of_what_is_read(
    arguments: list[str],
    says: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (here / "other.yaml").write_text(OLD)
    (here / "link.yaml").symlink_to("other.yaml")
    (here / "same").symlink_to("found")
    assert run(monkeypatch, *arguments) == 2
    assert says in capsys.readouterr().err
    assert (here / "other.yaml").read_text() == OLD
    assert (here / "mlship.yaml").read_text() == NEW
    assert not (here / "found").exists()


def test_what_is_staged_and_what_lies_in_a_directory_can_be_named_as_in_git(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    git("add", "mlship.yaml")
    below = here / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert run(monkeypatch, "HEAD:mlship.yaml", ":mlship.yaml", "--fail-on", "looser") == 1
    assert run(monkeypatch, "../mlship.yaml", "--fail-on", "looser") == 1
    assert "HEAD:../mlship.yaml -> ../mlship.yaml" in capsys.readouterr().out


def test_machine_formats_name_the_line_of_the_new_policy(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--format", "json", "--report", "junit=junit.xml", "--report", "sarif=it.sarif") == 0
    document = conforms("policy-diff", capsys.readouterr().out)
    assert document["counts"] == {"looser": 1, "changed": 0, "stricter": 1}
    assert document["changes"][0] | {"meaning": ""} == {
        "path": "gates.metrics.recall.min",
        "old": "0.6",
        "new": "0.5",
        "kind": "looser",
        "line": 6,
        "column": 27,
        "meaning": "",
    }
    assert len(ElementTree.parse(here / "junit.xml").findall(".//testcase")) == 2
    assert run(monkeypatch, "--fail-on", "looser", "--format", "github") == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("::error file=mlship.yaml,line=6,col=27,title=")
    assert run(monkeypatch, "--format", "markdown") == 0
    assert "| looser | `gates.metrics.recall.min` | `0.6` | `0.5` |" in capsys.readouterr().out


def test_a_name_of_the_policy_is_only_text(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No command of a pipeline in the text, and nothing that leaves its code or its cell in a comment."""
    names = [r"a``![i](https://x)``", r"\n::error::b", r"c\\|<img>@ops"]
    columns = ", ".join(f'"{name}": {{min: 0}}' for name in names)
    (here / "mlship.yaml").write_text(OLD.replace("gates:\n", f"gates:\n  contract: {{columns: {{{columns}}}}}\n"))
    (here / "old.yaml").write_text(OLD.replace("gates:\n", "gates:\n  contract: {}\n"))
    assert run(monkeypatch, "old.yaml", "mlship.yaml") == 0
    assert "\n::error" not in capsys.readouterr().out
    assert run(monkeypatch, "old.yaml", "mlship.yaml", "--format", "markdown") == 0
    out = capsys.readouterr().out
    assert "| ``` gates.contract.columns.a``![i](https://x)`` ``` |" in out
    assert "| `gates.contract.columns. ::error::b` |" in out
    assert "columns.c\\\\\\|\\<img>@\u200bops |" in out


@pytest.mark.parametrize("name", ["HEAD:mlship.yaml", ":mlship.yaml", "HEAD^7:mlship.yaml"])
def test_a_file_called_like_a_revision_never_stands_in_for_it(
    here: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pull request could bring one, and so compare its policy with itself; a shallow clone lacks the revision."""
    (here / name).write_text(NEW)
    lacking = "^7" in name
    assert run(monkeypatch, name, "mlship.yaml", "--fail-on", "looser") == (2 if lacking else 1)
    said = capsys.readouterr()
    assert "1 looser" in said.out or (lacking and f"the file of this name is ./{name}" in said.err)
    assert run(monkeypatch, name) == 2
    assert "with what is it compared?" in capsys.readouterr().err
    for own_name in (f"./{name}", str(here / name)):
        assert run(monkeypatch, own_name, "mlship.yaml", "--fail-on", "any") == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.yaml", "mlship.yaml"], "nowhere.yaml: there is no such file"),
        (["gone:mlship.yaml", "mlship.yaml"], "git knows no revision 'gone' here"),
        (["--", "--output=x:mlship.yaml", "mlship.yaml"], "git knows no revision '--output=x' here"),
        (["main:other.yaml", "mlship.yaml"], "there is no file 'other.yaml' in revision 'main'"),
        (["other.yaml"], "other.yaml: there is no such file"),
        (["main:mlship.yaml", "bad.yaml"], "bad.yaml: the policy has 1 fault\nbad.yaml:7:3: unknown key 'metrik'"),
        (["main:mlship.yaml"], "with what is it compared?"),
        (["--report", "html=page.html"], "--report html=page.html"),
    ],
)
def test_misuse_is_one_message_and_exit_code_two(
    here: Path,
    arguments: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (here / "bad.yaml").write_text(OLD.replace("metrics:", "contract: {}\n  metrik:"))
    assert run(monkeypatch, *arguments) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert "Traceback" not in said.err
    assert not said.out


def test_outside_of_a_repository_two_files_can_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "a.yaml").write_text(OLD)
    (tmp_path / "b.yaml").write_text(NEW)
    assert run(monkeypatch, "a.yaml", "b.yaml") == 0
    assert run(monkeypatch, "a.yaml") == 2
    assert "this is not a git repository" in capsys.readouterr().err


def test_the_reference_page_shows_what_the_command_says(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "policy-diff.md").read_text(encoding="utf-8")
    rollout = "rollout: {steps: [{weight: 1%, bake: {requests: 500}}]}\n"
    (here / "mlship.yaml").write_text(OLD.replace("min: 0.6", "min: 0.6, max_drop: 0.01") + rollout)
    git("add", "mlship.yaml")
    git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "second")
    new = OLD.replace("min: 0.6", "min: 0.5, max_drop: 0.005").replace("july", "august")
    (here / "mlship.yaml").write_text(new + rollout.replace("1%", "5%"))
    assert run(monkeypatch, "main:mlship.yaml", "mlship.yaml") == 0
    assert f"```text\n{capsys.readouterr().out}```" in page
