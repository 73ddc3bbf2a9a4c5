"""The tree of a rollout's steps: done, present, to come; under the present one, everything that it waits for."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from rich.text import Text

from mlship.cli.drawing.marks import Marks, plain, progress
from mlship.rollout.plan import PlanStep, StepKind
from mlship.rollout.scene import Tape
from mlship.rollout.stages import traffic
from mlship.rollout.state import Outcome, Phase
from mlship.rollout.words import became, counted, duration

#: Columns of the bar of a bake.
BAKE = 10


def tree(tape: Tape, now: float, frozen: str, marks: Marks, *, folded: bool) -> list[Text]:
    """One line for each step and one for the promotion, the present one with what it waits for.

    Parameters
    ----------
    now
        Unix time; what is left of an approval is counted from it.
    frozen
        Until when no weight may rise; empty when it may.
    folded
        Steps that are done, and all to come but the next, share a line: for low terminals.
    """
    plan = tape.plan
    present, failed = _present(tape)
    lines: list[tuple[str, str, str, list[tuple[str, str]]]] = []
    for index, step in enumerate(plan.steps):
        if index < present:
            lines.append((marks.done, "green", _name(step), [(_observed(tape, index), "dim")]))
        elif index == present:
            mark, style = (marks.failed, "bold red") if failed else _here(tape, marks)
            told = [_observed(tape, index)] if failed else _progress(tape, step, marks)
            lines.append((mark, style, _name(step), [(text, "") for text in told]))
        else:
            lines.append((marks.open, "dim", _name(step), [(_asks(step), "dim")]))
    lines.append(_end(tape, marks))
    children = {} if failed else {present: list(_children(tape, now, frozen))}
    if folded:
        return _folded(lines, present, children, marks)
    return _drawn(lines, children, marks)


def _present(tape: Tape) -> tuple[int, bool]:
    """Index of the present step (all of them are done: the number of steps), and whether it ended there."""
    moment, steps = tape.now, len(tape.plan.steps)
    if moment is None:
        return 0, False
    state = moment.state
    if state.phase is Phase.PROMOTING or state.outcome is Outcome.PROMOTED:
        return steps, False
    ended = state.phase is Phase.ROLLING_BACK or state.outcome in (Outcome.ROLLED_BACK, Outcome.ABORTED)
    return min(state.step, steps - 1), ended


def _here(tape: Tape, marks: Marks) -> tuple[str, str]:
    state = tape.now.state if tape.now is not None else None
    if state is None or state.phase is Phase.PREPARING:
        return marks.open, "bold"
    return (marks.paused, "bold yellow") if state.phase is Phase.PAUSED else (marks.here, "bold cyan")


def _name(step: PlanStep) -> str:
    if step.kind is StepKind.APPROVE:
        return "approval"
    if step.kind is StepKind.PAUSE:
        return f"pause {duration(step.seconds)}"
    return plain(traffic(step.weight, step.mirror, step.testers))


def _asks(step: PlanStep) -> str:
    """What a step asks for before the next, in few words."""
    if step.kind is StepKind.APPROVE:
        return f"by a person, within {duration(step.within)}, else {step.expiry}"
    if step.kind is StepKind.PAUSE:
        return ""
    time_, requests = duration(step.seconds) if step.seconds else "", max(1, step.requests)
    return ", ".join(filter(None, [time_, counted(requests) if step.requests or not step.seconds else ""]))


def _observed(tape: Tape, index: int) -> str:
    """What was observed at a step that has been left; nothing, when it only waited."""
    passed, step = tape.now.state.passed if tape.now is not None else (), tape.plan.steps[index]
    if index >= len(passed) or not step.bakes:
        return ""
    _, seconds, requests = passed[index]
    return f"{duration(math.floor(seconds))}, {counted(requests)}"


def _progress(tape: Tape, step: PlanStep, marks: Marks) -> Iterator[str]:
    moment = tape.now
    if moment is None or moment.state.phase not in (Phase.STEPPING, Phase.PAUSED):
        yield _asks(step)
        return
    state = moment.state
    if step.kind is StepKind.APPROVE:
        yield f"{duration(math.floor(state.waited))} of {duration(step.within)}"
    elif step.kind is StepKind.PAUSE:
        yield f"{duration(math.floor(min(state.waited, step.seconds)))} of {duration(step.seconds)}"
    else:
        wanted = max(1, step.requests)
        shares = [state.requests / wanted, *([state.baked / step.seconds] if step.seconds else [])]
        bar = progress(min(1.0, *shares) if len(shares) > 1 else min(1.0, shares[0]), BAKE, marks)
        parts = []
        if step.seconds:
            parts.append(f"{duration(math.floor(min(state.baked, step.seconds)))} of {duration(step.seconds)}")
        if step.requests or not step.seconds:
            parts.append(f"{state.requests:,} of {counted(wanted)}")
        yield f"{bar} {', '.join(parts)}"


def _children(tape: Tape, now: float, frozen: str) -> Iterator[tuple[str, str]]:
    """What the present step waits for, with a style."""
    moment, step = tape.now, tape.step
    if moment is None:
        return
    state = moment.state
    if state.phase is Phase.PAUSED:
        yield plain(became("paused", state.reason)), "yellow"
    elif step is not None and step.kind is StepKind.APPROVE and not state.waived:
        left = max(0.0, step.within - state.waited)
        until = time.strftime("%a %H:%M:%S", time.localtime(max(now, moment.at) + left))
        yield f"until {until}, else {step.expiry}: `mlship promote {plain(tape.plan.model)}`", "yellow"
    if state.waived:
        yield plain(state.waived), ""
    if moment.asking:
        yield f"waiting for the hooks {plain(moment.asking)}", "yellow"
    if frozen and not state.final:
        yield f"frozen: no weight may rise until {frozen}", "yellow"


def _end(tape: Tape, marks: Marks) -> tuple[str, str, str, list[tuple[str, str]]]:
    moment, plan = tape.now, tape.plan
    stable = f"all traffic to version {plan.stable.version}" if plan.stable else "nothing was served before"
    state = moment.state if moment is not None else None
    outcome = state.outcome if state is not None else None
    if state is not None and state.phase is Phase.ROLLING_BACK:
        return marks.here, "bold red", "going back", [(stable, "")]
    if outcome is Outcome.ROLLED_BACK:
        return marks.failed, "bold red", "rolled back", [(stable, "")]
    if outcome is Outcome.ABORTED:
        return marks.failed, "bold yellow", "aborted", [(stable, "")]
    if outcome is Outcome.PROMOTED:
        told = f"version {plan.canary.version} is the champion"
        if state is not None and state.unproved:
            told += ", although not everything was proved"
        return marks.done, "bold green", "promoted", [(told, "")]
    if state is not None and state.phase is Phase.PROMOTING:
        return marks.here, "bold cyan", "promotion", [("under way", "")]
    return marks.open, "dim", "promotion", []


_Line = tuple[str, str, str, list[tuple[str, str]]]


def _drawn(lines: list[_Line], children: dict[int, list[tuple[str, str]]], marks: Marks) -> list[Text]:
    width = max(len(name) for _, _, name, _ in lines)
    drawn = []
    for index, (mark, style, name, rest) in enumerate(lines):
        last = index == len(lines) - 1
        text = Text(marks.corner if last else marks.branch, style="dim", no_wrap=True)
        text.append(f"{mark} ", style=style).append(name.ljust(width + 2), style=style)
        for told, shade in rest:
            text.append(told, style=shade or "none")
        text.rstrip()
        drawn.append(text)
        for told, shade in children.get(index, []):
            child = Text("   " if last else marks.trunk, style="dim", no_wrap=True)
            drawn.append(child.append("  ").append(told, style=shade or "none"))
    return drawn


def _folded(lines: list[_Line], present: int, children: dict[int, list[tuple[str, str]]], marks: Marks) -> list[Text]:
    end, steps = lines[-1], lines[:-1]
    kept: list[_Line] = []
    moved: dict[int, list[tuple[str, str]]] = {}
    if present == 1:
        kept.append(steps[0])
    elif present > 1:
        kept.append((marks.done, "green", f"{min(present, len(steps))} steps done", []))
    if present < len(steps):
        moved[len(kept)] = children.get(present, [])
        kept.append(steps[present])
    later = steps[present + 1 :]
    if len(later) == 1:
        kept.append(later[0])
    elif later:
        names = ", ".join(name for _, _, name, _ in later)
        kept.append((marks.open, "dim", f"{len(later)} to come", [(names, "dim")]))
    return _drawn([*kept, end], moved, marks)
