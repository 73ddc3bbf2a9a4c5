"""A candidate that is the champion: it serves, and what was done is told and recorded as what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.cli import verdicts
from mlship.errors import Exit, MovedError, StateError
from mlship.ledger import Ledger
from mlship.rollout import behind, chain
from mlship.rollout.behind import Behind
from mlship.rollout.serve import serve
from mlship.rollout.watch import RolloutResult
from mlship.types import ModelVersion, Routes
from tests.fakes.rollout import MODEL, PLAN, Stage, digest

ONE, TWO = "v1-11111111", "v2-22222222"


def served(stage: Stage, version: str, said: list[str] | None = None) -> RolloutResult:
    done = serve(
        ModelVersion(MODEL, version, digest(version), Path("/nowhere") / version),
        home=stage.home,
        engine=stage.engine,
        ledger=stage.ledger,
        who="alice@host",
        say=(said if said is not None else []).append,
        clock=stage.clock,
        sleep=stage.clock.sleep,
    )
    assert (done.verdict, done.exit_code) == ("served", Exit.PASSED)
    return done


def test_where_it_serves_already_nothing_is_done(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    stage.engine.calls.clear()
    done = served(stage, "1")
    assert verdicts.conclusion(done) == f"{MODEL}: version 1 is the champion and has all traffic: nothing to do"
    assert stage.engine.calls == []
    assert stage.actions() == []


def test_where_nothing_runs_it_is_served_and_recorded(tmp_path: Path) -> None:
    """The first champion; and any after `mlship down`."""
    stage, said = Stage(tmp_path), list[str]()
    done = served(stage, "1", said)
    assert said == ["waiting for version 1 to answer: it is the champion, and nothing served before"]
    assert done.reason == "version 1 is the champion, and serves at http://127.0.0.1:8080 now: nothing served before"
    assert "promoted" not in verdicts.conclusion(done)
    assert stage.engine.routes() == Routes(ONE)
    [entry] = stage.ledger.entries(MODEL)
    assert (entry.action, entry.from_version, entry.to_version, entry.who) == ("served", None, "1", "alice@host")
    assert entry.evidence == {"model": digest("1")}
    assert chain.serving([entry]) == "1"
    served(stage, "1")
    assert len(stage.actions()) == 1


@pytest.mark.parametrize("canary", [None, TWO])
def test_what_served_before_is_told_and_recorded(tmp_path: Path, canary: str | None) -> None:
    """An alias that was moved by hand, while another version serves."""
    stage = Stage(tmp_path)
    stage.serve_stable()
    if canary:
        stage.engine.deploy(PLAN.canary)
        stage.engine.wait_ready(canary, 60)
        stage.engine.route(Routes(ONE, canary, 0.1))
    done = served(stage, "2")
    before = "version 1 served before" + (", and 10 % went to version 2" if canary else "")
    assert done.reason == f"version 2 is the champion, and serves at http://127.0.0.1:8080 now: {before}"
    assert stage.engine.routes() == Routes(TWO)
    assert stage.actions() == [("served", "1", "2")]
    why = chain.tell(chain.Subject("2"), chain.Known(MODEL, tuple(stage.ledger.entries(MODEL))))
    assert (why.headline, why.reason) == ("version 2 serves", done.reason)
    left = chain.tell(chain.Subject("1"), chain.Known(MODEL, tuple(stage.ledger.entries(MODEL))))
    assert (left.headline, left.reason) == ("version 1 does not serve any more", done.reason)


def test_a_server_that_died_is_served_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    stage.engine.kill(ONE)
    assert served(stage, "1").reason.endswith("now: nothing served before")
    assert stage.actions() == [("served", None, "1")]


def test_a_ledger_that_cannot_be_written_does_not_hide_that_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path)

    def full(*_: object) -> None:
        raise StateError("no space left")

    monkeypatch.setattr(Ledger, "append", full)
    with pytest.raises(StateError, match=r"serves at .* now: nothing served before, but no space left"):
        served(stage, "1")


def test_nothing_begins_from_an_alias_that_lags_behind_a_rollback(tmp_path: Path) -> None:
    """Else a job that is run again would undo what a person did while the registry was away."""
    behind.caught_up(tmp_path, MODEL, "2")
    behind.write(tmp_path, Behind("champion", "2", "1", 1.0))
    with pytest.raises(
        MovedError, match="version 1 has all traffic since a rollback, and @champion still names v"
    ) as e:
        behind.caught_up(tmp_path, MODEL, "2")
    assert e.value.hint.startswith(f"`mlship rollback {MODEL} --to 1` sets it")
    behind.caught_up(tmp_path, MODEL, "3")
    assert behind.read(tmp_path) is None, "somebody has decided meanwhile"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"alias": 1, "expected": "2", "to": "1", "at": 1.0}'])
def test_what_cannot_be_read_is_nothing_left_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "behind.json").write_text(text)
    assert behind.read(tmp_path) is None
