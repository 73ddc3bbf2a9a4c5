"""How an evaluation looks while it runs: a bar per gate on a terminal, else one line per step; always on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from mlship.cli.common import Loudness, drawn, loudness, steps

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

#: Seconds after which a gate that is still at work says how far it is, where nobody sees a bar.
QUIET_SECONDS = 15.0
#: The same for somebody who wants to know.
VERBOSE_SECONDS = 1.0


class Progress(Protocol):
    """What an evaluation tells while it runs."""

    def __call__(self, step: str) -> None:
        """One step begins."""

    def watch(self, gate: str, done: int, total: int) -> None:
        """A gate is this far; `done` is 0 when it begins and `total` when it ends."""


@contextmanager
def told_on_stderr(doing: str = "judging") -> Iterator[Progress]:
    """Progress for as long as the evaluation runs; `doing` is what is done to each thing that is watched."""
    console = steps()
    if not drawn(console):
        yield _Lines(console, doing)
        return
    from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (SpinnerColumn(finished_text="[green]✓"), TextColumn("{task.description}", markup=False))
    figures = (BarColumn(bar_width=24), TaskProgressColumn(), TimeElapsedColumn(), Remaining(compact=True))
    # Transient: what stays on the terminal is the result.
    with Bars(*columns, *figures, console=console, transient=True, redirect_stdout=False) as bars:
        yield _Bars(bars, doing)


class _Lines:
    """One line per step: for logs, and for people who pipe."""

    def __init__(self, console: Console, doing: str = "judging") -> None:
        self._console = console
        self._doing = doing
        self._began = self._at = time.monotonic()

    def __call__(self, step: str) -> None:
        self._at = time.monotonic()
        when = f"{self._at - self._began:6.1f} s  " if loudness() is Loudness.VERBOSE else ""
        self._console.print(f"mlship: {when}{step}", markup=False)

    def watch(self, gate: str, done: int, total: int) -> None:
        quiet = VERBOSE_SECONDS if loudness() is Loudness.VERBOSE else QUIET_SECONDS
        if 0 < done < total and time.monotonic() - self._at > quiet:
            self(f"{self._doing} {gate}: {done / total:.0%}")


class _Bars:
    """A bar for each gate, and one line for the step that is no gate's."""

    def __init__(self, bars: Bars, doing: str = "judging") -> None:
        self._bars = bars
        self._doing = doing
        self._step: TaskID | None = None
        self._gates: dict[str, TaskID] = {}

    def __call__(self, step: str) -> None:
        if step.startswith(f"{self._doing} "):
            return  # it has a bar of its own
        if self._step is None:
            self._step = self._bars.add_task(step, total=None)
        self._bars.update(self._step, description=step)

    def watch(self, gate: str, done: int, total: int) -> None:
        if gate not in self._gates:
            self._gates[gate] = self._bars.add_task(f"{self._doing} {gate}", total=None)
        # A gate that tells nothing but its end gets a bar that only moves, not one that stands at nought.
        known = total if total > 1 or done == total else None
        self._bars.update(self._gates[gate], completed=done, total=known)
