"""Orders of a person while nobody drives the rollout: what is said is what the engine's lease says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlship.cli.main import app
from mlship.engines import state, table
from mlship.errors import EngineError, UsageError
from mlship.rollout.pulse import span
from mlship.types import Lease
from tests.fakes.rollout import MODEL, Stage

CARRIES_ON = "`mlship rollout /project/mlship.yaml` carries on"


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A rollout at 5 %, whose controller has died."""
    found = Stage(tmp_path)
    found.serve_stable()
    directory = found.home.ensure(found.home.engine(MODEL))
    (directory / state.MARK).write_text("local")
    (directory / state.FILE).write_text(json.dumps({"model": MODEL}))
    monkeypatch.setattr(table, "found", lambda _home, _model: found.engine)
    monkeypatch.setenv("MLSHIP_ACTOR", "alice")

    def die(number: int) -> None:
        if number == 8:
            raise OSError("as if killed")

    found.audience.at_look = die
    with pytest.raises(OSError, match="as if killed"):
        found.run()
    return found


def said(stage: Stage, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["--home", str(stage.home.path), *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout.strip()


@pytest.mark.parametrize("order", [("resume", MODEL), ("promote", MODEL), ("promote", MODEL, "--full")])
def test_an_order_without_a_controller_says_what_becomes_of_the_traffic(stage: Stage, order: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as found:
        said(stage, *order)
    before, _, left = found.value.what.partition(" in ")
    assert before == "no controller runs for this rollout; the guardian gives all traffic back to stable"
    assert left == span(stage.plan.lease)
    assert found.value.hint.startswith("`mlship rollout /project/mlship.yaml` carries it on")
    stage.clock.sleep(stage.plan.lease + 5)
    with pytest.raises(UsageError, match="its lease has run out, and the guardian has given all traffic back to st"):
        said(stage, *order)


def test_a_pause_names_no_weight_that_is_gone(stage: Stage) -> None:
    text = said(stage, "pause", MODEL)
    assert "; no controller runs; the guardian gives all traffic back to stable in " in text
    assert text.startswith("paused by alice")
    assert " at 5 %;" in text
    assert text.endswith(CARRIES_ON)
    stage.clock.sleep(stage.plan.lease + 5)
    text = said(stage, "pause", MODEL)
    assert text.startswith(
        "it is paused already; no controller runs; its lease has run out, and the guardian has given "
    )
    assert " 5 %" not in text


def test_a_controller_elsewhere_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.engine, "lease", lambda: Lease("ci@runner-7#4711", 60.0, 1.0))
    with pytest.raises(UsageError) as found:
        said(stage, "resume", MODEL)
    assert found.value.what == "the controller of this rollout runs elsewhere: ci@runner-7"


def test_an_engine_that_does_not_answer_hides_no_rollout(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> Lease:
        raise EngineError("Docker does not answer")

    monkeypatch.setattr(stage.engine, "lease", away)
    with pytest.raises(UsageError, match="the engine does not say whether its lease holds: Docker does not answer"):
        said(stage, "resume", MODEL)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min"),
        (42.0, "42 s"),
        (339.0, "5 min 39 s"),
        (3600.0, "1 h"),
        (3905.0, "1 h 5 min"),
        (90000.0, "1 d 1 h"),
    ],
)
def test_a_countdown_reads_as_people_say_it(seconds: float, text: str) -> None:
    assert span(seconds) == text
