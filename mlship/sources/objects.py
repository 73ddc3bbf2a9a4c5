"""Columns from Python values, as JSON and databases give them: one kind a column, or a clash that says which two."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import uuid
from typing import TYPE_CHECKING, Any

from mlship.sources.frame import Clash

if TYPE_CHECKING:
    import pandas as pd

_KINDS: dict[type[Any], str] = {
    bool: "boolean",
    int: "number",
    float: "number",
    decimal.Decimal: "number",
    str: "text",
    uuid.UUID: "text",
    datetime.datetime: "time",
    datetime.date: "time",
}


def column(values: list[Any]) -> pd.Series[Any] | Clash:
    """The values as one series: None is missing, decimals become floats, dates become times, zones become UTC.

    Whole numbers beyond 64 bits become floats too.
    """
    import pandas as pd

    types, kinds = _kinds(values)
    if len(kinds) > 1 and float in types:
        values = _without_nan(values)
        types, kinds = _kinds(values)
    if len(kinds) > 1:
        first, then = _first_two(values)
        return Clash(first, then, "", "")
    match kinds.pop() if kinds else "":
        case "number":
            return pd.Series(_numbers(values, types))
        case "boolean":
            return pd.Series(values, dtype=object if None in values else bool)
        case "text":
            plain = values if types == {str} else [None if value is None else str(value) for value in values]
            return pd.Series(plain, dtype="str")
        case "time":
            aware = any(getattr(value, "tzinfo", None) is not None for value in values)
            return pd.Series(pd.to_datetime(values, utc=aware))
        case _:
            return pd.Series(values, dtype=object)


def as_text(values: list[Any]) -> pd.Series[Any]:
    """The values of a column of several kinds as text: text as it is, all else as JSON writes it."""
    import pandas as pd

    values = _without_nan(values)
    return pd.Series([it if it is None or isinstance(it, str) else json.dumps(it) for it in values], dtype="str")


def _without_nan(values: list[Any]) -> list[Any]:
    """Not a number is a missing value, of any kind."""
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def _kinds(values: list[Any]) -> tuple[set[type[Any]], set[str]]:
    """The types among the values, and their kinds."""
    types = set(map(type, values)) - {type(None)}
    return types, {_KINDS.get(found) or _kind(found) for found in types}


def _kind(found: type[Any]) -> str:
    """Subclasses of the types that have a kind; of all others, nothing is known."""
    return next((kind for known, kind in _KINDS.items() if issubclass(found, known)), "other")


def _first_two(values: list[Any]) -> tuple[str, str]:
    """The first kind, and the first that differs from it."""
    kinds = (_KINDS.get(type(value)) or _kind(type(value)) for value in values if value is not None)
    first = next(kinds)
    return first, next(kind for kind in kinds if kind != first)


def _numbers(values: list[Any], types: set[type[Any]]) -> Any:
    import numpy as np

    if types == {int} and None not in values:
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            pass
    return np.array([math.nan if value is None else _float(value) for value in values], dtype=np.float64)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
