"""The composite action's steps, executed in bash with GitHub's files and a real mlship."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.ci.driver import ACTION, UPLOADED, Outcome, clean_environment, play
from tests.ci.hub import TOKEN, Hub
from tests.conftest import RegistryHome

POLICY = """\
version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com, review_by: 2099-12-31}
candidate: "CANDIDATE"
data:
  evaluation: {path: july.csv, target: late, time: time_hour}
gates:
  leakage: {unavailable: [arr_time, air_time]}
  metrics: {recall: {min: 0.6}}
"""


@pytest.fixture
def act(tmp_path: Path, hub: Hub) -> Any:
    """Runs the action in a checkout: act(command=..., ...) -> Outcome; `env` adds to the job's environment."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    count = iter(range(100))

    def run(env: dict[str, str] | None = None, **inputs: str) -> Outcome:
        runner = tmp_path / f"runner{next(count)}"
        runner.mkdir()
        event = runner / "event.json"
        head = {"sha": "c" * 40, "repo": {"full_name": "acme/models"}}
        event.write_text(json.dumps({"pull_request": {"number": 12, "head": head}}))
        job = clean_environment(GITHUB_EVENT_PATH=event, GITHUB_API_URL=hub.url, GITHUB_EVENT_NAME="pull_request")
        job["PATH"] = f"{Path(sys.executable).parent}:{job['PATH']}"
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        return play(ACTION, given, workspace=checkout, runner=runner, env={**job, **(env or {})}, token=TOKEN)

    run.checkout = checkout  # type: ignore[attr-defined]  # where a test puts its policy
    return run


def _policy(act: Any, text: str = POLICY, name: str = "mlship.yaml") -> None:
    (act.checkout / name).parent.mkdir(exist_ok=True)
    (act.checkout / name).write_text(text.replace("CANDIDATE", "@challenger"))
    (act.checkout / name).with_name("july.csv").write_text("late,time_hour,dep_delay\n0,2013-07-01T05:00:00,3\n")


def test_a_valid_policy_passes_with_outputs_reports_and_a_comment(act: Any, hub: Hub) -> None:
    """Verdict, summary with a link, an artifact, one comment; the second use renews it."""
    _policy(act)
    done = act(command="validate", comment="true")
    assert not done.failed, done.log
    assert (done.outputs["verdict"], done.outputs["exit-code"]) == ("passed", "0")
    assert done.outputs["artifact-url"] == UPLOADED
    assert f"[All reports of this step]({UPLOADED})" in done["Link the reports"].summary
    given = done["Keep the reports"].given
    assert given["name"].startswith("mlship-validate-")
    assert {path.name for path in Path(given["path"]).iterdir()} >= {"report.md", "comment.json"}
    assert "mlship 0." in done["Install mlship"].stdout
    act(command="validate", comment="true")
    (comment,) = hub.comments
    assert "this run" in comment["body"]
    assert UPLOADED in comment["body"]
    assert TOKEN not in done.log


def test_an_invalid_policy_fails_at_its_line(act: Any, hub: Hub) -> None:
    """Exit code 2 is the step's; the fault is an annotation at file and line; the reports are kept all the same."""
    _policy(act, POLICY.replace("recall: {min: 0.6}", "recall: {minimum: 0.6}"))
    done = act(command="validate", comment="true")
    assert done.failed
    assert (done["Run mlship"].code, done.outputs["exit-code"]) == (2, "2")
    assert done.outputs["verdict"] != "passed"
    assert "::error file=mlship.yaml,line=9," in done["Run mlship"].stdout
    assert done["Keep the reports"].given["path"]
    assert len(hub.comments) == 1


HOSTILE = [
    "$(touch PWNED)",
    "`touch PWNED`",
    "'; touch PWNED; '",
    '"; touch PWNED; "',
    "x && touch PWNED",
    "x | touch PWNED",
    "mlship.yaml\n$(touch PWNED)\n; touch PWNED",
    "${{ touch PWNED }}",
    "\ntouch PWNED\n",
    "x\nverdict=passed\n::set-output name=verdict::passed\nGITHUB_ENV<<x\n",
    "<(touch PWNED)",
    "%0A::error::x",
]


def _spoilt(act: Any) -> str:
    return "\n".join(HOSTILE).replace("PWNED", str(act.checkout / "PWNED"))


@pytest.mark.parametrize("name", ["policy", "args"])
def test_hostile_inputs_are_words_and_nothing_else(act: Any, name: str) -> None:
    """As policies and as options: files that are not there. Nothing is run, and the log has no command of theirs."""
    _policy(act)
    before = {path.name for path in act.checkout.iterdir()}
    done = act(**{"command": "validate", name: _spoilt(act)})
    assert done.failed, done.log
    assert (done.outputs["verdict"], done.outputs["exit-code"]) in {("error", "2"), ("failed", "2")}, done.log
    assert "there is no such file" in done.log or "no such file" in done.log
    assert {path.name for path in act.checkout.iterdir()} == before
    commands = [line for step in done.steps.values() for line in step.commands]
    assert all(line.startswith(("::error ", "::warning file=mlship.yaml,")) for line in commands), commands


