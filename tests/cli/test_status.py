"""`mlship status` and `mlship down`, on an engine without processes: what is told, what is ended, which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mlship.cli.main import app
from mlship.engines import state, table
from mlship.errors import EngineError, StateError
from mlship.ledger import who
from mlship.rollout import journal, lines
from mlship.rollout.plan import PlanStep, StepKind
from mlship.rollout.state import Order, Phase
from mlship.types import Routes
from tests.fakes.rollout import MODEL, Stage
from tests.schemas import conforms


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A champion that serves; the commands find its engine."""
    found = Stage(tmp_path)
    found.serve_stable()
    directory = found.home.ensure(found.home.engine(MODEL))
    (directory / state.MARK).write_text("local")
    (directory / state.FILE).write_text(json.dumps({"model": MODEL}))
    down = found.engine.down

    def gone() -> None:
        down()
        (directory / state.MARK).unlink()
        (directory / state.FILE).unlink()

    monkeypatch.setattr(found.engine, "down", gone)
    monkeypatch.setattr(table, "found", lambda _home, _model: found.engine)
    monkeypatch.setenv("MLSHIP_ACTOR", "alice")
    return found


def call(stage: Stage, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--home", str(stage.home.path), *arguments])


def told(stage: Stage) -> dict[str, Any]:
    (document,) = conforms("status", call(stage, "status", "--format", "json").stdout)["models"]
    found: dict[str, Any] = document
    return found


def die_at(stage: Stage, look: int) -> None:
    """Run until the controller dies at a look."""

    def die(number: int) -> None:
        if number == look:
            raise OSError("as if killed")

    stage.audience.at_look = die
    with pytest.raises(OSError, match="as if killed"):
        stage.run()


def seen_at(stage: Stage, look: int) -> list[str]:
    """What status says at a look of a rollout that goes on."""
    said: list[str] = []

    def at_look(number: int) -> None:
        if number == look:
            done = call(stage, "status")
            assert done.exit_code == 0, done.stdout
            said.extend(done.stdout.splitlines())

    stage.audience.at_look = at_look
    stage.run()
    return said


def test_a_champion_alone(stage: Stage) -> None:
    done = call(stage, "status")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1] == "  version 1 has all traffic"
    keys = {"model", "endpoint", "stable", "canary", "weight", "servers", "rollout", "fault"}
    assert keys | {"mirror", "testers", "programs", "lease", "driver"} == told(stage).keys()


@pytest.mark.parametrize(
    ("step", "traffic", "place"),
    [
        (PlanStep(0.05, 20, 50), "version 1 has 95% of the traffic, canary 2 has 5%", "step 1 of 2, 5 %"),
        (
            PlanStep(0.0, 20, 50, StepKind.MIRROR, mirror=0.2),
            "version 1 has all traffic, canary 2 a copy of 20% of it",
            "step 1 of 2, mirror 20 %",
        ),
        (
            PlanStep(0.0, 20, 0, StepKind.TESTERS, testers=("x-canary", "1")),
            "version 1 has all traffic, canary 2 what carries x-canary: 1",
            "step 1 of 2, testers (x-canary: 1)",
        ),
        (
            PlanStep(0.05, 0, 0, StepKind.APPROVE, within=15.0, expiry="abort"),
            "version 1 has 95% of the traffic, canary 2 has 5%",
            "step 1 of 2, waiting for approval, 5 %",
        ),
        (
            PlanStep(0.05, 15, 0, StepKind.PAUSE),
            "version 1 has 95% of the traffic, canary 2 has 5%",
            "step 1 of 2, a pause, 5 %",
        ),
    ],
)
def test_every_kind_of_step_is_told(stage: Stage, step: PlanStep, traffic: str, place: str) -> None:
    stage.plan = replace(stage.plan, steps=(step, PlanStep(0.5, 1, 1)), deadline=30)
    said = seen_at(stage, 8)
    assert said[1] == f"  {traffic}"
    assert f"  rollout of version 2: {place}" in said
    assert any(line.strip().startswith("driven by tester (rollout of version 2, process ") for line in said)


