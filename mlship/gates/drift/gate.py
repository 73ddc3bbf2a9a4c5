"""The drift gate: are these rows, and what the model says about them, still like the rows it was trained on?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlship.errors import MlshipError
from mlship.gates.base import GateContext, Predictions, without
from mlship.gates.drift.columns import Reference, kind
from mlship.gates.drift.rules import Side
from mlship.gates.drift.windows import windows
from mlship.gates.few import few
from mlship.gates.unanswered import unanswered
from mlship.policy.gates import DriftGate
from mlship.report.figures import count, nearest, things
from mlship.sources.files import Rows
from mlship.types import GateResult, Status

if TYPE_CHECKING:
    import pandas as pd

#: Chance that anything at all is called drift when nothing has moved.
_BY_CHANCE = 0.002


class Drift:
    """The rules of `gates.drift`: evaluation and recent rows, each against the reference."""

    name = "drift"

    def judge(self, context: GateContext) -> list[GateResult]:
        """One result per rule and side: columns, features, unseen categories, predictions, outcomes."""
        rules = context.policy.gates.drift
        if rules is None:
            return []
        limit = f">= {things(rules.min_rows, 'row')}"
        if context.reference is None or context.evaluation is None:
            which = "evaluation data" if context.evaluation is None else "data.reference (the rows it was trained on)"
            return [without(self.name, "rows", Status.INCONCLUSIVE, limit, f"the policy names no {which}")]
        named = (("evaluation", context.evaluation), ("recent", context.recent))
        sides = [Side(name, rows) for name, rows in named if rows is not None]
        results = []
        for side in list(sides):
            for which, rows in (("reference", context.reference), (side.name, side.rows)):
                if len(rows) < rules.min_rows:
                    reason = f"the {which} data has {things(len(rows), 'row')}; below gates.drift.min_rows "
                    reason += f"({count(rules.min_rows)}) nothing is decided"
                    results.append(without(self.name, side.rule("rows"), Status.INCONCLUSIVE, limit, reason))
                    sides.remove(side)
                    break
        if sides:
            work = _Work(context, rules, context.evaluation, context.reference, sides)
            work.measure()
            for side in sides:
                results += side.results(rules)
        return results


@dataclass(eq=False)
class _Work:
    """What is measured, column by column, so that no more than one column of one side is in hand."""

    context: GateContext
    rules: DriftGate
    evaluation: Rows
    reference: Rows
    sides: list[Side]
    level: float = _BY_CHANCE

    def measure(self) -> None:
        """Fill in each side's columns, predictions and outcomes."""
        names = self.columns()
        self.level = _BY_CHANCE / (len(self.sides) * (len(names) + 2))
        for side in self.sides:
            self.cut_windows(side)
        steps: list[Callable[[], None]] = []
        if self.rules.features is not None or self.rules.max_unseen is not None:
            steps += [_later(self.feature, name) for name in names]
        if self.rules.predictions is not None:
            steps.append(self.predictions)
        if self.rules.outcomes is not None:
            steps.append(self.outcomes)
        for done, step in enumerate(steps):
            self.context.tick(done, len(steps))
            step()

    def columns(self) -> list[str]:
        """The policy's columns, else the model's inputs; never the time. Without a signature also no entity."""
        apart = {self.evaluation.time, self.reference.time, self.evaluation.target}
        if self.rules.columns:
            return list(self.rules.columns)
        if not self.context.candidate.version.inputs and self.context.policy.data:
            apart |= set(self.context.policy.data.entity)
        return [name for name in self.context.input_columns(self.evaluation) if name not in apart]

    def cut_windows(self, side: Side) -> None:
        """The side's windows, where it has a time column that can be cut."""
        time = side.rows.time or self.evaluation.time
        if time is None or time not in side.rows.frame.columns:
            side.no_windows = "there is no time column" if time is None else f"there is no time column '{time}'"
            return
        side.windows = windows(side.rows.frame[time], self.rules.window, self.rules.min_rows)
        if side.windows is None:
            side.no_windows = f"the time column '{time}' holds no times"

    def feature(self, name: str) -> None:
        """One column of all sides."""
        theirs = self.reference.frame
        if name not in theirs.columns:
            for side in self.sides:
                known = [str(column) for column in side.rows.frame.columns]
                where = "" if name in known else f" and the {side.name} data"
                guess = "" if name in known else nearest(name, known)
                verb = "lack" if where else "lacks"
                side.unknown.append(f"the reference data{where} {verb} the column '{name}'{guess}")
            return
        before = kind(theirs[name])
        there = [side for side in self.sides if name in side.rows.frame.columns]
        for side in self.sides:
            if side not in there:
                side.changed.append(f"the {side.name} data lacks the column '{name}', which the reference has")
        now = {side.name: kind(side.rows.frame[name]) for side in there}
        first = next((found for found in now.values() if found != "nothing"), None)
        reference = None
        for side in there:
            ours = now[side.name]
            expected = first if before == "nothing" else before
            if ours not in ("nothing", expected):
                side.changed.append(f"the column '{name}' holds {expected} in the reference and {ours} here")
                continue
            reference = reference or Reference.of(name, theirs[name], self.rules.bins, self.context.seed, first)
            side.features.append(
                reference.against(side.rows.frame[name], side.windows, self.rules.min_rows, self.level)
            )

    def predictions(self) -> None:
        """What the candidate says about each side, against what it says about the reference."""
        alone = replace(self.context, candidate=replace(self.context.candidate, champion=None))
        reference: Reference | None = None
        for side in self.sides:
            try:
                if reference is None:
                    said = _said(alone.on(few(self.reference, self.context.seed)[0])[0])
                    reference = Reference.of("predictions", said, self.rules.bins, self.context.seed)
                over = side.windows
                if side.name == "evaluation":
                    said = _said(self.context.predictions[0])
                else:
                    rows, chosen = few(side.rows, self.context.seed)
                    said = _said(alone.on(rows)[0])
                    over = over and over.some(chosen)
            except MlshipError as error:
                side.no_predictions = unanswered(error, self.context.candidate.version)
                continue
            if reference.kind != kind(said) != "nothing":
                reason = f"the candidate says {reference.kind} about the reference and {kind(said)} here"
                side.no_predictions = (Status.INCONCLUSIVE, reason)
                continue
            side.predictions = reference.against(said, over, self.rules.min_rows, self.level)

    def outcomes(self) -> None:
        """The labels of each side, against the reference's."""
        asked = "outcomes" in self.rules.model_fields_set
        lacking = Status.INCONCLUSIVE if asked else Status.SKIPPED
        target = self.evaluation.target
        before = self._labels(self.reference)
        reference: Reference | None = None
        for side in self.sides:
            now = self._labels(side.rows)
            if before is None or now is None:
                which = "reference" if before is None else side.name
                label = "labels: the policy names no target" if target is None else f"column '{target}'"
                # Recent rows have no labels yet, as a rule: nobody can insist on them.
                status = Status.SKIPPED if before is not None and side.name == "recent" else lacking
                side.no_outcomes = (status, f"the {which} data has no {label}")
            elif "nothing" in (kinds := (kind(before), kind(now))) or kinds[0] != kinds[1]:
                side.no_outcomes = (lacking, f"the labels are {kinds[0]} in the reference and {kinds[1]} here")
            else:
                reference = reference or Reference.of("outcomes", before, self.rules.bins, self.context.seed)
                side.outcomes = reference.against(now, side.windows, self.rules.min_rows, self.level)

    def _labels(self, rows: Rows) -> pd.Series | None:
        """The labels of a file; those of the reference and of recent rows may have the evaluation's name."""
        name = rows.target or self.evaluation.target
        return rows.frame[name] if name is not None and name in rows.frame.columns else None


def _later(call: Callable[[str], None], name: str) -> Callable[[], None]:
    return lambda: call(name)


def _said(predictions: Predictions) -> pd.Series:
    """Of two classes the second one's score, of more the class, else the number."""
    import numpy as np
    import pandas as pd

    scores = predictions.scores
    if scores is not None and scores.ndim == 1:
        return pd.Series(np.asarray(scores))
    if scores is not None and scores.shape[1] == 2:
        return pd.Series(np.asarray(scores)[:, 1])
    return pd.Series(np.asarray(predictions.values))
