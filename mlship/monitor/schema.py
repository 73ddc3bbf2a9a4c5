"""The tables of a model's monitor, and SQLite's errors told as one clear one each."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlship.errors import StateError

#: Raised whenever a table changes; `_STEPS` says how a file of before comes here.
VERSION = 1

_STEPS: tuple[tuple[str, ...], ...] = (
    (
        # Traffic: counts by version and window, whole (slice '') and by slice; the body is compressed JSON.
        """CREATE TABLE windows (version TEXT NOT NULL, slice TEXT NOT NULL, start REAL NOT NULL, seconds REAL NOT NULL,
           body BLOB NOT NULL, PRIMARY KEY (version, slice, start)) WITHOUT ROWID""",
        "CREATE TABLE detectors (version TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, "
        "PRIMARY KEY (version, name)) WITHOUT ROWID",
        "CREATE TABLE incidents (id TEXT PRIMARY KEY, opened REAL NOT NULL, resolved REAL, body TEXT NOT NULL)",
        "CREATE INDEX incidents_by_end ON incidents (resolved)",
        "CREATE TABLE events (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
        "incident TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL)",
        "CREATE TABLE deliveries (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
        "incident TEXT NOT NULL, action TEXT NOT NULL, state TEXT NOT NULL, body TEXT NOT NULL)",
        "CREATE INDEX deliveries_by_state ON deliveries (state)",
        # Everything else of which there is one: the last pass, its findings, troubles, sketches as they were.
        "CREATE TABLE documents (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID",
    ),
)


def version(connection: sqlite3.Connection) -> int:
    """Version of the tables; 0 when there are none."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def ensure(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or bring them up to date, all or nothing; a file of a newer mlship is refused."""
    if refuse_newer(connection, path) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in _STEPS[version(connection) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def refuse_newer(connection: sqlite3.Connection, path: Path) -> int:
    """Version of the tables. Raises ``StateError`` when a newer mlship has written them."""
    found = version(connection)
    if found > VERSION:
        raise StateError(
            f"a newer mlship has written this file (format {found}, this one knows {VERSION})",
            where=str(path),
            hint="use that version of mlship, here too",
        )
    return found


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Errors of SQLite, and of what it holds, as ``StateError`` with the way out."""
    try:
        yield
    except sqlite3.Error as error:
        raise _error(error, path) from error
    except OSError as error:
        raise StateError(
            f"cannot use what the monitor remembers: {error.strerror or error}",
            where=str(path),
            hint="free space or permissions, or point MLSHIP_HOME at a writable directory",
        ) from error


def damaged(path: Path, how: str) -> StateError:
    """The error of a file that cannot be read as what it is."""
    name = shlex.quote(str(path))
    return StateError(
        f"what the monitor remembers is damaged: {how}",
        where=str(path),
        hint=f"`mv {name} {shlex.quote(str(path) + '.damaged')}`, then `mlship monitor POLICY` begins anew: it counts "
        "the traffic that can still be read, and what is still in breach is told as a new incident",
    )


def _error(error: sqlite3.Error, path: Path) -> StateError:
    code = getattr(error, "sqlite_errorcode", None)
    kind = None if code is None else code & 0xFF
    if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(path, str(error))
    if kind == sqlite3.SQLITE_FULL:
        what, hint = "the disk is full; nothing has been changed", "free space, then run the same command again"
    elif kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        what, hint = "another process has held this file for too long", f"see which one with `fuser {path}`"
    elif kind in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        what = f"cannot use what the monitor remembers: {error}; nothing has been changed"
        hint = "free space or permissions, or point MLSHIP_HOME at a writable directory"
    elif kind == sqlite3.SQLITE_ERROR:  # a table is not there, or is another one than this program makes
        return damaged(path, str(error))
    else:
        what, hint = f"cannot use what the monitor remembers: {error}", "run the same command again"
    return StateError(what, where=str(path), hint=hint)
