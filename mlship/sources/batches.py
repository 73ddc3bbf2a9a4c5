"""The rows of one open file in batches: Parquet, CSV and JSON lines, each as columns of one type a batch."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlship.policy.columns import INDEX, NotATableError, csv_header
from mlship.policy.formats import Format, compression, decompressed, format_of
from mlship.sources import objects
from mlship.sources.frame import Batch

if TYPE_CHECKING:
    import pandas as pd

_HEAD = 1_000_000


@dataclass(frozen=True, slots=True)
class Opened:
    """A local file that is open for reading, and what it is."""

    raw: IO[bytes]
    path: Path
    name: str
    """As messages call it."""
    format: Format
    compression: str | None
    end: int | None = None
    """Bytes of a plain text that count; what comes behind is still being written. None: all."""

    @classmethod
    def of(cls, raw: IO[bytes], path: Path, name: str) -> Opened:
        """Recognise a file by its name and its first bytes."""
        raw.seek(0)
        head = raw.read(64)
        if not head:
            raise NotATableError("the file is empty (0 bytes)")
        packed = None if head.startswith(b"PAR1") else compression(path, head)
        if packed:
            head = cls(raw, path, name, Format.CSV, packed).text().read(64)
        return cls(raw, path, name, format_of(path, head), packed)

    def text(self) -> IO[bytes]:
        """The file's bytes from the start, decompressed."""
        self.raw.seek(0)
        if self.end is not None and self.compression is None:
            return io.BufferedReader(_Part(self.raw, self.end), buffer_size=1 << 18)
        if self.compression == ".zst":
            import pyarrow as pa

            # Arrow closes what it reads from.
            own = os.fdopen(os.dup(self.raw.fileno()), "rb")
            return io.BufferedReader(_Unpacked(pa.CompressedInputStream(pa.PythonFile(own, mode="r"), "zstd")))
        return decompressed(self.raw, self.compression)


class _Unpacked(io.RawIOBase):
    """An Arrow stream as one of Python's, which can be read by the line."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        piece = self._stream.read(len(room))
        room[: len(piece)] = piece
        return len(piece)


class _Part(io.RawIOBase):
    """The first bytes of a file."""

    def __init__(self, raw: IO[bytes], end: int) -> None:
        self._raw, self._left = raw, end

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        piece = self._raw.read(min(len(room), self._left))
        self._left -= len(piece)
        room[: len(piece)] = piece
        return len(piece)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of a file."""

    rows: int
    """Rows a batch."""
    only: Collection[str] = ()
    """These columns; all, when empty."""
    as_text: bool = False
    """Read every column as text."""
    texts: Collection[str] = ()
    """CSV: these columns as text, as the file writes it. Parquet: these are text of many distinct values."""
    categories: Collection[str] = ()
    """CSV: these as text of few distinct values."""
    groups: Collection[int] | None = None
    """Parquet: these row groups; None: all."""


def batches(opened: Opened, asked: Asked) -> Iterator[tuple[Batch, int]]:
    """(columns, number of rows) a batch; at least one batch, of no rows, when the file has columns and no rows.

    Raises ``NotATableError``, and whatever the libraries raise for a damaged file.
    """
    match opened.format:
        case Format.PARQUET:
            return _parquet(opened, asked)
        case Format.JSON_LINES:
            return _json_lines(opened, asked)
        case _:
            return _csv(opened, asked)


def parquet_rows(opened: Opened) -> int:
    """The number of rows that the footer tells; 0 for other formats, which do not."""
    import pyarrow.parquet as pq

    if opened.format is not Format.PARQUET:
        return 0
    opened.raw.seek(0)
    return int(pq.ParquetFile(opened.raw).metadata.num_rows)


def names_of(opened: Opened) -> tuple[str, ...] | None:
    """The columns that a file says it has; None for JSON lines, which say nothing. Raises as `batches` does."""
    import pyarrow.parquet as pq

    match opened.format:
        case Format.PARQUET:
            opened.raw.seek(0)
            return tuple(name for name in pq.ParquetFile(opened.raw).schema_arrow.names if not INDEX.fullmatch(name))
        case Format.JSON_LINES:
            return None
        case _:
            return tuple(csv_header(opened.text().read(_HEAD), "\t" if opened.format is Format.TSV else ","))


def parquet_groups(opened: Opened, column: str) -> list[tuple[int, Any]]:
    """(rows, largest value of a column) of each row group; None for a value that the file does not tell."""
    import pyarrow.parquet as pq

    opened.raw.seek(0)
    told = pq.ParquetFile(opened.raw).metadata
    found = []
    for number in range(told.num_row_groups):
        group = told.row_group(number)
        parts = [group.column(place) for place in range(group.num_columns)]
        known = next((part.statistics for part in parts if part.path_in_schema == column), None)
        found.append((group.num_rows, known.max if known is not None and known.has_min_max else None))
    return found


