"""The rows of a dataset of the policy: read once, digested as read, refused with a reason when unusable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import DataError
from mlship.policy.data import Dataset
from mlship.policy.formats import matches
from mlship.report.figures import listed, nearest, quoted, things
from mlship.sources import allocator, local, sql

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of one dataset, as all gates of one evaluation see them.

    Text of few distinct values is kept as pandas categories (sorted, every one occurs), and small whole numbers in 32
    bits: see docs/reference/data.md.
    """

    frame: pd.DataFrame
    digest: str
    """`sha256:` of what was parsed: a file's bytes, a glob's names and bytes, a query's columns and values."""
    path: Path
    """The file, or the glob; for a query, only a name."""
    target: str | None = None
    time: str | None = None

    def __len__(self) -> int:
        return len(self.frame)


def read(dataset: Dataset, path: Path, *, columns: tuple[str, ...] = (), labelled: bool = False) -> Rows:
    """Read `dataset`; `columns` must be there besides its target and time.

    `path` is the dataset's path made absolute; for a dataset that MLflow knows, the local file of it; for SQL, the
    directory that the path of a SQLite database is relative to. With `labelled`, every row needs a label in the target
    column. An empty table with the right columns is not an error: the gates call it inconclusive.

    Raises ``DataError`` when the rows cannot be read, lack a column, or have no label where they need one.
    """
    allocator.give_back()
    table, shown = _table(dataset, path)
    rows = Rows(table.frame, table.digest, shown, dataset.target, dataset.time)
    wanted = dict.fromkeys([*filter(None, (dataset.target, dataset.time)), *columns])
    known = [str(name) for name in rows.frame.columns]
    for name in wanted:
        if name not in known:
            whole = "the query" if dataset.sql else "the file"
            raise DataError(
                f"there is no column '{name}'{nearest(name, known)}",
                where=str(shown),
                hint=f"{whole} has {things(len(known), 'column')}: {listed(known, 12)}",
            )
    if labelled and dataset.target is not None:
        _check_labels(rows.frame[dataset.target], dataset.target, shown)
    return rows


def _table(dataset: Dataset, path: Path) -> tuple[local.Table, Path]:
    if dataset.sql is not None:
        return sql.read(dataset.sql, path), sql.NAME
    if dataset.path is None:
        return local.read_file(path), path
    if "://" in dataset.path:
        raise DataError("only local files can be read", where=dataset.source, hint="copy the file and give its path")
    found = matches(dataset.path, path)
    return (local.read_file(path) if found is None else local.read_files(path, found)), path


def _check_labels(labels: pd.Series[Any], name: str, path: Path) -> None:
    """Every row has a label, and the labels are of one kind."""
    import numpy as np
    import pandas as pd

    missing = int(labels.isna().sum())
    if pd.api.types.is_float_dtype(labels.dtype):
        missing += int(np.isinf(labels.to_numpy()).sum())
    if missing:
        raise DataError(
            f"{missing:,} of {len(labels):,} rows have no label in column '{name}'",
            where=str(path),
            hint="drop the rows whose outcome is not known yet: a model cannot be judged on them",
        )
    if not len(labels) or (isinstance(labels.dtype, np.dtype) and labels.dtype != object):
        return
    codes, names = pd.factorize(labels)
    numeric = pd.to_numeric(pd.Series(names).astype(str), errors="coerce").notna().to_numpy()[codes]
    if 0.5 < numeric.mean() < 1:
        at = int(np.flatnonzero(~numeric)[0])
        raise DataError(
            f"the labels in column '{name}' are numbers, but {things(int((~numeric).sum()), 'row')} hold text: "
            f"{quoted(labels.iloc[at])} in data row {at + 1:,}",
            where=str(path),
            hint="correct or drop these rows",
        )
