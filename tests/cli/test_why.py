"""`mlship why`: who decided what on which evidence, and whether it fits together; without a registry, and quickly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mlship.cli.main import app
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.rollout.state import Order
from mlship.types import LedgerEntry
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, Stage, digest
from tests.schemas import conforms

START = 1_800_000_000.0


def ask(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--home", str(home.path), "why", *arguments])


def document(home: Home, *arguments: str) -> dict[str, Any]:
    result = ask(home, *arguments, "--format", "json")
    return conforms("why", result.stdout)


def evaluated(at: float, version: str = "2", status: str = "passed", **evidence: str) -> LedgerEntry:
    said = {"passed": "all 17 rules passed, 4 skipped", "failed": "1 of 17 rules failed: metrics recall"}[status]
    kept = {
        "status": status,
        "evaluation": f"evaluation-{int(version) - 1}",
        "run": f"run{int(version) - 1}",
        "model": digest(version),
        "champion": digest("1"),
        "policy": "sha256:policy",
        "data": "sha256:data",
    }
    reason = f"{status.upper()}  {MODEL} {version} (champion 1): {said}"
    return LedgerEntry(at, "ada@host", "evaluated", MODEL, "1", version, reason, kept | evidence)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Version 2 evaluated, and let onto traffic as the fake plan says."""
    found = Stage(tmp_path)
    found.plan = replace(found.plan, run_id="run1")
    found.serve_stable()
    found.ledger.append(evaluated(found.clock() - 20))
    return found


def test_a_promotion_is_told_from_its_evaluation_to_its_rollout(stage: Stage) -> None:
    stage.run()
    result = ask(stage.home)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"{MODEL}: version 2 serves"
    assert lines[1].startswith("  promoted: all 3 steps are done")
    assert max(map(len, lines)) <= 80
    assert "✓ evaluation evaluation-1: all 17 rules passed, 4 skipped" in lines
    assert any(line.startswith("✓ rollout 20261121-000001-again1: promoted") for line in lines)
    assert lines[-1].startswith("the chain is whole")


def test_a_rollback_names_the_signal_with_the_counts_of_both_arms(tmp_path: Path) -> None:
    stage = Stage(tmp_path, v2=Behaviour(errors=0.2))
    stage.serve_stable()
    stage.ledger.append(evaluated(stage.clock() - 20, run="run-1"))
    stage.run()
    found = document(stage.home)
    assert (found["status"], found["headline"]) == ("failed", "version 2 does not serve")
    assert found["beside"].startswith("version 1 is champion")
    [rollout] = [link for link in found["links"] if link["kind"] == "rollout"]
    [decided] = [one for one in rollout["signals"] if one["decided"]]
    assert decided["name"] == "errors"
    assert decided["canary"]["bad"] > 0
    assert decided["stable"]["counted"] > decided["canary"]["counted"] > 0
    assert decided["e_value"] > 100
    assert "errors (decided): " in ask(stage.home).stdout


def test_what_people_did_is_told_with_their_names(stage: Stage) -> None:
    def look(number: int) -> None:
        if number in (4, 6, 9):
            stage.order({4: Order.PAUSE, 6: Order.RESUME, 9: Order.ABORT}[number], "bob")

    stage.audience.at_look = look
    stage.run()
    found = document(stage.home)
    hands = [link["text"] for link in found["links"] if link["kind"] == "hand"]
    assert [text.partition(" at ")[0] for text in hands] == ["paused by bob", "resumed by bob"]
    assert found["reason"].startswith("aborted by bob")
    assert (found["status"], found["headline"]) == ("inconclusive", "version 2 does not serve")


