"""A gain too good to be true that rests on columns which the champion does not take: perhaps they know the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlship.errors import MlshipError
from mlship.exhibits import Table
from mlship.gates.base import FEWEST_ROWS, GateContext, Limit, Predictions, judge, without
from mlship.gates.unanswered import unanswered
from mlship.policy.gates import LeakageGate
from mlship.report.figures import listed, nearest, number, things
from mlship.sources.files import Rows
from mlship.stats import binning, gain
from mlship.types import GateResult, Measurement, Status

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_GATE, _RULE = "leakage", "max_gain"
#: Rows on which the gain is measured, and on which single columns are shuffled to tell which of them carries it.
_ROWS = 50_000
_ROWS_EACH = 10_000
_MOST_EACH = 12
#: A target of more distinct numbers than this is a quantity; of fewer, classes.
_MOST_CLASSES = 20


def implausible_gain(rules: LeakageGate, limit: Limit, context: GateContext, rows: Rows) -> GateResult:
    """Judge how much of the champion's remaining error goes away for columns that the champion does not take."""
    lacking = _lacking(rules, context, rows)
    if lacking is not None:
        return without(_GATE, _RULE, lacking[0], limit, lacking[1])
    try:
        return _Gain.of(context, rows, _new(rules, context, rows)).judged(limit, _slips(rules, context, rows))
    except MlshipError as error:
        status, reason = unanswered(error, context.candidate.version)
        return without(_GATE, _RULE, status, limit, reason)
    except ValueError as error:
        return without(_GATE, _RULE, Status.INCONCLUSIVE, limit, str(error))


def _lacking(rules: LeakageGate, context: GateContext, rows: Rows) -> tuple[Status, str] | None:
    """Why there is nothing to judge, where there is nothing."""
    champion = context.candidate.champion
    if champion is None:
        return Status.SKIPPED, "there is no champion to gain on"
    if rows.target is None:
        return Status.INCONCLUSIVE, "data.evaluation names no target column"
    if not champion.inputs:
        status = Status.INCONCLUSIVE if "max_gain" in rules.model_fields_set else Status.SKIPPED
        return status, "the champion has no signature, so nobody can tell which columns are new; log it with one"
    if not _new(rules, context, rows):
        but = ", apart from those listed as vouched or unavailable" if rules.vouched or rules.unavailable else ""
        return Status.SKIPPED, f"the candidate takes no column that the champion does not take{but}"
    if len(rows) < FEWEST_ROWS:
        reason = f"the evaluation data has {things(len(rows), 'row')}; below {FEWEST_ROWS} nothing is decided"
        return Status.INCONCLUSIVE, reason
    return None


def _new(rules: LeakageGate, context: GateContext, rows: Rows) -> list[str]:
    """Columns that the candidate takes, the champion does not, and nobody has vouched for or refused already."""
    champion = context.candidate.champion
    known = {*(champion.inputs if champion else ()), *rules.vouched, *rules.unavailable, rows.target}
    return [name for name in context.input_columns(rows) if name not in known and name in rows.frame.columns]


def _slips(rules: LeakageGate, context: GateContext, rows: Rows) -> str:
    """A vouched name that is no input is a slip of the pen: it vouches for nothing."""
    inputs = list(context.input_columns(rows))
    slips = [f"'{name}'{nearest(name, inputs)}" for name in rules.vouched if name not in inputs]
    return f"gates.leakage.vouched names what is no input: {', '.join(slips)}" if slips else ""


