"""The leakage gate: has the model seen the answer, in a column, in time, or in rows that it was trained on?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlship.gates import limits
from mlship.gates.base import FEWEST_ROWS, GateContext, Limit, judge, without
from mlship.gates.categories import categories
from mlship.gates.leakage_gain import implausible_gain
from mlship.gates.rows import as_numbers, moments, row_keys, times
from mlship.policy.gates import LeakageGate
from mlship.report.figures import count, listed, nearest, things
from mlship.sources.files import Rows
from mlship.stats import binning
from mlship.types import GateResult, Measurement, Status

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: A target of more distinct numbers than this is a quantity; of fewer, classes.
_MOST_CLASSES = 20
#: Of more rows a seeded sample is ranked: the area under the curve is then known to a thousandth.
_MOST_ROWS = 500_000


class Leakage:
    """The rules of `gates.leakage`: candidate's inputs, evaluation data and reference data."""

    name = "leakage"

    def judge(self, context: GateContext) -> list[GateResult]:
        """One result for each way to leak that the policy asks about."""
        rules = context.policy.gates.leakage
        if rules is None:
            return []
        results = [self._unavailable(rules, context)]
        rows = context.evaluation
        if rows is None or not len(rows):
            reason = "the policy names no evaluation data" if rows is None else "the evaluation data has no rows"
            return [*results, without(self.name, "rows", Status.INCONCLUSIVE, "at least one row", reason)]
        results.append(self._overlap(rules, rows, context.reference))
        asked = limits.leakage(rules)
        if "max_entity_overlap" in asked:
            results.append(self._entities(asked["max_entity_overlap"], context, rows))
        if rules.chronological:
            results.append(self._chronological(rules, rows, context.reference))
        if "max_single_feature_auc" in asked:
            results.append(self._single_feature(asked["max_single_feature_auc"], context, rows))
        if "max_gain" in asked:
            results.append(implausible_gain(rules, asked["max_gain"], context, rows))
        return results

    def _unavailable(self, rules: LeakageGate, context: GateContext) -> GateResult:
        """No input of the model is the target, or a column that does not exist when the model is asked."""
        inputs = context.candidate.version.inputs
        target = context.evaluation.target if context.evaluation else None
        limit = "no such input"
        if not inputs:
            if not rules.unavailable:
                reason = "the policy names no unavailable column, and the candidate has no signature"
                return without(self.name, "unavailable", Status.SKIPPED, limit, reason)
            reason = (
                "the candidate has no signature, so nobody can tell whether it uses "
                f"{listed(list(rules.unavailable))}; log the model with a signature"
            )
            return without(self.name, "unavailable", Status.INCONCLUSIVE, limit, reason)
        used = [name for name in inputs if name in rules.unavailable]
        measured = Measurement("unavailable inputs", float(len(used)), n=len(inputs), source="signature")
        if target is not None and target in inputs:
            reason = f"the candidate takes the target '{target}' as an input"
            return GateResult(self.name, "unavailable", Status.FAILED, limit, reason, measured)
        if used:
            verb = "does not exist" if len(used) == 1 else "do not exist"
            reason = f"the candidate takes {listed(used)} as input, which {verb} when the model is asked"
            return GateResult(self.name, "unavailable", Status.FAILED, limit, reason, measured)
        asked = [*rules.unavailable, *filter(None, [target])]
        reason = (
            f"none of the candidate's {things(len(inputs), 'input')} is among {listed(asked)}"
            if asked
            else (f"the policy names no unavailable column; the candidate has {things(len(inputs), 'input')}")
        )
        return GateResult(self.name, "unavailable", Status.PASSED, limit, reason, measured)

    def _overlap(self, rules: LeakageGate, rows: Rows, reference: Rows | None) -> GateResult:
        """The share of evaluation rows that are also in the reference, compared in all columns that both files have."""
        limit = limits.leakage(rules)["max_overlap"]
        if reference is None:
            return self._no_reference("max_overlap", limit, asked="max_overlap" in rules.model_fields_set)
        common = [name for name in rows.frame.columns if name in set(reference.frame.columns)]
        if not common:
            reason = "evaluation and reference data have no column in common"
            return without(self.name, "max_overlap", Status.INCONCLUSIVE, limit, reason)
        as_times = moments(rows.frame, reference.frame)
        ours, theirs = (row_keys(frame, common, as_times) for frame in (rows.frame, reference.frame))
        shared, first = _shared(ours, theirs)
        measured = Measurement("share of rows in the reference", shared / len(rows), n=len(rows), source="row keys")
        note = ""
        if shared:
            note = f"{count(shared)} in all, such as data row {first + 1:,}"
        elif len(common) < len(rows.frame.columns):
            note = f"compared in the {len(common)} of {len(rows.frame.columns)} columns that both files have"
        return judge(self.name, "max_overlap", measured, limit, note=note)

    def _entities(self, limit: Limit, context: GateContext, rows: Rows) -> GateResult:
        """The share of evaluation entities that the reference knows too."""
        import numpy as np

        rule = "max_entity_overlap"
        names = list(context.policy.data.entity) if context.policy.data else []
        if not names:
            reason = "data.entity names no column, so there is nothing to compare"
            return without(self.name, rule, Status.INCONCLUSIVE, limit, reason)
        if context.reference is None:
            return self._no_reference(rule, limit, asked=True)
        theirs = context.reference.frame
        lacking = [name for name in names if name not in theirs.columns]
        if lacking:
            reason = f"the reference data lacks the entity column {listed(lacking)}"
            return without(self.name, rule, Status.INCONCLUSIVE, limit, reason)
        ours = rows.frame[names].dropna()
        keys = np.sort(row_keys(ours, names))
        if not keys.size:
            return without(self.name, rule, Status.INCONCLUSIVE, limit, f"no row has a value in {listed(names)}")
        keys = keys[np.append(True, keys[1:] != keys[:-1])]
        known, _ = _shared(keys, row_keys(theirs[names].dropna(), names))
        measured = Measurement("share of entities in the reference", known / keys.size, n=int(keys.size))
        note = f"{count(known)} of {things(int(keys.size), 'entity', 'entities')} by {listed(names)}"
        return judge(self.name, rule, measured, limit, note=note)

    def _chronological(self, rules: LeakageGate, rows: Rows, reference: Rows | None) -> GateResult:
        """The last reference row is earlier than the first evaluation row."""
        rule, limit = "chronological", "reference first"
        asked = rules.chronological and "chronological" in rules.model_fields_set
        if reference is None:
            return self._no_reference(rule, limit, asked=asked)
        ours, theirs = rows.time or reference.time, reference.time or rows.time
        if ours is None or theirs is None:
            status = Status.INCONCLUSIVE if asked else Status.SKIPPED
            return without(
                self.name, rule, status, limit, "neither data.evaluation nor data.reference names a time column"
            )
        for name, side, which in ((ours, rows, "evaluation"), (theirs, reference, "reference")):
            if name not in side.frame.columns:
                reason = f"the {which} data has no time column '{name}'{nearest(name, list(side.frame.columns))}"
                return without(self.name, rule, Status.INCONCLUSIVE, limit, reason)
        return self._order(times(rows.frame[ours]), times(reference.frame[theirs]), limit)

    def _order(self, begins: pd.Series[Any], ends: pd.Series[Any], limit: str) -> GateResult:
        """The times of the evaluation rows against the times of the reference rows."""
        rule, n = "chronological", len(begins)
        if begins.dtype != ends.dtype or begins.isna().all() or ends.isna().all():
            reason = "the times of the two files cannot be compared: give both as timestamps, or both as numbers"
            return without(self.name, rule, Status.INCONCLUSIVE, limit, reason)
        last, first = ends.max(), begins.min()
        measured = Measurement("share of rows that are not later", float((begins <= last).mean()), n=n)
        if last >= first:
            late = int((begins <= last).sum())
            reason = (
                f"the reference ends at {_moment(last)}, after the evaluation begins at {_moment(first)}: "
                f"{things(late, 'evaluation row')} of {count(n)} are not later than the training data"
            )
            return GateResult(self.name, rule, Status.FAILED, limit, reason, measured)
        untimed = int(begins.isna().sum()) + int(ends.isna().sum())
        if untimed:
            return without(
                self.name, rule, Status.INCONCLUSIVE, limit, f"{things(untimed, 'row')} have no readable time"
            )
        reason = f"the reference ends at {_moment(last)}, the evaluation begins at {_moment(first)}"
        return GateResult(self.name, rule, Status.PASSED, limit, reason, measured)

    def _single_feature(self, limit: Limit, context: GateContext, rows: Rows) -> GateResult:
        """The one input that tells the label best, by itself."""
        rule = "max_single_feature_auc"
        if rows.target is None:
            return without(self.name, rule, Status.INCONCLUSIVE, limit, "data.evaluation names no target column")
        if len(rows) < FEWEST_ROWS:
            reason = f"the evaluation data has {things(len(rows), 'row')}; below {FEWEST_ROWS} nothing is decided"
            return without(self.name, rule, Status.INCONCLUSIVE, limit, reason)
        chosen = binning.some(len(rows), _MOST_ROWS, context.seed)
        label = rows.frame[rows.target].iloc[chosen]
        if label.nunique() < 2:
            return without(self.name, rule, Status.INCONCLUSIVE, limit, "every row has the same label")
        names = [name for name in context.input_columns(rows) if name in rows.frame.columns and name != rows.target]
        if not names:
            return without(self.name, rule, Status.INCONCLUSIVE, limit, "the evaluation data has none of the inputs")
        measure = _Telling(label)
        found = {name: measure.by(rows.frame[name].iloc[chosen]) for name in names}
        worst = max(found, key=lambda name: found[name])
        metric = f"largest single-feature {measure.word}"
        note = f"column '{worst}' is the most telling of {things(len(names), 'input')}"
        if not context.candidate.version.inputs:
            note += " (the candidate has no signature: every column but target and time was looked at)"
        measured = Measurement(metric, found[worst], n=len(label), source="rank statistic")
        return judge(self.name, rule, measured, limit, note=note)

    def _no_reference(self, rule: str, limit: Limit | str, *, asked: bool) -> GateResult:
        """Asked for in so many words, it is inconclusive; on by default only, it is skipped."""
        reason = "the policy names no data.reference (the rows that the candidate was trained on)"
        return without(self.name, rule, Status.INCONCLUSIVE if asked else Status.SKIPPED, limit, reason)


