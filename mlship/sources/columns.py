"""One column of a table, put together from batches of any size into as little memory as holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: A text column of more distinct values than this (or than half its rows) is kept as text, one of fewer as categories.
MOST_CATEGORIES = 100_000
#: Whole numbers up to this size are kept in 32 bits: the product of any two still fits, so that no gate can overflow.
NARROW = 46_340


class Store(Protocol):
    """The values of one kind, in order."""

    kind: str

    def add(self, values: pd.Series[Any]) -> None:
        """Append a batch of this kind; missing values may be among it."""

    def missing(self, count: int) -> None:
        """Append missing values."""

    def done(self) -> Any:
        """The whole column: an array or a series. The store is empty afterwards."""


def kind_of(values: pd.Series[Any]) -> str | None:
    """number, boolean, time, text, or other; None when every value is missing, which tells nothing."""
    import pandas as pd

    is_a, dtype = pd.api.types, values.dtype
    if is_a.is_float_dtype(dtype) and (not len(values) or (pd.isna(values.iloc[0]) and bool(values.isna().all()))):
        return None
    if is_a.is_object_dtype(dtype):
        inferred = is_a.infer_dtype(values, skipna=True)
        return {"empty": None, "string": "text", "boolean": "boolean"}.get(inferred, "other")
    kinds = {
        "text": isinstance(dtype, (pd.CategoricalDtype, pd.StringDtype)),
        "boolean": is_a.is_bool_dtype(dtype),
        "number": is_a.is_numeric_dtype(dtype),
        "time": is_a.is_datetime64_any_dtype(dtype),
    }
    return next((kind for kind, fits in kinds.items() if fits), "other")


def store_for(kind: str, rows: int) -> Store:
    """An empty store for a kind that `kind_of` gives; `rows` are expected (0: nobody knows)."""
    stores: dict[str, type[Any]] = {"number": _Numbers, "boolean": _Truths, "time": _Times, "text": _Texts}
    store: Store = stores.get(kind, _Others)(rows)
    return store


class _Buffer:
    """A growing array. Room that is reserved but not written to takes no memory."""

    def __init__(self, rows: int, dtype: Any) -> None:
        import numpy as np

        self._array: NDArray[Any] = np.empty(rows, dtype=dtype)
        self.size = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    def room(self, more: int, dtype: Any) -> NDArray[Any]:
        """The next `more` elements, to be written by the caller, in an array of (at least) this type."""
        import numpy as np

        needed = self.size + more
        if needed > len(self._array) or dtype != self._array.dtype:
            grown = np.empty(max(needed, len(self._array), 2 * self.size if needed > len(self._array) else 0), dtype)
            grown[: self.size] = self._array[: self.size]
            self._array = grown
        self.size = needed
        return self._array[needed - more : needed]

    def done(self) -> NDArray[Any]:
        array, self._array = self._array[: self.size], self._array[:0]
        return array


class _Numbers:
    """Integers in 32 bits where they are small, in 64 where not; floats as they come, also for missing integers."""

    kind = "number"

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._leading = 0
        self._buffer: _Buffer | None = None
        self._declared: Any = None

    def add(self, values: pd.Series[Any]) -> None:
        import numpy as np

        self._append(values.to_numpy())
        if self._leading:  # the type was not known when these were met
            behind, self._leading = self._leading, 0
            assert self._buffer is not None, "_append made it"
            first = self._buffer.done()
            self._buffer = None
            self._declared = first.dtype if np.issubdtype(first.dtype, np.floating) else np.dtype(np.float64)
            self.missing(behind)
            self._append(first)

    def _append(self, array: NDArray[Any]) -> None:
        import numpy as np

        self._declared = array.dtype if self._declared is None else np.promote_types(self._declared, array.dtype)
        stored = self._declared
        if stored == np.int64:
            small = array.size == 0 or max(-int(array.min()), int(array.max())) <= NARROW
            narrow = self._buffer is None or self._buffer.dtype.itemsize <= 4
            stored = np.dtype(np.int32 if small and narrow else np.int64)
        if self._buffer is None:
            self._buffer = _Buffer(self._rows, stored)
        self._buffer.room(len(array), stored)[:] = array

    def missing(self, count: int) -> None:
        import numpy as np

        if self._declared is None:
            self._leading += count
            return
        own = np.issubdtype(self._declared, np.floating)
        self._append(np.full(count, np.nan, dtype=self._declared if own else np.float64))

    def done(self) -> Any:
        assert self._buffer is not None, "a store is made for its first batch"
        return self._buffer.done()


class _Truths:
    """True, false or missing: bool where nothing is missing, else objects."""

    kind = "boolean"

    def __init__(self, rows: int) -> None:
        import numpy as np

        self._buffer = _Buffer(rows, np.int8)

    def add(self, values: pd.Series[Any]) -> None:
        import numpy as np

        room = self._buffer.room(len(values), np.dtype(np.int8))
        missing = values.isna().to_numpy()
        room[:] = np.where(missing, -1, values.where(~missing, False).astype(bool).to_numpy())

    def missing(self, count: int) -> None:
        import numpy as np

        self._buffer.room(count, np.dtype(np.int8))[:] = -1

    def done(self) -> Any:
        import numpy as np

        codes = self._buffer.done()
        if codes.size and codes.min() < 0:
            return np.array([False, True, None], dtype=object)[codes]
        return codes.view(bool)


class _Times:
    """Times as 64-bit integers of their unit. Times without a zone, beside others with one, are taken to be UTC."""

    kind = "time"

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._leading = 0
        self._buffer: _Buffer | None = None
        self._zone: Any = None

    def add(self, values: pd.Series[Any]) -> None:
        import numpy as np
        import pandas as pd

        zone = values.dtype.tz if isinstance(values.dtype, pd.DatetimeTZDtype) else None
        if self._buffer is None:
            self._zone = zone
        elif str(zone) != str(self._zone):
            self._zone = "UTC"
        if zone is not None:
            values = values.dt.tz_convert("UTC").dt.tz_localize(None)
        array = values.to_numpy()
        if self._buffer is None:
            self._buffer = _Buffer(self._rows, array.dtype)
            self.missing(self._leading)
        self._buffer.room(len(array), np.promote_types(self._buffer.dtype, array.dtype))[:] = array

    def missing(self, count: int) -> None:
        import numpy as np

        if self._buffer is None:
            self._leading += count
        else:
            self._buffer.room(count, self._buffer.dtype)[:] = np.datetime64("NaT")

    def done(self) -> Any:
        import pandas as pd

        assert self._buffer is not None, "a store is made for its first batch"
        times = self._buffer.done()
        return (
            times
            if self._zone is None
            else pd.Series(times, copy=False).dt.tz_localize("UTC").dt.tz_convert(self._zone)
        )


class _Texts:
    """Codes into the distinct values while these are few; else the text itself, in Arrow's layout."""

    kind = "text"

    def __init__(self, rows: int) -> None:
        import numpy as np

        self._codes = _Buffer(rows, np.int8)
        self._known: dict[str, int] = {}
        self._plain: list[Any] | None = None

    def add(self, values: pd.Series[Any]) -> None:
        import numpy as np
        import pandas as pd

        if self._plain is not None:
            self._plain.append(_arrow(values))
            return
        if isinstance(values.dtype, pd.CategoricalDtype):
            codes = values.cat.codes.to_numpy()
            used = np.flatnonzero(np.bincount(codes[codes >= 0], minlength=len(values.cat.categories)))
            names = values.cat.categories.take(used)
            dense = np.full(len(values.cat.categories) + 1, -1)
            dense[used] = np.arange(len(used))
            codes = dense[codes]
        else:
            codes, names = pd.factorize(values)
        # One more at the end: code -1, missing, stays what it is.
        known = np.array([self._known.setdefault(str(name), len(self._known)) for name in names] + [-1], dtype=np.int64)
        size = np.int8 if len(self._known) <= 1 << 7 else np.int16 if len(self._known) <= 1 << 15 else np.int32
        self._codes.room(len(codes), np.promote_types(size, self._codes.dtype))[:] = known[codes]
        if len(self._known) > MOST_CATEGORIES:
            self._plain = [self._as_text(self._codes.done())]
            self._known = {}

    def missing(self, count: int) -> None:
        import numpy as np
        import pyarrow as pa

        if self._plain is None:
            self._codes.room(count, self._codes.dtype)[:] = np.int8(-1)
        else:
            self._plain.append(pa.nulls(count, pa.large_string()))

    def done(self) -> Any:
        import numpy as np
        import pandas as pd
        import pyarrow as pa

        if self._plain is None:
            codes = self._codes.done()
            if not 0 < len(self._known) <= len(codes) // 2:
                self._plain = [self._as_text(codes)]
        if self._plain is not None:
            pieces, self._plain = self._plain, []
            return pa.chunked_array(pieces, pa.large_string()).to_pandas()
        names = sorted(self._known)
        place = np.empty(len(names) + 1, dtype=codes.dtype)  # of each code, in the order of the names
        place[[self._known[name] for name in names]] = np.arange(len(names))
        place[-1] = -1
        return pd.Categorical.from_codes(place[codes], categories=pd.Index(names, dtype="str"))

    def _as_text(self, codes: NDArray[Any]) -> Any:
        """Known values by their codes; every code was given a value, in order."""
        import pyarrow as pa

        indices = pa.array(codes.astype("int32"), mask=codes < 0)
        return pa.DictionaryArray.from_arrays(indices, pa.array(list(self._known), pa.large_string())).cast(
            pa.large_string()
        )


class _Others:
    """Whatever else a file may hold (lists, bytes, times of day, values of several kinds): as it is."""

    kind = "other"

    def __init__(self, _rows: int) -> None:
        self._pieces: list[pd.Series[Any]] = []

    def add(self, values: pd.Series[Any]) -> None:
        self._pieces.append(values)

    def missing(self, count: int) -> None:
        import pandas as pd

        self._pieces.append(pd.Series([None] * count, dtype=object))

    def done(self) -> Any:
        import pandas as pd

        pieces, self._pieces = self._pieces, []
        return pd.concat([piece.astype(object) for piece in pieces], ignore_index=True)


def _arrow(values: pd.Series[Any]) -> Any:
    import pandas as pd
    import pyarrow as pa

    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    array = pa.array(values, from_pandas=True)
    chunks = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return chunks.cast(pa.large_string())
