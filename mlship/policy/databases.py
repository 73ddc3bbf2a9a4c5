"""What can be told about a database from its SQLAlchemy URL alone, without SQLAlchemy and without the database."""

from __future__ import annotations

import re

#: Package that brings a dialect that SQLAlchemy itself has, or not; by the dialect's name. Empty: Python has it.
PACKAGES = {
    "sqlite": "",
    "postgresql": '"psycopg[binary]"',
    "mysql": "mysqlclient",
    "mariadb": "mariadb",
    "mssql": "pyodbc",
    "oracle": "oracledb",
    "awsathena": '"pyathena[sqlalchemy]"',
    "bigquery": "sqlalchemy-bigquery",
    "clickhouse": "clickhouse-sqlalchemy",
    "clickhousedb": "clickhouse-connect",
    "databricks": "databricks-sqlalchemy",
    "duckdb": "duckdb-engine",
    "redshift": "sqlalchemy-redshift",
    "snowflake": "snowflake-sqlalchemy",
    "trino": '"trino[sqlalchemy]"',
}
#: Package that brings a driver, by the name of its module, where the two differ.
MODULES = {
    "psycopg": '"psycopg[binary]"',
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
}
#: Drivers that only work with asyncio, and what to write instead.
ASYNCHRONOUS = {
    "sqlite+aiosqlite": "sqlite",
    "postgresql+asyncpg": "postgresql+psycopg",
    "mysql+aiomysql": "mysql+pymysql",
    "mysql+asyncmy": "mysql+pymysql",
}
#: Names that people write, and what SQLAlchemy calls it.
MEANT = {"postgres": "postgresql", "sqlite3": "sqlite", "sqlserver": "mssql", "psql": "postgresql", "pg": "postgresql"}
_SHAPE = re.compile(r"(?P<driver>[A-Za-z][\w]*(\+[\w]+)?)://(?P<rest>.*)", re.DOTALL)
#: Comments, which may stand before the first word of a query or hold one that misleads.
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_READS = re.compile(r"[\s(]*(select|with|values|table|from)\b", re.IGNORECASE)
_ORDERED = re.compile(r"\border\s+(siblings\s+)?by\b", re.IGNORECASE)


def driver_of(url: str) -> str | None:
    """`dialect` or `dialect+driver`; None when this is no URL."""
    found = _SHAPE.fullmatch(url)
    return found["driver"].lower() if found else None


def sqlite_file(url: str) -> str | None:
    """The path in a SQLite URL; None when it is in memory, or names its file in SQLite's own way."""
    found = re.fullmatch(r"sqlite(?:\+\w+)?:///(?P<path>[^?]+)(\?.*)?", url, re.DOTALL)
    return None if found is None or found["path"].startswith((":", "file:")) else found["path"]


def has_password(url: str) -> bool:
    """Whether the URL names a password after the user."""
    return re.match(r"[^/]*://[^/@:]*:[^@]+@", url) is not None


def reads(query: str) -> bool:
    """Whether a query begins as one that gives rows does."""
    return _READS.match(_COMMENT.sub(" ", query)) is not None


def is_ordered(query: str) -> bool:
    """Whether a query says anywhere in which order its rows come."""
    return _ORDERED.search(_COMMENT.sub(" ", query)) is not None
