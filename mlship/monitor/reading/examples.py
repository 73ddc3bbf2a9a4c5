"""Which requests show a shift: some of the latest rows whose value comes more often now than in the baseline."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlship.errors import DataError
from mlship.monitor.reading.cells import HIDDEN, classes, positions
from mlship.monitor.reading.labels import numbers
from mlship.monitor.reading.logs import Chunk
from mlship.monitor.reading.order import Order, source_of
from mlship.monitor.reading.taking import Names, times
from mlship.monitor.reading.times import MICRO
from mlship.report.figures import number
from mlship.types.monitoring import Baseline, Column

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

#: How findings and incidents call what the model answers.
PREDICTIONS = "predictions"
#: Examples are chosen among so many times as many of the latest rows.
_AMONG = 10
#: Characters of a value, and of a key, that are shown.
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Example:
    """One row that shows it."""

    key: str
    """Of the prediction; empty where the log has none."""
    time: float
    """Unix time."""
    value: str
    """What the row holds, as a person reads it."""


@dataclass(slots=True)
class _Found:
    """Rows by position, so far."""

    counts: dict[int, int] = field(default_factory=dict)
    latest: dict[int, list[tuple[Example, float]]] = field(default_factory=dict)
    """With the value as a number (nan: it is none)."""


def examples(order: Order, subject: str, most: int = 5) -> tuple[Example, ...]:
    """At most so many rows of a log since `order.since` that show how a column has moved.

    They are of the bins whose share has grown, the one that adds most to the PSI first, of each the latest. None when
    the log cannot be read, does not tell the column, or nothing of it has grown.

    Parameters
    ----------
    order
        Whose rows, since when: as of `reading.read`.
    subject
        A feature of the baseline, or `predictions`.
    """
    baseline = order.baseline
    column = (baseline.scores or baseline.answers) if subject == PREDICTIONS else baseline.features.get(subject)
    if column is None:
        return ()
    found = _Found()
    try:
        with ExitStack() as stack:
            source, names = source_of(order, keys=True)
            known = order.progress.files if order.progress is not None else None
            for piece in source.pieces(stack, known, order.since).pieces:
                for chunk in piece.chunks():
                    if chunk.rows:
                        _look(chunk, (names, order, subject), found, most)
    except DataError:
        return ()
    return _chosen(found, column, most)


def _look(chunk: Chunk, asked: tuple[Names, Order, str], found: _Found, most: int) -> None:
    import numpy as np

    names, order, subject = asked
    when = times(chunk, names, order.monitor.zone, order.version, order.now)
    chosen = when.ours if order.since is None else when.ours & (when.at >= order.since * MICRO)
    told = _column(chunk, names, order.baseline, subject) if chosen.any() else None
    if told is None:
        return
    values, place = told[0][chosen], told[1][chosen]
    at = when.at[chosen]
    keys = chunk.columns[names.key][chosen] if names.key is not None and names.key in chunk.columns else None
    for position in np.unique(place[place != HIDDEN]).tolist():
        rows = np.flatnonzero(place == position)
        found.counts[position] = found.counts.get(position, 0) + len(rows)
        rows = rows[np.argsort(at[rows], kind="stable")[-_AMONG * most :]]
        sizes = numbers(values.iloc[rows]).tolist()
        here = [
            (Example("" if keys is None else _short(keys.iloc[row]), at[row] / MICRO, _short(values.iloc[row])), size)
            for row, size in zip(rows.tolist(), sizes, strict=True)
        ]
        kept = sorted(found.latest.get(position, []) + here, key=lambda one: one[0].time)
        found.latest[position] = kept[-_AMONG * most :]


def _column(chunk: Chunk, names: Names, baseline: Baseline, subject: str) -> tuple[pd.Series[Any], NDArray[Any]] | None:
    """The values of a chunk, and their positions; None where it has none."""
    if subject != PREDICTIONS:
        called = names.features.get(subject, subject)
        if called not in chunk.named or called not in chunk.columns:
            return None
        return chunk.columns[called], positions(chunk.columns[called], baseline.features[subject].bins)
    if baseline.scores is not None:
        if names.score is None or names.score not in chunk.columns:
            return None
        return chunk.columns[names.score], positions(chunk.columns[names.score], baseline.scores.bins)
    if baseline.answers is None or names.prediction is None or names.prediction not in chunk.columns:
        return None
    said, bins = chunk.columns[names.prediction], baseline.answers.bins
    place = positions(said, bins) if bins.kind == "numbers" else classes(said, bins.names)
    place[place == -1] = bins.missing
    return said, place


def _chosen(found: _Found, column: Column, most: int) -> tuple[Example, ...]:
    """Of the positions that have grown, the one that adds most to the PSI first."""
    now, then = sum(found.counts.values()), sum(column.counts)
    grown = []
    for position, times_ in found.counts.items():
        share = times_ / now
        before = (column.counts[position] + 0.5) / (then + 0.5 * len(column.counts))
        if share > before:
            grown.append(((share - before) * math.log(share / before), position))
    chosen: list[Example] = []
    for _, position in sorted(grown, reverse=True):
        latest = list(reversed(found.latest[position]))
        if column.bins.kind == "numbers" and position in (0, column.bins.size - 1):
            # Such a bin has no end: those that are furthest out say most.
            latest.sort(key=lambda one: one[1] if position == 0 else -one[1])
        chosen += sorted((one for one, _ in latest[:most]), key=lambda one: -one.time)
    return tuple(chosen[:most])


def _short(value: Any) -> str:
    import pandas as pd

    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "missing"
    said = number(float(value)) if isinstance(value, float) else str(value)
    return said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"
