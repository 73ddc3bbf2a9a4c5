"""One batch of a log's rows in the baseline's terms: which window, which bins, which label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlship.monitor.reading.cells import classes, distinct, positions
from mlship.monitor.reading.counting import Batch
from mlship.monitor.reading.labels import Labels, numbers, told
from mlship.monitor.reading.logs import Chunk
from mlship.monitor.reading.times import MICRO, UNREADABLE, instants
from mlship.monitor.reading.windows import AHEAD
from mlship.stats.classes import text
from mlship.types.monitoring import Baseline, Column

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Names:
    """What the log calls what is needed of it; None: it does not tell."""

    time: str
    prediction: str | None = None
    score: str | None = None
    key: str | None = None
    version: str | None = None
    target: str | None = None
    features: Mapping[str, str] = field(default_factory=dict)
    """Its column by the baseline's."""


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """When the rows of a chunk were asked for, and whose they are; shape (rows,)."""

    at: NDArray[np.int64]
    """Microseconds since 1970."""
    usable: NDArray[np.bool_]
    """Rows with a time that is not still to come."""
    ours: NDArray[np.bool_]
    """Of these, those of the version."""
    unread: int
    future: int


def times(chunk: Chunk, names: Names, zone: str, version: str, now: float) -> Times:
    """Times and versions of a chunk's rows."""
    import numpy as np

    if names.time not in chunk.columns:
        nothing = np.zeros(chunk.rows, dtype=bool)
        return Times(np.full(chunk.rows, UNREADABLE), nothing, nothing, chunk.rows, 0)
    at = instants(chunk.columns[names.time], zone)
    readable = at != UNREADABLE
    usable = readable & (at <= (now + AHEAD) * MICRO)
    ours = usable
    if names.version is not None:
        ours = usable & _of_version(chunk, names.version, version)
    return Times(at, usable, ours, int((~readable).sum()), int((readable & ~usable).sum()))


def _of_version(chunk: Chunk, name: str, version: str) -> NDArray[np.bool_]:
    import numpy as np

    if name not in chunk.columns:
        return np.zeros(chunk.rows, dtype=bool)
    codes, values = distinct(chunk.columns[name])
    alike = np.array([*(text(one) == version for one in values), False], dtype=bool)
    return np.asarray(alike[codes], dtype=bool)


def batch(
    chunk: Chunk,
    where: tuple[NDArray[np.int64], NDArray[np.bool_]],
    names: Names,
    baseline: Baseline,
    labels: Labels | None,
) -> Batch:
    """Some rows of a chunk.

    Parameters
    ----------
    where
        The window of each row, and whether it is taken.
    labels
        Where labels are looked up by key; None: the target column tells them, if there is one.
    """
    windows, chosen = where
    whole = bool(chosen.all())

    def column(name: str | None) -> pd.Series[Any] | None:
        if name is None or name not in chunk.columns:
            return None
        found = chunk.columns[name]
        return found if whole else found[chosen]

    features: dict[str, Any] = {}
    for name, one in baseline.features.items():
        called = names.features.get(name, name)
        found = column(called) if called in chunk.named else None
        features[name] = None if found is None else positions(found, one.bins)
    said, score = column(names.prediction), column(names.score)
    slices = {}
    for name, values in baseline.slices.items():
        if (found := column(names.features.get(name, name))) is not None:
            place = classes(found, values)
            place[place == len(values)] = -1
            slices[name] = place
    labelled, errors = _labels(column(names.key), column(names.target), said, labels, baseline)
    return Batch(
        windows if whole else windows[chosen],
        features,
        _answers(said, baseline.answers, baseline.task),
        None if score is None or baseline.scores is None else positions(score, baseline.scores.bins),
        slices,
        labelled,
        errors,
    )


def _answers(said: pd.Series[Any] | None, known: Column | None, task: str) -> Any:
    if said is None or known is None:
        return None
    if task == "numbers" or known.bins.kind == "numbers":
        return positions(said, known.bins)
    place = classes(said, known.bins.names)
    place[place == -1] = known.bins.missing
    return place


def _labels(
    keys: pd.Series[Any] | None,
    target: pd.Series[Any] | None,
    said: pd.Series[Any] | None,
    labels: Labels | None,
    baseline: Baseline,
) -> tuple[Any, Any]:
    """(places of labels, errors of numbers), each None where it is not known."""
    if labels is not None and keys is not None:
        found = labels.of(keys)
    elif labels is None and target is not None:
        found = told(target, baseline)
    else:
        return None, None
    if baseline.task != "numbers":
        return found, None
    return None, None if said is None else numbers(said) - found
