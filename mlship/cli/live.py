"""How a rollout is shown while it runs, always on stderr: a live picture on a terminal, a line per change elsewhere."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from mlship.cli.common import drawn, err, steps
from mlship.rollout.scene import Moment, Tape, of_look
from mlship.rollout.watch import Look
from mlship.rollout.words import duration
from mlship.types import VerdictKind

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live

#: Seconds after which a line is written although nothing changed.
QUIET_SECONDS = 30.0
#: What differs at every look in one and the same sentence.
_FIGURES = re.compile(r"\d[\d.,e+-]*")

#: How the controller's last words begin when it is interrupted.
_INTERRUPTED = "interrupted: "


class Screen(Protocol):
    """Where a rollout is shown."""

    driver: str
    """Who drives it, for a picture."""
    driven: bool
    damage: str
    redraws: bool
    """What is said stands above a picture, and may be out of sight."""

    def say(self, text: str) -> None:
        """A sentence about what is going on."""

    def show(self, moment: Moment, tape: Tape) -> None:
        """One more look."""

    def refresh(self, tape: Tape) -> None:
        """Nothing new, but time has passed, or there is another driver."""


@contextmanager
def watching() -> Iterator[Viewer]:
    """A view on stderr for as long as the rollout runs in this process."""
    viewer: Viewer | None = None
    try:
        with screen() as shown:
            viewer = Viewer(shown)
            yield viewer
    except KeyboardInterrupt:
        if viewer is not None and viewer.hidden:  # what to do next stands below the picture, not out of sight above it
            err().print(viewer.hidden, markup=False)
        raise


@contextmanager
def screen() -> Iterator[Screen]:
    """What stderr can show: a picture where it is a terminal that can redraw, else lines."""
    console = steps()
    if not drawn(console):
        yield Lines(console)
        return
    from rich.live import Live

    with Live(console=console, auto_refresh=False, transient=False) as live:
        yield Picture(console, live)


class Viewer:
    """Hands the looks of a controller in this process to a screen."""

    def __init__(self, shown: Screen) -> None:
        self._screen = shown
        self._tape: Tape | None = None
        self.hidden = ""
        """What is to be said when the picture stands still."""
        self.parting = ""
        """How it goes on after an interruption; empty without one."""

    def say(self, text: str) -> None:
        """See ``View.say``."""
        if text.startswith(_INTERRUPTED):
            self.parting = text.removeprefix(_INTERRUPTED)
        if text.startswith(_INTERRUPTED) and self._screen.redraws:
            self.hidden = text
        else:
            self._screen.say(text)

    def look(self, look: Look) -> None:
        """See ``View.look``; another rollout begins another tape."""
        if self._tape is None or self._tape.plan.rollout_id != look.plan.rollout_id:
            self._tape = Tape(look.plan)
        moment = of_look(look)
        self._tape.add(moment)
        self._screen.show(moment, self._tape)


class Lines:
    """One line per change: for logs, and for people who pipe."""

    redraws = False

    def __init__(self, console: Console) -> None:
        self.driver, self.driven, self.damage = "", True, ""
        self._console, self._driven = console, True
        self._last: tuple[object, ...] = ()
        self._at = 0.0

    def say(self, text: str) -> None:
        """Write a line."""
        self._console.print(text, markup=False)

    def show(self, moment: Moment, tape: Tape) -> None:
        """Write a line if something changed: a verdict, a phase, a weight, or what is in the way."""
        del tape
        state = moment.state
        if state.final:
            return  # its sentence has been written when it was decided, and the result goes to stdout
        _, _, obstacle = moment.reason.partition("; ")
        now = (state.phase, state.step, state.weight, _FIGURES.sub("", obstacle))
        if moment.kind is VerdictKind.HOLD and now == self._last and moment.at - self._at < QUIET_SECONDS:
            return
        self._last, self._at = now, moment.at
        self._console.print(moment.reason, markup=False)

    def refresh(self, tape: Tape) -> None:
        """Write who drives when nobody does any more; time alone is no change."""
        del tape
        if self._driven and not self.driven:
            self.say(self.driver)
        self._driven = self.driven


class Picture:
    """Steps, arms, sparklines, evidence and the sentence of the moment, redrawn at every look."""

    redraws = True

    def __init__(self, console: Console, live: Live) -> None:
        self.driver, self.driven, self.damage = "", True, ""
        self._console = console
        self._live = live
        self._tape: Tape | None = None

    def say(self, text: str) -> None:
        """Write a line above the picture."""
        self._console.print(text, markup=False, style="dim")

    def show(self, moment: Moment, tape: Tape) -> None:
        """Redraw; a verdict other than hold also stays as a line above."""
        if moment.kind is not VerdictKind.HOLD and not moment.state.final:
            self._console.print(moment.reason, markup=False)
        self.refresh(tape)

    def refresh(self, tape: Tape) -> None:
        """Redraw."""
        self._tape = tape
        self._live.update(self, refresh=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The picture at the size that the terminal has now."""
        from mlship.cli.drawing.marks import ASCII, UNICODE
        from mlship.cli.drawing.picture import Frame, draw

        if self._tape is None:
            return
        now = time.time()
        frame = Frame(
            now=now,
            width=options.max_width,
            height=max(4, console.height - 1),
            frozen=_frozen(self._tape, now),
            driver=self.driver,
            driven=self.driven,
            damage=self.damage,
        )
        yield from draw(self._tape, frame, ASCII if options.ascii_only else UNICODE)


def _frozen(tape: Tape, now: float) -> str:
    if not tape.plan.freeze:
        return ""
    from mlship.policy.freeze import frozen

    try:
        return frozen(tape.plan.freeze, now)
    except ValueError:  # a journal from elsewhere, where this time zone is known
        return ""


def ago(seconds: float) -> str:
    """A time span up to now, in whole seconds."""
    return f"{duration(max(0, round(seconds)))} ago"