def test_a_dead_controller_is_told_with_what_the_guardian_does(stage: Stage) -> None:
    die_at(stage, 8)
    done = call(stage, "status")
    assert done.exit_code == 0
    last = done.stdout.splitlines()[-1].strip()
    assert last.startswith("no controller runs; its last word is ")
    assert last.endswith("; `mlship rollout /project/mlship.yaml` carries on, `mlship abort flight-delay` ends it")
    assert "the guardian gives all traffic back to stable in " in last
    document = told(stage)
    assert document["rollout"]["running"] is False
    assert document["lease"]["expired_at"] is None
    assert 0 < document["lease"]["left"] <= stage.plan.lease


def test_what_the_guardian_has_done_is_told(stage: Stage) -> None:
    die_at(stage, 8)
    stage.clock.sleep(stage.plan.lease + 5)
    done = call(stage, "status")
    assert "  version 1 has all traffic" in done.stdout.splitlines()
    assert "its lease has run out, and the guardian has given all traffic back to stable (" in done.stdout
    assert told(stage)["lease"]["expired_at"] is not None


def test_an_engine_out_of_reach_is_exit_3_and_hides_no_rollout(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    die_at(stage, 8)

    def unreachable() -> None:
        raise EngineError("the Docker engine does not answer", hint="mlship doctor")

    monkeypatch.setattr(stage.engine, "servers", unreachable)
    done = call(stage, "status")
    assert done.exit_code == 3
    assert "the Docker engine does not answer" in done.stdout
    assert "rollout of version 2: step 1 of 3, 5 %" in done.stdout
    assert "does not say whether its lease holds: the Docker engine does not answer" in done.stdout
    as_json = call(stage, "status", "--format", "json")
    assert as_json.exit_code == 3


def test_a_dead_router_is_told_as_such(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.engine, "routes", lambda: None)
    monkeypatch.setattr(stage.engine, "programs", lambda: {"router": False, "guardian": True, "fallback": False})
    done = call(stage, "status")
    assert done.exit_code == 3
    assert done.stdout.count("  the router does not run: no request is served\n") == 1
    assert (
        "  the fallback does not run: callers get an error where they would get its answer" in done.stdout.splitlines()
    )
    assert told(stage)["programs"] == {"router": False, "guardian": True, "fallback": False}


def test_a_dead_guardian_is_told(stage: Stage) -> None:
    stage.engine.guardian = False
    done = call(stage, "status")
    assert done.exit_code == 0
    assert "  the guardian does not run: nobody gives traffic back when a controller dies" in done.stdout.splitlines()


def test_a_damaged_journal_is_told_beside_what_serves(stage: Stage) -> None:
    die_at(stage, 8)
    path = lines.latest(stage.home, MODEL)
    assert path is not None
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    done = call(stage, "status")
    assert done.exit_code == 0
    assert "the last line of its journal cannot be read, and what is told here is older" in done.stdout
    path.write_bytes(b"{" + whole)
    done = call(stage, "status")
    assert done.exit_code == 3
    assert "does not begin with a plan" in done.stdout
    assert "v1-" in done.stdout, "what serves is shown all the same"


def test_status_starts_without_numpy_or_mlflow(stage: Stage) -> None:
    die_at(stage, 8)
    code = (
        "import sys; from mlship.cli.status import describe; from mlship.home import Home; from pathlib import Path;"
        f"found = describe(Home(Path({str(stage.home.path)!r})), 'other');"
        "print([n for n in ('pydantic', 'numpy', 'mlflow', 'pandas', 'docker') if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "[]"


def test_down_without_a_rollout_stops_what_runs(stage: Stage) -> None:
    assert call(stage, "down").stdout == f"stopped {MODEL} at http://127.0.0.1:8080: the router and 1 server\n"
    assert call(stage, "down").stdout == f"nothing to stop: no engine in {stage.home.path}\n"
    assert call(stage, "down", "x").stdout == f"nothing to stop for x: no engine in {stage.home.path}\n"


def test_down_ends_a_rollout_that_nobody_drives(stage: Stage) -> None:
    die_at(stage, 8)
    calls = len(stage.engine.calls)
    done = call(stage, "down", MODEL)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"stopped {MODEL} at http://127.0.0.1:8080: the router and 2 servers",
        f"the rollout of version 2 has ended: aborted by {who()}: the endpoint was taken down",
    ]
    assert stage.engine.calls[calls:] == ["down"], "no server is started only to be stopped"
    assert stage.actions() == [("aborted", "2", "1")]
    view = journal.latest(stage.home, MODEL)
    assert view is not None
    assert (view.phase, view.outcome, view.weight) == ("done", "aborted", 0.0)
    assert call(stage, "watch", MODEL).exit_code == 4
    assert call(stage, "down", MODEL).stdout.startswith("nothing to stop")


def test_down_tells_a_controller_that_runs_to_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is obeyed, and what was stopped is told after it."""
    begun, results = threading.Event(), []

    def at_look(number: int) -> None:
        if number == 5:
            begun.set()
            assert posted.wait(30)

    posted = threading.Event()
    from mlship.rollout.mailbox import Mailbox

    post: Callable[..., str] = Mailbox.post

    def posting(self: Mailbox, order: Order, by: str) -> str:
        letter = post(self, order, by)
        posted.set()
        return letter

    monkeypatch.setattr(Mailbox, "post", posting)
    stage.audience.at_look = at_look
    controller = threading.Thread(target=lambda: results.append(stage.run()), daemon=True)
    controller.start()
    assert begun.wait(30)
    done = call(stage, "down", MODEL)
    controller.join(30)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"told the controller of {MODEL} to end: aborted by {who()} at 5 %",
        f"stopped {MODEL} at http://127.0.0.1:8080: the router and 1 server",
    ]
    assert [result.verdict for result in results] == ["aborted"]
    assert stage.engine.calls[-1] == "down"
    assert stage.actions() == [("aborted", "2", "1")]


def test_down_leaves_a_promotion_to_be_carried_on(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_arguments: object, **_named: object) -> None:
        raise OSError("as if killed")

    monkeypatch.setattr(stage.registry, "move_alias", die)
    with pytest.raises(OSError, match="as if killed"):
        stage.run()
    view = journal.latest(stage.home, MODEL)
    assert view is not None
    assert view.phase == Phase.PROMOTING
    said = call(stage, "down").stdout
    assert "the promotion of version 2 is unfinished: `mlship rollout /project/mlship.yaml` serves it again" in said
    assert stage.actions() == []


def test_down_keeps_the_verdict_of_a_rollback_under_way(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.engine.change("2", errors=0.5)

    def die(_server: str) -> None:
        raise OSError("as if killed")

    monkeypatch.setattr(stage.engine, "stop", die)
    with pytest.raises(OSError, match="as if killed"):
        stage.run()
    said = call(stage, "down").stdout
    assert "the rollout of version 2 has ended: errors " in said
    view = journal.latest(stage.home, MODEL)
    assert view is not None
    assert view.outcome == "rolled_back"
    assert stage.actions() == [("rolled_back", "2", "1")], "written once"
    assert call(stage, "watch", MODEL).exit_code == 5


def test_down_stops_what_runs_although_the_journal_is_damaged(stage: Stage) -> None:
    die_at(stage, 8)
    path = lines.latest(stage.home, MODEL)
    assert path is not None
    path.write_bytes(b"\x00" + path.read_bytes())
    done = call(stage, "down", MODEL)
    assert done.exit_code == 0
    assert done.stdout == f"stopped {MODEL} at http://127.0.0.1:8080: the router and 2 servers\n"
    assert "does not begin with a plan" in done.stderr


def test_a_controller_that_does_not_end_stops_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlship.rollout import ordering

    monkeypatch.setattr(ordering, "ANSWER_SECONDS", 0.1)
    said: list[BaseException | None] = []

    def at_look(number: int) -> None:
        if number == 5:
            said.append(call(stage, "down", MODEL).exception)

    stage.audience.at_look = at_look
    assert stage.run().verdict == "promoted"
    assert isinstance(said[0], StateError)
    assert "no answer within 0.1 s" in str(said[0])
    assert stage.engine.routes() == Routes(stage.plan.canary.server)