@dataclass(frozen=True, eq=False)
class _Gain:
    """Both models on some evaluation rows."""

    context: GateContext
    rows: Rows
    chosen: Any
    new: list[str]
    measure: _Measure
    ours: gain.Error
    theirs: gain.Error

    @classmethod
    def of(cls, context: GateContext, rows: Rows, new: list[str]) -> _Gain:
        """Raises ``ValueError`` when labels and predictions do not allow it, ``MlshipError`` when a model fails."""
        candidate, champion = context.predictions
        assert champion is not None, "`_lacking` has looked"
        assert rows.target is not None, "`_lacking` has looked"
        chosen = binning.some(len(rows), _ROWS, context.seed)
        measure = _Measure.of(rows.frame[rows.target].to_numpy()[chosen], [candidate, champion])
        ours, theirs = (measure.error(model, chosen) for model in (candidate, champion))
        return cls(context, rows, chosen, new, measure, ours, theirs)

    def judged(self, limit: Limit, slip: str) -> GateResult:
        """By the whole gain when that is small enough; else by the part of it that rests on the new columns."""
        n = len(self.ours.influence)
        told, names = self.measure.told, listed(self.new)
        figures = f"{told(self.ours)} against the champion's {told(self.theirs)}"
        if not self.theirs.value > 0:
            measured = Measurement("gain", 0.0, n=n, source=self.measure.name)
            return judge(_GATE, _RULE, measured, limit, note="the champion leaves no error to remove")
        value, low, high = gain.removed(self.ours, self.theirs, self.theirs)
        notes = [figures, slip]
        metric = "share of the champion's remaining error that is removed"
        if high <= limit.value:
            measured = Measurement(metric, value, low, high, n, self.measure.name)
            notes.insert(1, f"whatever part of it rests on {names}")
            return judge(_GATE, _RULE, measured, limit, note="; ".join(filter(None, notes)))
        robbed, alone = self._robbed()
        # No more of the gain rests on them than there is, and no more than is lost without them.
        lost = gain.removed(self.ours, robbed, self.theirs)
        value, low, high = (min(pair) for pair in zip((value, low, high), lost, strict=True))
        order = sorted(self.new, key=lambda name: -alone[name].value if name in alone else 0.0)
        metric += f" on the strength of {listed(order)}"
        notes.insert(1, f"{told(robbed)} with {'it' if len(order) == 1 else 'these'} shuffled among the rows")
        measured = Measurement(metric, value, low, high, n, self.measure.name)
        result = judge(_GATE, _RULE, measured, limit)
        if result.status is not Status.PASSED:
            are, them = ("it is", "it") if len(order) == 1 else ("they are", "them")
            notes.append(
                f"too good to be true? make sure that {are} known when the model is asked, then list {them} under "
                "gates.leakage.vouched"
            )
        exhibit = self._table(robbed, [(name, alone[name]) for name in order if name in alone])
        reason = "; ".join([result.reason, *filter(None, notes)])
        return replace(result, reason=reason, exhibits=(exhibit,))

    def _robbed(self) -> tuple[gain.Error, dict[str, gain.Error]]:
        """The candidate's errors with all new columns shuffled together, and with each alone on fewer rows."""
        import numpy as np
        import pandas as pd

        hidden = self.rows.target
        frame = self.rows.frame.iloc[self.chosen]
        frame = frame[[name for name in frame.columns if name != hidden]].reset_index(drop=True)
        n, draw = len(frame), np.random.default_rng(self.context.seed)
        tables = [_shuffled(frame, self.new, draw.permutation(n))]
        few = min(n, _ROWS_EACH)
        singles = self.new[:_MOST_EACH] if len(self.new) > 1 else []
        part = binning.some(n, few, self.context.seed)
        tables += [_shuffled(frame.iloc[part], [name], draw.permutation(few)) for name in singles]
        contents = f"{self.rows.digest} ({', '.join(self.new)} shuffled; {n} rows, seed {self.context.seed})"
        version = self.context.candidate.version
        (said,) = self.context.score((version,), pd.concat(tables, ignore_index=True), contents)
        robbed = self.measure.error(said, slice(0, n))
        starts = [n + few * i for i in range(len(singles))]
        alone = self.measure.some(part)
        return robbed, {
            name: alone.error(said, slice(start, start + few)) for name, start in zip(singles, starts, strict=True)
        }

    def _table(self, robbed: gain.Error, alone: list[tuple[str, gain.Error]]) -> Table:
        rows = [("nothing", self.ours), *((name, error) for name, error in alone)]
        if alone:
            rows.append(("all of these", robbed))
        else:
            rows.append((self.new[0], robbed))
        rows.append(("(the champion)", self.theirs))
        note = f"the lines of one column are measured on {things(min(len(self.ours.influence), _ROWS_EACH), 'row')}"
        return Table(
            "What the gain rests on",
            ("shuffled among the rows", self.measure.name),
            tuple((name, self.measure.figure(error)) for name, error in rows),
            note if alone else "",
        )


