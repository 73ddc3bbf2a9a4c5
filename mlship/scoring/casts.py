"""Rows in the columns and types of a model's signature, or one clear error about the column that does not fit.

MLflow takes a value only when nothing can be lost, and so does this; but it also reads whole numbers that were kept as
floats, times that were kept as text, and categories as what they stand for, as files tend to hold them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlship.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_MANY_NAMES = 10


def fit(table: pd.DataFrame, schema: Any, own_names: list[str]) -> pd.DataFrame:
    """The columns of an MLflow input schema, in its order and types; optional ones only where the rows have them.

    Without a schema, `own_names` (a scikit-learn model's feature names) choose the columns; without either, all stay;
    text and whole numbers that are kept compactly are then given as plain text and 64-bit numbers. Raises
    ``DataError`` that names every missing column, or the column that does not fit and why.
    """
    import pandas as pd

    if schema is None or not schema.has_input_names():
        _check_present(own_names, table)
        return _plain(table[own_names] if own_names else table)
    _check_present([column.name for column in schema.inputs if column.required], table)
    present = [column for column in schema.inputs if column.name in table.columns]
    return pd.DataFrame(
        {column.name: cast(table[column.name], getattr(column.type, "name", "")) for column in present},
        index=table.index,
    )


def cast(column: pd.Series[Any], wanted: str) -> pd.Series[Any]:
    """One column in the MLflow type `wanted`; types that MLflow only passes through (arrays, objects) stay as they are.

    Raises ``DataError`` when a value would be lost or guessed.
    """
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    convert = _CASTS.get(wanted)
    return column if convert is None else convert(column, wanted)


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Columns as a file holds them, not as they are kept; what the file itself stores as categories stays so."""
    import pandas as pd

    own = set(table.attrs.get("categorical", []))
    columns: dict[Any, pd.Series[Any]] = {}
    for name in table.columns:
        column = table[name]
        if name in own:
            column = column.astype("category")
        elif isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(column.cat.categories.dtype)
        elif column.dtype == "int32":
            column = column.astype("int64")
        columns[name] = column
    return pd.DataFrame(columns, index=table.index, columns=table.columns)


def _check_present(names: list[str], table: pd.DataFrame) -> None:
    missing = [name for name in names if name not in table.columns]
    if not missing:
        return
    listed = ", ".join(missing[:_MANY_NAMES]) + (", ..." if len(missing) > _MANY_NAMES else "")
    has = ", ".join(map(str, table.columns[: 2 * _MANY_NAMES]))
    raise DataError(
        f"the rows lack {'columns' if len(missing) > 1 else 'a column'} that the model asks for: {listed}",
        hint=f"the rows have: {has}",
    )


def _floats(column: pd.Series[Any], wanted: str) -> pd.Series[Any]:
    import numpy as np
    import pandas as pd

    values: pd.Series[Any] = column
    if column.dtype == object or column.isna().all():
        if column.map(lambda value: isinstance(value, str)).any():
            raise _unfit(column, wanted, "it holds text")  # even when it looks like a number: a server refuses it too
        try:
            values = pd.to_numeric(column)
        except (TypeError, ValueError):
            raise _unfit(column, wanted) from None
    if not pd.api.types.is_numeric_dtype(values.dtype):
        raise _unfit(column, wanted)
    plain = values.to_numpy(dtype=np.float64 if wanted == "double" else np.float32, na_value=np.nan)
    return pd.Series(plain, index=column.index, name=column.name)


def _integers(column: pd.Series[Any], wanted: str) -> pd.Series[Any]:
    import numpy as np
    import pandas as pd

    if missing := int(column.isna().sum()):
        raise _unfit(
            column,
            wanted,
            f"{missing} of its values are missing, and whole numbers have no missing value",
            "log the model with this column as double (float64), which has",
        )
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        raise _unfit(column, wanted)
    if pd.api.types.is_float_dtype(column.dtype) and not (column % 1 == 0).all():
        raise _unfit(column, wanted, "it holds fractions")
    limits = np.iinfo(np.int64) if wanted == "long" else np.iinfo(np.int32)
    if len(column) and not (limits.min <= column.min() and column.max() <= limits.max):
        raise _unfit(column, wanted, f"it holds values beyond {limits.max}")
    return pd.Series(column.to_numpy(dtype=limits.dtype), index=column.index, name=column.name)


def _booleans(column: pd.Series[Any], wanted: str) -> pd.Series[Any]:
    import pandas as pd

    if column.dtype == object:
        return column
    if not pd.api.types.is_bool_dtype(column.dtype):
        raise _unfit(column, wanted)
    if column.isna().any():
        return column.astype(object)
    return column.astype(bool)


def _texts(column: pd.Series[Any], wanted: str) -> pd.Series[Any]:
    import pandas as pd

    if pd.api.types.is_string_dtype(column.dtype) or column.dtype == object:
        return column
    if column.isna().all():
        return column.astype(object)
    raise _unfit(column, wanted)


def _datetimes(column: pd.Series[Any], wanted: str) -> pd.Series[Any]:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype):
        raise _unfit(column, wanted)
    try:
        times = pd.to_datetime(column)
    except (TypeError, ValueError):
        raise _unfit(column, wanted, "it holds text that is no time") from None
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        raise _unfit(column, wanted, "it carries a time zone", "drop the zone in the way the training data did")
    return times.astype("datetime64[ns]")


_CASTS: dict[str, Callable[[Any, str], Any]] = {
    "double": _floats,
    "float": _floats,
    "long": _integers,
    "integer": _integers,
    "boolean": _booleans,
    "string": _texts,
    "datetime": _datetimes,
}


def _unfit(column: pd.Series[Any], wanted: str, why: str = "", hint: str = "") -> DataError:
    return DataError(
        f"the model asks for column '{column.name}' as {wanted}, but {why or f'it holds {column.dtype}'}",
        hint=hint or "give the rows the types that the model was trained on",
    )
