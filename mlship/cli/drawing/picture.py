"""The whole picture of a rollout: composed of its parts so that it fits a terminal's width and height."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from rich.cells import chop_cells
from rich.text import Text

from mlship.cli.drawing import figures
from mlship.cli.drawing.marks import Marks, plain
from mlship.cli.drawing.tree import tree
from mlship.rollout import judge
from mlship.rollout.scene import Tape


@dataclass(frozen=True, slots=True)
class Frame:
    """What a picture shows beside the tape."""

    now: float
    """Unix time."""
    width: int
    height: int
    frozen: str = ""
    """Until when no weight may rise; empty when it may."""
    driver: str = ""
    """Who drives the rollout, and until when its lease holds."""
    driven: bool = True
    """A controller is alive."""
    damage: str = ""
    """What of the journal could not be read."""


def draw(tape: Tape, frame: Frame, marks: Marks) -> list[Text]:
    """The lines of the picture, each at most as wide as the frame, and no more of them than it is high.

    A low terminal loses, in this order: the steps that are done or far, the sparklines but the evidence's, all of them,
    the arms, the signals; never the sentence of the moment.
    """
    steps = {folded: tree(tape, frame.now, frame.frozen, marks, folded=folded) for folded in (False, True)}
    arms = figures.arms(tape, frame.width)
    sparks = figures.sparks(tape, frame.width, marks)
    evidence = tape.now.evidence if tape.now is not None else None
    proof = figures.proof(evidence, frame.width, marks) if evidence is not None else []
    head, foot = [_title(tape)], _foot(tape, frame)
    shown: list[Text] = []
    for middle in (
        [*steps[False], *arms, *sparks, *proof],
        [*steps[True], *arms, *sparks, *proof],
        [*steps[True], *arms, *sparks[-1:], *proof],
        [*steps[True], *arms, *proof],
        [*steps[True], *arms, *proof[-1:]],
        [*steps[True], *proof[-1:]],
        steps[True][:1],
        [],
    ):
        shown = [*head, *middle, *foot]
        if len(shown) <= frame.height:
            break
    return [_fit(line, frame.width, marks) for line in shown[: frame.height]]


def _title(tape: Tape) -> Text:
    plan = tape.plan
    title = Text(f"{plain(plan.model)}: version {plain(plan.canary.version)}", style="bold", no_wrap=True)
    return title.append(
        f" against champion {plain(plan.stable.version)}" if plan.stable else ", the first", style="none"
    )


def _foot(tape: Tape, frame: Frame) -> list[Text]:
    """Proofs, warnings, the sentence of the moment, and who drives."""
    moment = tape.now
    lines: list[Text] = []
    add = partial(_wrapped, width=frame.width, lines=lines)
    if moment is not None and moment.evidence is not None:
        unproved = judge.unproved(moment.evidence)
        if unproved and not moment.state.final:
            add(f"to be proved before promotion: {unproved}", style="")
        for warning in judge.warnings(moment.evidence):
            add(f"warning: {warning}", style="yellow")
    if frame.damage:
        add(frame.damage, style="yellow")
    add(moment.reason if moment is not None else "starting", style="bold")
    if frame.driver:
        add(frame.driver, style="dim" if frame.driven else "bold yellow")
    return lines


def _wrapped(text: str, *, width: int, lines: list[Text], style: str) -> None:
    rest = plain(text)
    while rest:
        piece = chop_cells(rest, width)[0]
        if piece != rest and (space := piece.rfind(" ")) > len(piece) // 2:
            piece = piece[:space]
        lines.append(Text(piece, style=style, no_wrap=True))
        rest = rest[len(piece) :].lstrip()


def _fit(line: Text, width: int, marks: Marks) -> Text:
    line.rstrip()
    if line.cell_len > width:
        line.truncate(max(0, width - 1))
        line.append(marks.more, style="dim")
    return line
