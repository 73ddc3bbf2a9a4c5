"""Classes as text: whatever says which class it was (a model, a log, a label) says it alike. Light without rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlship.stats.sketch_categories import name
from mlship.stats.sketches import plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def text(value: Any) -> str | None:
    """A class as the servers' counters call it: `1` (also for 1.0), `true`, `JFK`; None for a missing one."""
    cell = plain(value)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        if math.isnan(cell):
            return None
        cell = int(cell) if cell.is_integer() else cell
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return None
    return name(str(cell))


def codes(values: Any, labels: Sequence[str]) -> NDArray[np.int16]:
    """The place of each value (a pandas series or numpy array of classes) in `labels`, shape (rows,).

    `len(labels)` for a class that is none of them, -1 for a missing value. Where the labels are `true` and `false`, 1
    and 0 mean them, and the other way round: files without booleans write them so.
    """
    import numpy as np
    import pandas as pd

    known = {label: place for place, label in enumerate(labels)}
    if set(labels) == {"0", "1"}:
        known |= {"false": known["0"], "true": known["1"]}
    elif set(labels) == {"false", "true"}:
        known |= {"0": known["false"], "1": known["true"]}
    column = pd.Series(values, copy=False)
    if isinstance(column.dtype, pd.CategoricalDtype):
        places, distinct = column.cat.codes.to_numpy(), column.cat.categories
    else:
        places, distinct = pd.factorize(column)
    table = [-1 if (said := text(value)) is None else known.get(said, len(labels)) for value in distinct]
    # The last place is for code -1, which means missing.
    coded: NDArray[np.int16] = np.array([*table, -1], np.int16)[places]
    return coded
