"""One perturbation judged: the drop in the metric, the share of answers that change, the curve over its strength."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlship.exhibits import Curves, Series
from mlship.gates import limits
from mlship.gates.base import Limit, judge, noted, without
from mlship.gates.robustness.perturb import Column
from mlship.gates.robustness.perturbed import Answers, Refused, Said, Sample, part
from mlship.policy.gates import RobustnessGate
from mlship.report.figures import listed, number, share
from mlship.types import GateResult, Measurement, Status

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

GATE = "robustness"
#: Rows behind a point of a curve that is not judged, and behind a column by itself.
FEWER_ROWS = 5_000
#: Rows of all columns by themselves together: a wide table does not cost a hundred times a narrow one.
_COLUMN_ROWS = 100_000
_FEWEST_ROWS = 300
_FACTORS = (0.5, 1.0, 2.0)


def rows_each(columns: int) -> int:
    """How many rows each column by itself is tried on."""
    return max(_FEWEST_ROWS, min(FEWER_ROWS, _COLUMN_ROWS // max(columns, 1)))


@dataclass(frozen=True)
class Perturbation:
    """One way in which rows are wrong, and how much."""

    rule: str
    strength: float
    words: str
    """What was done at this strength: `noise of 10% of a standard deviation`."""
    axis: str
    touched: tuple[Column, ...]
    make: Callable[[pd.DataFrame, float, tuple[Column, ...]], pd.DataFrame]
    """(table, strength, columns) to the perturbed table."""
    nothing: str
    """Why nothing is done when no column can be touched."""
    note: str = ""
    """What else a reader must know."""
    most: float = float("inf")
    """The strongest that there is."""

    @property
    def strengths(self) -> dict[float, str]:
        """Half, once and twice of what is judged, and what the tables are called."""
        strengths = dict.fromkeys(min(self.strength * factor, self.most) for factor in _FACTORS)
        return {strength: f"{self.rule} {strength:g}" for strength in strengths}

    @property
    def judged_table(self) -> str:
        """Name of the table that the rules are about."""
        return self.strengths[self.strength]

    def tables(self, sample: Sample) -> dict[str, pd.DataFrame]:
        """The sample at each strength: all of it where it is judged, less for the rest of the curve."""
        if not self.touched:
            return {}
        tables = {}
        for strength, name in self.strengths.items():
            made = self.make(sample.frame, strength, self.touched)
            tables[name] = made if name == self.judged_table else made.head(FEWER_ROWS).copy()
        return tables

    def judged(self, sample: Sample, rules: RobustnessGate, found: Mapping[str, tuple[Said, ...]]) -> list[GateResult]:
        """The result of `max_drop`, and of `max_flipped` where the policy has it."""
        asked = limits.robustness(rules, is_better=sample.metric is None or sample.metric.higher_is_better)
        drop, flips = asked["max_drop"], asked.get("max_flipped")

        def all_of(status: Status, reason: str) -> list[GateResult]:
            return [without(GATE, f"{self.rule} {kind}", status, limit, reason) for kind, limit in asked.items()]

        if not self.touched:
            wanted = self.rule in rules.model_fields_set
            return all_of(Status.INCONCLUSIVE if wanted else Status.SKIPPED, self.nothing)
        ours, *others = found[self.judged_table]
        if isinstance(ours, Refused):
            return all_of(Status.FAILED, self._refused(sample, ours, others))
        results = [self._drop(sample, drop, ours, others)]
        if flips:
            results.append(self._flips(sample, flips, ours, others))
        unsure = {Status.FAILED, Status.INCONCLUSIVE}
        if any(result.measured and result.status in unsure for result in results) and (
            culprit := self._culprit(sample)
        ):
            results = [noted(result, culprit) if result.status in unsure else result for result in results]
        return [replace(results[0], exhibits=self._curve(sample, found)), *results[1:]]

    def _refused(self, sample: Sample, ours: Refused, others: list[Said]) -> str:
        reason = f"with {self.words} the model gives no answer: {ours.reason}"
        for theirs in others:
            reason += "; the champion " + ("gives none either" if isinstance(theirs, Refused) else "answers")
        culprit = self._culprit(sample)
        return f"{reason}; {culprit}" if culprit else reason

    def _drop(self, sample: Sample, limit: Limit, ours: Answers, others: list[Said]) -> GateResult:
        """The metric on the perturbed rows minus the metric on the same rows as they are, paired."""
        from mlship.gates.metrics.paired import compare

        rule, flips = f"{self.rule} max_drop", self._flipped(sample, 0, ours)
        if sample.metric is None:
            assert sample.unmeasured is not None, "a sample has the one or the other"
            status, reason = sample.unmeasured
            return without(GATE, rule, status, limit, f"{reason}; with {self.words} {flips}")
        assert sample.label is not None, "there is a metric"
        try:
            compared = compare(sample.metric, sample.label, ours, sample.clean[0], sample.context.seed)
        except ValueError as error:
            return without(GATE, rule, Status.ERROR, limit, str(error))
        assert compared.champion is not None, "two were compared"
        assert compared.difference is not None, "two were compared"
        measured = replace(compared.difference, metric=f"change of {sample.metric.name}")
        before, after = number(compared.champion.value), number(compared.candidate.value)
        note = f"with {self.words} it goes from {before} to {after}, and {flips}"
        theirs, told = self._champion(sample, others)
        notes = "; ".join(filter(None, (note, told, self.note)))
        return judge(GATE, rule, measured, limit, champion=theirs, note=notes)

    def _champion(self, sample: Sample, others: list[Said]) -> tuple[Measurement | None, str]:
        """The champion's change under the same perturbation, and a phrase about it."""
        if not others:
            return None, ""
        (theirs,) = others
        if isinstance(theirs, Refused):
            return None, f"the champion gives no answer: {theirs.reason}"
        flips = self._flipped(sample, 1, theirs)
        assert sample.metric is not None, "the candidate was measured by it"
        assert sample.label is not None, "there is a metric"
        try:
            before, after = (sample.metric.of(sample.label, side) for side in (sample.clean[1], theirs))
        except ValueError as error:
            return None, f"of the champion, {flips} ({error})"
        change = Measurement(f"change of {sample.metric.name}", after - before, n=len(sample))
        return change, f"the champion's changes by {number(after - before)}, and {flips}"

    def _flips(self, sample: Sample, limit: Limit, ours: Answers, others: list[Said]) -> GateResult:
        """The share of predictions that the perturbation changes, with its interval."""
        measured = _share(f"share of predictions that {sample.verb}", sample.flipped(0, ours))
        champion = None
        if others and not isinstance(others[0], Refused):
            champion = _share(measured.metric, sample.flipped(1, others[0]))
        note = f"with {self.words}"
        if champion is not None:
            note += f"; the champion's share is {share(champion.value)}"
        return judge(GATE, f"{self.rule} max_flipped", measured, limit, champion=champion, note=note)

    def _flipped(self, sample: Sample, side: int, answers: Answers) -> str:
        whose = "its" if side else "the"
        return f"{share(float(sample.flipped(side, answers).mean()))} of {whose} predictions {sample.verb}"

    def _culprit(self, sample: Sample) -> str:
        """The column that does most of it by itself, in a phrase; empty when no one does."""
        if len(self.touched) == 1:
            return f"column '{self.touched[0].name}' is the only one touched"
        rows = rows_each(len(self.touched))
        some, made = sample.frame.head(rows), self.make(sample.frame, self.strength, self.touched).head(rows)
        tables = {column.name: some.assign(**{column.name: made[column.name]}) for column in self.touched}
        found = {name: answers for name, (answers,) in sample.ask(tables, champion=False).items()}
        refused = [name for name, answers in found.items() if isinstance(answers, Refused)]
        if refused:
            return f"by itself it is column {listed(refused)}"
        alone = {
            name: float(sample.flipped(0, answers).mean())
            for name, answers in found.items()
            if not isinstance(answers, Refused)
        }
        worst = max(alone, key=lambda name: alone[name])
        return f"column '{worst}' by itself changes most: {share(alone[worst])}" if alone[worst] else ""

    def _curve(self, sample: Sample, found: Mapping[str, tuple[Said, ...]]) -> tuple[Curves, ...]:
        """The metric (without one, the share of changed predictions) by strength, all on the same rows."""
        rows = slice(min(FEWER_ROWS, len(sample)))
        series = []
        for side, name in enumerate(("candidate", "champion")[: len(sample.clean)]):
            points = {0.0: self._height(sample, side, part(sample.clean[side], rows))}
            for strength, table in self.strengths.items():
                said = found[table][side]
                points[strength] = None if isinstance(said, Refused) else self._height(sample, side, part(said, rows))
            known = {strength: height for strength, height in points.items() if height is not None}
            series.append(Series(name, tuple(known), tuple(known.values())))
        if not all(drawn.x for drawn in series):
            return ()
        what = sample.metric.name if sample.metric else f"share of predictions that {sample.verb}"
        curves = Curves(
            f"{what} by strength: {self.rule}",
            self.axis,
            what,
            tuple(series),
            note=f"the first {rows.stop:,} rows of the sample",
            marked=(self.strength, "judged"),
        )
        return (curves,)

    def _height(self, sample: Sample, side: int, answers: Answers) -> float | None:
        """One point of the curve; None where it has no value."""
        import math

        if sample.metric is None or sample.label is None:
            return float(sample.flipped(side, answers).mean())
        try:
            value = sample.metric.of(sample.label[: len(answers.values)], answers)
        except ValueError:
            return None
        return value if math.isfinite(value) else None


def _share(metric: str, hit: NDArray[np.bool_]) -> Measurement:
    """A share with its 95 % interval (Wilson 1927, which holds for no hit and for all)."""
    from scipy.stats import binomtest

    ends = binomtest(int(hit.sum()), len(hit)).proportion_ci(method="wilson")
    return Measurement(metric, float(hit.mean()), float(ends.low), float(ends.high), len(hit), "perturbed rows")
