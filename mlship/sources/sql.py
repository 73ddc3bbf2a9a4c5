"""The rows of one query on a database, by SQLAlchemy: read in batches, never written, the password never shown."""

from __future__ import annotations

import hashlib
import logging
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote

from mlship.errors import DataError
from mlship.policy.data import Sql
from mlship.policy.databases import ASYNCHRONOUS, MEANT, MODULES, PACKAGES, driver_of, reads
from mlship.report.figures import nearest
from mlship.sources import objects
from mlship.sources.frame import Builder, Clash, frame_of
from mlship.sources.local import BATCH, KINDS, Table

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

#: What rows of a query are called where a file would have its name.
NAME = Path("SQL query")
#: Seconds to wait for a connection, or for a lock on a SQLite database. A query itself may take its time.
PATIENCE = 15
#: The name of the driver's option for that, where it has one.
_PATIENCE_OPTIONS = {
    "psycopg2": "connect_timeout",
    "psycopg": "connect_timeout",
    "mysqldb": "connect_timeout",
    "pymysql": "connect_timeout",
    "mysqlconnector": "connection_timeout",
    "pg8000": "timeout",
    "pyodbc": "timeout",
    "pymssql": "login_timeout",
}
#: Refuses every change, whatever the query does.
_READ_ONLY = {"postgresql": {"postgresql_readonly": True}}
_SESSION_READ_ONLY = {"mysql": "SET SESSION TRANSACTION READ ONLY", "mariadb": "SET SESSION TRANSACTION READ ONLY"}


def read(sql: Sql, base: Path) -> Table:
    """The query's rows, in the order in which the database gives them; `base` is where relative SQLite paths start.

    The digest is the sha256 over one line a column: its name and the sha256 over its Python values in order (their
    `repr`, times with a zone in UTC). The same rows in another order have another digest, so a query needs ORDER BY to
    be the same evidence twice.

    Raises ``DataError`` when the driver is not installed, the database does not answer, the query is refused or is
    none for rows, or a column holds values of several kinds. Nothing that is raised shows the password.
    """
    names: list[str] = []
    digests: list[Any] = []
    builder = Builder()
    for told, columns in fetched(sql, base):
        if not names:
            names, digests = told, [hashlib.sha256() for _ in told]
        for digest, values in zip(digests, columns, strict=True):
            if values:
                digest.update(("\n".join(map(repr, values)) + "\n").encode("utf-8", "surrogatepass"))
        made = {name: objects.column(values) for name, values in zip(names, columns, strict=True)}
        builder.add(made, len(columns[0]))
    for name, clash in builder.clashes.items():
        raise _several_kinds(name, clash)
    total = hashlib.sha256()
    for name, digest in zip(names, digests, strict=True):
        total.update(f"{name!r} {digest.hexdigest()}\n".encode())
    return Table(frame_of(builder.columns(), builder.rows, names), f"sha256:{total.hexdigest()}")


def fetched(sql: Sql, base: Path) -> Iterator[tuple[list[str], list[list[Any]]]]:
    """(names, Python values by column) of the query's rows, a batch at a time; first one of no rows.

    Raises ``DataError`` as `read` does.
    """
    if not reads(sql.query):
        hint = "it must begin with SELECT or WITH: evaluation only reads"
        raise DataError("this is not a query for rows", where=str(NAME), hint=hint)
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)  # it writes tracebacks of what is told here
    url = _url(sql.url, base)
    engine = _engine(url)
    try:
        with _told(url, "the database does not answer", "is it running, and are host, user and password right?"):
            connection = engine.connect()
        with connection:
            yield from _rows(connection, url, sql.query)
    finally:
        engine.dispose()


def _rows(connection: Connection, url: URL, query: str) -> Iterator[tuple[list[str], list[list[Any]]]]:
    refused = ("the database refuses the query", "try it in the database's own shell")
    with _told(url, *refused):
        if statement := _SESSION_READ_ONLY.get(url.get_backend_name()):
            connection.exec_driver_sql(statement)
        # As it stands: neither `:name` nor `%` in it means anything to SQLAlchemy.
        options = {"stream_results": True, "max_row_buffer": BATCH, "no_parameters": True}
        result = connection.execution_options(**options).exec_driver_sql(query)
        if not result.returns_rows:
            raise DataError("the query gives no rows", where=str(NAME), hint="write one SELECT statement")
        names = [str(name) for name in result.keys()]  # noqa: SIM118 - no dict: iterating gives rows
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            hint = f"name one of them otherwise: SELECT ... AS {twice[0]}_2"
            raise DataError(f"two columns of the query are named '{twice[0]}'", where=str(NAME), hint=hint)
    columns: list[list[Any]] = [[] for _ in names]
    while True:
        yield names, columns
        with _told(url, *refused):
            rows = result.fetchmany(BATCH)
            if not rows:
                return
            columns = [_plain(list(values)) for values in zip(*rows, strict=True)]


