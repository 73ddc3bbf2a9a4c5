"""The shipped schemas of what commands write: each is one, is on the reference page, and is printed by its name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from mlship import schemas
from mlship.cli import telling
from mlship.cli.ended import Ended
from mlship.cli.main import app
from mlship.cli.table import BELOW
from mlship.cli.verdicts import conclusion, document
from mlship.errors import Exit
from mlship.home import Home
from mlship.report import github, gitlab, junit, sarif
from mlship.rollout.watch import RolloutResult
from mlship.schemas.page import markdown
from mlship.types import Status
from tests.fakes.engine import Behaviour
from tests.report.test_reports import EVALUATION
from tests.report.test_reports import _schema as evaluation_schema
from tests.schemas import conforms

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", schemas.names())
def test_each_is_a_schema_and_printed_by_its_name(name: str) -> None:
    """Draft 7, with a title."""
    done = CliRunner().invoke(app, ["schema", name])
    assert done.exit_code == 0, done.output
    schema = json.loads(done.stdout)
    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["title"].startswith("The JSON of ")
    assert schema == schemas.load(name)


def test_the_reference_page_is_the_generated_one() -> None:
    """Each schema is on it."""
    written = (ROOT / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
    assert written == markdown(), "run: python -m mlship.schemas.page > docs/reference/json.md"
    assert re.findall(r"(?m)^## (.*)$", written) == schemas.names()


def _without_schema(commands: Mapping[str, Any]) -> list[str]:
    """Commands that tell a result, and whose document is not described."""
    telling_ones = [name for name, one in commands.items() if any("--format" in each.opts for each in one.params)]
    return [name for name in telling_ones if schemas.named(name) not in schemas.names()]


def test_every_command_that_tells_a_result_has_a_schema() -> None:
    """By the tables of commands; and every schema belongs to one of them, or to all."""
    group: Any = get_command(app)
    commands = dict(group.commands.items())
    for above, below in BELOW.items():
        commands |= {f"{above} {name}": commands[above].commands[name] for name in below}
    assert _without_schema(commands) == []
    assert _without_schema({"demo": commands["status"], "policy tests": commands["policy test"]}) == [
        "demo",
        "policy tests",
    ]
    assert set(schemas.names()) - {schemas.named(name) for name in commands} == {"failure"}


@pytest.mark.parametrize(("asked", "found"), [("resume", "order"), ("policy test", "policy-test")])
def test_a_schema_is_found_by_its_commands_name(asked: str, found: str) -> None:
    """Some commands share one; those below another are named as they are typed."""
    done = CliRunner().invoke(app, ["schema", asked])
    assert json.loads(done.stdout) == schemas.load(found)


def test_every_document_has_its_fields_on_the_page() -> None:
    """Also one that is only a reference to another, and one that may be missing."""
    page = dict(re.findall(r"(?ms)^## (\S+)$(.*?)(?=^## |\Z)", markdown()))
    assert [name for name, text in page.items() if "| `" not in text] == []
    assert "| `results[].measured` |" in page["latency"]
    assert "| `foresight.certificates[].requests` |" in page["plan"]


def test_an_evaluation_is_described_once() -> None:
    """On its page, and in what is shipped."""
    shipped = schemas.load("evaluate")
    assert {key: value for key, value in evaluation_schema().items() if key != "$schema"} == {
        key: value for key, value in shipped.items() if key not in ("$schema", "title")
    }
    from mlship.report import render

    conforms("evaluate", render(EVALUATION, "json"))
    conforms("latency", render(EVALUATION, "json"))


def test_orders_are_what_their_schema_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Done, and refused."""
    from mlship.cli.answers import order

    for name in ("promote", "pause", "resume", "abort"):
        telling.tell(order(name, "m", "so it is"), telling.Format.JSON)
        assert conforms("order", capsys.readouterr().out)["verdict"] == "done"
    telling.tell(order("promote", "m", "not promoted: no", Exit.INCONCLUSIVE), telling.Format.JSON)
    assert conforms("order", capsys.readouterr().out)["verdict"] == "refused"
    done = CliRunner().invoke(app, ["--home", str(tmp_path), "down", "--format", "json"])
    assert conforms("down", done.stdout) == {"models": []}
    conforms("failure", {"verdict": "error", "exit_code": 3, "reason": "away", "hint": ""})


