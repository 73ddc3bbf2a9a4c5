"""Cells of a log as the baseline counts them: a log may write a number as text, and a class as a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlship.serving.predictionlog import REDACTED
from mlship.types.monitoring import Bins

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: The position of a cell that was redacted: it is not counted, for nobody knows what it was.
HIDDEN = -1
#: Columns of more distinct values are counted cell by cell.
_FEW = 1000
#: What a column of objects may hold that are numbers, nothing, or neither.
_PLAIN = frozenset({"floating", "integer", "mixed-integer-float", "decimal", "empty"})
#: How texts call a number that is none.
_NAN = frozenset({"nan", "null", "none", "na", "n/a", "<na>", ""})


def positions(column: pd.Series[Any], bins: Bins) -> NDArray[np.int16]:
    """The position (see `Bins`) of every cell, `HIDDEN` where it was redacted, shape (rows,).

    More lenient than `stats.cutting.positions`, which counts what a server was sent: text that holds a number is that
    number in a column of numbers, and a number is its text in a column of categories.
    """
    import numpy as np
    import pandas as pd

    from mlship.stats import cutting

    dtype: Any = column.dtype
    is_text, is_object = isinstance(dtype, pd.StringDtype), pd.api.types.is_object_dtype(dtype)
    if isinstance(dtype, pd.CategoricalDtype):
        if len(dtype.categories) <= _FEW:
            return _by_category(column, bins)
        column, is_text = column.astype(dtype.categories.dtype), True
    if bins.kind == "numbers":
        if is_text or (is_object and pd.api.types.infer_dtype(column, skipna=True) not in _PLAIN):
            return _of_numbers_as_text(column, bins)
        if pd.api.types.is_bool_dtype(dtype):
            return cutting.positions(column.to_numpy(dtype=float, na_value=float("nan")), bins)
    elif not is_text and not is_object:
        return _by_category(column.astype("category"), bins)
    plain = column.to_numpy() if isinstance(dtype, np.dtype) and not is_object else column
    found = cutting.positions(plain, bins)
    return _hidden(found, column) if is_text or is_object else found


def _by_category(column: pd.Series[Any], bins: Bins) -> NDArray[np.int16]:
    import numpy as np

    categories = column.cat.categories
    if bins.kind == "numbers":
        table = _of_numbers_as_text(categories.to_series().astype(object), bins)
    else:
        table = _classes(list(categories), bins.names)
        table = np.where(np.array([one == REDACTED for one in categories], bool), HIDDEN, table)
    return np.append(table, bins.missing).astype(np.int16)[column.cat.codes.to_numpy()]


def _of_numbers_as_text(column: pd.Series[Any], bins: Bins) -> NDArray[np.int16]:
    """Numbers in words: what a log without types (CSV) or without `NaN` (JSON) makes of them."""
    import numpy as np
    import pandas as pd

    from mlship.stats import cutting

    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    found = cutting.positions(numbers, bins)
    doubtful = np.flatnonzero(np.isnan(numbers) & column.notna().to_numpy())
    if len(doubtful):
        said = column.iloc[doubtful]
        words = said.map(lambda cell: cell.strip().lower() if isinstance(cell, str) else None)
        none = words.isin(_NAN).to_numpy() | said.map(lambda cell: isinstance(cell, float)).to_numpy()
        found[doubtful] = np.where(none, bins.missing, bins.unlike)
    return _hidden(found, column)


def _hidden(found: NDArray[np.int16], column: pd.Series[Any]) -> NDArray[np.int16]:
    import numpy as np

    redacted = np.asarray((column == REDACTED).fillna(False), dtype=bool)
    if redacted.any():
        found = found.copy()
        found[redacted] = HIDDEN
    return found


def classes(column: pd.Series[Any], names: tuple[str, ...]) -> NDArray[np.int16]:
    """The place of each class in `names`; `len(names)` for one that is not there, -1 where it is missing.

    `1`, `1.0` and 1 are the same class, and where `names` are `0` and `1` (or `false` and `true`) so are the others.
    """
    import numpy as np

    codes, values = distinct(column)
    found: NDArray[np.int16] = np.append(_classes(values, names), np.int16(-1))[codes]
    return found


def distinct(column: pd.Series[Any]) -> tuple[NDArray[Any], list[Any]]:
    """(place of each cell in the second, -1 where it is missing; the values that there are): lists as their text."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(), list(column.cat.categories)
    try:
        codes, found = pd.factorize(column)
    except TypeError:
        codes, found = pd.factorize(column.map(lambda cell: str(cell) if isinstance(cell, list | dict) else cell))
    return codes, list(found)


def _classes(values: list[Any], names: tuple[str, ...]) -> NDArray[np.int16]:
    import numpy as np

    from mlship.stats import classes as named

    known = set(names)
    said = np.empty(len(values), dtype=object)
    said[:] = [_plain(one, known) for one in values]
    return named.codes(said, names)


def _plain(one: Any, known: set[str]) -> Any:
    """A class as `stats.classes` understands it: of text that is no class, the number or the boolean that it holds."""
    if not isinstance(one, str) or one in known:
        return one
    if one.lower() in ("true", "false"):
        return one.lower()
    try:
        return float(one)
    except ValueError:
        return one
