"""Late labels: which prediction each is of, in little memory however many there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mlship.monitor.reading.cells import classes
from mlship.types.monitoring import Baseline

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


class Labels:
    """Labels by key; the last of several of one key counts.

    Keys are compared by 64 bits of a hash: of ten million labels and as many predictions, the chance that any two keys
    are taken for one is 5 in a million.

    Parameters
    ----------
    batches
        (keys, labels) of some rows each; a row without a key or a label says nothing.
    """

    def __init__(self, batches: Iterable[tuple[pd.Series[Any], pd.Series[Any]]], baseline: Baseline) -> None:
        import numpy as np

        self._numbers = baseline.task == "numbers"
        keys: list[NDArray[np.uint64]] = []
        labels: list[NDArray[Any]] = []
        for key, label in batches:
            hashes, known = hashed(key)
            values = told(label, baseline)
            known &= ~np.isnan(values) if self._numbers else values >= 0
            keys.append(hashes[known])
            labels.append(values[known])
        self._keys = _joined(keys, "uint64")
        values = _joined(labels, "float64" if self._numbers else "int16")
        order = np.argsort(self._keys, kind="stable")
        self._keys = self._keys[order]
        self._labels = values[order]

    def __len__(self) -> int:
        return len(self._keys)

    def of(self, keys: pd.Series[Any]) -> NDArray[Any]:
        """The label of each key, shape (rows,): places among the baseline's labels (-1: not told), or floats (nan)."""
        import numpy as np

        hashes, known = hashed(keys)
        found = np.full(len(hashes), np.nan) if self._numbers else np.full(len(hashes), -1, dtype=np.int16)
        if not len(self._keys):
            return found
        order = np.argsort(hashes)  # neighbours are found where the last one was: ten times as quick
        place = np.empty(len(hashes), dtype=np.int64)
        place[order] = np.searchsorted(self._keys, hashes[order], side="right") - 1
        known &= place >= 0
        place[~known] = 0
        known &= self._keys[place] == hashes
        found[known] = self._labels[place[known]]
        return found


def told(label: pd.Series[Any], baseline: Baseline) -> NDArray[Any]:
    """Labels as places among the baseline's (-1: missing; one more than there are: another), or as floats."""
    import numpy as np

    if baseline.task != "numbers":
        return classes(label, baseline.labels)
    return numbers(label) if len(label) else np.array([], dtype=np.float64)


def numbers(column: pd.Series[Any]) -> NDArray[np.float64]:
    """A column as floats; nan for what is missing, infinite, or no number."""
    import numpy as np
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype if column.notna().all() else object)
    found = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(found), found, np.nan)


def hashed(keys: pd.Series[Any]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """64 bits for each key, and whether there is one: 7, 7.0 and `7` are the same."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    dtype: Any = keys.dtype
    known = keys.notna().to_numpy(dtype=bool).copy()
    if isinstance(dtype, pd.CategoricalDtype):
        table, _ = hashed(pd.Series(dtype.categories))
        return np.append(table, np.uint64(0))[keys.cat.codes.to_numpy()], known
    if pd.api.types.is_float_dtype(dtype):
        floats = keys.to_numpy(dtype=np.float64, na_value=np.nan)
        whole = known & (np.abs(floats) < 2**63) & (floats == np.trunc(floats))
        if whole[known].all():
            keys = pd.Series(np.where(known, floats, 0).astype(np.int64))
    if pd.api.types.is_integer_dtype(keys.dtype):
        texts = pc.cast(pa.array(keys), pa.large_string()).to_numpy(zero_copy_only=False)
    elif isinstance(dtype, pd.StringDtype):
        texts = keys.fillna("").to_numpy(dtype=object)
    else:
        texts = np.array([_text(cell) if there else "" for cell, there in zip(keys, known, strict=True)], dtype=object)
    return pd.util.hash_array(texts, categorize=False), known


def _text(cell: Any) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return cell if isinstance(cell, str) else str(cell)


def _joined(parts: list[NDArray[Any]], kind: str) -> NDArray[Any]:
    import numpy as np

    return np.concatenate(parts) if parts else np.array([], dtype=kind)
