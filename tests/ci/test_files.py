"""Every workflow, action and pipeline that this repository runs or ships: valid, pinned, and of few rights."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema.cli import main as check_jsonschema  # type: ignore[import-untyped]  # it ships no types
from click.testing import CliRunner

from mlship.cli.table import COMMANDS
from tests.ci.driver import ACTION, ROOT

#: All but `docs.yml`, which publishes the site and needs other rights.
WORKFLOWS = sorted(
    [
        *(path for path in (ROOT / ".github" / "workflows").glob("*.yml") if path.name != "docs.yml"),
        *(ROOT / "templates" / "ci" / "github").glob("*.yml"),
    ]
)
ACTIONS = sorted(ACTION.rglob("action.yml"))
PIPELINES = sorted((ROOT / "templates" / "ci" / "gitlab").glob("*.yml"))
BIN = Path(sys.executable).parent


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def _run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        (["vendor.github-workflows"], WORKFLOWS),
        (["vendor.github-actions"], ACTIONS),
        (["vendor.gitlab-ci", "--data-transform", "gitlab-ci", "--regex-variant", "nonunicode"], PIPELINES),
    ],
    ids=["workflows", "actions", "pipelines"],
)
def test_files_are_what_their_schema_says(schema: list[str], files: list[Path]) -> None:
    """By the schemas that check-jsonschema carries; no network."""
    assert files
    done = CliRunner().invoke(check_jsonschema, ["--builtin-schema", *schema, *map(str, files)])
    assert done.exit_code == 0, done.output


def test_nothing_in_a_workflow_is_unsafe() -> None:
    """zizmor finds nothing; what it is told to pass over says why, in the line."""
    done = _run(
        BIN / "zizmor", "--offline", "--config", ROOT / "tests/ci/zizmor.yml", "--no-progress", *WORKFLOWS, *ACTIONS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for path in [*WORKFLOWS, *ACTIONS]:
        for line in path.read_text().splitlines():
            if "zizmor: ignore" in line:
                assert re.search(r"zizmor: ignore\[[a-z-]+\] \w+", line), f"{_name(path)}: no reason: {line}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=_name)
def test_jobs_have_little_time_and_few_rights(path: Path) -> None:
    """Every job has its time and its rights; nothing is written but comments; no two runs of one thing at once."""
    workflow = _yaml(path)
    assert "concurrency" in workflow
    granted = [workflow.get("permissions"), *(job.get("permissions", {}) for job in workflow["jobs"].values())]
    rights = {(name, right) for each in granted for name, right in (each or {}).items() if right != "read"}
    assert rights <= {("pull-requests", "write")}
    assert workflow["permissions"] is not None
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"], name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=_name)
def test_others_actions_are_pinned_by_commit(path: Path) -> None:
    """With the version in a comment; our own is the one of the checkout."""
    for line in path.read_text().splitlines():
        if (found := re.match(r"\s*(?:- )?uses: (\S+)(.*)", line)) and not found[1].startswith("./"):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", found[1]), line
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", found[2]), line


def _scripts() -> Iterator[tuple[str, str]]:
    for path in [*ACTIONS, *WORKFLOWS]:
        document = _yaml(path)
        jobs = document["jobs"].values() if "jobs" in document else [document["runs"]]
        for job in jobs:
            for number, step in enumerate(job["steps"]):
                if "run" in step:
                    yield f"{_name(path)} step {number}", step["run"]
    for path in PIPELINES:
        for name, job in _yaml(path).items():
            for part in ("before_script", "script", "after_script"):
                if isinstance(job, dict) and part in job:
                    yield f"{_name(path)} {name} {part}", "\n".join(job[part])


@pytest.mark.parametrize(("where", "script"), list(_scripts()), ids=[where for where, _ in _scripts()])
def test_scripts_are_sound(where: str, script: str, tmp_path: Path) -> None:
    """No expression of GitHub's inside, and bash can read it."""
    assert "${{" not in script, where
    (tmp_path / "script.sh").write_text(script)
    done = _run("bash", "-n", tmp_path / "script.sh")
    assert done.returncode == 0, done.stderr


def test_shellcheck_has_nothing_to_say(tmp_path: Path) -> None:
    """About any of the scripts, and those of .ci."""
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck (Debian: apt-get install shellcheck)")
    for number, (where, script) in enumerate(_scripts()):
        (tmp_path / f"{number}.sh").write_text(f"# {where}\n{script}\n")
    # SC1091: files that are not there; each script is read alone.
    done = _run("shellcheck", "-s", "bash", "-e", "SC1091", *sorted(tmp_path.glob("*.sh")))
    assert done.returncode == 0, done.stdout
    own = [path for path in sorted((ROOT / ".ci").iterdir()) if path.read_text().startswith("#!/usr/bin/env bash")]
    done = _run("shellcheck", *own)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=_name)
def test_our_action_is_used_as_it_is(path: Path) -> None:
    """Inputs that it has, commands that mlship has, options that they take."""
    run = (ACTION / "run.py").read_text()
    for job in _yaml(path)["jobs"].values():
        for step in job["steps"]:
            if not step.get("uses", "").startswith("./.github/actions/"):
                continue
            action = _yaml(ROOT / step["uses"] / "action.yml")
            given = step.get("with", {})
            assert set(given) <= set(action["inputs"])
            if step["uses"].endswith("/mlship"):
                assert f'"{given["command"]}":' in run
                _takes(given["command"], re.findall(r"--[a-z-]+", str(given.get("args", ""))))


def test_pipelines_call_mlship_as_it_is() -> None:
    """Commands that mlship has, and options that they take."""
    called = 0
    for _, script in [each for each in _scripts() if ".gitlab-ci.yml" in each[0]]:
        for command, rest in re.findall(r"\bmlship ([a-z]+) (.*)", script.replace("\n--", " --")):
            _takes(command, re.findall(r"--[a-z-]+", rest))
            called += 1
    assert called >= 6


def _takes(command: str, options: list[str]) -> None:
    from mlship.cli.table import Commands

    names = command.split()
    found = Commands(name="mlship").commands[names[0]]
    for name in names[1:]:
        found = found.commands[name]  # type: ignore[attr-defined]  # a group has commands
    taken = {option for parameter in found.params for option in parameter.opts}
    assert set(options) <= taken, f"mlship {command} does not take {set(options) - taken}"


def test_the_action_knows_every_command_and_its_page(scripts: Any, tmp_path: Path, capsys: Any) -> None:
    """Which commands have a page is as mlship has it: it says so before it looks at anything else."""
    from mlship.cli.main import app
    from mlship.errors import UsageError

    assert {name.split()[0] for name in scripts["run"].COMMANDS} <= set(COMMANDS)
    for command, page in scripts["run"].COMMANDS.items():
        report = f"html={tmp_path}/nowhere/report.html"
        try:
            app([*command.split(), "--report", report, "--", "none.yaml"], standalone_mode=False)
        except UsageError as error:
            said = error.what
        except Exception as error:  # noqa: BLE001 - typer's own complaint: the command has no --report
            said = f"{type(error).__name__}"
        assert ("there is no directory" in said) is page, f"{command}: {said}"
