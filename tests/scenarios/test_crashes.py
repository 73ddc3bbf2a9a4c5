"""The command dies in the middle; the same command then carries on (at every single point: tests/faults)."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.rollout import journal
from tests.fakes.rollout import MODEL, Stage


class Crash(BaseException):
    """kill -9: nothing in the controller gets a chance to tidy up."""


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
