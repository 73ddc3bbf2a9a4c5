"""Local files as one table: opened once, digested and parsed from the same bytes, in batches."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, TYPE_CHECKING, Any

from mlship.errors import DataError
from mlship.policy.columns import NotATableError
from mlship.policy.formats import Format
from mlship.report.figures import listed, nearest, things
from mlship.sources import batches as formats
from mlship.sources.batches import Asked, Opened, categorical, parquet_rows
from mlship.sources.frame import Builder, Clash, frame_of

if TYPE_CHECKING:
    import pandas as pd

#: Rows read at once. The table does not depend on it.
BATCH = 131_072
#: More files than this are rather a mistake in the glob, and more than a process may have open.
MOST_FILES = 1000
#: Kinds of values as a message calls them.
KINDS = {"number": "numbers", "boolean": "true and false", "time": "times", "text": "text", "other": "other values"}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows and the digest of the bytes, or values, that they were made of."""

    frame: pd.DataFrame
    digest: str


def read_file(path: Path) -> Table:
    """The table in one file; its digest is the sha256 of the file's bytes.

    Raises ``DataError`` when the file is missing, is no table, or changes while it is read.
    """
    with ExitStack() as stack:
        raw = stack.enter_context(_open(path))
        told = _digest_of([raw], stack)
        return Table(_table([recognised(raw, path, str(path))], path), f"sha256:{told()[0]}")


def read_files(pattern: Path, found: Sequence[tuple[str, Path]]) -> Table:
    """All files of a glob as one table, in the order given: (name relative to the glob's start, path).

    The digest is the sha256 over one line `<name>NUL<sha256 of the file>` a file. Raises ``DataError`` as `read_file`,
    and when the files' formats, columns or types do not fit together.
    """
    if not found:
        raise DataError("no file matches this pattern", where=str(pattern), hint="`**/` also looks into directories")
    if len(found) > MOST_FILES:
        what = f"this pattern means {things(len(found), 'file')}, more than {MOST_FILES:,}"
        raise DataError(what, where=str(pattern), hint="narrow the pattern, or join the files into fewer")
    with ExitStack() as stack:
        raws = [stack.enter_context(_open(path)) for _, path in found]
        told = _digest_of(raws, stack)
        opened = [recognised(raw, path, name) for raw, (name, path) in zip(raws, found, strict=True)]
        frame = _table(opened, pattern)
        total = hashlib.sha256()
        for (name, _), digest in zip(found, told(), strict=True):
            total.update(os.fsencode(name) + b"\0" + digest.encode("ascii") + b"\n")
        return Table(frame, f"sha256:{total.hexdigest()}")


def _table(files: list[Opened], where: Path) -> pd.DataFrame:
    """The rows of all files, after one another."""
    formats = dict.fromkeys(file.format for file in files)
    if len(formats) > 1:
        what = f"the files are of several formats: {listed([str(it) for it in formats])}"
        raise DataError(what, where=str(where), hint="narrow the pattern to files of one format")
    builder = Builder(sum(_told(file, parquet_rows) for file in files))
    first: tuple[str, ...] | None = None
    for file in files:
        names: dict[str, None] = {}
        for batch, rows in _batches(file, Asked(BATCH)):
            builder.add(batch, rows, file.name)
            names |= dict.fromkeys(batch)
        if first is not None and file.format is not Format.JSON_LINES:
            _same_columns(first, tuple(names), files[0].name, file.name, where)
        first = first or tuple(names)
    clashes, rows, columns = builder.clashes, builder.rows, builder.columns()
    if clashes:
        columns |= _as_text(files, clashes, where)
    frame = frame_of(columns, rows)
    if kept := list(dict.fromkeys(name for file in files for name in _told(file, categorical))):
        frame.attrs["categorical"] = kept
    return frame


def _as_text(files: list[Opened], clashes: dict[str, Clash], where: Path) -> dict[str, Any]:
    """Columns that turned out to hold several kinds of values, read again: what a text file holds is text, then."""
    if files[0].format is Format.PARQUET:
        name, clash = next(iter(clashes.items()))
        what = f"column '{name}' holds {KINDS[clash.first]} in {clash.was} and {KINDS[clash.then]} in {clash.where}"
        raise DataError(what, where=str(where), hint="write the files again with the same types")
    builder = Builder()
    for file in files:
        for batch, rows in _batches(file, Asked(BATCH, only=tuple(clashes), as_text=True)):
            builder.add(batch, rows, file.name)
    return builder.columns()