def categorical(opened: Opened) -> list[str]:
    """Columns that a Parquet file stores as categories; a text column is none of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if opened.format is not Format.PARQUET:
        return []
    opened.raw.seek(0)
    return [field.name for field in pq.ParquetFile(opened.raw).schema_arrow if pa.types.is_dictionary(field.type)]


def _parquet(opened: Opened, asked: Asked) -> Iterator[tuple[Batch, int]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    opened.raw.seek(0)
    schema = pq.ParquetFile(opened.raw).schema_arrow
    is_a = pa.types
    texts = [field.name for field in schema if is_a.is_string(field.type) or is_a.is_large_string(field.type)]
    names = [name for name in schema.names if not INDEX.fullmatch(name) and (not asked.only or name in asked.only)]
    _once(names)
    opened.raw.seek(0)
    few = [name for name in texts if name not in asked.texts]
    file = pq.ParquetFile(opened.raw, read_dictionary=few, pre_buffer=False)
    empty = pa.RecordBatch.from_pylist([], schema=pa.schema([schema.field(name) for name in names]))
    yield {name: _series(empty.column(name)) for name in names}, 0
    chosen = None if asked.groups is None else list(asked.groups)
    for batch in file.iter_batches(batch_size=asked.rows, columns=names, row_groups=chosen):
        yield {name: _series(batch.column(name)) for name in names}, batch.num_rows


def _series(array: Any) -> pd.Series[Any]:
    """An Arrow array as pandas would read it, but decimals as floats and dates as times."""
    import pyarrow as pa

    is_a = pa.types
    if is_a.is_dictionary(array.type) and not (
        is_a.is_string(array.type.value_type) or is_a.is_large_string(array.type.value_type)
    ):
        array = array.dictionary_decode()
    if is_a.is_decimal(array.type):
        array = array.cast(pa.float64())
    elif is_a.is_date(array.type):
        array = array.cast(pa.timestamp("s") if is_a.is_date32(array.type) else pa.timestamp("ms"))
    elif is_a.is_float16(array.type):
        array = array.cast(pa.float32())
    series: pd.Series[Any] = array.to_pandas()
    return series


def _csv(opened: Opened, asked: Asked) -> Iterator[tuple[Batch, int]]:
    import pandas as pd

    separator = "\t" if opened.format is Format.TSV else ","
    header = csv_header(opened.text().read(_HEAD), separator)
    _once(header)
    options: dict[str, Any] = {"dtype": str} if asked.as_text else {}
    if asked.texts or asked.categories:
        kinds = dict.fromkeys(asked.categories, "category") | dict.fromkeys(asked.texts, "str")
        options["dtype"] = {name: kind for name, kind in kinds.items() if name in header}
    if asked.only:
        options["usecols"] = [name for name in header if name in asked.only]
    with pd.read_csv(opened.text(), sep=separator, chunksize=asked.rows, low_memory=False, **options) as reader:
        for chunk in reader:
            if not isinstance(chunk.index, pd.RangeIndex):
                raise NotATableError("its rows have more fields than its header has names")
            yield {str(name): chunk[name].reset_index(drop=True) for name in chunk.columns}, len(chunk)


def _json_lines(opened: Opened, asked: Asked) -> Iterator[tuple[Batch, int]]:
    lines = enumerate(opened.text(), start=1)
    make = objects.as_text if asked.as_text else objects.column
    while block := list(islice(lines, asked.rows)):
        rows = [row for number, line in block if (row := json_object(line, number)) is not None]
        names = dict.fromkeys(name for row in rows for name in row)
        wanted = [name for name in names if not asked.only or name in asked.only]
        yield {name: make([row.get(name) for row in rows]) for name in wanted}, len(rows)


def json_object(line: bytes, number: int) -> dict[str, Any] | None:
    """The object on a line; None for a blank one."""
    if not line.strip():
        return None
    try:
        row = json.loads(line if number > 1 else line.removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        reason = "its text is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise NotATableError(f"line {number:,} is not JSON ({reason})") from None
    if not isinstance(row, dict):
        kind = "an array" if isinstance(row, list) else "a single value"
        raise NotATableError(f"line {number:,} holds {kind}, not one JSON object a line")
    return row


def _once(names: Collection[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise NotATableError(f"two columns are named '{name}'")
        seen.add(name)
