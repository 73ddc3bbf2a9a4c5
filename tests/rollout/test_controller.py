"""The end of a controller, however it comes: nobody is left behind who works for a rollout that nobody drives."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mlship.errors import EngineError, StateError
from mlship.policy.rollout import Hook
from mlship.rollout import journal
from mlship.rollout.errands import Threads
from mlship.rollout.hooks import Hooks
from mlship.rollout.state import Order
from tests.fakes.rollout import MODEL, Stage


def interrupt(_stage: Stage) -> None:
    raise KeyboardInterrupt


def fail(stage: Stage) -> None:
    raise EngineError("the engine has gone", where=stage.plan.model)


def abort(stage: Stage) -> None:
    stage.order(Order.ABORT)


def asking(path: Path, end: Callable[[Stage], None]) -> tuple[Stage, Path]:
    """A stage whose rollout ends like that while a hook's program runs; and the file of that program's number."""
    script, number = path / "hook.sh", path / "number"
    script.write_text("#!/bin/sh\necho $$ > number.new; mv number.new number; sleep 600\n")
    script.chmod(0o755)
    stage = Stage(path)
    stage.plan = replace(stage.plan, hooks=(True, False))
    stage.serve_stable()
    stage.hooks, stage.errands = Hooks([Hook(command="./hook.sh")], [], path), Threads()

    def rest(seconds: float) -> None:
        stage.clock.sleep(seconds)
        deadline = time.monotonic() + 20
        while not number.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        end(stage)

    stage.rest = rest
    return stage, number


def gone(process: int) -> bool:
    """Whether it ends within some seconds, and whoever started it has seen that."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("end", "raised"),
    [
        pytest.param(interrupt, KeyboardInterrupt, id="interrupted"),
        pytest.param(fail, EngineError, id="an error"),
        pytest.param(abort, None, id="over"),
    ],
)
def test_no_program_of_a_hook_outlives_its_rollout(
    tmp_path: Path, end: Callable[[Stage], None], raised: type[BaseException] | None
) -> None:
    stage, number = asking(tmp_path, end)
    if raised is None:
        assert stage.run().verdict == "aborted"
    else:
        with pytest.raises(raised):
            stage.run()
    assert gone(int(number.read_text()))


def test_an_interrupted_rollout_says_so_in_its_journal_and_gives_its_lease_up(tmp_path: Path) -> None:
    stage, _ = asking(tmp_path, interrupt)
    with pytest.raises(KeyboardInterrupt):
        stage.run()
    current = journal.current(stage.home, MODEL)
    assert current is not None
    assert list(journal.records(current))[-1]["note"] == "interrupted"
    assert stage.audience.said[-1].startswith("interrupted: `mlship rollout /project/mlship.yaml` carries on")
    assert (lease := stage.engine.lease()) is not None
    assert lease.owner == ""


def test_a_disk_that_is_full_does_not_turn_an_interruption_into_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(stage: Stage) -> None:
        def refuse(*_arguments: object, **_fields: object) -> None:
            raise StateError("cannot write the journal: No space left on device")

        monkeypatch.setattr(journal.Journal, "append", refuse)
        interrupt(stage)

    stage, number = asking(tmp_path, full)
    with pytest.raises(KeyboardInterrupt):
        stage.run()
    assert stage.audience.said[-1].startswith("interrupted: ")
    assert gone(int(number.read_text()))
