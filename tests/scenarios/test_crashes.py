"""The command dies at every single point where it touches the world or the disk; the same command then carries on.

A crash is an exception that nothing catches, before or after each call; the engine, the registry and the files are the
world, and go on without the controller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlship.ledger import Ledger
from mlship.rollout import journal
from mlship.rollout.journal import Journal
from mlship.rollout.plan import PlanStep
from mlship.rollout.watch import RolloutResult
from mlship.types import Routes
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, PLAN, Stage

SHORT = replace(PLAN, steps=(PlanStep(0.3, 2, 50), PlanStep(0.5, 2, 50)))

#: Everything that touches the world or the disk.
TOUCHES: dict[type | str, tuple[str, ...]] = {
    "engine": ("deploy", "wait_ready", "route", "routes", "scrape", "stop", "servers"),
    "registry": ("alias", "move_alias", "version"),
}


class Crash(BaseException):
    """kill -9: nothing in the controller gets a chance to tidy up."""


class Fuse:
    """Counts touches, before and after each, and blows at one of them."""

    def __init__(self) -> None:
        self.count = 0
        self.blows_at = -1

    def guard(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def touched(*args: Any, **kwargs: Any) -> Any:
            self._touch()
            result = call(*args, **kwargs)
            self._touch()
            return result

        return touched

    def _touch(self) -> None:
        self.count += 1
        if self.count == self.blows_at:
            raise Crash


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Fuse:
    one = Fuse()
    monkeypatch.setattr(Journal, "append", one.guard(Journal.append))
    monkeypatch.setattr(Ledger, "append", one.guard(Ledger.append))
    return one


def prepared(path: Path, fuse: Fuse, story: str) -> Stage:
    stage = Stage(path, v2=Behaviour(errors=0.6 if story == "rollback" else 0.005))
    stage.plan = SHORT
    if story == "first promotion":
        stage.plan = replace(SHORT, stable=None)
        del stage.registry.aliases["champion"]
    else:
        stage.serve_stable()
    for where, names in TOUCHES.items():
        for name in names:
            target = getattr(stage, str(where))
            setattr(target, name, fuse.guard(getattr(target, name)))
    fuse.count = 0
    return stage


def found(stage: Stage, result: RolloutResult) -> dict[str, Any]:
    """What people find afterwards."""
    view = journal.latest(stage.home, MODEL)
    assert view is not None
    routes: Routes | None = stage.engine.routes()
    return {
        "verdict": result.verdict,
        "routes": routes,
        "aliases": stage.registry.aliases,
        "ledger": stage.actions(),
        "servers": set(stage.engine.servers()),
        "phase": (view.phase, view.outcome),
    }


@pytest.mark.parametrize("story", ["promotion", "rollback", "first promotion"])
def test_a_crash_anywhere_changes_nothing_about_the_end(tmp_path: Path, fuse: Fuse, story: str) -> None:
    calm = prepared(tmp_path / "calm", fuse, story)
    ended = calm.run()
    touches = fuse.count
    expected = found(calm, ended)
    assert touches > 20
    for point in range(1, touches + 1):
        stage = prepared(tmp_path / str(point), fuse, story)
        fuse.blows_at = point
        try:
            result = stage.run()
        except Crash:
            fuse.blows_at = -1
            stage.clock.sleep(2.0)  # the world goes on while nobody watches
            view = journal.latest(stage.home, MODEL)
            if view is None or view.phase != "done":
                result = stage.run()
                assert found(stage, result) == expected, f"crash at touch {point} of {touches}"
            else:
                assert view.outcome == expected["verdict"], f"crash at touch {point} of {touches}"
                assert stage.engine.routes() == expected["routes"]
                assert stage.actions() == expected["ledger"]
        else:
            fuse.blows_at = -1
            assert found(stage, result) == expected


def test_a_crash_credits_no_bake_that_nobody_saw_and_keeps_the_evidence(tmp_path: Path) -> None:
    """Given a crash in the middle of a bake, when the command is run an hour later, then that hour is not baked."""
    stage = Stage(tmp_path)
    stage.serve_stable()

    def crash(number: int) -> None:
        if number == 11:
            raise Crash

    stage.audience.at_look = crash
    with pytest.raises(Crash):
        stage.run()
    before = stage.audience.looks[-1]
    stage.clock.sleep(3600)
    stage.audience.at_look = lambda number: (_ for _ in ()).throw(Crash) if number == 12 else None
    with pytest.raises(Crash):
        stage.run()
    after = stage.audience.looks[-1]
    assert after.decision.state.baked == before.decision.state.baked
    assert after.decision.state.requests == before.decision.state.requests
    assert [s.processes for s in after.evidence.signals] == [s.processes for s in before.evidence.signals]
    stage.audience.at_look = lambda _number: None
    assert stage.run().verdict == "promoted"


def test_a_line_that_a_crash_cut_short_is_passed_over(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()

    def crash(number: int) -> None:
        if number == 30:
            raise Crash

    stage.audience.at_look = crash
    with pytest.raises(Crash):
        stage.run()
    current = journal.current(stage.home, MODEL)
    assert current is not None
    with current.path.open("ab") as file:
        file.write(b'{"at":1800000077.0,"kind":"look","verdict":"ho')
    stage.audience.at_look = lambda _number: None
    assert stage.run().verdict == "promoted"
    kinds = [record["kind"] for record in journal.records(current)]
    assert kinds[0] == "plan"
    assert kinds[-1] == "outcome"
