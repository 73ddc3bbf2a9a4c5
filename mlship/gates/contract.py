"""The contract gate: are these rows fit to judge with? Missing values, repeats, contradictions, types and ranges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlship.gates import limits
from mlship.gates.base import GateContext, judge, without
from mlship.gates.rows import repeats, row_keys, times
from mlship.policy.gates import ColumnRule, ContractGate
from mlship.report.figures import count, listed, nearest, quoted
from mlship.sources.files import Rows
from mlship.types import GateResult, Measurement, Status

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


class Contract:
    """The rules of `gates.contract`, on the evaluation data."""

    name = "contract"

    def judge(self, context: GateContext) -> list[GateResult]:
        """Four results for the table as a whole, and one for each property promised of a column."""
        contract, rows = context.policy.gates.contract, context.evaluation
        if contract is None:
            return []
        if rows is None or not len(rows):
            reason = "the policy names no evaluation data" if rows is None else "the evaluation data has no rows"
            return [without(self.name, "rows", Status.INCONCLUSIVE, "at least one row", reason)]
        return [
            self._inputs(context, rows),
            self._missing(contract, context, rows),
            self._duplicates(contract, rows),
            self._conflicts(contract, context, rows),
            *(result for name, rule in contract.columns.items() for result in self._column(name, rule, rows)),
        ]

    def _inputs(self, context: GateContext, rows: Rows) -> GateResult:
        """Every column that the candidate's signature asks for is there."""
        wanted = context.candidate.version.inputs
        limit = "all present"
        if not wanted:
            reason = "the candidate has no signature, so its inputs are not known"
            return without(self.name, "inputs", Status.SKIPPED, limit, reason)
        known = list(rows.frame.columns)
        lacking = [name for name in wanted if name not in known]
        measured = Measurement("inputs present", float(len(wanted) - len(lacking)), n=len(wanted), source="signature")
        if lacking:
            reason = f"the data lacks {listed(lacking)}, which the candidate needs{nearest(lacking[0], known)}"
            return GateResult(self.name, "inputs", Status.FAILED, limit, reason, measured)
        reason = f"the data has all {len(wanted)} columns of the candidate's signature"
        return GateResult(self.name, "inputs", Status.PASSED, limit, reason, measured)

    def _missing(self, contract: ContractGate, context: GateContext, rows: Rows) -> GateResult:
        """The worst of the columns that the model looks at and the target."""
        names = [name for name in context.input_columns(rows) if name in rows.frame.columns]
        own = {name for name, rule in contract.columns.items() if rule.max_missing is not None}
        names = [name for name in dict.fromkeys([*names, *filter(None, [rows.target])]) if name not in own]
        limit = limits.contract(contract)["max_missing"]
        if not names:
            return without(self.name, "max_missing", Status.SKIPPED, limit, "every column has a limit of its own")
        shares = {name: float(rows.frame[name].isna().mean()) for name in names}
        worst = max(shares, key=lambda name: shares[name])
        measured = Measurement("largest missing share", shares[worst], n=len(rows), source=rows.path.name)
        note = f"column '{worst}'" if shares[worst] else f"no value is missing in {len(names)} columns"
        return judge(self.name, "max_missing", measured, limit, note=note)

    def _duplicates(self, contract: ContractGate, rows: Rows) -> GateResult:
        """Rows that repeat an earlier row in every column of the file."""
        import pandas as pd

        keys = row_keys(rows.frame, list(rows.frame.columns))
        several = repeats(keys)
        again = several[pd.Series(keys[several]).duplicated().to_numpy()]
        limit = limits.contract(contract)["max_duplicates"]
        share = again.size / len(rows)
        measured = Measurement("share of repeated rows", share, n=len(rows), source=rows.path.name)
        note = ""
        if again.size:
            second = int(again[0])
            first = int(several[keys[several] == keys[second]][0])
            note = f"{count(again.size)} in all, such as data rows {first + 1:,} and {second + 1:,}"
        return judge(self.name, "max_duplicates", measured, limit, note=note)

    def _conflicts(self, contract: ContractGate, context: GateContext, rows: Rows) -> GateResult:
        """Rows that agree in inputs, entity and time with a row that has another label."""
        import numpy as np
        import pandas as pd

        limit = limits.contract(contract)["max_label_conflicts"]
        if rows.target is None:
            reason = "data.evaluation names no target column"
            return without(self.name, "max_label_conflicts", Status.INCONCLUSIVE, limit, reason)
        names = conflict_columns(context, rows)
        every = row_keys(rows.frame, names)
        several = repeats(every)
        keys = pd.Series(every[several])
        del every
        labels = pd.Series(row_keys(rows.frame.iloc[several][[rows.target]], [rows.target]))
        groups = labels.groupby(keys)
        conflicting = (groups.transform("min") != groups.transform("max")).to_numpy()
        share = float(conflicting.sum()) / len(rows)
        measured = Measurement("share of contradicting rows", share, n=len(rows), source=rows.path.name)
        note = f"rows are twins when they agree in {listed(names, 12)}"
        if conflicting.any():
            at = int(np.flatnonzero(conflicting)[0])
            twin = int(np.flatnonzero((keys == keys[at]).to_numpy() & (labels != labels[at]).to_numpy())[0])
            first, other = int(several[at]) + 1, int(several[twin]) + 1
            note = f"{count(int(conflicting.sum()))} in all, such as data rows {first:,} and {other:,}; {note}"
        return judge(self.name, "max_label_conflicts", measured, limit, note=note)

    def _column(self, name: str, rule: ColumnRule, rows: Rows) -> list[GateResult]:
        known = list(rows.frame.columns)
        if name not in known:
            reason = f"there is no column '{name}'{nearest(name, known)}"
            return [without(self.name, f"{name} present", Status.FAILED, "present", reason)]
        column = rows.frame[name]
        results = []
        if rule.type is not None:
            results.append(self._breaches(f"{name} type", rule.type, _not_of(rule.type, column), column))
        if rule.min is not None or rule.max is not None:
            results.append(self._range(name, rule, column))
        if rule.values is not None:
            wrong = (~column.isin(list(rule.values)) & column.notna()).to_numpy(dtype=bool)
            allowed = (
                "{"
                + ", ".join(str(value) for value in rule.values[:6])
                + (", ..." if len(rule.values) > 6 else "")
                + "}"
            )
            results.append(self._breaches(f"{name} values", f"in {allowed}", wrong, column))
        if rule.max_missing is not None:
            limit = limits.column(name, rule)[f"{name} max_missing"]
            measured = Measurement("missing share", float(column.isna().mean()), n=len(column), source=rows.path.name)
            results.append(judge(self.name, f"{name} max_missing", measured, limit))
        return results

    def _range(self, name: str, rule: ColumnRule, column: pd.Series[Any]) -> GateResult:
        import numpy as np
        import pandas as pd

        values = _spread(
            column, lambda it: pd.to_numeric(it, errors="coerce").to_numpy(dtype=float, na_value=np.nan), np.nan
        )
        wrong = (np.isnan(values) & column.notna().to_numpy()) | (
            (values < (-np.inf if rule.min is None else rule.min))
            | (values > (np.inf if rule.max is None else rule.max))
        )
        bounds = [f">= {rule.min:g}"] if rule.min is not None else []
        bounds += [f"<= {rule.max:g}"] if rule.max is not None else []
        return self._breaches(f"{name} range", " and ".join(bounds), wrong, column)

    def _breaches(self, rule: str, promise: str, wrong: NDArray[np.bool_], column: pd.Series[Any]) -> GateResult:
        """One promise about the values of one column: not a single row may break it."""
        import numpy as np

        measured = Measurement("share of rows that break it", float(wrong.mean()), n=len(column))
        note = ""
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            note = f"{count(int(wrong.sum()))} in all, such as {quoted(column.iloc[at])} in data row {at + 1:,}"
        return replace(judge(self.name, rule, measured, limits.NONE, note=note), limit=promise)


