"""A rollout as Markdown: for a job's summary, an issue, a chat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlship.cli.drawing.figures import said
from mlship.cli.drawing.marks import milliseconds, plain, share
from mlship.rollout import judge
from mlship.rollout.scene import Tape
from mlship.rollout.scene import milliseconds as quantile
from mlship.rollout.stages import entered, traffic
from mlship.rollout.words import duration


def summary(tape: Tape, document: dict[str, Any]) -> str:
    """The verdict with its sentence, and tables of steps, arms and evidence.

    Parameters
    ----------
    document
        The result as `mlship watch --format json` writes it.
    """
    verdict = str(document["verdict"]).replace("_", " ")
    plan = tape.plan
    against = f" (champion {_cell(plan.stable.version)})" if plan.stable else ""
    head = f"### {_cell(plan.model)}: version {_cell(plan.canary.version)}{against} {verdict}"
    parts = [head, _cell(str(document["reason"]))]
    parts += ["\n".join(table) for table in (_steps(tape), _arms(tape), _evidence(tape)) if table]
    return "\n\n".join(parts)


def _steps(tape: Tape) -> list[str]:
    if tape.now is None:
        return []
    passed = entered(tape.now.state)
    rows: list[Sequence[str]] = []
    for number, step in enumerate(tape.plan.steps):
        seen = passed[number] if number < len(passed) else None
        name = traffic(step.weight, step.mirror, step.testers)
        observed = ("", "") if seen is None else (duration(round(seen[1], 1)), f"{seen[2]:,}")
        rows.append((str(number + 1), step.kind.value, name, *observed))
    return list(_table(("step", "kind", "traffic", "observed", "canary requests"), rows))


def _arms(tape: Tape) -> list[str]:
    window, plan = tape.arms(), tape.plan
    if window is None:
        return []
    rows = []
    for name, release, arm in (("stable", plan.stable, window.stable), ("canary", plan.canary, window.canary)):
        if release is not None:
            errors = share(min(arm.errors, arm.requests), arm.requests)
            slow = [milliseconds(quantile(arm, each)) for each in (0.5, 0.99)]
            rows.append((name, release.version, f"{arm.requests:,}", errors, *slow))
    last = f"last {duration(round(window.seconds, 1))}"
    return list(_table((last, "version", "requests", "errors", "p50", "p99"), rows))


def _evidence(tape: Tape) -> list[str]:
    evidence = tape.now.evidence if tape.now is not None else None
    if evidence is None:
        return []
    rows = [(row.name, judge.number(row.e_value), row.action, said(row)) for row in judge.rows(evidence)]
    total = ("together", judge.number(evidence.total), f"rollback at {evidence.limit:g}", "")
    return list(_table(("signal", "evidence", "action", "what it saw"), [*rows, total])) if rows else []


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield _row(header)
    yield _row(["---"] * len(header))
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Text that neither ends a cell nor becomes markup."""
    for sign in "\\|`*_<>[]":
        text = text.replace(sign, f"\\{sign}")
    return plain(text)
