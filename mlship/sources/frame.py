"""A table put together from batches, column by column: compact, and the same whatever the batches were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.sources.columns import Store, kind_of, store_for

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Clash:
    """Values of two kinds in one column."""

    first: str
    then: str
    """Kinds as `columns.kind_of` gives them."""
    where: str
    """The file that has the second kind."""
    was: str
    """The file that has the first."""


#: Values of some columns, all of the same number of rows; a clash where they are of several kinds.
Batch = Mapping[str, "pd.Series[Any] | Clash"]


class _Column:
    def __init__(self, expected: int, rows: int) -> None:
        self.store: Store | None = None
        self.clash: Clash | None = None
        self._since = ""
        self._expected = expected
        self._missing = rows
        """Missing values before the first that is there."""

    def add(self, values: pd.Series[Any] | Clash, where: str) -> None:
        if self.clash is not None:
            return
        if isinstance(values, Clash):
            first = self.store.kind if self.store is not None else values.first
            then = values.then if first == values.first else values.first
            self.clash, self.store = Clash(first, then, where, self._since or where), None
            return
        kind = kind_of(values)
        if kind is None:
            self.missing(len(values))
            return
        if self.store is None:
            self.store = store_for(kind, self._expected)
            self._since = where
            if self._missing:
                self.store.missing(self._missing)
        if self.store.kind == kind:
            self.store.add(values)
        else:
            self.clash = Clash(self.store.kind, kind, where, self._since)
            self.store = None

    def missing(self, count: int) -> None:
        if not count:
            return  # or whole numbers would become floats for the sake of none
        if self.store is None:
            self._missing += count
        else:
            self.store.missing(count)

    def done(self) -> Any:
        import numpy as np

        store, self.store = self.store, None
        return np.full(self._missing, np.nan) if store is None else store.done()


class Builder:
    """Takes batches, gives a frame. A column that a batch lacks is missing in its rows."""

    def __init__(self, expected: int = 0) -> None:
        self.rows = 0
        self._expected = expected
        self._columns: dict[str, _Column] = {}

    def add(self, batch: Batch, rows: int, where: str = "") -> None:
        """Append `rows` rows; `where` names the file that they are from."""
        for name, values in batch.items():
            if name not in self._columns:
                self._columns[name] = _Column(self._expected, self.rows)
            self._columns[name].add(values, where)
        for name in self._columns.keys() - batch.keys():
            self._columns[name].missing(rows)
        self.rows += rows

    @property
    def clashes(self) -> dict[str, Clash]:
        """Columns that hold values of several kinds; of these nothing is kept."""
        return {name: column.clash for name, column in self._columns.items() if column.clash is not None}

    def columns(self) -> dict[str, Any]:
        """The columns, by name in order; the builder is empty afterwards."""
        return {name: self._columns[name].done() for name in list(self._columns)}


def frame_of(columns: Mapping[str, Any], rows: int, order: Iterable[str] = ()) -> pd.DataFrame:
    """A frame that holds these columns without a copy, in an order of theirs."""
    import pandas as pd

    names = [*dict.fromkeys(order)] or list(columns)
    return pd.DataFrame(
        {name: columns[name] for name in names},
        index=pd.RangeIndex(rows),
        columns=pd.Index(names, dtype="str"),
        copy=False,
    )
