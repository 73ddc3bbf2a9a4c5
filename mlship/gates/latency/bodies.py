"""Real rows as the requests that callers would send: JSON in the types of the model's signature, without the label."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import DataError
from mlship.scoring import casts

if TYPE_CHECKING:
    import pandas as pd

#: Different requests that are sent, again and again in turn: as many as a server's caches could hardly know by heart.
MOST_BODIES = 1000
CONTENT_TYPE = "application/json"


@dataclass(frozen=True, slots=True, eq=False)
class Sender:
    """Makes requests of the rows of one table, for one model."""

    names: tuple[str, ...]
    cells: tuple[tuple[Any, ...], ...]
    """One tuple a row, of values that JSON knows."""

    def body(self, start: int, stop: int) -> bytes:
        """The request of the rows from `start` up to `stop`."""
        rows = [list(row) for row in self.cells[start:stop]]
        document = {"dataframe_split": {"columns": list(self.names), "data": rows}}
        return json.dumps(document, separators=(",", ":")).encode()

    def bodies(self, rows: int) -> tuple[bytes, ...]:
        """Up to `MOST_BODIES` different requests of `rows` rows each; of all rows where there are not so many."""
        size = min(rows, len(self.cells))
        count = max(1, min(MOST_BODIES, len(self.cells) // size)) if size else 0
        return tuple(self.body(number * size, (number + 1) * size) for number in range(count))


def sender(features: pd.DataFrame, models: Sequence[Path], rows: int) -> Sender:
    """Requests for the models in these directories, of the first `rows` rows of a table without labels.

    Columns of any of their signatures are sent, in the types of the first that has them: one request for all, as
    callers send while two versions are on traffic. All columns when a model has no signature. Raises ``DataError`` when
    the rows lack one, hold what a signature does not take, or when there are none.
    """
    if not len(features):
        raise DataError("there is no evaluation row to send", hint="give data.evaluation rows")
    head = features.iloc[:rows]
    signatures = [signature(model) for model in models]
    asked: dict[str, tuple[str, bool]] = {}
    for types in signatures:
        asked |= {name: what for name, what in types.items() if name not in asked}
    lacking = [name for name, (_, required) in asked.items() if required and name not in head.columns]
    if lacking:
        has = ", ".join(map(str, list(head.columns)[:20]))
        raise DataError(f"the rows lack columns that the model asks for: {', '.join(lacking)}", hint=f"has: {has}")
    if not all(signatures):
        asked = {str(name): asked.get(str(name), ("", True)) for name in head.columns}
    chosen = {name: kind for name, (kind, _) in asked.items() if name in head.columns}
    columns = [[plain(value) for value in casts.cast(head[name], kind).tolist()] for name, kind in chosen.items()]
    return Sender(tuple(chosen), tuple(zip(*columns, strict=True)))


def signature(model: Path) -> dict[str, tuple[str, bool]]:
    """Type and whether it is required, of each input column of an MLflow model; empty without a table signature."""
    import yaml

    try:
        document = yaml.safe_load((model / "MLmodel").read_text(encoding="utf-8"))
        columns = json.loads((document.get("signature") or {}).get("inputs") or "[]")
        return {str(column["name"]): (str(column["type"]), column.get("required", True)) for column in columns}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return {}


def plain(value: Any) -> Any:
    """One cell as JSON writes it: missing values as null, times in ISO 8601, numbers of numpy as Python's."""
    import pandas as pd

    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(value)
    for kind, write in _WRITERS.items():
        if isinstance(value, kind):
            return write(value)
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)


_WRITERS: dict[type, Callable[[Any], Any]] = {
    date: lambda value: value.isoformat(),
    dict: lambda value: {str(name): plain(item) for name, item in value.items()},
    list: lambda value: [plain(item) for item in value],
    tuple: lambda value: [plain(item) for item in value],
    bytes: lambda value: base64.b64encode(value).decode(),
    Decimal: float,
}
