"""A journal carries a rollout over any crash, says where it stands, and stays small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlship.errors import StateError
from mlship.home import Home
from mlship.rollout import journal
from mlship.rollout.state import Phase
from tests.fakes.rollout import MODEL, PLAN, Stage


def test_without_a_rollout_there_is_no_view(tmp_path: Path) -> None:
    assert journal.latest(Home(tmp_path), MODEL) is None


def test_a_rollout_that_has_only_a_plan_is_preparing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    journal.begin(home, PLAN, at=1.0).close()
    view = journal.latest(home, MODEL)
    assert view is not None
    assert (view.phase, view.candidate_version, view.champion_version, view.steps) == ("preparing", "2", "1", 3)
    current = journal.current(home, MODEL)
    assert current is not None
    assert journal.story(current).plan == PLAN


def test_a_view_tells_what_the_last_look_said(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    seen = []

    def look(number: int) -> None:
        view = journal.latest(stage.home, MODEL)
        assert view is not None
        seen.append((view.running, view.phase, view.weight, view.reason))

    stage.audience.at_look = look
    stage.run()
    assert seen[4] == (True, "stepping", 0.05, stage.audience.reasons[4])
    view = journal.latest(stage.home, MODEL)
    assert view is not None
    assert (view.phase, view.outcome, view.running) == ("done", "promoted", False)
    assert view.reason.startswith("all 3 steps are done")


def test_intents_come_before_acts_and_outcomes_after(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    stage.run()
    current = journal.current(stage.home, MODEL)
    assert current is not None
    kinds = [record["kind"] for record in journal.records(current) if record["kind"] != "look"]
    assert kinds == ["plan", *["intent", "outcome"] * 4]


def test_a_record_of_a_look_is_of_constant_size(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    stage.run()
    current = journal.current(stage.home, MODEL)
    assert current is not None
    sizes = [len(line) for line in current.path.read_bytes().splitlines() if b'"kind":"look"' in line]
    assert max(sizes) < 4096
    assert max(sizes[len(sizes) // 2 :]) < 1.1 * max(sizes[: len(sizes) // 2])


@pytest.mark.parametrize("content", ["", "{", '{"kind":"look"}\n', "\x00\x01"])
def test_a_journal_that_does_not_begin_with_a_plan_is_named(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path)
    begun = journal.begin(home, PLAN, at=1.0)
    begun.close()
    begun.path.write_text(content)
    with pytest.raises(StateError, match="damaged"):
        journal.latest(home, MODEL)


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    full = journal.Journal(Path("/dev/full"))
    with pytest.raises(StateError, match="No space left on device"):
        full.append("note", 1.0)


def test_status_reads_a_view_without_loading_the_judge_or_pydantic(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    stage.run()
    code = (
        "import sys, json; from pathlib import Path; from mlship.home import Home; from mlship.rollout import journal;"
        f"view = journal.latest(Home(Path({str(stage.home.path)!r})), {MODEL!r});"
        "print(json.dumps([view.phase, sorted(n for n in ('pydantic', 'numpy', 'mlflow') if n in sys.modules)]))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert json.loads(out) == [Phase.DONE.value, []]
