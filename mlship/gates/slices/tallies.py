"""Metrics of classes on every slice at once: the rows are counted by slice, label and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlship.gates import limits
from mlship.gates.base import Predictions
from mlship.gates.metrics.side import Array, Side
from mlship.gates.slices import rates
from mlship.gates.slices.measured import Measured, side_of
from mlship.gates.slices.segments import CHUNK
from mlship.stats import simultaneous
from mlship.stats.simultaneous import Estimate, Ratios

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlship.gates.slices.measured import Codes, Labels


@dataclass(frozen=True, eq=False)
class Tallies:
    """A metric of classes: the rows of each slice are counted by what was predicted for what label."""

    name: str
    higher_is_better: bool
    kinds: NDArray[np.int16]
    """What kind of row each is, shape (n,)."""
    ours: Ratios
    theirs: Ratios | None
    alike: bool
    """Whether candidate and champion predict the same class for every row."""

    def on(self, codes: Codes, slices: int, wanted: NDArray[np.bool_], confidence: float) -> Measured:  # noqa: ARG002 - all slices cost the same, and so does any confidence
        """One pass over the rows, whatever the number of slices."""
        import numpy as np

        width = self.ours.above.shape[1]
        counts = np.zeros(slices * width, dtype=np.int64)
        for start in range(0, len(codes), CHUNK):
            part = slice(start, start + CHUNK)
            cell = codes[part].astype(np.int32) * np.int32(width) + self.kinds[part]
            counts += np.bincount(cell, minlength=counts.size)
        table = counts.reshape(slices, width).astype(float)
        mine = simultaneous.ratio(table, self.ours)
        if self.theirs is None:
            return Measured(mine)
        difference = simultaneous.ratio_difference(table, self.ours, self.theirs)
        return Measured(mine, simultaneous.ratio(table, self.theirs), _none(difference) if self.alike else difference)


def tallies(name: str, label: Labels, models: list[Predictions], threshold: float | None) -> Tallies | None:
    """None when there are too many different labels or predictions for a table."""
    import numpy as np

    sides = [side_of(name, label, model, threshold) for model in models]
    answers = _answers(sides)
    if answers is None:
        return None
    classes, positive, columns = answers
    cells = np.stack([axis.ravel() for axis in np.indices((classes,) * len(columns), dtype=np.int8)])
    built = [rates.ratios(name, cells[0], column, classes, positive) for column in cells[1:]]
    weights = np.concatenate([part for one in built for part in (one.above, one.below, one.present)])
    kinds, kind = np.unique(weights.T, axis=0, return_inverse=True)
    split = [Ratios(*part) for part in np.split(kinds.T.reshape(3 * len(built), -1, len(kinds)), len(built))]
    lookup = kind.reshape(-1).astype(np.int16)
    found = np.empty(len(label), dtype=np.int16)
    for start in range(0, len(label), CHUNK):
        part = slice(start, start + CHUNK)
        cell = columns[0][part].astype(np.int16)
        for column in columns[1:]:
            cell = cell * np.int16(classes) + column[part]
        found[part] = lookup[cell]
    alike = len(columns) == 3 and np.array_equal(columns[1], columns[2])
    higher = limits.higher_is_better(name)
    return Tallies(name, higher, found, split[0], split[1] if len(split) == 2 else None, alike)


def _answers(sides: list[Side]) -> tuple[int, int | None, list[Array]] | None:
    """Number of classes, the positive one of two, and codes of the labels and of each model's predictions."""
    import numpy as np
    import pandas as pd

    names = sides[0].names
    if names is not None and all(side.names is not None and np.array_equal(side.names, names) for side in sides):
        if len(names) > rates.MOST_CLASSES:
            return None
        return len(names), 1 if len(names) == 2 else None, [sides[0].label, *(side.values for side in sides)]
    coded = [pd.factorize(values) for values in (sides[0].said, *(side.chosen for side in sides))]
    known: list[object] = sorted({name for _, found in coded for name in found.tolist()}, key=_rank)
    if len(known) > rates.MOST_CLASSES:
        return None
    if any((codes < 0).any() for codes, _ in coded):
        raise ValueError("there are missing values among the classes")
    position = {name: code for code, name in enumerate(known)}
    columns = [
        np.array([position[name] for name in found.tolist()] or [0], dtype=np.int8)[codes] for codes, found in coded
    ]
    positive = None if len(known) > 2 else position.get(1, len(known) - 1)
    return max(len(known), 1), positive, columns


def _rank(name: object) -> tuple[str, float, str]:
    return ("", float(name), "") if isinstance(name, (bool, int, float)) else (type(name).__name__, 0.0, str(name))


def _none(difference: Estimate) -> Estimate:
    """No difference, for certain."""
    return Estimate(difference.value, difference.support, lambda _confidence: (difference.value, difference.value))
