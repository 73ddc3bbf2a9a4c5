"""Runs a composite action's steps as GitHub's runner does: in bash, with its files, and by its conditions."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github" / "actions" / "mlship"
_EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
_OUTPUT = re.compile(r"^(?P<name>[\w-]+)<<(?P<end>\S+)\n(?P<value>.*?)\n?(?P=end)$", re.MULTILINE | re.DOTALL)
#: Where an action of GitHub's own would have put what it was given.
UPLOADED = "https://github.example/acme/models/actions/runs/7/artifacts/9"


@dataclass
class Step:
    """What one step did."""

    name: str
    code: int = 0
    outputs: dict[str, str] = field(default_factory=dict)
    stdout: str = ""
    stderr: str = ""
    summary: str = ""
    given: dict[str, str] = field(default_factory=dict)
    """Of a step that uses another action: what it was given."""

    @property
    def commands(self) -> list[str]:
        """The workflow commands that the runner would follow: none between `stop-commands` and its own end."""
        found, resume = [], ""
        for line in self.stdout.splitlines():
            if resume:
                resume = "" if line == f"::{resume}::" else resume
            elif line.startswith("::stop-commands::"):
                resume = line.removeprefix("::stop-commands::")
            elif line.startswith("::"):
                found.append(line)
        assert not resume, "commands are never listened to again"
        return found


@dataclass
class Outcome:
    """What the whole action did."""

    failed: bool
    outputs: dict[str, str]
    steps: dict[str, Step]

    def __getitem__(self, name: str) -> Step:
        return self.steps[name]

    @property
    def log(self) -> str:
        """What all steps wrote."""
        return "".join(step.stdout + step.stderr for step in self.steps.values())


@dataclass(frozen=True)
class Place:
    """Where a step runs."""

    action: Path
    workspace: Path
    files: Path


def play(
    action: Path, inputs: Mapping[str, str], *, workspace: Path, runner: Path, env: Mapping[str, str], token: str = ""
) -> Outcome:
    """Run all steps of an action that have a `run`; those that use another action are only noted."""
    document = yaml.safe_load((action / "action.yml").read_text())
    unknown = set(inputs) - set(document["inputs"])
    assert not unknown, f"the action has no inputs {unknown}"
    github = {"token": token}
    values = {name: _filled(str(each.get("default", "")), {}, {}, github) for name, each in document["inputs"].items()}
    values |= inputs
    by_id: dict[str, Step] = {}
    steps: dict[str, Step] = {}
    failed = False
    paths: list[str] = []
    for number, each in enumerate(document["runs"]["steps"]):
        if not _wanted(each.get("if", ""), values, by_id, failed):
            continue
        step = Step(each["name"])
        if "uses" in each:
            step.given = {name: _filled(text, values, by_id, github) for name, text in each.get("with", {}).items()}
            if each["uses"].startswith("actions/upload-artifact@"):
                step.outputs = {"artifact-url": UPLOADED}
        else:
            assert each["shell"] == "bash"
            assert "${{" not in each["run"], "an expression would become part of the script"
            asked = {name: _filled(text, values, by_id, github) for name, text in each.get("env", {}).items()}
            place = Place(action, workspace, runner / f"step-{number}")
            _run(step, each["run"], {**env, **asked}, place, paths)
            failed |= step.code != 0 and not each.get("continue-on-error", False)
        steps[step.name] = step
        if "id" in each:
            by_id[each["id"]] = step
    outputs = {name: _filled(each["value"], values, by_id, github) for name, each in document["outputs"].items()}
    return Outcome(failed, outputs, steps)


def _run(step: Step, script: str, env: Mapping[str, str], at: Place, paths: list[str]) -> None:
    at.files.mkdir(parents=True)
    names = ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV", "GITHUB_PATH")
    files = {name: at.files / name.lower() for name in names}
    for file in files.values():
        file.touch()
    (at.files / "script.sh").write_text(script)
    environment = {name: str(file) for name, file in files.items()} | {
        "GITHUB_ACTIONS": "true",
        "CI": "true",
        "GITHUB_ACTION_PATH": str(at.action),
        "GITHUB_WORKSPACE": str(at.workspace),
        "RUNNER_TEMP": str(at.files.parent),
        **env,
    }
    environment["PATH"] = os.pathsep.join([*reversed(paths), environment["PATH"]])
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(at.files / "script.sh")],
        cwd=at.workspace,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    step.code, step.stdout, step.stderr = done.returncode, done.stdout, done.stderr
    step.summary = files["GITHUB_STEP_SUMMARY"].read_text()
    written = files["GITHUB_OUTPUT"].read_text()
    for found in _OUTPUT.finditer(written):
        step.outputs[found["name"]] = found["value"]
    assert not _OUTPUT.sub("", written).strip(), f"GitHub refuses these outputs: {written}"
    assert not files["GITHUB_ENV"].read_text(), "nobody asked for variables"
    paths += files["GITHUB_PATH"].read_text().splitlines()


def _wanted(condition: str, inputs: Mapping[str, str], steps: Mapping[str, Step], failed: bool) -> bool:
    """The conditions that this action uses; any other is an error, not a yes."""
    terms = [term.strip() for term in condition.split("&&")] if condition else []
    holds = "always()" in terms or not failed
    for term in terms:
        if term == "always()":
            continue
        compared = re.fullmatch(r"(\S+) (==|!=) '(.*)'", term)
        assert compared, f"not understood: {term}"
        same = _value(compared[1], inputs, steps, {}) == compared[3]
        holds &= same if compared[2] == "==" else not same
    return holds


def _filled(text: str, inputs: Mapping[str, str], steps: Mapping[str, Step], github: Mapping[str, str]) -> str:
    return _EXPRESSION.sub(lambda found: _value(found[1], inputs, steps, github), str(text))


def _value(name: str, inputs: Mapping[str, str], steps: Mapping[str, Step], github: Mapping[str, str]) -> str:
    match name.split("."):
        case ["inputs", key]:
            return inputs[key]
        case ["steps", step, "outputs", key]:
            return steps[step].outputs.get(key, "") if step in steps else ""
        case ["github", key]:
            return github[key]
    raise AssertionError(f"not understood: {name}")


def clean_environment(**more: Any) -> dict[str, str]:
    """What a runner gives a job, and nothing of this machine's."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "OMP_NUM_THREADS") if name in os.environ}
    return {
        **kept,
        "GITHUB_REPOSITORY": "acme/models",
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_RUN_ID": "7",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **{name: str(value) for name, value in more.items()},
    }