def conflict_columns(context: GateContext, rows: Rows) -> list[str]:
    """What makes two rows twins: the candidate's inputs, entity and time; without a signature, all but the target.

    Two flights may well agree in everything that the model sees and end differently; they are a contradiction only when
    they are about the same thing at the same time.
    """
    data = context.policy.data
    names = [*context.input_columns(rows), *(data.entity if data else ()), *filter(None, [rows.time])]
    return [name for name in dict.fromkeys(names) if name in rows.frame.columns and name != rows.target]


def _spread(column: pd.Series[Any], measure: Callable[[pd.Series[Any]], NDArray[Any]], missing: Any) -> NDArray[Any]:
    """What `measure` gives for each row, asked once for each distinct value where the column holds categories."""
    import numpy as np
    import pandas as pd

    if not isinstance(column.dtype, pd.CategoricalDtype):
        return measure(column)
    known = np.append(measure(pd.Series(column.cat.categories)), missing)
    return np.asarray(known[column.cat.codes.to_numpy()])


def _not_of(kind: str, column: pd.Series[Any]) -> NDArray[np.bool_]:
    """Which values of the column are not of the type; a missing value is of every type."""
    return _spread(column, lambda values: _strangers(kind, values), missing=False).astype(bool)


def _strangers(kind: str, column: pd.Series[Any]) -> NDArray[np.bool_]:
    import numpy as np
    import pandas as pd

    is_a, stored, given = pd.api.types, column.dtype, column.notna().to_numpy()
    fits: NDArray[np.bool_]
    if is_a.is_datetime64_any_dtype(stored):
        fits = np.full(len(column), kind == "datetime")
    elif is_a.is_bool_dtype(stored):
        fits = np.full(len(column), kind == "boolean")
    elif is_a.is_numeric_dtype(stored):
        values = column.to_numpy(dtype=float, na_value=np.nan)
        fits = values == np.floor(values) if kind == "integer" else np.full(len(column), kind == "number")
    elif kind == "datetime":
        fits = times(column).notna().to_numpy()
    elif kind in ("number", "integer") and is_a.is_string_dtype(stored):
        # Where most are numbers, only those that are not broke the promise; where none is, or all are, it is the type.
        values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        fits = np.isfinite(values) & ((values == np.floor(values)) | (kind == "number"))
        fits &= not fits[given].all()
    elif isinstance(stored, pd.StringDtype):
        fits = np.full(len(column), kind == "string")
    else:
        wanted = {"string": (str,), "boolean": (bool, np.bool_), "number": (int, float), "integer": (int,)}[kind]
        fits = np.array(
            [
                isinstance(it, wanted) and (kind == "boolean" or not isinstance(it, bool))
                for it in column.astype(object)
            ],
            dtype=bool,
        )
    return np.asarray(given & ~fits)