def test_a_failed_evaluation_is_told_with_the_rules_that_decided(tmp_path: Path) -> None:
    home = Home(tmp_path / ".mlship")
    Ledger(home.ledger).append(evaluated(START, "3", "failed"))
    directory = home.registry_dir / "artifacts" / "run2" / "artifacts"
    directory.mkdir(parents=True)
    measured = {"metric": "recall", "value": 0.71, "interval": [0.69, 0.73], "n": 900}
    kept = {
        "evaluation_id": "evaluation-2",
        "status": "failed",
        "candidate": {"digest": digest("3")},
        "policy_digest": "sha256:policy",
        "data_digest": "sha256:data",
        "results": [
            {
                "gate": "metrics",
                "rule": "recall min",
                "status": "failed",
                "limit": ">= 0.75",
                "reason": "recall is 0.71, under the limit 0.75",
                "measured": measured,
            },
            {"gate": "security", "rule": "scan", "status": "passed", "limit": "", "reason": "", "measured": None},
        ],
    }
    (directory / "evaluation.json").write_text(json.dumps(kept))
    found = document(home)
    assert found["headline"] == "version 3 does not serve"
    assert found["reason"] == "its evaluation failed: 1 of 17 rules failed: metrics recall"
    [link] = found["links"]
    assert [(rule["gate"], rule["measured"]) for rule in link["rules"]] == [("metrics", "0.71 [0.69, 0.73]")]
    assert "✗ metrics recall min: recall is 0.71, under the limit 0.75" in ask(home).stdout

    (directory / "evaluation.json").write_text(json.dumps(kept | {"data_digest": "sha256:other"}))
    broken = ask(home)
    assert broken.exit_code == 3
    assert "! THE CHAIN OF EVIDENCE IS BROKEN" in broken.stdout
    assert "the data: the ledger names sha256:data" in broken.stdout


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": digest("9")}, "the candidate: the evaluation names sha256:999999999999, the rollout sha256:2222"),
        ({"policy": "sha256:looser"}, "the policy: the evaluation names sha256:looser, the rollout sha256:policy"),
        ({"champion": digest("4")}, "the champion: the evaluation names sha256:444444444444, the rollout sha256:1111"),
        ({"run": "run7"}, "the run: the evaluation names run7, the rollout run1"),
        ({"status": "failed"}, "version 2 had traffic although its evaluation was failed"),
    ],
)
def test_a_chain_that_does_not_fit_is_said_loudly(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    stage = Stage(tmp_path)
    stage.plan = replace(stage.plan, run_id="run1")
    stage.serve_stable()
    stage.ledger.append(evaluated(stage.clock() - 20, **changed))
    stage.run()
    result = ask(stage.home, "--version", "2")
    assert result.exit_code == 3
    told = " ".join(result.stdout.replace("\n! ", " ").split())
    assert "! THE CHAIN OF EVIDENCE IS BROKEN" in result.stdout
    assert said in told
    found = document(stage.home)
    assert not found["whole"]
    assert any(said in each for each in found["breaks"])


def test_what_is_not_recorded_is_said_and_breaks_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    stage.run()
    found = document(stage.home)
    assert found["whole"]
    assert "no entry of evaluation evaluation-1 in this ledger" in found["lacking"]
    for path in stage.home.rollouts(MODEL).iterdir():
        if path.is_file():
            path.unlink()
    later = ask(stage.home)
    assert later.exit_code == 0
    assert "not known here: its journal: steps, counts and evidence over time" in later.stdout


def test_a_rollback_by_hand_is_the_latest_decision_and_the_past_can_be_asked(stage: Stage) -> None:
    stage.run()
    then = stage.clock()
    evidence = {"model": digest("1")}
    back = LedgerEntry(
        then + 600, "bob@host", "rolled_back", MODEL, "2", "1", "rolled back by bob: version 2 to version 1", evidence
    )
    stage.ledger.append(back)
    assert ask(stage.home).stdout.splitlines()[0] == f"{MODEL}: version 1 serves"
    left = document(stage.home, "--version", "2")
    assert left["headline"] == "version 2 does not serve any more"
    assert "rolled back by bob" in left["reason"]
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(then + 60, UTC).isoformat()
    assert document(stage.home, "--at", moment)["headline"] == "version 2 serves"


def test_a_rollout_under_way_says_so_far(stage: Stage) -> None:
    seen: list[dict[str, Any]] = []
    stage.audience.at_look = lambda number: seen.append(document(stage.home)) if number == 12 else None
    stage.run()
    [found] = seen
    assert found["headline"] == "version 2 is being let onto traffic"
    assert found["reason"].startswith("so far: ")
    assert found["rollouts"][0]["outcome"] == "running"


def test_rollouts_and_evaluations_can_be_asked_for_by_how_they_begin(stage: Stage) -> None:
    stage.run()
    assert document(stage.home, "--rollout", "20261121-000001")["headline"] == "version 2 was promoted"
    found = document(stage.home, "--evaluation", "evaluation-1")
    assert (found["headline"], found["asked"]) == ("version 2 passed its evaluation", "evaluation evaluation-1")


def test_questions_that_nobody_can_answer_are_one_message(stage: Stage) -> None:
    stage.run()
    for arguments, said in (
        (["flight-delays"], "did you mean 'flight-delay'?"),
        (["--version", "9"], "recorded here: "),
        (["--rollout", "2020"], "recorded here: 20261121-000001-again1"),
        (["--evaluation", "x"], "recorded here: evaluation-1"),
        (["--at", "yesterday"], "neither a time nor a duration"),
        (["--version", "2", "--rollout", "2026"], "ask for different things"),
    ):
        result = CliRunner().invoke(app, ["--home", str(stage.home.path), "why", *arguments])
        assert getattr(result.exception, "exit_code", None) == 2, arguments
        assert said in str(result.exception), arguments


def test_nothing_recorded_is_a_friendly_line(tmp_path: Path) -> None:
    home = Home(tmp_path / ".mlship")
    result = ask(home)
    assert result.exit_code == 0
    assert "nothing is recorded yet" in result.stdout
    assert document(home)["links"] == []
    assert not home.path.exists(), "looking leaves nothing behind"


def test_the_sound_part_of_a_damaged_ledger_is_told_and_exits_with_3(stage: Stage) -> None:
    stage.run()
    with stage.home.ledger.open("ab") as file:
        file.write(b"not an entry\n")
    result = ask(stage.home)
    assert result.exit_code == 3
    assert f"{MODEL}: version 2 serves" in result.stdout
    assert "the ledger is damaged" in result.stderr


def test_a_registry_that_does_not_answer_is_told_and_the_rest_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.run()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{stage.home.path}/nowhere/mlflow.db")
    result = ask(stage.home, "--registry")
    assert result.exit_code == 0
    assert f"{MODEL}: version 2 serves" in result.stdout
    assert "? registry: it could not be asked" in result.stdout


def test_every_kind_of_report_is_written(stage: Stage, tmp_path: Path) -> None:
    stage.run()
    kinds = {"html": "why.html", "markdown": "why.md", "junit": "why.xml", "json": "why.json"}
    reports = [part for kind, name in kinds.items() for part in ("--report", f"{kind}={tmp_path / name}")]
    assert ask(stage.home, *reports).exit_code == 0
    page = (tmp_path / "why.html").read_text(encoding="utf-8")
    assert "mlship rollout" in page
    assert "The chain of evidence" in page
    assert "version 2 serves" in (tmp_path / "why.md").read_text(encoding="utf-8")
    assert conforms("why", (tmp_path / "why.json").read_text())["version"] == "2"


def _names(value: Any, within: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield name
            if name not in ("facts",):
                yield from _names(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from _names(each, within)


def test_every_field_of_the_json_is_in_its_reference(tmp_path: Path) -> None:
    stage = Stage(tmp_path, v2=Behaviour(errors=0.2))
    stage.serve_stable()
    stage.ledger.append(evaluated(stage.clock() - 20, run="run-1"))
    stage.run()
    page = (Path(__file__).parents[2] / "docs" / "reference" / "why.md").read_text(encoding="utf-8")
    for name in set(_names(document(stage.home))):
        assert f"`{name}`" in page, name


def test_a_job_in_which_all_is_well_is_a_notice(stage: Stage, tmp_path: Path) -> None:
    """Figures that the registry would tell are no warning; on the page an option is no text in backticks."""
    stage.run()
    done = ask(stage.home, "--format", "github", "--report", f"html={tmp_path / 'why.html'}")
    annotations = [line for line in done.stdout.splitlines() if line.startswith(("::notice", "::warning", "::error"))]
    assert annotations == [line for line in annotations if line.startswith("::notice title=mlship why::")]
    assert f"{MODEL}: version 2 serves" in annotations[0]
    page = (tmp_path / "why.html").read_text()
    assert "MLflow run run1 (<code>--registry</code> asks the registry)" in page


def test_an_evaluation_that_is_not_recorded_is_a_warning(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    stage.run()
    assert "::warning title=mlship why%3A chain evaluation::" in ask(stage.home, "--format", "github").stdout
