"""A column of whatever type as one of five plain forms, so that all who count cells take them alike.

What is a number, a category, a missing cell is as in `ColumnSketch`: booleans are the categories `true` and `false`,
a NaN is missing, text that looks like a number is text. Of the types that no request in JSON can hold, Decimals are
numbers, `NA` and `NaT` are missing, and all else (times, lists, bytes) is neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mlship.stats.sketches import plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Shape (rows,); NaN is missing."""

    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """A `pyarrow` array of strings of any length; null is missing."""

    values: Any


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A place in `categories` (a column of its own, to be seen through `column`) for each row; -1 is missing."""

    codes: NDArray[np.integer]
    categories: Any


@dataclass(frozen=True, slots=True, eq=False)
class Others:
    """Neither numbers nor categories: only whether a cell is missing, shape (rows,)."""

    missing: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """Cells of several types."""

    cells: list[Any]


Column = Numbers | Texts | Coded | Others | Mixed


def column(values: Any) -> Column:
    """One column (a numpy array, a pandas series or array, a pyarrow array, any sequence) in its plain form."""
    import numpy as np
    import pyarrow as pa

    if isinstance(values, pa.Array | pa.ChunkedArray):
        return _of_arrow(values)
    given = getattr(values, "array", values)
    if not hasattr(given, "dtype"):
        cells, given = given, np.empty(len(given), object)
        given[:] = cells
    if hasattr(given, "codes"):
        return Coded(np.asarray(given.codes), given.categories)
    if given.dtype.kind in "mM":
        return Others(np.asarray(given.isna() if hasattr(given, "isna") else np.isnat(given), dtype=bool))
    if isinstance(given.dtype, np.dtype) and given.dtype.kind not in "OUT":
        return _of_numpy(np.asarray(given))
    if hasattr(given, "__arrow_array__"):  # strings, nullable numbers and booleans, whatever pyarrow backs
        try:
            return _of_arrow(pa.array(given))
        except (pa.ArrowException, UnicodeError):
            pass
    return _of_objects(np.asarray(given, dtype=object))


def _of_numpy(values: NDArray[Any]) -> Column:
    import numpy as np

    if values.dtype.kind == "b":
        return Coded(values.astype(np.int8), ["false", "true"])
    if values.dtype.kind in "fiu":
        return Numbers(values.astype(np.float64, copy=False))
    return Others(np.zeros(len(values), bool))


def _of_arrow(values: Any) -> Column:
    import numpy as np
    import pyarrow as pa

    kind = values.type
    if isinstance(values, pa.ChunkedArray):
        if pa.types.is_dictionary(kind):
            values = values.unify_dictionaries()
        values = values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)
        if isinstance(values, pa.ChunkedArray):  # too long for one array
            values = values.cast(pa.large_string()).combine_chunks()
    if pa.types.is_dictionary(kind):
        codes = values.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return Coded(codes, values.dictionary)
    if pa.types.is_boolean(kind):
        return Coded(values.cast(pa.int8()).fill_null(-1).to_numpy(zero_copy_only=False), ["false", "true"])
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Numbers(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Texts(values)
    if pa.types.is_string_view(kind):
        return Texts(values.cast(pa.large_string()))
    return Others(np.asarray(values.is_null().to_numpy(zero_copy_only=False), dtype=bool))


def _of_objects(values: NDArray[np.object_]) -> Column:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    found = pd.api.types.infer_dtype(values, skipna=True)
    if found == "string":
        try:
            return Texts(pa.array(values, pa.large_string(), from_pandas=True))
        except (pa.ArrowException, UnicodeError):  # half a surrogate pair
            return Mixed(values.tolist())
    if found in ("floating", "integer", "mixed-integer-float", "decimal"):
        there = ~np.asarray(pd.isna(values), dtype=bool)
        numbers = np.full(len(values), np.nan)
        try:
            numbers[there] = values[there].astype(np.float64)
        except (OverflowError, TypeError, ValueError):  # an integer larger than any float
            return Mixed(values.tolist())
        return Numbers(numbers)
    return Mixed(values.tolist())


def cell(given: Any) -> float | str | tuple[()] | None:
    """One cell of a column of several types: a number (NaN: missing), a category, None, or () for what is neither."""
    import pandas as pd

    if given is None or given is pd.NA or given is pd.NaT:
        return None
    found = float(given) if isinstance(given, Decimal) else plain(given)
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, int | float):
        try:
            return float(found)
        except OverflowError:
            return float("inf") if found > 0 else float("-inf")
    return found if found is None or isinstance(found, str) else ()