def _plain(values: list[Any]) -> list[Any]:
    """Values whose text depends on nothing but themselves: bytes for views of memory, UTC for other time zones."""
    if not {memoryview, bytearray, datetime} & set(map(type, values)):
        return values
    return [
        bytes(value)
        if isinstance(value, memoryview | bytearray)
        else value.astimezone(UTC)
        if isinstance(value, datetime) and value.tzinfo is not None
        else value
        for value in values
    ]


def _several_kinds(name: str, clash: Clash) -> DataError:
    what = f"column '{name}' holds {KINDS[clash.first]} in some rows and {KINDS[clash.then]} in others"
    return DataError(what, where=str(NAME), hint=f"give it one type in the query: CAST({name} AS ...)")


def _url(text: str, base: Path) -> URL:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        hint = "write it as dialect+driver://user:password@host/database, or sqlite:///file.db"
        raise DataError("data.*.sql.url is not a SQLAlchemy URL", where=str(NAME), hint=hint) from None
    if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":", "file:")):
        path = base / Path(url.database).expanduser()
        if not path.is_file():
            beside = sorted(it.name for it in path.parent.iterdir()) if path.parent.is_dir() else []
            hint = (
                f"relative paths start at the policy file, absolute ones have four slashes{nearest(path.name, beside)}"
            )
            raise DataError("there is no such SQLite database", where=str(path), hint=hint)
        url = url.set(database=str(path))
    return url


def _engine(url: URL) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import NoSuchModuleError
    from sqlalchemy.pool import NullPool

    driver = driver_of(url.drivername) or url.drivername
    if meant := ASYNCHRONOUS.get(driver):
        raise DataError(f"{driver} works with asyncio only", where=_shown(url), hint=f"write {meant}://...")
    options: dict[str, Any] = {}
    try:
        if url.get_backend_name() == "sqlite" and url.database and Path(url.database).is_file():
            location = f"file:{quote(url.database)}?mode=ro"
            options["creator"] = lambda: sqlite3.connect(location, uri=True, timeout=PATIENCE)
        elif (name := _PATIENCE_OPTIONS.get(url.get_driver_name())) and name not in url.query:
            options["connect_args"] = {name: PATIENCE}
        backend = url.get_backend_name()
        return create_engine(
            url, poolclass=NullPool, hide_parameters=True, execution_options=_READ_ONLY.get(backend, {}), **options
        )
    except NoSuchModuleError:
        dialect = driver.split("+")[0]
        package = PACKAGES.get(dialect, "") or "the package that brings its SQLAlchemy dialect"
        hint = f"did you mean {MEANT[dialect]}://...?" if dialect in MEANT else f"pip install {package}"
        raise DataError(f"SQLAlchemy knows no database '{driver}'", where=_shown(url), hint=hint) from None
    except ImportError as error:
        module = (error.name or "").split(".")[0]
        package = MODULES.get(module, module) or PACKAGES.get(driver.split("+")[0], "it")
        what = f"the driver for {driver} is not installed ({_clean(str(error), url)})"
        raise DataError(what, where=_shown(url), hint=f"pip install {package}") from None


@contextmanager
def _told(url: URL, what: str, hint: str) -> Iterator[None]:
    """Turn what SQLAlchemy and the driver raise into one error; without its cause, whose text may hold the password."""
    try:
        yield
    except (DataError, KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - drivers raise errors of their own, and SQLAlchemy does not wrap them all
        cause = getattr(error, "orig", None) or error
        told = next((it["M"] for it in cause.args if isinstance(it, dict) and "M" in it), str(cause))  # pg8000's way
        said = " ".join(_clean(str(told), url).split())[:300]
        problem = DataError(f"{what}: {said or type(cause).__name__}", where=_shown(url), hint=hint)
    else:
        return
    raise problem from None


def _shown(url: URL) -> str:
    """The URL without anything secret: no password, and no options, which may hold keys."""
    return url.set(query={}).render_as_string(hide_password=True)


def _clean(text: str, url: URL) -> str:
    """A text from the driver, without the password in any spelling, and without the values of the URL's options."""
    values: list[str] = [url.password] if url.password else []
    for value in url.query.values():
        values += [value] if isinstance(value, str) else list(value)
    for secret in _spellings(values):
        text = text.replace(secret, "***")
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)


def _spellings(values: Sequence[str]) -> list[str]:
    every = {make(value) for value in values for make in (str, quote, quote_plus, unquote)}
    every |= {quote(value, safe=safe) for value in values for safe in ("", " +")}  # the last as SQLAlchemy does
    return sorted((value for value in every if value), key=len, reverse=True)