class _Telling:
    """How well one column tells this label: the area under the ROC curve, or the concordance with a quantity."""

    def __init__(self, label: pd.Series[Any]) -> None:
        import pandas as pd

        self.number: NDArray[np.float64] | None = None
        if pd.api.types.is_numeric_dtype(label.dtype) and label.nunique() > _MOST_CLASSES:
            self.number = label.to_numpy(dtype=float)
        self.word = "AUC" if self.number is None else "concordance"
        # The rarest of very many classes tell nothing that the common ones do not.
        classes = list(label.value_counts().index[:_MOST_CLASSES])
        chosen = classes[1:] if len(classes) == 2 else classes
        self.positives = [(label == name).to_numpy(dtype=bool) for name in chosen] if self.number is None else []

    def by(self, column: pd.Series[Any]) -> float:
        """Between 0.5 (nothing) and 1 (everything); for several classes, of the one that is told best."""
        import numpy as np

        from mlship.stats import association

        values = as_numbers(column)
        if values is not None:
            if self.number is not None:
                return association.numeric_concordance(self.number, values)
            return max(association.numeric_auc(positive, values) for positive in self.positives)
        codes, names = categories(column)
        codes = np.where(codes < 0, len(names), codes)  # missing is a category too
        if self.number is not None:
            return association.category_auc(self.number, codes)
        return max(association.category_auc(positive, codes) for positive in self.positives)


def _shared(ours: NDArray[np.uint64], theirs: NDArray[np.uint64]) -> tuple[int, int]:
    """How many of our keys are also theirs, and where the first of them stands (0 when there is none).

    Both are sorted: looking up sorted keys in sorted keys touches memory once, in order, and needs no table.
    """
    import numpy as np

    known, ordered = np.sort(theirs), np.sort(ours)
    if not known.size:
        return 0, 0

    def found(keys: NDArray[np.uint64], among: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return np.equal(among[np.minimum(np.searchsorted(among, keys), among.size - 1)], keys)

    hits = [part[found(part, known)] for part in (ordered[where] for where in binning.slices(ordered.size))]
    shared = np.concatenate(hits)
    if not shared.size:
        return 0, 0
    places = ((where.start, found(ours[where], shared)) for where in binning.slices(ours.size))
    return int(shared.size), next(start + int(there.argmax()) for start, there in places if there.any())


def _moment(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "strftime") else f"{value:g}"
