"""Metrics that only look at classes: the rows as a table of label and each model's answer, however many they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlship.gates.metrics.side import Array, Side, close, coded
from mlship.stats import bootstrap, weighted
from mlship.stats.linear import chunks

if TYPE_CHECKING:
    from mlship.gates.metrics.measure import Metric

#: Draws of the table where one costs microseconds, and where it costs a call of scikit-learn.
_DRAWS = 2000
_GENERAL = 300
#: Largest number of classes whose table of (label, candidate, champion) is looked at as a table.
_MOST_CLASSES = 12
#: Rows on which a scorer is asked whether it takes weights as we mean them.
_ASKED = 3000


def weighable(metric: Metric, side: Side) -> bool:
    """Whether the scorer takes weights as we mean them: a row of weight 2 is two rows."""
    import numpy as np

    assert metric.scorer is not None, "the caller has looked"
    rows = np.arange(min(len(side.label), _ASKED))
    doubled = np.where(rows % 3 == 0, 2, 1)
    try:
        weighed = side.score(metric.scorer, rows, doubled.astype(float))
        return close(weighed, side.score(metric.scorer, np.repeat(rows, doubled)))
    except (TypeError, ValueError):
        return False


def draws(metric: Metric, sides: list[Side], seed: int) -> tuple[list[float], Array] | None:
    """The metric on each side, and on draws of the table from its posterior, shape (draws, sides).

    None when the table would be too large.
    """
    import numpy as np

    found = table(sides)
    if found is None:
        return None
    names, grid, actual, prior = found
    small = [
        replace(side, label=names[grid[0]], values=names[column], scores=None)
        for side, column in zip(sides, grid[1:], strict=True)
    ]
    values = [metric.weighed(side, actual) for side in small]
    k = len(names)
    told = (k == 2 and names.tolist() == [0, 1]) or "_" in metric.name or metric.name == "accuracy"
    quick = [weighted.from_confusion(metric.name, grid[0], column, k) if told else None for column in grid[1:]]
    exact = [
        score
        for score, value in zip(quick, values, strict=True)
        if score is not None and close(float(score(actual[None])[0]), value)
    ]
    if len(exact) < len(sides):
        return values, each(metric, small, bootstrap.posterior_cells(actual, prior, _GENERAL, seed))
    drawn = bootstrap.posterior_cells(actual, prior, _DRAWS, seed)
    return values, np.stack([score(drawn) for score in exact], axis=1)


def table(sides: list[Side]) -> tuple[Array, Array, Array, Array] | None:
    """Names of the classes; label and answers of each cell that is possible; its rows; and its prior."""
    import numpy as np
    import pandas as pd

    known = [side.names for side in sides if side.names is not None]
    if len(known) == len(sides) and all(np.array_equal(names, known[0]) for names in known):
        codes = [sides[0].label, *(side.values for side in sides)]
        names = np.arange(len(known[0]))
    elif any(side.is_binary for side in sides):
        raise ValueError(f"the models do not have the same classes: {_named(sides[0])}, champion {_named(sides[1])}")
    else:
        columns = [sides[0].said, *(side.chosen for side in sides)]
        names = np.unique(np.concatenate([pd.unique(column) for column in columns]))
        codes = [coded(column, names)[0] for column in columns]
    k = len(names)
    if k > _MOST_CLASSES or k < 2:
        return None
    counted = np.zeros(k ** len(codes))
    for part in chunks(len(codes[0])):
        place = codes[0][part].astype(np.int32)
        for column in codes[1:]:
            place = place * k + column[part]
        counted += np.bincount(place, minlength=len(counted))
    observed = counted.reshape((k,) * len(codes))
    seen = [np.flatnonzero(observed.sum(axis=tuple(j for j in range(len(codes)) if j != i))) for i in range(len(codes))]
    own = [np.union1d(seen[0], column) for column in seen[1:]]
    grid = np.stack([axis.ravel() for axis in np.meshgrid(seen[0], *own, indexing="ij")])
    # Half a row for the right class and half a row over the wrong ones, for each true label: Jeffreys' prior.
    prior = np.ones(grid.shape[1])
    for column, possible in zip(grid[1:], own, strict=True):
        prior *= np.where(column == grid[0], 0.5, 0.5 / max(len(possible) - 1, 1))
    return names, grid, observed[tuple(grid)], prior


def _named(side: Side) -> str:
    return str([] if side.names is None else [str(name) for name in side.names[:10]])


def each(metric: Metric, sides: list[Side], weights: Array) -> Array:
    """The scorer itself on each weighting, shape (weightings, sides); nan where it has no value."""
    import numpy as np

    assert metric.scorer is not None, "only scikit-learn's scorers take weights"
    values = np.full((len(weights), len(sides)), np.nan)
    for i, drawn in enumerate(weights):
        chosen = np.flatnonzero(drawn)
        for j, side in enumerate(sides):
            try:
                values[i, j] = side.score(metric.scorer, chosen, drawn[chosen])
            except ValueError:  # a class is absent from this resample: it has no value there
                continue
    return values
