"""What people see of a rollout in its own terminal: a picture, or a line per change elsewhere."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console
from rich.live import Live
from typer.testing import CliRunner

from mlship.cli import live
from mlship.cli import rollout as command
from mlship.cli.live import Lines, Picture, Viewer
from mlship.cli.main import app
from mlship.cli.verdicts import conclusion, document, interrupted
from mlship.rollout.plan import PlanStep, StepKind
from mlship.rollout.scene import Moment, Tape, of_look
from mlship.rollout.words import became
from mlship.types import VerdictKind
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, Stage, release
from tests.schemas import conforms


def lines_of(stage: Stage) -> list[str]:
    out = io.StringIO()
    controller = stage.controller()
    controller.view = Viewer(Lines(Console(file=out, width=400, highlight=False)))
    controller.run()
    return out.getvalue().splitlines()


def frames_of(stage: Stage, width: int = 110, height: int = 40, *, limit: int = 1_000) -> list[str]:
    """The picture after each look, as a terminal of this size shows it."""
    console, paper = (
        Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
        for _ in range(2)
    )
    frames: list[str] = []
    with Live(console=console, auto_refresh=False) as drawn:
        picture = Picture(console, drawn)
        refresh = picture.refresh

        def listening(tape: Tape) -> None:
            refresh(tape)
            if len(frames) < limit:
                with paper.capture() as capture:
                    paper.print(picture)
                frames.append(capture.get())

        picture.refresh = listening  # type: ignore[method-assign]  # listens in
        controller = stage.controller()
        controller.view = Viewer(picture)
        controller.run()
    return frames


def test_without_a_terminal_there_is_a_line_per_change(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    lines = lines_of(stage)
    assert lines[:2] == ["waiting for version 1 to answer", "waiting for version 2 to answer"]
    assert [line.split(":")[0] for line in lines[2:]] == [
        "starting",
        "baked at 5 %",
        "baked at 25 %",
        "all 3 steps are done",
    ]


def test_what_is_in_the_way_is_a_change(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rate=0)
    stage.plan = replace(stage.plan, deadline=120)
    stage.serve_stable()
    lines = lines_of(stage)
    assert lines[-1].startswith("inconclusive after 2 min at 5 %")
    assert 6 <= len(lines) <= 10, "one line every half minute while nothing changes"


def test_figures_of_the_same_obstacle_are_no_change(tmp_path: Path) -> None:
    """A line each half minute, not one a look, while it waits for a proof whose evidence moves."""
    stage = Stage(tmp_path)
    looks: list[Moment] = []
    stage.serve_stable()
    view = SimpleNamespace(say=lambda _: None, look=lambda look: looks.append(of_look(look)))
    controller = stage.controller()
    controller.view = cast(Viewer, view)
    controller.run()
    out = io.StringIO()
    lines = Lines(Console(file=out, width=400))
    for second in range(60):
        reason = f"holding at 5 %: 300 of 50 requests; not promoting yet: errors 2x is at {second / 7:.2f} of 100"
        lines.show(replace(looks[0], at=1e6 + second, reason=reason, kind=VerdictKind.HOLD), Tape(stage.plan))
    assert len(out.getvalue().splitlines()) == 2


def test_the_picture_shows_steps_arms_sparklines_and_evidence(tmp_path: Path) -> None:
    stage = Stage(tmp_path, v2=Behaviour(errors=0.03))
    stage.serve_stable()
    frames = frames_of(stage)
    frame = frames[8]
    assert "flight-delay: version 2 against champion 1" in frame
    assert "├─ ● 5 %        ████░░░░░░ 8 s of 20 s, " in frame
    assert "├─ ○ 50 %       20 s, 500 requests" in frame
    assert "the last 8 s" in frame
    assert "p99" in frame
    assert " ms" in frame
    assert "requests/s" in frame
    assert "▇" in frame
    assert "100 %  100 rolls it back" in frame
    assert "holding at 5 %: " in frame
    assert "█" * 24 in frames[-1], "the bar is full when the canary is rolled back"
    assert "└─ ✗ rolled back  all traffic to version 1" in frames[-1], "not on its way back any more"
    assert max(len(line) for line in frames[-1].splitlines()) <= 110


def test_an_approval_says_how_and_until_when(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    steps = (PlanStep(0.05, 20, 50), PlanStep(0.05, 0, 0, StepKind.APPROVE, within=30.0, expiry="abort"))
    stage.plan = replace(stage.plan, steps=steps)
    stage.serve_stable()
    frames = frames_of(stage)
    waiting = next(frame for frame in frames if "5 s of 30 s" in frame)
    assert "├─ ✓ 5 %        20 s, " in waiting
    assert "├─ ● approval   5 s of 30 s" in waiting
    assert "│    until " in waiting
    assert ", else abort: `mlship promote flight-delay`" in waiting
    assert "└─ ○ promotion" in waiting


def test_a_new_rollout_begins_a_new_tape(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    stage.run()
    first = stage.audience.looks[10]
    second = replace(first, plan=replace(first.plan, rollout_id="another", canary=release("3")))
    tapes: list[Tape] = []

    class Kept(Lines):
        def show(self, moment: Moment, tape: Tape) -> None:
            del moment
            tapes.append(tape)

    viewer = Viewer(Kept(Console(file=io.StringIO())))
    for look in (first, first, second):
        viewer.look(look)
    assert tapes[0] is tapes[1]
    assert (len(tapes[1].points), len(tapes[2].points)) == (2, 1)
    assert tapes[2].plan.canary.version == "3"


def test_the_conclusion_says_what_to_do_next(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rate=0)
    stage.plan = replace(stage.plan, deadline=20)
    stage.serve_stable()
    result = stage.run()
    assert conclusion(result).startswith("flight-delay version 2 paused: inconclusive after 20 s at 5 %")
    assert "`mlship abort flight-delay` " in conclusion(result)
    told = document(result)
    assert (told["verdict"], told["exit_code"]) == ("paused", 4)
    assert told["steps"] == [{"weight": 0.05, "seconds": told["steps"][0]["seconds"], "requests": 0}]


@pytest.mark.parametrize(
    ("outcome", "reason", "said"),
    [
        ("aborted", "aborted by alice at 10 %", "aborted by alice at 10 %"),
        ("aborted", "not started: a hook has a veto", "aborted: not started: a hook has a veto"),
        ("rolled_back", "errors 20.0 % against 0.0 %", "rolled back: errors 20.0 % against 0.0 %"),
        ("promoted", "promoted by alice at 50 %", "promoted by alice at 50 %"),
        ("promoted", "all 3 steps are done: errors", "promoted: all 3 steps are done: errors"),
        ("paused", "by alice", "paused by alice"),
        ("paused", "paused at 10 %, as the policy says: labels", "paused at 10 %, as the policy says: labels"),
        ("paused", "inconclusive after 3 h at 10 %", "paused: inconclusive after 3 h at 10 %"),
    ],
)
def test_an_outcome_and_its_reason_say_each_word_once(outcome: str, reason: str, said: str) -> None:
    assert became(outcome, reason) == said


def test_what_to_do_after_an_interruption_stands_below_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was written above it once, where a terminal of 24 lines had scrolled it away."""
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system=None)
    monkeypatch.setattr(live, "err", lambda: console)
    monkeypatch.setattr(live, "steps", lambda: console)
    monkeypatch.setattr(live, "drawn", lambda _: True)

    def interrupted() -> None:
        with live.watching() as view:
            view.say("interrupted: `mlship rollout p.yaml` carries on")
            console.print("the picture")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().index("interrupted: ") > console.file.getvalue().index("the picture")


