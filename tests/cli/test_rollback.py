"""`mlship rollback`: what it does during a rollout, with a damaged ledger or without any, and how it tells it."""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from mlship.cli import rollback
from mlship.cli.common import Context
from mlship.errors import MlshipError, RegistryError, StateError, UsageError
from mlship.ledger import Ledger
from mlship.rollout import handle, ordering
from mlship.rollout.plan import PlanStep
from mlship.types import LedgerEntry, Routes
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, PLAN, Stage, digest
from tests.schemas import conforms

ONE, TWO, THREE = "v1-11111111", "v2-22222222", "v3-33333333"


class Gone(BaseException):
    """kill -9."""


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Version 2 has replaced version 1, whose server is still warm."""
    found = Stage(tmp_path)
    found.plan = replace(PLAN, steps=(PlanStep(0.05, 5, 10),))
    for _ in range(3):
        found.ledger.append(LedgerEntry(1.0, "ada@host", "evaluated", MODEL, None, "1", "all gates passed"))
    found.serve_stable(5)
    assert found.run().verdict == "promoted"
    monkeypatch.setattr(handle, "engine_of", lambda *_: found.engine)
    monkeypatch.setattr(handle, "LazyRegistry", lambda *_: found.registry)
    monkeypatch.setenv("MLSHIP_ACTOR", "alice")
    found.engine.lag = 0.0
    return found


def begin(stage: Stage) -> None:
    """Version 3 is on canary, and its controller is gone."""
    stage.registry.aliases["challenger"] = "3"
    looks = len(stage.audience.looks)

    def die(number: int) -> None:
        if number > looks and stage.engine.routes() == Routes(TWO, THREE, 0.05):
            raise Gone

    stage.audience.at_look = die
    with pytest.raises(Gone):
        stage.run(stable=PLAN.canary, canary=replace(PLAN.canary, version="3", digest=digest("3")))


def call(stage: Stage, *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(rollback.command)
    return CliRunner().invoke(app, [MODEL, *arguments], obj=Context(stage.home, debug=False))


def fails(stage: Stage, *arguments: str) -> MlshipError:
    found = call(stage, *arguments).exception
    assert isinstance(found, MlshipError), found
    return found


def test_traffic_goes_back_although_an_old_entry_is_damaged_and_then_it_is_told(stage: Stage) -> None:
    content = stage.ledger.path.read_bytes()
    stage.ledger.path.write_bytes(content.replace(b"ada", b"eve", 1))
    done = call(stage)
    assert done.exit_code == 0, done.output
    assert f"{MODEL}: version 1 serves again instead of 2" in done.stdout
    assert "ledger.jsonl:2: the ledger is damaged" in done.stderr.replace("\n", "")
    assert stage.engine.routes() == Routes(ONE)


def test_during_a_rollout_stable_gets_all_traffic_and_the_champion_stays(stage: Stage) -> None:
    begin(stage)
    done = call(stage)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        f"{MODEL}: the rollout of version 3 has ended, and version 2 has all traffic",
        f"  {done.stdout.splitlines()[1].strip()}",
        f"  champion is still version 2: `mlship rollback {MODEL}` again goes back to version 1",
    ]
    assert done.stdout.splitlines()[1].strip().startswith("aborted by alice@")
    assert stage.engine.routes() == Routes(TWO)
    assert stage.registry.aliases["champion"] == "2"
    assert stage.actions()[-1] == ("aborted", "3", "2")
    assert "version 1 serves again instead of 2" in call(stage).stdout
    assert stage.engine.routes() == Routes(ONE)
    assert stage.actions()[-1] == ("rolled_back", "2", "1")


def test_during_a_rollout_json_tells_what_has_ended_and_what_serves(stage: Stage) -> None:
    begin(stage)
    document = conforms("rollback", call(stage, "--to", "2", "--format", "json").stdout)
    assert (document["verdict"], document["exit_code"]) == ("aborted", 0)
    assert (document["from_version"], document["to_version"], document["route_ms"]) == ("3", "2", None)
    assert stage.engine.routes() == Routes(TWO)
    document = conforms("rollback", call(stage, "--format", "json").stdout)
    assert (document["verdict"], document["from_version"], document["to_version"]) == ("rolled_back", "2", "1")


def test_during_a_rollout_a_version_that_is_named_is_gone_to(stage: Stage) -> None:
    begin(stage)
    done = call(stage, "--to", "1")
    assert done.exit_code == 0, done.output
    assert stage.engine.routes() == Routes(ONE)
    assert stage.registry.aliases["champion"] == "1"
    assert stage.actions()[-2:] == [("aborted", "3", "2"), ("rolled_back", "2", "1")]


def test_during_a_rollout_a_version_that_never_was_champion_ends_nothing(stage: Stage) -> None:
    begin(stage)
    assert "version 3 never was champion" in fails(stage, "--to", "3").what
    assert stage.engine.routes() == Routes(TWO, THREE, 0.05)


def test_a_controller_that_runs_is_told_to_end(stage: Stage) -> None:
    stage.registry.aliases["challenger"] = "3"
    began, ended = threading.Event(), list[str]()

    def rest(seconds: float) -> None:
        stage.clock.sleep(seconds)
        time.sleep(0.002)

    stage.rest = rest
    stage.audience.at_look = lambda _: began.set() if stage.engine.routes() == Routes(TWO, THREE, 0.05) else None
    canary = replace(PLAN.canary, version="3", digest=digest("3"))

    def run() -> None:
        ended.append(
            stage.run(stable=PLAN.canary, canary=canary, steps=(PlanStep(0.05, 1e6, 10),), deadline=1e7).reason
        )

    controller = threading.Thread(target=run, daemon=True)
    controller.start()
    assert began.wait(20)
    done = call(stage)
    controller.join(20)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{MODEL}: the rollout of version 3 has ended, and version 2 has all traffic\n")
    assert len(ended) == 1
    assert ended[0].startswith("aborted by alice@")
    assert stage.actions()[-1] == ("aborted", "3", "2")


@pytest.mark.parametrize("outcome", ["promoted", "rolled_back"])
def test_a_rollout_that_ends_this_very_moment(stage: Stage, monkeypatch: pytest.MonkeyPatch, outcome: str) -> None:
    """Promoted: the new champion is left. Rolled back: stable has all traffic, and nothing else is done."""
    begin(stage)
    stage.audience.at_look = lambda _number: None
    if outcome == "rolled_back":
        stage.engine.behaviours["3"] = Behaviour(errors=0.9)

    def late(*_: object) -> None:
        done = stage.run(stable=PLAN.canary, canary=replace(PLAN.canary, version="3", digest=digest("3")))
        assert done.verdict == outcome
        raise UsageError("the latest rollout is over")

    monkeypatch.setattr(ordering, "send", late)
    done = call(stage)
    assert done.exit_code == 0, done.output
    assert stage.engine.routes() == Routes(TWO)
    assert stage.registry.aliases["champion"] == "2"
    if outcome == "promoted":
        assert done.stdout.startswith(f"{MODEL}: version 2 serves again instead of 3, ")
    else:
        assert done.stdout.splitlines()[1].startswith("  rolled back: errors ")


def test_what_a_person_has_routed_meanwhile_is_not_told_as_stable(stage: Stage) -> None:
    begin(stage)
    stage.engine.route(Routes(ONE))
    done = call(stage)
    assert done.stdout.startswith(f"{MODEL}: the rollout of version 3 has ended, and version 1 has all traffic\n")
    assert stage.engine.routes() == Routes(ONE)


def test_a_registry_that_is_away_comes_after_what_was_done(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> str:
        raise RegistryError("the registry does not answer", hint="is it running?")

    with monkeypatch.context() as patch:
        patch.setattr(stage.registry, "alias", silent)
        error = fails(stage)
    assert isinstance(error, RegistryError)
    assert re.match(r"traffic went back to version 1 at \d\d:\d\d:\d\d, but @champion could not be set: ", error.what)
    assert f"`mlship rollback {MODEL} --to 1`" in error.hint
    assert stage.actions()[-1] == ("rolled_back", "2", "1")
    done = call(stage)
    assert done.exit_code == 0, done.output
    assert re.fullmatch(
        rf"{MODEL}: version 1 has all traffic since [\d:]{{8}}; now @champion names it, too\n", done.stdout
    )
    assert stage.registry.aliases["champion"] == "1"
    assert [action for action, *_ in stage.actions()].count("rolled_back") == 1


def damage(ledger: Ledger) -> None:
    """The line before the promotion, so that it does not follow from it."""
    ledger.path.write_bytes(ledger.path.read_bytes().replace(b"ada", b"eve", 3).replace(b"eve", b"ada", 2))


def test_a_damaged_ledger_names_who_could_serve(stage: Stage) -> None:
    damage(stage.ledger)
    error = fails(stage)
    assert isinstance(error, StateError)
    assert "the ledger is damaged" in error.what
    [rollout] = stage.home.rollouts(MODEL).glob("*.jsonl")
    assert error.hint.startswith(
        f"`mlship rollback {MODEL} --to 1`: version 1 (it was champion in {rollout.stem}, its server is ready); "
    )
    assert stage.engine.routes() == Routes(TWO)


def test_a_version_that_is_named_needs_no_sound_ledger_and_the_exit_code_tells(stage: Stage) -> None:
    damage(stage.ledger)
    done = call(stage, "--to", "1", "--format", "json")
    assert done.exit_code == 3, done.output
    document = conforms("rollback", done.stdout)
    assert (document["exit_code"], document["from_version"], document["to_version"]) == (3, "2", "1")
    said = " ".join(done.stderr.split())
    assert "warning: the ledger is damaged" in said
    assert "traffic went back to version 1, but the ledger is damaged" in said
    assert stage.engine.routes() == Routes(ONE)
    assert stage.registry.aliases["champion"] == "1"
    last = json.loads(stage.ledger.path.read_text().splitlines()[-1])
    assert (last["action"], last["from_version"], last["to_version"]) == ("rolled_back", "2", "1")


@pytest.mark.parametrize("warm", [True, False])
def test_a_ledger_that_was_moved_away_is_no_end(stage: Stage, warm: bool) -> None:
    """As the hint of a damaged one says; the versions are known to the engine, and to the rollout's journal."""
    stage.ledger.path.rename(stage.ledger.path.with_suffix(".damaged"))
    error = fails(stage)
    assert isinstance(error, UsageError)
    assert "nothing was ever promoted" in error.what
    assert error.hint.startswith(f"`mlship rollback {MODEL} --to 1`: version 1 (it was champion in ")
    if not warm:
        stage.engine.stop(ONE)
    done = call(stage, "--to", "1")
    assert done.exit_code == 0, done.output
    assert "warning: nothing was ever promoted" in done.stderr
    assert stage.engine.routes() == Routes(ONE)
    assert stage.actions() == [("rolled_back", "2", "1")]
    assert call(stage, "--to", "2").exit_code == 0
    assert stage.registry.aliases["champion"] == "2"
    assert "version 1 serves again instead of 2" in call(stage).stdout, "the new ledger knows it by now"


