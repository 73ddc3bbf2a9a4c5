"""The fast lane: JSON rows whose cells already have the types of the model's signature, without MLflow's conversions.

A request takes this lane only when MLflow would convert nothing but the container: then cells of different requests
cannot influence each other's types, and their rows may be put into one frame. Everything else goes through MLflow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from mlship.serving.protocol import PLAIN_JSON, Request
from mlship.serving.tensors import DATATYPES, Tensor

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import Model

#: MLflow type -> (numpy dtype, the JSON types that MLflow turns into exactly this dtype cell by cell). `float` takes no
#: integers: MLflow rounds those once, by way of int64, and a list of both twice.
TYPES: Mapping[str, tuple[str, frozenset[type]]] = {
    "double": ("float64", frozenset({float, int, type(None)})),
    "float": ("float32", frozenset({float, type(None)})),
    "long": ("int64", frozenset({int})),
    "integer": ("int32", frozenset({int})),
    "boolean": ("bool", frozenset({bool})),
    "string": ("", frozenset({str})),
}


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one request, column by column in the order of the signature."""

    columns: tuple[Any, ...]
    """Sequences of cells."""
    count: int


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the signature."""

    name: str
    dtype: str
    """Empty for strings, whose dtype depends on the version of pandas."""
    cells: frozenset[type]


class Lane:
    """Reads requests of one signature."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self._columns = columns
        self._names = tuple(column.name for column in columns)
        self._positions: tuple[list[str], list[int]] = ([], [])

    @classmethod
    def of(cls, metadata: Model) -> Lane | None:
        """Return the lane of a model; None when its signature is absent or has columns that need conversion."""
        from mlflow.types.schema import DataType

        schema = metadata.get_input_schema()  # type: ignore[no-untyped-call]  # mlflow is partly typed
        hinted = metadata._is_signature_from_type_hint()  # type: ignore[no-untyped-call]  # the same
        if schema is None or hinted or not schema.has_input_names():
            return None
        columns = []
        for spec in schema.inputs:
            if not isinstance(spec.type, DataType) or spec.type.name not in TYPES:
                return None
            columns.append(Column(str(spec.name), *TYPES[spec.type.name]))
        return cls(tuple(columns))

    def read(self, request: Request) -> Rows | None:
        """Return the rows of a request; None when it is not for this lane (which does not mean that it is wrong)."""
        if request.content_type not in PLAIN_JSON:
            return None
        try:
            document = json.loads(request.body)
        except (ValueError, RecursionError):
            return None
        columns = self._find_columns(document)
        if columns is None or not all(
            column.cells.issuperset(map(type, cells)) for column, cells in zip(self._columns, columns, strict=True)
        ):
            return None
        return Rows(columns, len(columns[0]))

    def typed(self, tensors: Mapping[str, Tensor]) -> Rows | None:
        """Return the rows of tensors, one a column; None when one has another type than its column."""
        columns = []
        for column in self._columns:
            tensor = tensors.get(column.name)
            if tensor is None or tensor.per_row != 1 or DATATYPES[tensor.datatype][0] != (column.dtype or "object"):
                return None
            if not column.dtype and None in tensor.data:  # missing text is MLflow's to judge
                return None
            columns.append(tensor.data)
        return Rows(tuple(columns), len(columns[0]))

    def features(self, rows: Rows) -> dict[str, Sequence[Any]]:
        """Columns by name."""
        return dict(zip(self._names, rows.columns, strict=True))

    def frame(self, batch: Sequence[Rows]) -> pd.DataFrame:
        """Return all rows of a batch as one frame with the dtypes of the signature and a fresh index.

        Raises
        ------
        OverflowError
            An integer does not fit its column.
        """
        import numpy as np
        import pandas as pd

        data: dict[str, Any] = {}
        for position, column in enumerate(self._columns):
            parts = [rows.columns[position] for rows in batch]
            cells = list(parts[0] if len(parts) == 1 else chain.from_iterable(parts))
            data[column.name] = np.array(cells, dtype=column.dtype) if column.dtype else cells
        return pd.DataFrame(data)

    def _find_columns(self, document: Any) -> tuple[Sequence[Any], ...] | None:
        if not isinstance(document, dict) or len(document) != 1:
            return None
        ((kind, data),) = document.items()
        if kind == "dataframe_split":
            return self._split(data)
        return self._records(data) if kind == "dataframe_records" else None

    def _split(self, data: Any) -> tuple[Sequence[Any], ...] | None:
        if not isinstance(data, dict) or not data.keys() <= {"columns", "data", "index"}:
            return None
        names, rows, index = data.get("columns"), data.get("data"), data.get("index")
        if not isinstance(names, list) or not isinstance(rows, list) or not rows:
            return None
        if index is not None and index != list(range(len(rows))):
            return None
        positions = self._find(names)
        if positions is None or not all(type(row) is list and len(row) == len(names) for row in rows):
            return None
        columns = list(zip(*rows, strict=True))
        return tuple(columns[position] for position in positions)

    def _records(self, data: Any) -> tuple[Sequence[Any], ...] | None:
        if not isinstance(data, list) or not data or not all(type(row) is dict for row in data):
            return None
        try:
            return tuple([row[name] for row in data] for name in self._names)
        except KeyError:
            return None

    def _find(self, names: list[Any]) -> list[int] | None:
        """Where the columns of the signature stand among `names`; the last answer is kept, as callers repeat."""
        known, positions = self._positions
        if names != known:
            if not all(type(name) is str for name in names) or len(set(names)) != len(names):
                return None
            if not set(self._names) <= set(names):
                return None
            positions = [names.index(name) for name in self._names]
            self._positions = (names, positions)
        return positions
