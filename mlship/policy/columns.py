"""Column names of a data file, without pandas or pyarrow: header of a CSV, footer of Parquet, keys of JSON lines."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mlship.policy.formats import DAMAGED, Format, compression, decompressed, format_of

#: Enough for any header; a line that is longer is not a header.
_HEADER = 1_000_000
_FOOTER = 64_000_000
#: Columns that pandas adds for an index without a name.
INDEX = re.compile(r"__index_level_\d+__")


class NotATableError(Exception):
    """The file's columns cannot be read; the text says why."""


def columns(path: Path) -> tuple[str, ...] | None:
    """Names of the columns of the Parquet, CSV or JSON lines file at `path`, in order.

    None when only all of the file could tell: its compression needs a library that is not part of Python, or it is JSON
    lines beyond the first megabyte. Raises ``NotATableError`` when it is no table, ``OSError`` when it cannot be read.
    """
    with path.open("rb") as handle:
        head = handle.read(64)
        if format_of(path, head) is Format.PARQUET:
            return _parquet(handle)
        packed = compression(path, head)
        if packed == ".zst":
            return None
        handle.seek(0)
        try:
            text = decompressed(handle, packed).read(_HEADER)
        except (*DAMAGED, ValueError) as error:
            raise NotATableError(f"not a {packed or 'text'} file: {error}") from error
    match format_of(path, text[:64]):
        case Format.JSON_LINES:
            return _json_keys(text)
        case Format.TSV:
            return csv_header(text, "\t")
        case _:
            return csv_header(text)


def csv_header(head: bytes, separator: str = ",") -> tuple[str, ...]:
    """The names in the first line of a CSV, given its first bytes. Raises ``NotATableError`` when it has none."""
    if not head:
        raise NotATableError("the file is empty")
    if b"\0" in head:
        raise NotATableError("neither Parquet nor text")
    text = head.decode("utf-8-sig", errors="replace")
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        row = next((row for row in reader if row), None)
    except csv.Error as error:
        raise NotATableError(f"the first line is not a CSV header: {error}") from error
    if not row:
        raise NotATableError("the file has no header line")
    return tuple(row)


def _json_keys(text: bytes) -> tuple[str, ...] | None:
    """The keys of all lines; None when there may be more."""
    if len(text) == _HEADER:
        return None
    names: dict[str, None] = {}
    for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise NotATableError(f"line {number:,} is not JSON") from None
        if not isinstance(row, dict):
            raise NotATableError(f"line {number:,} is not a JSON object")
        names |= dict.fromkeys(row)
    if not names:
        raise NotATableError("the file is empty")
    return tuple(names)


def _parquet(handle: IO[bytes]) -> tuple[str, ...]:
    """The footer is a Thrift structure (compact protocol) before the last 8 bytes: its length and the magic `PAR1`.

    Source: Apache Parquet, `parquet.thrift` (FileMetaData, SchemaElement) and the Thrift compact protocol.
    """
    size = handle.seek(0, io.SEEK_END)
    if size < 12:
        raise NotATableError("too short for a Parquet file")
    handle.seek(size - 8)
    tail = handle.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] == b"PARE":
        raise NotATableError("the Parquet footer is encrypted")
    if tail[4:] != b"PAR1" or length > min(size - 8, _FOOTER):
        raise NotATableError("not a Parquet file (its footer is damaged or missing)")
    handle.seek(size - 8 - length)
    try:
        elements = _schema_elements(_Compact(handle.read(length)))
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        raise NotATableError("the Parquet footer is damaged") from error
    return tuple(name for name in _top_level(elements) if not INDEX.fullmatch(name))


def _top_level(elements: list[tuple[str, int]]) -> list[str]:
    """The children of the root; the schema is listed depth first, each element with its number of children."""
    names: list[str] = []
    at = 1
    while at < len(elements):
        names.append(elements[at][0])
        pending = 1
        while pending and at < len(elements):
            pending += elements[at][1] - 1
            at += 1
    return names


def _schema_elements(reader: _Compact) -> list[tuple[str, int]]:
    """(name, number of children) of every SchemaElement in FileMetaData."""
    for field, kind in reader.fields():
        if field == 2 and kind == _LIST:
            return [_element(reader) for _ in range(reader.list_size())]
        reader.skip(kind)
    raise ValueError("no schema")


def _element(reader: _Compact) -> tuple[str, int]:
    name, children = "", 0
    for field, kind in reader.fields():
        if field == 4 and kind == _BINARY:
            name = reader.binary().decode()
        elif field == 5 and kind == _I32:
            children = reader.zigzag()
        else:
            reader.skip(kind)
    return name, children


_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


class _Compact:
    """As much of Thrift's compact protocol as a Parquet schema needs."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """(field id, type) of each field of the structure that begins here; each value must be read or skipped."""
        field = 0
        while head := self._byte():
            kind, step = head & 0x0F, head >> 4
            field = field + step if step else self.zigzag()
            yield field, kind

    def skip(self, kind: int, depth: int = 0) -> None:
        """Pass over one value."""
        if depth > 16:
            raise ValueError("nested too deeply")
        if kind in (_TRUE, _FALSE):
            return
        if kind == _BYTE:
            self._at += 1
        elif kind in (_I16, _I32, _I64):
            self._varint()
        elif kind == _DOUBLE:
            self._at += 8
        elif kind == _BINARY:
            self.binary()
        elif kind in (_LIST, _SET):
            size, items = self._list_head()
            if items in (_TRUE, _FALSE):
                self._at += size  # only a field's truth value is part of its head
                return
            for _ in range(size):
                self.skip(items, depth + 1)
        elif kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        else:
            raise ValueError(f"unexpected type {kind}")

    def list_size(self) -> int:
        """Read the head of a list: how many items follow."""
        return self._list_head()[0]

    def _list_head(self) -> tuple[int, int]:
        head = self._byte()
        size = head >> 4
        if size == 15:
            size = self._varint()
        if size > len(self._data):
            raise ValueError("a list longer than the footer")
        return size, head & 0x0F

    def binary(self) -> bytes:
        """Read a length and as many bytes."""
        size = self._varint()
        if size > len(self._data) - self._at:
            raise ValueError("text longer than the footer")
        self._at += size
        return self._data[self._at - size : self._at]

    def zigzag(self) -> int:
        """Read a signed integer."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise ValueError("an integer that does not end")