def test_without_a_ledger_the_registry_may_know_the_version(stage: Stage) -> None:
    stage.ledger.path.unlink()
    error = fails(stage, "--to", "9")
    assert error.what.startswith("nothing was ever promoted")
    assert error.hint == "nothing else knows version 9, and the registry: no such version"
    assert stage.engine.routes() == Routes(TWO)
    done = call(stage, "--to", "4")
    assert done.exit_code == 0, done.output
    assert "version 4 (nothing shows that it was champion)" in " ".join(done.stderr.split())
    assert stage.engine.routes() == Routes("v4-44444444")


def test_without_a_sound_ledger_an_alias_that_was_left_behind_is_set_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(stage.ledger)

    def silent(*_: object) -> str:
        raise RegistryError("the registry does not answer", hint="is it running?")

    with monkeypatch.context() as patch:
        patch.setattr(stage.registry, "alias", silent)
        assert "traffic went back to version 1 at " in fails(stage, "--to", "1").what
    assert stage.registry.aliases["champion"] == "2"
    assert call(stage).exit_code == 3
    assert stage.registry.aliases["champion"] == "1"
    assert "`mlship rollback flight-delay --to 2`" in fails(stage).hint


def test_a_sound_ledger_lets_nobody_back_that_never_was_champion(stage: Stage) -> None:
    assert "version 4 never was champion" in fails(stage, "--to", "4").what


def test_a_cold_way_back_is_told_in_seconds(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    told = rollback._returned
    monkeypatch.setattr(
        rollback, "_returned", lambda done, *rest: told(replace(done, seconds=51.4336, warm=False), *rest)
    )
    assert (
        f"{MODEL}: version 1 serves again instead of 2, 51.4 s after the decision; its server was st"
        in call(stage).stdout
    )
