"""The figures of a rollout as lines: both arms, sparklines of the last looks, and the evidence of every signal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich.text import Text

from mlship.cli.drawing.marks import Marks, bar, milliseconds, plain, rate, share, sparkline
from mlship.rollout import judge
from mlship.rollout.judge import Evidence
from mlship.rollout.scene import Tape, Window
from mlship.rollout.scene import milliseconds as quantile
from mlship.rollout.stages import AGAINST
from mlship.rollout.state import Outcome, Phase
from mlship.rollout.words import duration, percent
from mlship.types import ArmWindow

#: Widest and narrowest bar and sparkline.
BAR, SPARK = (8, 24), (6, 40)
#: Columns of a row of evidence beside name, bar and sentence.
_BESIDE = 21


def arms(tape: Tape, width: int) -> list[Text]:
    """A table: each arm's version, share of the traffic, and figures over the last looks of this step."""
    plan, window = tape.plan, tape.arms()
    header = ("", "version", "share", "users" if window and window.users else "requests", "errors")
    rows = [[*header, "timeouts", "refused", "p50", "p99"]]
    weight = _weight(tape)
    if plan.stable is not None:
        rows.append(_arm("stable", plan.stable.version, percent(1 - weight), window.stable if window else None))
    told = percent(weight)
    if tape.step is not None and not weight:
        told = "mirror" if tape.step.mirror else "testers" if tape.step.testers else told
    rows.append(_arm("canary", plan.canary.version, told, window.canary if window else None))
    columns = list(range(len(rows[0])))
    for counted in (5, 6):  # timeouts and refused requests, where there are none
        if not any(row[counted] not in ("-", "0") for row in rows[1:]):
            columns.remove(counted)
    for dropped in (5, 2, 1, 7, 6):  # what a narrow terminal can do without
        if _width(rows, columns) > width and dropped in columns:
            columns.remove(dropped)
    lines = []
    for number, row in enumerate(rows):
        text = Text("  ", no_wrap=True, style="dim" if number == 0 else "none")
        for column in columns:
            cell, size = row[column], max(len(each[column]) for each in rows)
            text.append(cell.ljust(size) if column < 2 else cell.rjust(size)).append("  ")
        lines.append(text)
    if window is not None:
        note = f"the last {duration(round(window.seconds, 1))}"
        if lines[0].cell_len + len(note) <= width:
            lines[0].append(note)
    if window is not None and window.missing:
        lines.append(Text(f"  no counters from {' and '.join(window.missing)}", style="yellow"))
    return lines


