"""How a rollout looks while it runs: a live picture on a terminal, one line per change elsewhere. Always on stderr."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlship.cli.common import err
from mlship.rollout import judge
from mlship.rollout.state import Phase
from mlship.rollout.watch import Look, View
from mlship.rollout.words import percent
from mlship.stats import histogram
from mlship.types import LATENCY_BOUNDS_MS, ArmWindow, VerdictKind

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

#: Width of an evidence bar, which reaches from 1 to the limit on a logarithmic scale.
BAR = 24
#: Seconds after which a line is written although nothing changed.
QUIET_SECONDS = 30.0


@contextmanager
def watching() -> Iterator[View]:
    """A view on stderr for as long as the rollout runs."""
    console = err()
    if not console.is_terminal:
        yield Lines(console)
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=8, transient=False) as live:
        yield Picture(console, live)


class Lines:
    """One line per change: for logs, and for people who pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: tuple[object, ...] = ()
        self._at = 0.0

    def say(self, text: str) -> None:
        """Write a line."""
        self._console.print(text, markup=False)

    def look(self, look: Look) -> None:
        """Write a line if something changed: a verdict, a phase, a weight, or what is in the way."""
        verdict, state = look.decision.verdict, look.decision.state
        _, _, obstacle = verdict.reason.partition("; ")
        now = (state.phase, state.step, state.weight, obstacle)
        if verdict.kind is VerdictKind.HOLD and now == self._last and look.at - self._at < QUIET_SECONDS:
            return
        self._last, self._at = now, look.at
        self._console.print(verdict.reason, markup=False)


class Picture:
    """Steps, arms, evidence and the sentence of the moment, redrawn at every look."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live
        self._step: tuple[Phase, int] = (Phase.PREPARING, -1)
        self._stable = ArmWindow()
        self._canary = ArmWindow()

    def say(self, text: str) -> None:
        """Write a line above the picture."""
        self._console.print(text, markup=False, style="dim")

    def look(self, look: Look) -> None:
        """Redraw; a verdict other than hold also stays as a line above."""
        if look.decision.verdict.kind is not VerdictKind.HOLD:
            self._console.print(look.decision.verdict.reason, markup=False)
        state = look.decision.state
        if (state.phase, state.step) != self._step:
            self._step, self._stable, self._canary = (state.phase, state.step), ArmWindow(), ArmWindow()
        elif look.observation is not None:
            self._stable = _plus(self._stable, look.observation.stable)
            self._canary = _plus(self._canary, look.observation.canary)
        self._live.update(self._draw(look))

    def _draw(self, look: Look) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        plan = look.plan
        title = Text(f"{plan.model}: version {plan.canary.version}", style="bold")
        title.append(f" against champion {plan.stable.version}" if plan.stable else ", the first", style="none")
        return Group(
            title, self._steps(look), self._arms(look), self._evidence(look), Text(look.decision.verdict.reason)
        )

    def _steps(self, look: Look) -> RenderableType:
        from rich.text import Text

        state, line = look.decision.state, Text("  ")
        for index, step in enumerate(look.plan.steps):
            here = index == state.step and state.phase in (Phase.STEPPING, Phase.PAUSED)
            done = index < state.step or state.phase is Phase.PROMOTING
            mark, style = ("●", "bold cyan") if here else ("✓", "green") if done else ("○", "dim")
            line.append(f"{mark} {percent(step.weight)}   ", style=style)
        paused = state.phase is Phase.PAUSED
        return line.append("paused" if paused else "", style="bold yellow")

    def _arms(self, look: Look) -> RenderableType:
        from rich.table import Table

        table = Table(box=None, pad_edge=True, header_style="dim")
        for name in ("", "version", "share", "requests", "errors", "p50", "p99"):
            table.add_column(name, justify="left" if name in ("", "version") else "right")
        weight, plan = look.decision.state.weight, look.plan
        arms = [("canary", plan.canary, weight, self._canary)]
        if plan.stable is not None:
            arms.insert(0, ("stable", plan.stable, 1 - weight, self._stable))
        for name, release, share, window in arms:
            errors = f"{100 * window.errors / window.requests:.2f} %" if window.requests else "-"
            table.add_row(
                name,
                release.version,
                percent(share),
                f"{window.requests:,}",
                errors,
                _milliseconds(window.latency, 0.5),
                _milliseconds(window.latency, 0.99),
            )
        return table

    def _evidence(self, look: Look) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=True, show_header=False)
        limit = look.evidence.limit
        rows = [*look.evidence.shares.items(), ("together", look.evidence.total)]
        for name, value in rows:
            filled = round(BAR * min(1.0, max(0.0, math.log(max(value, 1.0)) / math.log(limit))))
            colour = "red" if value >= limit else "yellow" if value >= 10 else "green"
            bar = Text("█" * filled, style=colour).append("░" * (BAR - filled), style="dim")
            table.add_row(Text(name), bar, Text(judge.number(value)))
        table.add_row("", Text(f"evidence against the canary; {limit:g} together rolls it back", style="dim"), "")
        return table


def _milliseconds(counts: tuple[int, ...], share: float) -> str:
    value = histogram.quantile(counts, LATENCY_BOUNDS_MS, share)
    if value is None:
        return "-"
    return f"{value:g} ms" if math.isfinite(value) else f"> {LATENCY_BOUNDS_MS[-1]:g} ms"


def _plus(left: ArmWindow, right: ArmWindow) -> ArmWindow:
    latency = histogram.add(left.latency, right.latency)
    return ArmWindow(left.requests + right.requests, left.errors + right.errors, latency)
