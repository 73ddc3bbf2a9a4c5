"""What people see of a rollout: a picture on a terminal, a line per change elsewhere."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from rich.live import Live

from mlship.cli.live import Lines, Picture
from mlship.cli.rollout import conclusion, document
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import Stage


def lines_of(stage: Stage) -> list[str]:
    out = io.StringIO()
    view = Lines(Console(file=out, width=400, highlight=False))
    controller = stage.controller()
    controller.view = view
    controller.run()
    return out.getvalue().splitlines()


def test_without_a_terminal_there_is_a_line_per_change(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.serve_stable()
    lines = lines_of(stage)
    assert lines[:2] == ["waiting for version 1 to answer", "waiting for version 2 to answer"]
    assert [line.split(":")[0] for line in lines[2:]] == [
        "starting",
        "baked at 5 %",
        "baked at 25 %",
        "all 3 steps baked",
    ]


def test_what_is_in_the_way_is_a_change(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rate=0)
    stage.serve_stable()
    lines = lines_of(stage)
    assert lines[-1].startswith("inconclusive after 10 min at 5 %")
    assert 20 <= len(lines) <= 26, "one line every half minute while nothing changes"


def test_the_picture_shows_steps_arms_and_evidence(tmp_path: Path) -> None:
    stage = Stage(tmp_path, v2=Behaviour(errors=0.03))
    stage.serve_stable()
    out = io.StringIO()
    console = Console(file=out, width=110, force_terminal=True, color_system=None)
    frames = []
    with Live(console=console, auto_refresh=False) as live:
        picture = Picture(console, live)
        controller = stage.controller()
        controller.view = picture
        stage_look = picture.look

        def look(one: object) -> None:
            stage_look(one)  # type: ignore[arg-type]  # passed on as it came
            with console.capture() as capture:
                console.print(live.renderable)
            frames.append(capture.get())

        picture.look = look  # type: ignore[method-assign, assignment]  # listens in
        result = controller.run()
    assert result.verdict == "rolled_back"
    frame = frames[8]
    assert "flight-delay: version 2 against champion 1" in frame
    assert "● 5 %   ○ 25 %   ○ 50 %" in frame
    assert "p99" in frame
    assert " ms" in frame
    assert "evidence against the canary; 100 together rolls it back" in frame
    assert "holding at 5 %: " in frame
    assert "█" * 24 in frames[-1], "the bar is full when the canary is rolled back"


def test_the_conclusion_says_what_to_do_next(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rate=0)
    stage.serve_stable()
    result = stage.run()
    assert conclusion(result).startswith("flight-delay version 2 paused: inconclusive after 10 min at 5 %")
    assert "`mlship abort flight-delay` goes back to stable" in conclusion(result)
    told = document(result)
    assert (told["verdict"], told["exit_code"]) == ("paused", 4)
    assert told["steps"] == [{"weight": 0.05, "seconds": told["steps"][0]["seconds"], "requests": 0}]
