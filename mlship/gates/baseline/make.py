"""The baseline of a candidate: features and predictions of the reference rows, performance on the evaluation rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mlship.errors import DataError
from mlship.gates.base import FEWEST_ROWS, GateContext, Predictions
from mlship.gates.baseline import columns, performance
from mlship.gates.baseline.task import Task
from mlship.gates.baseline.windows import Windows
from mlship.gates.few import few
from mlship.policy.monitor import Monitor
from mlship.policy.units import format_duration
from mlship.report.figures import listed, nearest, things
from mlship.sources.files import Rows
from mlship.sources.moments import moments
from mlship.stats import classes, cutting
from mlship.types.monitoring import Baseline, Column

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: Bins of answers that are numbers.
_BINS = 20


def make(context: GateContext, policy_digest: str, *, made: float) -> Baseline:
    """What the candidate is now, on the rows of this evaluation; the policy has `monitor`.

    Features and predictions are those of data.reference, where the policy names none of data.evaluation; all rows of
    features count, of predictions a sample (`few`). Performance and calibration are of data.evaluation.

    Parameters
    ----------
    made
        Unix time.

    Raises
    ------
    DataError
        There are no rows, or they lack a column that is to be watched.
    MlshipError
        Whatever keeps the candidate from predicting.
    """
    monitor = context.policy.monitor
    assert monitor is not None, "the caller has looked"
    if context.evaluation is None:
        raise DataError("the policy names no data: a baseline is made of data.reference and data.evaluation")
    work = _Work(context, monitor, context.evaluation, context.reference or context.evaluation)
    return work.made(policy_digest, made)


@dataclass(eq=False)
class _Work:
    """The rows, column by column, so that no more than one column is in hand."""

    context: GateContext
    monitor: Monitor
    evaluation: Rows
    reference: Rows

    def made(self, policy_digest: str, at: float) -> Baseline:
        """All of it."""
        import numpy as np

        if len(self.reference) < FEWEST_ROWS:
            which = "evaluation" if self.reference is self.evaluation else "reference"
            what = f"the {which} data has {things(len(self.reference), 'row')}: a baseline needs {FEWEST_ROWS} at least"
            raise DataError(what)
        version, why_not = self.context.candidate.version, dict[str, str]()
        times = self._moments(self.reference)
        windows = None if times is None else Windows.cut(times, self.monitor)
        features = self._features(windows, why_not)
        task = Task.of(self.context.predictions[0], self._label, self.context.policy)
        said, chosen = self._said()
        shown = None if times is None else Windows.cut(times[chosen], self.monitor, len(said.values) / len(times))
        answers, scores = _predictions(task, said, shown)
        why_not |= task.why_not
        if not any(column.streams for column in (*features.values(), answers)):
            why_not["streams"] = self._no_streams(windows)
        value = self.context.policy.gates.value
        payoff = value.payoff.model_dump() if value is not None and value.payoff and task.kind == "binary" else {}
        baseline = Baseline(
            model=version.model,
            version=version.version,
            digest=version.digest,
            made=at,
            policy_digest=policy_digest,
            task=task.kind,
            window=self.monitor.window,
            zone=self.monitor.zone,
            season=self.monitor.season,
            rows=len(self.reference),
            since=None if times is None else float(np.nanmin(times)),
            until=None if times is None else float(np.nanmax(times)),
            features=features,
            answers=answers,
            scores=scores,
            labels=task.labels,
            threshold=task.threshold,
            slices=self._slices(),
            payoff={name: float(payoff[name]) for name in ("tp", "fp", "fn", "tn") if payoff},
            why_not=why_not,
            source=self._source,
        )
        return self._performance(baseline, task)

    @property
    def _source(self) -> str:
        data = self.context.policy.data
        dataset = data and (data.evaluation if self.reference is self.evaluation else data.reference)
        return dataset.source if dataset else ""

    @property
    def _label(self) -> pd.Series[Any] | None:
        target = self.evaluation.target
        return None if target is None else self.evaluation.frame[target]

    def _time(self, rows: Rows) -> str | None:
        """The rows' time column; the reference's may have the evaluation's name."""
        name = rows.time or self.evaluation.time
        return name if name is not None and name in rows.frame.columns else None

    def _moments(self, rows: Rows) -> NDArray[np.float64] | None:
        time = self._time(rows)
        return None if time is None else moments(rows.frame[time], self.monitor.zone)

    def _said(self) -> tuple[Predictions, Any]:
        """The candidate's predictions on the reference, or a sample of it, and on which rows."""
        if self.reference is self.evaluation:
            return self.context.predictions[0], slice(None)
        alone = replace(self.context, candidate=replace(self.context.candidate, champion=None))
        rows, chosen = few(self.reference, self.context.seed)
        return alone.on(rows)[0], chosen

    def _features(self, windows: Windows | None, why_not: dict[str, str]) -> dict[str, Column]:
        """The columns to be watched, in the model's order."""
        rules = self.monitor.features
        asked = rules.columns if rules is not None else ()
        apart = {self.evaluation.target, self._time(self.evaluation), self._time(self.reference)} - set(asked)
        if not self.context.candidate.version.inputs and self.context.policy.data:
            apart |= set(self.context.policy.data.entity) - set(asked)
        names = [*dict.fromkeys([*self.context.input_columns(self.evaluation), *asked])]
        names = [name for name in names if name not in apart]
        found: dict[str, Column] = {}
        left = []
        for done, name in enumerate(names):
            self.context.tick(done, len(names))
            one = columns.column(self._of_reference(name, "the model takes"), windows)
            if one is None:
                left.append(name)
            else:
                found[name] = one
        if left:
            why_not["features"] = f"{listed(left)}: neither numbers nor categories"
        return found

    def _of_reference(self, name: str, who: str) -> pd.Series[Any]:
        frame = self.reference.frame
        if name not in frame.columns:
            known = [str(column) for column in frame.columns]
            raise DataError(
                f"{who} the column '{name}', which the rows of the baseline lack{nearest(name, known)}",
                where=self._source,
                hint="give data.reference the columns that the model was trained on",
            )
        return frame[name]

    def _no_streams(self, windows: Windows | None) -> str:
        """Why no change can be told from chance."""
        key = "data.evaluation" if self.reference is self.evaluation else "data.reference"
        time = self._time(self.reference)
        if windows is None:
            if time is None:
                return f"{key} has no time column: add {key}.time, so that what is usual can be learned"
            return f"the column '{time}' of {key} holds no times"
        what = f"{things(len(windows), 'window')} of {format_duration(self.monitor.window)} with monitor.min_rows "
        what += f"({self.monitor.min_rows}) rows in {key} are too few to learn from"
        return f"{what}: give rows of more time, or a shorter monitor.window"

    def _slices(self) -> dict[str, tuple[str, ...]]:
        """The largest values of each column by which traffic is looked at apart."""
        if self.monitor.slices is None:
            return {}
        found = {}
        for name in self.monitor.slices.by:
            counted = self._of_reference(name, "monitor.slices.by names").value_counts()
            counted = counted[counted > 0].head(self.monitor.slices.most)
            found[name] = tuple(text for value in counted.index.tolist() if (text := classes.text(value)) is not None)
        return found

    def _performance(self, baseline: Baseline, task: Task) -> Baseline:
        asked = tuple(self.monitor.performance)
        label = self._label
        if label is None:
            told = dict.fromkeys(("performance", "calibration"), "data.evaluation names no target column")
            return replace(baseline, why_not={**baseline.why_not, **told})
        said, times = self.context.predictions[0], self._moments(self.evaluation)
        by_day = performance.days(task, said, label, times, baseline)
        return performance.with_performance(baseline, by_day, asked)


def _predictions(task: Task, said: Predictions, windows: Windows | None) -> tuple[Column, Column | None]:
    """What the model answered, and its scores where it gives some."""
    import pandas as pd

    if task.kind == "numbers":
        values = pd.Series(said.values, copy=False)
        found = columns.column(values, windows, partial(cutting.cut, most=_BINS))
        assert found is not None, "a prediction is a number or a class"
        return found, None
    scores = task.scores(said)
    cut = partial(cutting.cut_scores, threshold=task.threshold)
    scored = None if scores is None else columns.column(pd.Series(scores, copy=False), windows, cut)
    return columns.classes(task.answers(said), task.bins, windows), scored


def told(baseline: Baseline) -> str:
    """The baseline in one sentence: what it is made of, and what it lacks."""
    parts: Sequence[str] = [
        things(len(baseline.features), "feature"),
        "scores" if baseline.scores is not None else "answers",
        *(["calibration"] if baseline.calibration is not None else []),
        *([f"{things(len(baseline.performance), 'metric')}"] if baseline.performance else []),
    ]
    said = f"{things(baseline.rows, 'row')} of {baseline.source}: {listed(list(parts))}"
    return "; ".join([said, *(f"without {name}: {reason}" for name, reason in baseline.why_not.items())])
