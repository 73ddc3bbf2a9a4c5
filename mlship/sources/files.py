"""Rows from a local Parquet or CSV file: read once, digested as read, refused with a reason when unusable."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import DataError
from mlship.policy.data import Dataset
from mlship.report.figures import listed, nearest, quoted, things

if TYPE_CHECKING:
    import pandas as pd

_COMPRESSION = {".gz": "gzip", ".zip": "zip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of one file, as all gates of one evaluation see them."""

    frame: pd.DataFrame
    digest: str
    """`sha256:` of the file's bytes: exactly those that were parsed."""
    path: Path
    target: str | None = None
    time: str | None = None

    def __len__(self) -> int:
        return len(self.frame)


def read(dataset: Dataset, path: Path, *, columns: tuple[str, ...] = (), labelled: bool = False) -> Rows:
    """Read the file of `dataset` from `path`; `columns` must be there besides its target and time.

    With `labelled`, every row needs a label in the target column. An empty table with the right columns is not an
    error: the gates call it inconclusive.

    Raises ``DataError`` when the file is missing, unreadable, not a table, lacks a column, or has rows without a label.
    """
    if "://" in (dataset.path or ""):
        raise DataError("only local files can be read", where=dataset.source, hint="copy the file and give its path")
    data = _bytes(path)
    frame = _parse(data, path)
    rows = Rows(frame, f"sha256:{hashlib.sha256(data).hexdigest()}", path, dataset.target, dataset.time)
    wanted = dict.fromkeys([*filter(None, (dataset.target, dataset.time)), *columns])
    known = [str(name) for name in frame.columns]
    for name in wanted:
        if name not in known:
            raise DataError(
                f"there is no column '{name}'{nearest(name, known)}",
                where=str(path),
                hint=f"the file has {things(len(known), 'column')}: {listed(known, 12)}",
            )
    if labelled and dataset.target is not None:
        _check_labels(frame[dataset.target], dataset.target, path)
    return rows


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            "there is no such file",
            where=str(path),
            hint=f"paths are relative to the policy file{_beside(path)}",
        ) from None
    except IsADirectoryError:
        raise DataError(
            "this is a directory, not a file", where=str(path), hint="name one Parquet or CSV file"
        ) from None
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror}", where=str(path), hint="check permissions and disk"
        ) from error


def _beside(path: Path) -> str:
    """What the user may have meant: a file of a like name beside it, or that the directory is missing too."""
    directory = path.parent
    if not directory.is_dir():
        return f"; the directory {directory} does not exist either"
    return nearest(path.name, sorted(entry.name for entry in directory.iterdir() if entry.is_file()))


def _parse(data: bytes, path: Path) -> pd.DataFrame:
    import pandas as pd

    if not data:
        raise DataError("the file is empty (0 bytes)", where=str(path), hint="write it again, with a header at least")
    parquet = data[:4] == b"PAR1"
    kind = "Parquet" if parquet or path.suffix in {".parquet", ".pq"} else "CSV"
    try:
        if kind == "Parquet":
            frame = pd.read_parquet(io.BytesIO(data))
        else:
            options: dict[str, Any] = {"compression": _COMPRESSION.get(path.suffix), "low_memory": False}
            frame = pd.read_csv(io.BytesIO(data), **options)
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:  # readers raise their own libraries' errors for a damaged file
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"cannot be read as {kind}: {first}",
            where=str(path),
            hint="give a Parquet file, or CSV (UTF-8) with a header",
        ) from error
    if not isinstance(frame.index, pd.RangeIndex):
        # A named index was a column before it was saved; an unnamed one is left over from a filter.
        frame = frame.reset_index(drop=all(name is None for name in frame.index.names))
    frame.columns = frame.columns.map(str)
    twice = sorted(set(frame.columns[frame.columns.duplicated()]))
    if twice:
        raise DataError(f"two columns are named '{twice[0]}'", where=str(path), hint="rename one of them")
    if kind == "CSV" and _looks_binary(data, path):
        raise DataError("this is not a text file", where=str(path), hint="give a Parquet file, or CSV with a header")
    return frame


def _looks_binary(data: bytes, path: Path) -> bool:
    return path.suffix not in _COMPRESSION and b"\0" in data[:4096]


def _check_labels(labels: pd.Series[Any], name: str, path: Path) -> None:
    """Every row has a label, and the labels are of one kind."""
    import numpy as np
    import pandas as pd

    missing = int(labels.isna().sum())
    if pd.api.types.is_numeric_dtype(labels.dtype):
        missing += int(np.isinf(labels.to_numpy(dtype=float, na_value=np.nan)).sum())
    if missing:
        raise DataError(
            f"{missing:,} of {len(labels):,} rows have no label in column '{name}'",
            where=str(path),
            hint="drop the rows whose outcome is not known yet: a model cannot be judged on them",
        )
    if (
        not len(labels)
        or pd.api.types.is_numeric_dtype(labels.dtype)
        or pd.api.types.is_datetime64_any_dtype(labels.dtype)
    ):
        return
    numeric = pd.to_numeric(labels.astype(str), errors="coerce").notna().to_numpy()
    if 0.5 < numeric.mean() < 1:
        at = int(np.flatnonzero(~numeric)[0])
        raise DataError(
            f"the labels in column '{name}' are numbers, but {things(int((~numeric).sum()), 'row')} hold text: "
            f"{quoted(labels.iloc[at])} in data row {at + 1:,}",
            where=str(path),
            hint="correct or drop these rows",
        )
