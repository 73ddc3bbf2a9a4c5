"""Looks at the registry: asks a server, or reads a database. Never migrates it, never makes one; may hang."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit

from mlship.health import services
from mlship.health.look import SECONDS
from mlship.home import Home


def registry(uri: str | None, home: Home) -> services.Registry:
    """The registry that a policy would use: asked over HTTP, or its database read; never migrated, never made."""
    from mlship.registry import connection

    tracking, _, embedded = connection.choose(uri, home)
    where = connection.safe(tracking)
    if tracking.startswith(("http://", "https://")):
        return _server(tracking)
    path = Path(tracking.removeprefix("sqlite:///").partition("?")[0])
    if tracking.startswith("sqlite:///"):
        if embedded and not path.exists():
            return services.Registry(str(path), embedded=True, exists=False)
        return _sqlite(path, where)
    if tracking.startswith(("postgresql", "mysql", "mssql")):
        return _database(tracking, where)
    return services.Registry(
        where, fault="this is not an MLflow registry's URI (http, https, sqlite, postgresql, mysql)"
    )


def _server(uri: str) -> services.Registry:
    import email.utils
    import urllib.error
    import urllib.request

    from mlship.registry.connection import safe

    split = urlsplit(uri)
    base = split._replace(netloc=split.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/")
    shown = safe(base)
    try:
        with urllib.request.urlopen(f"{base}/health", timeout=SECONDS) as answer:
            date = answer.headers.get("Date")
            answer.read(100)
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403):
            return services.Registry(shown, fault=f"it answers /health with {error.code}")
        date = error.headers.get("Date")
    except (OSError, ValueError) as error:
        return services.Registry(shown, fault=f"it does not answer ({getattr(error, 'reason', None) or error})")
    try:
        with urllib.request.urlopen(f"{base}/version", timeout=SECONDS) as answer:
            version = answer.read(40).decode("ascii", "replace").strip()
    except (OSError, ValueError):
        version = ""
    try:
        skew = email.utils.parsedate_to_datetime(date).timestamp() - time.time() if date else 0.0
    except (TypeError, ValueError):
        skew = 0.0
    return services.Registry(shown, version=version if version[:1].isdigit() else "", skew=skew)


def _sqlite(path: Path, where: str) -> services.Registry:
    """Opened read-only, so that nothing is made and nothing migrated."""
    import sqlite3
    from contextlib import closing

    if not path.exists():
        return services.Registry(where, fault="there is no such file")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=SECONDS)) as database:
            row = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        return services.Registry(where, fault=f"it cannot be read as MLflow's database: {error}")
    return _schema(where, str(row[0]) if row else "")


def _database(uri: str, where: str) -> services.Registry:
    from sqlalchemy import create_engine, text

    from mlship.registry.connection import safe

    try:
        engine = create_engine(uri)
        with engine.connect() as database:
            row = database.execute(text("SELECT version_num FROM alembic_version")).fetchone()
        engine.dispose()
    except Exception as error:  # noqa: BLE001 - every driver raises exceptions of its own, or is not installed
        return services.Registry(where, fault=" ".join(safe(str(error)).split())[:200])
    return _schema(where, str(row[0]) if row else "")


def _schema(where: str, revision: str) -> services.Registry:
    known, head = revisions()
    return services.Registry(where, schema=revision or "nothing", wanted=head, known=revision in known or not revision)


def revisions() -> tuple[frozenset[str], str]:
    """The schema revisions that the installed MLflow knows, and the newest: from its files, without importing it."""
    import re
    from importlib.util import find_spec

    spec = find_spec("mlflow")
    if spec is None or spec.origin is None:
        return frozenset(), ""
    known: set[str] = set()
    before: set[str] = set()
    for path in (Path(spec.origin).parent / "store" / "db_migrations" / "versions").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        known |= set(re.findall(r"^revision\s*(?::[^=]*)?=\s*[\"']([0-9a-f]+)[\"']", text, re.MULTILINE))
        before |= set(re.findall(r"^down_revision\s*(?::[^=]*)?=\s*[\"']([0-9a-f]+)[\"']", text, re.MULTILINE))
    heads = sorted(known - before)
    return frozenset(known), heads[0] if len(heads) == 1 else ""