def sparks(tape: Tape, width: int, marks: Marks) -> list[Text]:
    """Lines of small bars, one look each, the newest at the right: requests a second, errors, p99, and evidence."""
    points = list(tape.points)
    if not points:
        return []
    value = 9
    size = max(SPARK[0], min(SPARK[1], (width - 14 - 2 * (value + 1)) // 2))
    header = Text("  " + "".ljust(12) + "stable".ljust(size + value + 1) + "canary", style="dim", no_wrap=True)
    lines = [header] if tape.plan.stable is not None else []
    window = points[-1].window
    per_second = (_rate, lambda arm: rate(arm.requests, window.seconds))
    errors = (_errors, lambda arm: share(min(arm.errors, arm.requests), arm.requests))
    slow = (_p99, lambda arm: milliseconds(quantile(arm, 0.99)))
    for name, (measure, tell) in (("requests/s", per_second), ("errors", errors), ("p99", slow)):
        lines.append(_pair(name, tape, (measure, tell), (size, value), marks))
    totals = [point.evidence for point in points]
    text = Text("  " + "evidence".ljust(12), no_wrap=True)
    limit = tape.now.evidence.limit if tape.now is not None and tape.now.evidence is not None else 100.0
    logs = [len(bar(total, limit, 64, marks).rstrip(marks.empty)) for total in totals]
    text.append(sparkline(logs, size, marks, 64.0), style=_colour(totals[-1], limit))
    lines.append(text.append(judge.number(totals[-1]).rjust(value)))
    return lines


def proof(evidence: Evidence, width: int, marks: Marks) -> list[Text]:
    """A bar for each signal from 1 to the limit, with its share of the error budget and what it says; and the sum."""
    rows = judge.rows(evidence)
    if not rows:
        return []
    names = max(len("together"), *(len(row.name) for row in rows))
    room = width - names - _BESIDE
    longest = max(len(said(row)) for row in rows)  # a shorter bar tells as much, a shorter sentence less
    size = max(BAR[0], min(BAR[1], room // 3, room - longest))
    lines = []
    for row in rows:
        text = _evidence(row.name, row.e_value, evidence.limit, (names, size), marks)
        budget = percent(round(row.share_of_budget, 2)) if row.share_of_budget else row.action
        lines.append(text.append(f"{budget:>7}  {said(row)}", style="dim"))
    total = _evidence("together", evidence.total, evidence.limit, (names, size), marks)
    told = f"{percent(1):>7}  {evidence.limit:g} rolls it back"
    lines.append(total.append(told, style="dim"))
    return lines


def said(row: judge.Row) -> str:
    """What a signal says, beside its name."""
    return plain(row.sentence).removeprefix(f"{row.name}: ").removeprefix(f"{row.name} ")


def _evidence(name: str, value: float, limit: float, sizes: tuple[int, int], marks: Marks) -> Text:
    text = Text("  " + name.ljust(sizes[0]) + "  ", no_wrap=True)
    text.append(bar(value, limit, sizes[1], marks), style=_colour(value, limit))
    return text.append(judge.number(value).rjust(8))


def _colour(value: float, limit: float) -> str:
    return "red" if value >= limit else "yellow" if value >= AGAINST else "green"


def _weight(tape: Tape) -> float:
    state = tape.now.state if tape.now is not None else None
    if state is None or state.phase is Phase.PREPARING or state.outcome in (Outcome.ROLLED_BACK, Outcome.ABORTED):
        return 0.0  # also where a promotion was given up in its middle
    return state.weight


def _arm(name: str, version: str, told: str, arm: ArmWindow | None) -> list[str]:
    if arm is None:
        return [name, version, told, *("-",) * 6]
    errors = share(min(arm.errors, arm.requests), arm.requests)
    p50, p99 = (milliseconds(quantile(arm, each)) for each in (0.5, 0.99))
    return [name, plain(version), told, f"{arm.requests:,}", errors, f"{arm.timeouts:,}", f"{arm.refused:,}", p50, p99]


def _width(rows: Sequence[Sequence[str]], columns: Sequence[int]) -> int:
    return sum(max(len(row[column]) for row in rows) + 2 for column in columns) + 2


def _pair(
    name: str,
    tape: Tape,
    how: tuple[Callable[[ArmWindow, Window], float | None], Callable[[ArmWindow], str]],
    sizes: tuple[int, int],
    marks: Marks,
) -> Text:
    """One figure of both arms: measured for the line, told for the newest look."""
    (measure, tell), points = how, list(tape.points)
    text = Text("  " + name.ljust(12), no_wrap=True)
    both = {
        arm: [measure(getattr(p.window, arm), p.window) if arm not in p.window.missing else None for p in points]
        for arm in ("stable", "canary")
    }
    shown = [value for values in both.values() for value in values[-sizes[0] :] if value is not None]
    top = max(filter(math.isfinite, shown), default=0.0)
    alone = name == "requests/s"  # what a canary with 1 % gets would not be seen beside stable's
    for arm in ("stable", "canary") if tape.plan.stable is not None else ("canary",):
        text.append(
            sparkline(both[arm], sizes[0], marks, None if alone else top), style="cyan" if arm == "canary" else "none"
        )
        text.append(tell(getattr(points[-1].window, arm)).rjust(sizes[1])).append(" ")
    return text


def _rate(arm: ArmWindow, window: Window) -> float | None:
    return arm.requests / window.seconds if window.seconds > 0 else None


def _errors(arm: ArmWindow, window: Window) -> float | None:
    del window
    return min(arm.errors, arm.requests) / arm.requests if arm.requests else None


def _p99(arm: ArmWindow, window: Window) -> float | None:
    del window
    return quantile(arm, 0.99)
