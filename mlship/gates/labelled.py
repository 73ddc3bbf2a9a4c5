"""Can anything about a model be measured on these rows: are there enough, with labels that differ?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlship.gates.base import FEWEST_ROWS, GateContext
from mlship.report.figures import quoted, things

if TYPE_CHECKING:
    import pandas as pd


def too_little(context: GateContext) -> str:
    """Why nothing can be measured on the evaluation rows; empty when something can."""
    rows = context.evaluation
    if rows is None:
        return "the policy names no evaluation data"
    if rows.target is None:
        return "data.evaluation names no target column"
    if len(rows) < FEWEST_ROWS:
        return f"the evaluation data has {things(len(rows), 'row')}; below {FEWEST_ROWS} nothing is decided"
    return _alike(rows.frame[rows.target])


def _alike(label: pd.Series[Any]) -> str:
    """Why the labels cannot tell models apart; empty when they can."""
    import pandas as pd

    kind = pd.api.types
    if kind.is_numeric_dtype(label.dtype):
        # No table of all values: numbers may have as many as there are rows.
        low, high = label.min(), label.max()
        counts = {low: int((label == low).sum()), high: int((label == high).sum())}
    else:
        found = label.value_counts()
        counts = {name: int(n) for name, n in found[found > 0].head(3).items()}
    if len(counts) == 1:
        return f"every row has the same label, {quoted(next(iter(counts)))}: nothing can be told apart"
    rarest = min(counts, key=lambda name: counts[name])
    if (
        counts[rarest] < 2
        and sum(counts.values()) == len(label)
        and len(counts) == 2
        and not kind.is_float_dtype(label)
    ):
        return f"only {things(counts[rarest], 'row')} has the label {quoted(rarest)}"
    return ""
