"""Where no policy is named, it is `mlship.yaml` of this directory, for every command that takes one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.cli.main import main
from tests.cli import examples

#: Every command that takes a policy and does something with it.
TAKE = ("validate", "policy diff", "plan", "evaluate", "build", "latency", "rollout", "ship", "endpoint", "drill")
DRAFTED = "; `mlship init` drafts one"
MOVE = ("rollout", "ship", "endpoint", "drill")


def ran(
    line: str, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Exit code and stderr."""
    monkeypatch.chdir(directory)
    monkeypatch.setenv("MLSHIP_HOME", str(directory / ".mlship"))
    monkeypatch.setattr("sys.argv", ["mlship", *line.split()])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize("name", TAKE)
def test_without_one_the_message_says_so(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, errors = ran(name, tmp_path, monkeypatch, capsys)
    assert (code, errors.splitlines()) == (
        2,
        [
            "mlship: there is no mlship.yaml here",
            f"  next: name the policy: mlship {name} path/to/policy.yaml{DRAFTED * (name != 'policy diff')}",
        ],
    )


@pytest.mark.parametrize("name", TAKE[2:])
def test_the_policy_of_this_directory_is_taken_and_named_where_traffic_moves(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlship.yaml").write_text("version: 1\n")  # refused before anything is asked of a registry
    code, errors = ran(name, tmp_path, monkeypatch, capsys)
    assert code == 2
    assert "mlship.yaml: the policy has " in errors
    assert ("mlship: the policy is mlship.yaml, for none was named\n" in errors) is (name in MOVE)
    code, errors = ran(f"{name} mlship.yaml", tmp_path, monkeypatch, capsys)
    assert "none was named" not in errors


@pytest.mark.parametrize("name", TAKE[2:])
def test_a_file_that_is_not_there_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`mlship validate` would say no more: it is no way out. (It tells each file's faults as its result.)"""
    code, errors = ran(f"{name} nope.yaml", tmp_path, monkeypatch, capsys)
    assert code == 2
    assert errors.splitlines() == ["mlship: nope.yaml: there is no such file", "  next: name an existing policy"]


@pytest.mark.parametrize("name", [*TAKE, "doctor"])
def test_each_help_page_says_what_is_taken(name: str) -> None:
    page = " ".join(examples.page(name).split())
    assert "mlship.yaml" in page.partition("Arguments:")[2].partition("Options:")[0]