def test_an_interrupted_command_tells_a_program_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()

    def stop(number: int) -> None:
        if number == 5:
            raise KeyboardInterrupt

    stage.audience.at_look = stop
    said: list[str] = []

    def run(*_arguments: object, view: Viewer, **_options: object) -> None:
        controller = stage.controller()
        monkeypatch.setattr(stage.audience, "say", view.say)
        controller.run()

    documents: list[dict[str, object]] = []
    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(command, "emit_json", documents.append)
    monkeypatch.setattr(
        "mlship.policy.load.load_policy", lambda _path: SimpleNamespace(policy=SimpleNamespace(model=MODEL))
    )
    monkeypatch.setattr(live.Lines, "say", lambda _lines, text: said.append(text))
    done = CliRunner().invoke(app, ["--home", str(stage.home.path), "rollout", "mlship.yaml", "--format", "json"])
    assert done.exit_code in (1, 130)  # outside of main, click gives an interruption a code of its own
    (document,) = documents
    conforms("rollout", document)
    assert (document["model"], document["verdict"], document["exit_code"]) == (MODEL, "interrupted", 130)
    assert document["rollout_id"] == stage.audience.looks[-1].plan.rollout_id
    assert said[-1] == f"interrupted: {document['hint']}"
    assert "`mlship rollout /project/mlship.yaml` carries on, `mlship abort flight-delay` goes back; " in said[-1]
    assert interrupted(MODEL, stage.home, "")["rollout_id"] is None