@pytest.mark.parametrize("name", ["command", "allow", "version", "extras", "requirements", "report_artifact"])
def test_hostile_inputs_everywhere_else(act: Any, name: str) -> None:
    """All of them at once in each other input that reaches a script: refused, with one annotation that names it."""
    _policy(act)
    before = {path.name for path in act.checkout.iterdir()}
    done = act(**{"command": "validate", name: _spoilt(act)})
    assert done.failed, done.log
    assert {path.name for path in act.checkout.iterdir()} == before
    (said,) = [line for step in done.steps.values() for line in step.commands]
    assert said.startswith(f"::error title=mlship::input '{name.replace('_', '-')}'")


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"command": "demo"}, "input 'command': 'demo' is none of validate, "),
        ({"policy": "--help"}, "looks like an option: those go into 'args', and a file is ./--help"),
        ({"args": "'unfinished"}, "input 'args': No closing quotation"),
        ({"allow": "3"}, "input 'allow': '3' is none of 1, 4 and 5"),
        ({"working_directory": "nowhere"}, "input 'working-directory': there is no directory nowhere"),
        ({"report_artifact": "a/b"}, "input 'report-artifact': '/' may not be in the name of an artifact"),
    ],
)
def test_misuse_is_told_by_the_inputs_name(act: Any, inputs: dict[str, str], said: str) -> None:
    """One annotation, exit code 2, nothing run."""
    _policy(act)
    done = act(**{"command": "validate", **inputs})
    assert done["Run mlship"].code == 2
    assert said in done["Run mlship"].stdout


def test_a_command_that_ends_without_a_result_is_commented_as_that(act: Any, hub: Hub) -> None:
    """A registry out of reach: exit code 3, which nothing lets pass; the comment says so and links the run."""
    _policy(act, POLICY.replace("candidate:", 'registry: {uri: "sqlite:////nowhere/mlflow.db"}\ncandidate:'))
    done = act(command="evaluate", comment="true", allow="1,4")
    assert done.failed
    assert (done.outputs["verdict"], done.outputs["exit-code"]) == ("error", "3"), done.log
    (comment,) = hub.comments
    assert "error" in comment["body"]
    assert "https://github.example/acme/models/actions/runs/7" in comment["body"]


@pytest.mark.slow
def test_a_real_candidate_is_evaluated_for_a_pull_request(
    act: Any, hub: Hub, registry_copy: RegistryHome, flights: pd.DataFrame
) -> None:
    """A model that leaks fails its gate: annotation, summary, outputs, reports, a comment; `allow` lets it pass."""
    _policy(act, POLICY.replace("CANDIDATE", "3"), "models/mlship.yaml")
    july = flights[flights["month"] == 7].iloc[::20].drop(columns=["month", "day"])
    july.to_csv(act.checkout / "models" / "july.csv", index=False)
    env = {"MLSHIP_HOME": str(registry_copy.home.path)}
    done = act(env, command="evaluate", working_directory="models", comment="true", report_artifact="evidence")
    assert done.failed
    step = done["Run mlship"]
    assert step.code == 1, done.log
    outputs = done.outputs
    assert (outputs["verdict"], outputs["failed-gates"]) == ("failed", "leakage")
    assert (outputs["candidate-version"], outputs["champion-version"]) == ("3", "1")
    assert "<html" in Path(outputs["report-path"]).read_text()[:500]
    assert "::error " in step.stdout
    assert r"arr\_time" in step.summary
    given = done["Keep the reports"].given
    assert given["name"] == "evidence"
    names = {path.name for path in Path(given["path"]).iterdir()}
    assert names == {"report.html", "report.md", "report.json", "junit.xml", "report.sarif", "comment.json"}
    (comment,) = hub.comments
    assert "flight-delay 3 (champion 1): failed" in comment["body"]


def test_what_is_allowed_does_not_fail_the_step(act: Any) -> None:
    """A looser policy is exit code 1 of `policy diff --fail-on looser`: with `allow: 1` it is told, and passes."""
    _policy(act)
    _policy(act, POLICY.replace("min: 0.6", "min: 0.5"), "new.yaml")
    given = {"command": "policy diff", "policy": "mlship.yaml\nnew.yaml", "args": "--fail-on 'looser'"}
    for allow, failed in (("", True), ("1, 4", False)):
        done = act(**given, allow=allow)
        assert done.failed is failed, done.log
        assert (done.outputs["exit-code"], done.outputs["has-changes"]) == ("1", "true")
    assert "::notice title=mlship::mlship policy diff ended with exit code 1" in done["Run mlship"].stdout
