"""The columns that a monitor looks at: which there are, what windows counted of them, and figures of such counts."""

from __future__ import annotations

import math

from mlship.policy.monitor import Monitor
from mlship.stats import shift
from mlship.types.monitoring import Baseline, Column, Counts, Kind, Tally

#: Names of the columns that the predictions are: the answers, and the probabilities of the positive class.
PREDICTIONS, SCORES = "predictions", "scores"


def columns(baseline: Baseline, monitor: Monitor) -> dict[str, Column]:
    """The columns that are looked at, the predictions last; windows tell answers, or scores, or both."""
    chosen = monitor.features.columns if monitor.features is not None and monitor.features.columns else ()
    found = {name: one for name, one in baseline.features.items() if not chosen or name in chosen}
    said = {PREDICTIONS: baseline.answers, SCORES: baseline.scores}
    return found | {name: one for name, one in said.items() if one is not None}


def counts_of(column: str, tally: Tally) -> Counts | None:
    """What a window counted of a column; None when its source does not tell."""
    if column in (PREDICTIONS, SCORES):
        return tally.answers if column == PREDICTIONS else tally.scores
    return tally.features.get(column)


def shares(baseline: Baseline, monitor: Monitor) -> dict[str, float]:
    """Which share of the year's false alarms each kind of limit may spend: equal parts of those that the policy has."""
    judged = {
        "features": monitor.features is not None and bool(baseline.features),
        PREDICTIONS: monitor.predictions is not None,
        "performance": bool(monitor.performance),
        "estimate": bool(monitor.performance) and monitor.estimate,
        "value": monitor.value is not None,
    }
    kinds = [kind for kind, there in judged.items() if there]
    return dict.fromkeys(kinds, 1 / len(kinds)) if kinds else {}


def kind_of(column: str) -> Kind:
    """Which limits a column is judged by."""
    return "predictions" if column in (PREDICTIONS, SCORES) else "features"


def measured(what: str, counts: Counts, column: Column) -> float | None:
    """One figure of a column's counts; None when there is nothing to tell it from."""
    if not sum(counts):
        return None
    match what:
        case "psi":
            return shift.psi(counts, column.counts)
        case "wasserstein":
            return shift.wasserstein(counts, column)
        case "missing":
            return missing_share(counts, column)
        case _:
            return counts[column.bins.unseen] / sum(counts)


def missing_share(counts: Counts, column: Column) -> float:
    """Share of cells that are missing, or of another kind than the column's."""
    total = sum(counts)
    return (counts[column.bins.missing] + counts[column.bins.unlike]) / total if total else 0.0


def severity(value: float | None, limit: float | None) -> int:
    """1 beyond the limit, and one more each time that the value doubles; 0 within it."""
    if value is None or limit is None or value <= limit:
        return 0
    return 1 + (min(10, int(math.log2(value / limit))) if limit > 0 else 0)