@pytest.mark.parametrize(
    ("errors", "verdict", "status"), [(0.3, "rolled_back", Status.FAILED), (0.0, "promoted", Status.PASSED)]
)
def test_a_rollouts_end_is_told_in_every_format(tmp_path: Path, errors: float, verdict: str, status: Status) -> None:
    """What decided has the verdict's status; a signal that counted nothing has not passed."""
    from tests.fakes.rollout import Stage

    stage = Stage(tmp_path, v2=Behaviour(errors=errors))
    result = stage.run()
    found = conforms("rollout", document(result))
    told = Ended("rollout", found, conclusion(result), "mlship.yaml", stage.home).told()
    checklist = told.checklist()
    assert (found["verdict"], checklist.status) == (verdict, status)
    checks = {(check.group, check.name): check for check in checklist.checks}
    assert checks["signals", "errors"].status is status
    for signal in found["signals"]:
        counted = checks["signals", signal["name"]].status is not Status.SKIPPED
        assert counted is (signal["canary"]["counted"] > 0)
    assert any(group == "steps" for group, _ in checks)
    assert told.markdown().startswith(f"### {'✅' if status is Status.PASSED else '❌'} flight-delay 2 (champion 1): ")
    assert "| errors | " in told.markdown()
    assert told.html is not None
    assert "<html" in told.html()
    assert ("<failure" in junit.render(checklist)) is (status is Status.FAILED)
    assert bool(json.loads(sarif.render(checklist))["runs"][0]["results"]) is (status is Status.FAILED)
    assert 'mlship_evidence{signal="errors"}' in gitlab.metrics(checklist)
    assert github.commands(checklist)[0].startswith("::error" if status is Status.FAILED else "::notice")
    assert told.outputs is not None
    assert told.outputs["rollout-id"] == result.rollout_id
    from mlship.cli import ship_told

    conforms("ship", ship_told._document([EVALUATION, EVALUATION], result, 1.0))
    conforms("ship", ship_told._refusal([EVALUATION], 1.0))


def test_a_rollout_that_never_began_has_a_page_too(tmp_path: Path) -> None:
    """Of a candidate that was refused, and says so."""
    refused = {"model": "m", "verdict": "refused", "exit_code": 1, "reason": "its gates failed"}
    conforms("rollout", refused)
    told = Ended("rollout", refused, "refused: its gates failed", "mlship.yaml", Home(tmp_path)).told()
    assert told.html is not None
    assert "its gates failed" in told.html()
    assert "<failure" in junit.render(told.checklist())


@pytest.mark.parametrize("fmt", ["text", "json", "markdown", "github"])
@pytest.mark.parametrize("command", ["status", "history", "down"])
def test_a_home_without_anything_says_so_in_every_format(tmp_path: Path, command: str, fmt: str) -> None:
    """No format fails where there is nothing to tell."""
    done = CliRunner().invoke(app, ["--home", str(tmp_path), command, "--format", fmt])
    assert done.exit_code == 0, done.output
    if fmt == "json":
        conforms(command, done.stdout)
    else:
        assert {"status": "nothing runs here", "history": "no history yet", "down": "nothing to stop"}[
            command
        ] in done.stdout


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("version 1 is the champion and has all traffic: nothing to do", "nothing to do"),
        ("version 1 is the champion, and serves at http://127.0.0.1:1 now: nothing served before", "served"),
    ],
)
def test_a_champion_that_is_its_own_candidate_was_not_promoted(tmp_path: Path, reason: str, word: str) -> None:
    """The page has the shell of every page, and the words that the command says."""
    result = RolloutResult("m", "", "1", "1", "served", Exit.PASSED, reason, 0.0, 0.0)
    told = Ended("ship", document(result), conclusion(result), "mlship.yaml", Home(tmp_path)).told()
    assert told.html is not None
    page = told.html()
    assert page.count("<!doctype html>") == 1
    assert "Content-Security-Policy" in page
    assert "--page:" in page
    assert f"<bdi>{word}</bdi></p>" in page
    assert f"m: {reason}" in page
    assert "promoted" not in page
    assert f": {word}" in told.markdown().splitlines()[0]