def _same_columns(ours: tuple[str, ...], theirs: tuple[str, ...], first: str, other: str, where: Path) -> None:
    for name in (*ours, *theirs):
        if name not in ours or name not in theirs:
            has, lacks = (first, other) if name in ours else (other, first)
            near = nearest(
                name, [it for it in (theirs if name in ours else ours) if it not in (ours if name in ours else theirs)]
            )
            what = f"column '{name}' of {has} is not in {lacks}{near}"
            raise DataError(what, where=str(where), hint="narrow the pattern to files with the same columns")


def _batches(file: Opened, asked: Asked) -> Iterator[Any]:
    with explained(file):
        yield from formats.batches(file, asked)


def _told(file: Opened, ask: Any) -> Any:
    with explained(file):
        return ask(file)


def recognised(raw: IO[bytes], path: Path, name: str) -> Opened:
    """What an open file is; raises ``DataError`` when it is nothing that holds rows."""
    try:
        return Opened.of(raw, path, name)
    except (NotATableError, ValueError, EOFError, OSError) as error:
        hint = "write it again, with a header at least" if "empty" in str(error) else "is it what its name says?"
        raise DataError(_short(error), where=str(path), hint=hint) from error


@contextmanager
def explained(file: Opened) -> Iterator[None]:
    """Turn what the libraries raise for a damaged file into one ``DataError``."""
    try:
        yield
    except (KeyboardInterrupt, MemoryError, GeneratorExit, DataError):
        raise
    except Exception as error:  # every reader raises errors of its own
        hint = "give a Parquet file, CSV (UTF-8) with a header, or one JSON object a line"
        if isinstance(error, UnicodeDecodeError):
            hint = "save the file as UTF-8"
        elif isinstance(error, NotATableError) and "two columns" in str(error):
            hint = "rename one of them"
        raise DataError(f"cannot be read as {file.format}: {_short(error)}", where=str(file.path), hint=hint) from error


def _short(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """The file, open, and unchanged when the caller is done with it."""
    with regular(path) as raw:
        before = os.fstat(raw.fileno())
        yield raw
        after = os.fstat(raw.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            what = "the file was changed while it was being read"
            raise DataError(what, where=str(path), hint="wait until it is complete, then begin again")


def regular(path: Path) -> IO[bytes]:
    """A regular file, open for reading; raises ``DataError`` for anything else, or nothing."""
    try:
        # Opening a pipe would wait for somebody to write to it.
        raw = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except FileNotFoundError:
        hint = f"paths are relative to the policy file{_beside(path)}"
        raise DataError("there is no such file", where=str(path), hint=hint) from None
    except IsADirectoryError:
        hint = f"name one file, or all that are in it: {path.name}/*.parquet"
        raise DataError("this is a directory, not a file", where=str(path), hint=hint) from None
    except OSError as error:
        hint = "check permissions and disk"
        raise DataError(f"cannot be read: {error.strerror}", where=str(path), hint=hint) from error
    if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        raw.close()
        raise DataError("this is not a regular file", where=str(path), hint="name one Parquet or CSV file")
    return raw


def _beside(path: Path) -> str:
    """What the user may have meant: a file of a like name beside it, or that the directory is missing too."""
    directory = path.parent
    if not directory.is_dir():
        return f"; the directory {directory} does not exist either"
    return nearest(path.name, sorted(entry.name for entry in directory.iterdir() if entry.is_file()))


def _digest_of(raws: list[Any], stack: ExitStack) -> Any:
    """Begin to digest the open files beside the parsing; the function given back waits for the sha256 of each.

    Reads by position, so that the parser's place in the file is not moved.
    """
    digests: list[str] = []
    failed: list[OSError] = []

    def work() -> None:
        try:
            for raw in raws:
                total, at = hashlib.sha256(), 0
                while piece := os.pread(raw.fileno(), 1 << 20, at):
                    total.update(piece)
                    at += len(piece)
                digests.append(total.hexdigest())
        except OSError as error:
            failed.append(error)

    thread = Thread(target=work, name="digest", daemon=True)
    thread.start()
    stack.callback(thread.join)  # before the files are closed

    def told() -> list[str]:
        thread.join()
        if failed:
            raise DataError(f"cannot be read: {failed[0].strerror}", where=str(raws[len(digests)].name))
        return digests

    return told
