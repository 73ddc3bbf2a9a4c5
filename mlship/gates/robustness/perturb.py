"""Rows made a little wrong, in the ways that production makes them wrong: pure and seeded, one function each.

Each function takes a table, a strength, a random generator and the columns to touch, and gives a new table with the
same rows, columns and, where a type can hold what was put there, types. With the same generator a stronger perturbation
hits the same values harder, and more of them, so that a curve over strengths is one story.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Kind = Literal["number", "whole", "text", "truth", "other"]
#: Put in the place of a text. No training set has it.
UNSEEN = "never-seen-before"
#: Name of the column that nobody asked for.
EXTRA = "mlship_extra_column"
#: MLflow's types for whole numbers, and the largest that they hold (and a float names exactly).
_WHOLE = {"long": 2**63 - 1024, "integer": 2**31 - 1}


@dataclass(frozen=True, slots=True)
class Column:
    """An input of a model, and what may happen to it."""

    name: str
    kind: Kind
    largest: int = _WHOLE["long"]
    """Of whole numbers: the largest that its type holds."""
    may_miss: bool = True
    """Whether a missing value gets as far as the model: a signature refuses one in a column of whole numbers."""


def inputs(frame: pd.DataFrame, names: Iterable[str], types: Mapping[str, str]) -> tuple[Column, ...]:
    """What the columns `names` are: by the MLflow `types` of a signature where it tells, else by what the rows hold."""
    return tuple(_input(frame[name], name, types.get(name, "")) for name in names if name in frame.columns)


def _input(column: pd.Series[Any], name: str, wanted: str) -> Column:
    import numpy as np
    import pandas as pd

    kind, dtype = pd.api.types, column.dtype
    may_miss = wanted not in _WHOLE
    if kind.is_bool_dtype(dtype):
        return Column(name, "truth")
    if kind.is_numeric_dtype(dtype) and (wanted in _WHOLE or kind.is_integer_dtype(dtype)):
        plain: Any = getattr(dtype, "numpy_dtype", dtype)
        held = int(np.iinfo(plain).max) if kind.is_integer_dtype(dtype) else _WHOLE["long"]
        return Column(name, "whole", min(held, _WHOLE.get(wanted, held), _WHOLE["long"]), may_miss)
    if kind.is_float_dtype(dtype):
        return Column(name, "number")
    texts = column.cat.categories.to_series() if isinstance(dtype, pd.CategoricalDtype) else column
    if kind.is_string_dtype(texts.dtype) and kind.infer_dtype(texts, skipna=True) == "string":
        return Column(name, "text")
    return Column(name, "other", may_miss=may_miss)


def noise(frame: pd.DataFrame, strength: float, rng: np.random.Generator, columns: Sequence[Column]) -> pd.DataFrame:
    """Normal noise on every number, of `strength` standard deviations of its column.

    Values stay between the column's smallest and largest, so that no impossible ones arise; whole numbers stay whole;
    missing and infinite values stay what they are.
    """
    import numpy as np

    def blurred(values: NDArray[np.float64]) -> NDArray[np.float64]:
        drawn = rng.normal(size=len(values))
        finite = np.isfinite(values)
        if not finite.any():
            return values
        real = values[finite]
        return np.where(finite, np.clip(values + drawn * strength * real.std(), real.min(), real.max()), values)

    return _numbers(frame, columns, blurred) if strength else frame


def scale(frame: pd.DataFrame, share: float, columns: Sequence[Column]) -> pd.DataFrame:
    """Every number multiplied by 1 + `share`, as by a sensor that reads too high; whole numbers are rounded."""
    return _numbers(frame, columns, lambda values: values * (1 + share)) if share else frame


def missing(frame: pd.DataFrame, share: float, rng: np.random.Generator, columns: Sequence[Column]) -> pd.DataFrame:
    """A `share` of the values of each column taken away, where the column may miss any.

    A type without a missing value gives way to one with: whole numbers to floats, truth values to objects.
    """
    changed: dict[str, pd.Series[Any]] = {}
    for column in columns:
        hit = rng.random(len(frame)) < share
        if column.may_miss and hit.any():
            changed[column.name] = frame[column.name].mask(hit)
    return frame.assign(**changed)


def unseen(frame: pd.DataFrame, share: float, rng: np.random.Generator, columns: Sequence[Column]) -> pd.DataFrame:
    """A `share` of the values of each text column replaced by a text that the model has never seen."""
    import pandas as pd

    changed: dict[str, pd.Series[Any]] = {}
    for column in columns:
        hit = rng.random(len(frame)) < share
        if column.kind == "text" and hit.any():
            values = frame[column.name]
            if isinstance(values.dtype, pd.CategoricalDtype) and UNSEEN not in values.cat.categories:
                values = values.cat.add_categories([UNSEEN])
            changed[column.name] = values.mask(hit, UNSEEN)
    return frame.assign(**changed)


def shuffled(frame: pd.DataFrame, column: str, rng: np.random.Generator) -> pd.DataFrame:
    """One column's values dealt out to other rows: it keeps its distribution and loses its meaning."""
    dealt = frame[column].iloc[rng.permutation(len(frame))]
    return frame.assign(**{column: dealt.set_axis(frame.index)})


def with_extra(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """One more column, in front, that no model has asked for."""
    wider = frame.copy(deep=False)
    wider.insert(0, EXTRA, rng.normal(size=len(frame)))
    return wider


def reordered(frame: pd.DataFrame) -> pd.DataFrame:
    """The same columns from last to first."""
    return frame[frame.columns[::-1]]


def without(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """One column fewer."""
    return frame.drop(columns=column)


def _numbers(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    change: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> pd.DataFrame:
    """The table with `change` made to each column of numbers, in the types they had."""
    import numpy as np
    import pandas as pd

    changed: dict[str, pd.Series[Any]] = {}
    for column in columns:
        if column.kind not in ("number", "whole"):
            continue
        old = frame[column.name]
        values = old.to_numpy(dtype=np.float64, na_value=np.nan)
        largest: float = column.largest
        if column.kind == "number":
            largest = float(np.finfo(np.float32 if "32" in str(old.dtype) else np.float64).max)
        new = np.clip(change(values), -largest, largest)
        new = np.where(np.isfinite(values), np.rint(new) if column.kind == "whole" else new, values)
        changed[column.name] = pd.Series(new, index=frame.index).astype(old.dtype)
    return frame.assign(**changed)
