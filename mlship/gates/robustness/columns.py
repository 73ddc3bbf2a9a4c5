"""Columns as such: what a model rests on (each shuffled), and what one more, one fewer or another order does to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlship.exhibits import Cell, Table
from mlship.gates.base import without
from mlship.gates.robustness import perturb
from mlship.gates.robustness.perturbed import Answers, Refused, Said, Sample, part, same
from mlship.gates.robustness.rules import GATE, rows_each
from mlship.policy.gates import RobustnessGate
from mlship.report.figures import listed, number, share, things
from mlship.types import SEVERITY, GateResult, Measurement, Status

if TYPE_CHECKING:
    import pandas as pd

_MOST_SHOWN = 20
#: Columns that are taken away, one at a time: each is a call of the model's process.
_MOST_TAKEN = 20
#: Rows for what must change nothing at all.
_FEW_ROWS = 200
_SHUFFLED = "shuffled: "
_NOT_JUDGED = "shown, not judged"


def shuffled_tables(sample: Sample) -> dict[str, pd.DataFrame]:
    """The sample with one input shuffled, for each input."""
    some = sample.frame.head(rows_each(len(sample.columns)))
    return {
        f"{_SHUFFLED}{column.name}": perturb.shuffled(some, column.name, sample.rng(_SHUFFLED + column.name))
        for column in sample.columns
    }


def shuffled_rule(sample: Sample, found: Mapping[str, tuple[Said, ...]]) -> GateResult:
    """What each model rests on: how much worse it is when one column has lost its meaning (Breiman 2001)."""
    said = {name.removeprefix(_SHUFFLED): answers for name, answers in found.items() if name.startswith(_SHUFFLED)}
    if not said:
        return without(GATE, "permuted", Status.SKIPPED, _NOT_JUDGED, "the models have no input to shuffle")
    sides = ("candidate", "champion")[: len(sample.clean)]
    rows: list[tuple[Cell, ...]] = []
    for column, answers in said.items():
        changes = [_change(sample, side, answers[side]) for side in range(len(sides))]
        flips = [_flips(sample, side, answers[side]) for side in range(len(sides))]
        rows.append((column, *(changes if sample.metric else ()), *flips))
    worse = 1 if sample.metric is None or not sample.metric.higher_is_better else -1

    def by_harm(row: tuple[Cell, ...]) -> float:
        return -math.inf if not isinstance(row[1], float) else worse * row[1]

    rows.sort(key=by_harm, reverse=True)
    what = [f"change of {sample.metric.name}, {side}" for side in sides] if sample.metric else []
    changed = [f"share of predictions that {sample.verb}, {side}" for side in sides]
    n = min(len(sample), rows_each(len(said)))
    table = Table(
        "What the models rest on: each column shuffled",
        ("column", *what, *changed),
        tuple(rows[:_MOST_SHOWN]),
        note=f"on {things(n, 'row')}"
        + (f"; {_MOST_SHOWN} of {things(len(rows), 'column')}" if len(rows) > _MOST_SHOWN else ""),
        shares=tuple(changed),
    )
    figure = number if sample.metric else share
    head = [f"{row[0]} ({figure(row[1])})" for row in rows[:3] if isinstance(row[1], float)]
    measure = what[0].removesuffix(", candidate") if what else "share of changed predictions"
    reason = f"shuffled one at a time, {measure}: {listed(head)}" if head else "the model fails on shuffled columns"
    return GateResult(GATE, "permuted", Status.SKIPPED, _NOT_JUDGED, reason, exhibits=(table,))


def _change(sample: Sample, side: int, answers: Said) -> float | None:
    if isinstance(answers, Refused) or sample.metric is None or sample.label is None:
        return None
    rows = slice(len(answers.values))
    try:
        before, after = (
            sample.metric.of(sample.label[rows], said) for said in (part(sample.clean[side], rows), answers)
        )
    except ValueError:
        return None
    return after - before if math.isfinite(after - before) else None


def _flips(sample: Sample, side: int, answers: Said) -> float | None:
    return None if isinstance(answers, Refused) else float(sample.flipped(side, answers).mean())


#: A change of the columns, how it was judged, and what happened.
_Row = tuple[str, Status, str]


def columns_rule(sample: Sample, rules: RobustnessGate) -> GateResult:
    """An extra column and another order change no answer; a column fewer is refused, or one that may be absent."""
    few = sample.frame.head(_FEW_ROWS)
    inputs = sample.versions[0].inputs or tuple(column.name for column in sample.columns)
    names = [name for name in inputs if name in sample.frame.columns]
    taken = names[:_MOST_TAKEN]
    extra, order = "an extra column", "the columns in reverse order"
    harmless = {extra: perturb.with_extra(few, sample.rng(extra)), order: perturb.reordered(few)}
    fewer = {name: perturb.without(few, name) for name in taken if name not in sample.optional}
    absent = {name: perturb.without(sample.frame, name) for name in taken if name in sample.optional}
    said = {name: found for name, (found,) in sample.ask(harmless | fewer | absent, champion=False).items()}
    rows = [
        *(_must_not_matter(sample, name, said[name]) for name in harmless),
        *(_must_be_refused(sample, name, said[name]) for name in fewer),
        *(_may_be_absent(sample, rules, name, said[name]) for name in absent),
    ]
    rows.sort(key=lambda row: SEVERITY.index(row[1]), reverse=True)
    status = rows[0][1]
    bad = [row for row in rows if row[1] is status]
    if status is Status.PASSED:
        reason = "an extra column and another order change no answer"
        if fewer:
            reason += f"; without {listed(list(fewer))}, one at a time, {_refusals(list(fewer), said)}"
        if absent:
            reason += f"; without {listed(list(absent))}, which may be absent, it answers"
    else:
        reason = "; ".join(f"{what}: {happened}" for what, _, happened in bad[:3])
        reason += f"; and {things(len(bad) - 3, 'change')} more" if len(bad) > 3 else ""
    reason += f" ({_MOST_TAKEN} of {things(len(names), 'column')} tried)" if len(names) > len(taken) else ""
    measured = Measurement("changes handled badly", float(len(bad) if status is not Status.PASSED else 0), n=len(few))
    shown = tuple((what, verdict.value, happened) for what, verdict, happened in rows)
    table = Table("Other columns than those asked for", ("change", "verdict", "what happened"), shown)
    return GateResult(GATE, "columns", status, "0 handled badly", reason, measured, exhibits=(table,))


def _refusals(fewer: list[str], said: Mapping[str, Said]) -> str:
    answered = [name for name in fewer if isinstance(said[name], Answers)]
    if not answered:
        return "it refuses"
    return f"it refuses, or gives the same answers ({listed(answered)} changes none)"


def _must_not_matter(sample: Sample, name: str, said: Said) -> _Row:
    what = f"with {name}"
    if isinstance(said, Refused):
        return what, Status.FAILED, f"the model gives no answer: {said.reason}"
    differ = _different(sample, said)
    if differ:
        return what, Status.FAILED, f"{share(differ)} of the answers change; log the model with a signature"
    return what, Status.PASSED, "the answers are the same"


def _must_be_refused(sample: Sample, name: str, said: Said) -> _Row:
    what = f"without {name}"
    if isinstance(said, Refused):
        return what, Status.PASSED, f"refused: {said.reason}"
    differ = _different(sample, said)
    if differ:
        outcome = f"the model answers all the same, and {share(differ)} of its answers differ; log it with a signature"
        return what, Status.FAILED, outcome
    return what, Status.PASSED, "the answers are the same: the model does not use it"


def _may_be_absent(sample: Sample, rules: RobustnessGate, name: str, said: Said) -> _Row:
    """A column that the signature calls optional, on the whole sample."""
    what = f"without {name}"
    if isinstance(said, Refused):
        return what, Status.FAILED, f"the signature calls it optional, and the model gives no answer: {said.reason}"
    flips = _flips(sample, 0, said) or 0.0
    outcome = f"{share(flips)} of the predictions {sample.verb}"
    change = _change(sample, 0, said)
    if change is not None and sample.metric is not None:
        outcome += f", {sample.metric.name} changes by {number(change)}"
        worse = -change if sample.metric.higher_is_better else change
        if worse > rules.max_drop:
            return what, Status.FAILED, f"{outcome}, beyond the limit {number(rules.max_drop)}"
    if rules.max_flipped is not None and flips > rules.max_flipped:
        return what, Status.FAILED, f"{outcome}, beyond the limit {share(rules.max_flipped)}"
    if change is None and rules.max_flipped is None and flips:
        return what, Status.INCONCLUSIVE, f"{outcome}, and there is no metric to tell whether that matters"
    return what, Status.PASSED, outcome


def _different(sample: Sample, said: Answers) -> float:
    """The share of the first rows that are answered otherwise, in class or in score."""
    rows = slice(len(said.values))
    return float((~same(part(sample.clean[0], rows), said)).mean())
