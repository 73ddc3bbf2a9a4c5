"""Which files a policy means by a path or a glob, and of which format and compression each is. No libraries needed."""

from __future__ import annotations

import bz2
import glob
import gzip
import io
import lzma
import os
import zipfile
from enum import StrEnum
from pathlib import Path
from typing import IO

_MAGIC = "*?["


class Format(StrEnum):
    """How a file holds rows."""

    PARQUET = "Parquet"
    CSV = "CSV"
    TSV = "TSV"
    JSON_LINES = "JSON lines"


_FORMATS = {
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".jsonl": Format.JSON_LINES,
    ".ndjson": Format.JSON_LINES,
    ".json": Format.JSON_LINES,
}
#: Suffixes of compressed text, and the first bytes by which such a file is known whatever it is called.
COMPRESSIONS = {
    ".gz": b"\x1f\x8b",
    ".bz2": b"BZh",
    ".xz": b"\xfd7zXZ\x00",
    ".zst": b"\x28\xb5\x2f\xfd",
    ".zip": b"PK\x03\x04",
}
#: What a damaged archive raises.
DAMAGED = (EOFError, zipfile.BadZipFile, lzma.LZMAError, gzip.BadGzipFile, OSError)


def matches(written: str, path: Path) -> list[tuple[str, Path]] | None:
    """The files that a glob means, each with its name relative to the glob's start, sorted by it; None for no glob.

    `written` is the path as the policy has it, `path` the same made absolute: the directory that a relative one starts
    at may have brackets in its own name. A file that is really called so is no glob.
    """
    if not any(sign in written for sign in _MAGIC) or path.exists():
        return None
    parts = [part for part in Path(os.path.normpath(Path(written).expanduser())).parts if part != ".."]
    tail = list(path.parts[max(1, len(path.parts) - len(parts)) :])
    start = Path(*path.parts[: len(path.parts) - len(tail)])
    while len(tail) > 1 and not any(sign in tail[0] for sign in _MAGIC):
        start /= tail.pop(0)
    # Path.glob would not pass over hidden files, and it follows no links under `**`.
    names = glob.glob(str(Path(*tail)), root_dir=start, recursive=True)  # noqa: PTH207 - for these two reasons
    found = {Path(name).as_posix() for name in names}
    return [(name, start / name) for name in sorted(found) if (start / name).is_file()]


def compression(path: Path, head: bytes) -> str | None:
    """The compression of a text file, as a suffix: by its name, else by its first bytes."""
    if path.suffix in COMPRESSIONS:
        return path.suffix
    return next((suffix for suffix, magic in COMPRESSIONS.items() if head.startswith(magic)), None)


def format_of(path: Path, head: bytes) -> Format:
    """The format, by the first bytes of a Parquet file, else by the name, else by what a text begins with.

    `head` is text as it is after decompression.
    """
    if head.startswith(b"PAR1"):
        return Format.PARQUET
    named = Path(path.stem) if path.suffix in COMPRESSIONS else path
    if known := _FORMATS.get(named.suffix.lower()):
        return known
    return Format.JSON_LINES if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") else Format.CSV


def decompressed(raw: IO[bytes], suffix: str | None) -> IO[bytes]:
    """The bytes inside a compressed stream; `.zst` is not among what Python can read.

    Raises ``ValueError`` for an archive of several files, and what is in `DAMAGED`, now or while it is read.
    """
    match suffix:
        case ".gz":
            return io.BufferedReader(gzip.GzipFile(fileobj=raw))
        case ".bz2":
            return bz2.open(raw)
        case ".xz":
            return lzma.open(raw)
        case ".zip":
            archive = zipfile.ZipFile(raw)
            if len(archive.namelist()) != 1:
                raise ValueError("the archive must hold exactly one file")
            return archive.open(archive.namelist()[0])
        case _:
            return raw