def _shuffled(frame: pd.DataFrame, names: list[str], order: NDArray[np.int64]) -> pd.DataFrame:
    """The table with some columns taken from other rows, all of them from the same."""
    return frame.assign(**{name: frame[name].array[order] for name in names})


@dataclass(frozen=True, eq=False)
class _Measure:
    """The error that suits labels and models: of the ranking, of the class, or of the number."""

    label: NDArray[Any]
    by: str
    """scores, classes or numbers."""
    classes: tuple[Any, ...] = ()
    """Those whose ranking is judged: the second of two, all of more."""

    @classmethod
    def of(cls, label: NDArray[Any], models: list[Predictions]) -> _Measure:
        """Raises ``ValueError`` when the labels do not vary."""
        import numpy as np

        found = np.unique(label.astype(str) if label.dtype == object else label)
        if found.size < 2:
            raise ValueError("every row has the same label")
        quantity = np.issubdtype(label.dtype, np.floating) or found.size > _MOST_CLASSES
        if all(model.classes is None and model.scores is None for model in models):
            numeric = np.issubdtype(label.dtype, np.number) and np.issubdtype(models[0].values.dtype, np.number)
            return cls(label, "numbers" if quantity and numeric else "classes")
        if all(model.scores is not None and model.classes is not None for model in models):
            classes = [tuple(np.asarray(model.classes).tolist()) for model in models]
            if set(classes[0]) == set(classes[1]):
                there = [name for name in classes[0] if (label == name).any()]
                if len(classes[0]) == 2 and len(there) == 2:
                    return cls(label, "scores", (classes[0][1],))
                if len(there) > 1:
                    return cls(label, "scores", tuple(there))
        return cls(label, "classes")

    @property
    def name(self) -> str:
        """What a reader knows it by."""
        return {"scores": "AUC", "classes": "accuracy", "numbers": "mean squared error"}[self.by]

    def figure(self, error: gain.Error) -> float:
        """In the reader's terms: the AUC and the accuracy are good when high."""
        return error.value if self.by == "numbers" else 1 - error.value

    def told(self, error: gain.Error) -> str:
        """The figure with its name."""
        return f"{self.name} {number(self.figure(error))}"

    def some(self, chosen: Any) -> _Measure:
        """The same for some of the rows."""
        return replace(self, label=self.label[chosen])

    def error(self, model: Predictions, chosen: Any) -> gain.Error:
        """On the rows chosen, which are those of `label`."""
        import numpy as np

        if self.by == "numbers":
            return gain.mean_error((np.asarray(model.values)[chosen].astype(float) - self.label.astype(float)) ** 2)
        if self.by == "classes":
            values = np.asarray(model.values)[chosen]
            return gain.mean_error((values.astype(str) != self.label.astype(str)).astype(float))
        assert model.scores is not None, "`of` has looked"
        scores = np.asarray(model.scores)[chosen].astype(float)
        if scores.ndim == 1:
            return gain.ranking_error(self.label == self.classes[0], scores)
        order = np.asarray(model.classes).tolist()
        columns = [(self.label == name, scores[:, order.index(name)]) for name in self.classes]
        return gain.mean_of([gain.ranking_error(positive, score) for positive, score in columns])
