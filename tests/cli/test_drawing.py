"""The drawing of a rollout: whatever the terminal's size and alphabet, it fits, and the sentence is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlship.cli.drawing.figures import proof
from mlship.cli.drawing.marks import ASCII, UNICODE, bar, milliseconds, plain, progress, rate, share, sparkline
from mlship.cli.drawing.picture import Frame, draw
from mlship.cli.following import Lease, engine_of
from mlship.engines.base import Engine
from mlship.errors import EngineError
from mlship.home import Home
from mlship.rollout import journal, judge, lines
from mlship.rollout.judge import Guards
from mlship.rollout.plan import PlanStep, StepKind
from mlship.rollout.scene import Tape, of_record
from mlship.rollout.state import HookAnswer, Order
from mlship.types import ArmWindow, Observation
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, Stage

INF = float("inf")


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> list[Tape]:
    """A tape at every third moment of a rollout with every kind of step, which is rolled back in the end."""
    stage = Stage(tmp_path_factory.mktemp("drawing"), v2=Behaviour(errors=0.015))
    stage.plan = replace(
        stage.plan,
        steps=(
            PlanStep(0.0, 5, 20, StepKind.MIRROR, mirror=0.2),
            PlanStep(0.0, 5, 0, StepKind.TESTERS, testers=("x-canary", "[bold]yes[/bold]")),
            PlanStep(0.05, 10, 50),
            PlanStep(0.05, 0, 0, StepKind.APPROVE, within=60.0),
            PlanStep(0.05, 5, 0, StepKind.PAUSE),
            PlanStep(0.5, 600, 50),
        ),
        deadline=60,
    )

    def look(number: int) -> None:
        step = stage.audience.looks[-1].decision.state.step
        if step in (1, 3) and number % 4 == 0:
            stage.order(Order.PROMOTE)

    stage.audience.at_look = look
    stage.serve_stable()
    assert stage.run().verdict == "rolled_back"
    current = journal.current(stage.home, MODEL)
    assert current is not None
    plan = journal.story(current).plan
    moments = [moment for record in journal.records(current) if (moment := of_record(record)) is not None]
    found = []
    for count in range(0, len(moments) + 1, 3):
        tape = Tape(plan)
        for moment in moments[:count]:
            tape.add(moment)
        found.append(tape)
    last = Tape(plan)
    for moment in moments:
        last.add(moment)
    return [*found, last]


@pytest.mark.parametrize(("width", "height"), [(60, 12), (60, 24), (80, 23), (120, 39), (200, 60), (30, 6)])
def test_every_moment_fits_every_terminal_with_its_sentence(tapes: list[Tape], width: int, height: int) -> None:
    for tape in tapes:
        frame = Frame(now=1.8e9, width=width, height=height, driver="driven by tester", frozen="Mon 08:00 UTC")
        drawn = draw(tape, frame, UNICODE)
        assert max(line.cell_len for line in drawn) <= width
        assert len(drawn) <= height
        sentence = plain(tape.now.reason) if tape.now is not None else "starting"
        told = " ".join(line.plain for line in drawn)
        assert sentence[: min(width // 2, len(sentence))] in told
        if width >= 60:
            assert drawn[0].plain == "flight-delay: version 2 against champion 1"


def test_a_large_terminal_shows_everything(tapes: list[Tape]) -> None:
    frame = Frame(now=1.8e9, width=120, height=60)
    last = "\n".join(line.plain for line in draw(tapes[-1], frame, UNICODE))
    for part in (
        "├─ ✓ mirror 20 %",
        "├─ ✓ testers (x-canary: [bold]yes[/bold])",
        "├─ ✓ approval",
        "├─ ✓ pause 5 s",
        "├─ ✗ 50 %",
        "└─ ✗ rolled back",
        "requests/s",
        "together",
    ):
        assert part in last


def test_no_signals_sentence_is_cut_on_a_terminal_of_80_columns() -> None:
    """A bar of more columns would tell no more than the sentence that it took them from."""
    guards = Guards(errors=1.25, timeouts=1.25, refusals=1.25, latency=1.25, agreement=0.95, labels=1.1)
    evidence = judge.begin(guards, tuple(1000 if index == 15 else 0 for index in range(68)))
    mine, theirs = (ArmWindow(n, 2, (0,) * 15 + (n - 2,) + (0,) * 51 + (2,), refused=2) for n in (702, 1002))
    copied = Observation(990.0, 999.0, 0.2, theirs, mine, mirror=0.2, agreement=(300, 90))
    for look in (
        copied,
        Observation(1000.0, 1010.0, 0.4, theirs, mine),
        Observation(1010.0, 1020.0, 0.4, theirs, mine),
    ):
        evidence = judge.update(evidence, look)
    rows = [line.plain for line in proof(evidence, 80, UNICODE)]
    assert max(map(len, rows)) <= 80, rows
    assert any("41.2 % counted on the canary" in row for row in rows), rows
    assert any("30.0 % differ, 5 % allowed" in row for row in rows)


def test_an_ascii_terminal_gets_ascii(tapes: list[Tape]) -> None:
    for tape in tapes:
        drawn = draw(tape, Frame(now=1.8e9, width=80, height=40), ASCII)
        assert all(line.plain.isascii() for line in drawn)


def test_hooks_that_are_waited_for_are_shown(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.plan = replace(stage.plan, steps=(PlanStep(0.05, 3, 10), PlanStep(0.5, 3, 10)), hooks=(True, True))
    stage.serve_stable()
    controller = stage.controller()
    asked: list[str] = []

    class Slow:
        def ask(self, point: str, facts: object) -> HookAnswer:
            assert facts
            asked.append(point)
            return HookAnswer(agreed=True)

        def close(self) -> None:
            return

    controller._hooks = Slow()  # type: ignore[assignment]  # answers as hooks do
    controller.run()
    assert asked == ["before:0", "after:0", "before:1", "after:1"]
    current = journal.current(stage.home, MODEL)
    assert current is not None
    tape, seen = Tape(journal.story(current).plan), []
    for record in journal.records(current):
        if (moment := of_record(record)) is not None:
            tape.add(moment)
            drawn = [line.plain for line in draw(tape, Frame(now=1.8e9, width=80, height=40), UNICODE)]
            seen += [line.strip("│ ") for line in drawn if "waiting for the hooks" in line]
    assert seen == [
        f"waiting for the hooks {when}" for when in ("before step 1", "after step 1", "before step 2", "after step 2")
    ]


@pytest.mark.parametrize(
    ("value", "filled"), [(0.0, 0), (1.0, 0), (10.0, 5), (99.9, 9), (100.0, 10), (1e300, 10), (INF, 10)]
)
def test_a_bar_is_logarithmic_and_full_only_at_the_limit(value: float, filled: int) -> None:
    assert bar(value, 100.0, 10, UNICODE) == "█" * filled + "░" * (10 - filled)


@pytest.mark.parametrize(("part", "filled"), [(0.0, 0), (0.999, 9), (1.0, 10), (7.0, 10), (-1.0, 0)])
def test_a_bake_is_full_only_when_all_is_there(part: float, filled: int) -> None:
    assert progress(part, 10, ASCII) == "#" * filled + "." * (10 - filled)


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], "     "),
        ([0.0, 0.0], "   ▁▁"),
        ([1.0, None, 8.0], "  ▁·█"),
        ([INF, 4.0, 8.0], "  █▄█"),
        ([1, 2, 3, 4, 5, 6, 7, 8], "▄▅▆▇█"),
        ([None, None], "   ··"),
    ],
)
def test_a_sparkline_shows_the_newest_at_the_right(values: list[float | None], drawn: str) -> None:
    assert sparkline(values, 5, UNICODE) == drawn


def test_figures_as_people_read_them() -> None:
    assert [milliseconds(value) for value in (None, 12.0, 1250.0, INF)] == ["-", "12 ms", "1.25 s", "> 30 s"]
    assert [share(*pair) for pair in ((0, 0), (0, 5), (1, 1000), (1, 3), (3, 3))] == [
        "-",
        "0 %",
        "0.10 %",
        "33 %",
        "100 %",
    ]
    assert [rate(*pair) for pair in ((5, 0), (5, 2), (5000, 1))] == ["-", "2.5", "5,000"]
    assert plain("a\x1b[31mb\nc\td") == "a [31mb c d"


def test_the_lease_is_asked_for_beside_the_picture(tmp_path: Path) -> None:
    """An engine that fails, or does anything else, is told; where there is none, nothing is."""

    def refused() -> Engine | None:
        raise EngineError("the Docker engine does not answer")

    def broken() -> Engine | None:
        raise ZeroDivisionError("x")

    said = []
    for engine in (refused, broken, lambda: engine_of(Home(tmp_path), MODEL)):
        lease = Lease(engine, every=60)
        lease.wait(10)
        said.append(lease.pulse(tmp_path).unreachable)
        lease.close()
    assert said == ["the Docker engine does not answer", "ZeroDivisionError: x", ""]


def test_the_end_of_a_long_journal_is_read_without_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a watcher reads first does not grow with the rollout."""
    path = tmp_path / "long.jsonl"
    record = b'{"at":1.0,"kind":"look","state":{},"evidence":{},"pad":"' + b"x" * 2000 + b'"}'
    path.write_bytes(lines.seal(record) * 5_000)
    parse, parsed = lines.parse, list[int]()

    def counted(line: bytes) -> dict[str, Any] | None:
        parsed.append(len(line))
        return parse(line)

    monkeypatch.setattr(lines, "parse", counted)
    follower = lines.Follower(path)
    assert len(follower.begin(120)) == 120
    assert len(parsed) == 120
    assert follower.more() == []
