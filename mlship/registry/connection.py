"""Reaching MLflow: which URI, quiet logs, bounded waiting, and MLflow's exceptions told as one clear error."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from mlship.errors import RegistryError
from mlship.home import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: MLflow would wait and retry for minutes. A person's own settings win over these.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
#: The first question only asks whether anybody is there.
_FIRST_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
#: A command line should print its own words only, and send nothing home.
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
#: Attempts to open a database; MLflow's own ten take 100 s.
_DATABASE_ATTEMPTS = 4

_UNREACHABLE = re.compile(
    r"Max retries exceeded|Connection refused|Name or service not known|failed with exception|timed out"
    r"|OperationalError"
)

#: Who speaks, before the host. In a database's URI there may be a `/` in the password.
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_DATABASE_USER = re.compile(r"(?<!http)(?<!https)://[^:/@\s]*:[^@\s]*@")
#: One value of a query; only those with these names are known to be no secrets.
_QUERY = re.compile(r"(?<=[?&])([^=&\s]*)=[^&\s]*")
_PLAIN = {"host", "port", "user", "dbname", "sslmode", "charset", "driver", "connect_timeout", "mode", "uri", "name"}


def choose(uri: str | None, home: Home) -> tuple[str, str, bool]:
    """The tracking URI, the registry URI, and whether they are the embedded registry's.

    The policy's `registry.uri`, else `MLFLOW_TRACKING_URI` (and `MLFLOW_REGISTRY_URI`), else SQLite under `.mlship/`.
    """
    if uri:
        return uri, uri, uri == home.registry_uri
    if tracking := os.environ.get("MLFLOW_TRACKING_URI"):
        return tracking, os.environ.get("MLFLOW_REGISTRY_URI") or tracking, False
    return home.registry_uri, home.registry_uri, True


def artifacts(uri: str, home: Home) -> str | None:
    """Where mlship's own runs keep their files; None when the server behind `uri` decides.

    Without a server MLflow would use `mlruns/` in whatever directory the command happens to run.
    """
    if path := _database(uri):
        return (path.absolute().parent / "artifacts").as_uri()
    if re.match(r"(postgresql|mysql|mssql)\b", uri):
        return (home.registry_dir / "artifacts").absolute().as_uri()
    return None


def open_client(tracking: str, registry: str, *, create: bool) -> MlflowClient:
    """A client that has had one answer from the registry.

    `create` allows a SQLite database to be made; without it a wrong path is an error, where MLflow would make an empty
    database there. Raises ``RegistryError`` when nobody answers within seconds, or the URI cannot be one.
    """
    for uri in (tracking, registry):
        _check_database(uri, create=create)
    for name, value in (_PATIENCE | _QUIET).items():
        os.environ.setdefault(name, value)
    # mlflow.environment_variables warns, mlflow and alembic log: all of it before the first useful line.
    warnings.filterwarnings("ignore", module=r"(mlflow|sqlalchemy)\b.*")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    from mlflow import MlflowClient
    from mlflow.store.db import utils

    utils.MAX_RETRY_COUNT = min(utils.MAX_RETRY_COUNT, _DATABASE_ATTEMPTS)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with told(registry), _environment(_FIRST_PATIENCE):
        client = MlflowClient(tracking, registry)
        client.search_registered_models(max_results=1)
    return client


@contextmanager
def told(uri: str) -> Iterator[None]:
    """Turn whatever MLflow and its database layer raise into a ``RegistryError`` that says what to do."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        raise _explain(error, uri) from error


def safe(uri: str) -> str:
    """A URI, or a text that quotes one, without what may be secret in it: user, password, values of its query."""
    uri = _DATABASE_USER.sub("://***@", _USER.sub("***@", uri))
    return _QUERY.sub(lambda found: found[0] if found[1].lower() in _PLAIN else f"{found[1]}=***", uri)


def _explain(error: Exception, uri: str) -> RegistryError:
    text = safe(str(error)).strip()
    first = " ".join((text.splitlines() or [type(error).__name__])[0].split())[:300]
    where = safe(uri)
    if "unsupported URI" in text or "Could not parse SQLAlchemy URL" in text:
        return RegistryError(
            "this is not an MLflow URI",
            where=where,
            hint="write registry.uri as http(s)://HOST:PORT, sqlite:///PATH or postgresql://USER@HOST/DATABASE",
        )
    if "maintenance mode" in text:
        return RegistryError(
            "MLflow no longer keeps models in plain directories",
            where=where,
            hint="`mlflow migrate-filestore` moves them to a database; or set MLFLOW_ALLOW_FILE_STORE=true",
        )
    if isinstance(error, ImportError):
        return RegistryError(
            f"the driver for this database is not installed ({error})", where=where, hint="pip install it beside mlship"
        )
    if re.search(r"\b(401|403)\b|UNAUTHENTICATED|PERMISSION_DENIED", text):
        return RegistryError(
            "the registry refuses these credentials",
            where=where,
            hint="set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )
    if _UNREACHABLE.search(text) or _UNREACHABLE.search(type(error).__name__):
        return RegistryError(
            f"the registry does not answer ({_cause(text) or first})",
            where=where,
            hint="is it running? try `curl -sS URL/health`; the policy's registry.uri or MLFLOW_TRACKING_URI names it",
        )
    return RegistryError(f"the registry answered with an error: {first}", where=where, hint="its own log says more")


def _cause(text: str) -> str:
    """The cause at the bottom of a chain of connection errors, in a few words."""
    for words in ("Connection refused", "Name or service not known", "Failed to resolve", "timed out", "too many 5"):
        if words in text:
            return "too many errors of status 500" if words.startswith("too many") else words.lower()
    return ""


def _database(uri: str) -> Path | None:
    """The file of a SQLite registry; None for every other one, and for one in memory."""
    match = re.fullmatch(r"sqlite(\+\w+)?:///(?P<path>[^?]+)(\?(?P<query>.*))?", uri)
    if match is None or match["path"].startswith(":memory:"):
        return None
    query = parse_qs(match["query"] or "")
    if not (match["path"].startswith("file:") and query.get("uri") == ["true"]):
        return Path(match["path"])
    path = unquote(urlsplit(match["path"]).path)
    return None if query.get("mode") == ["memory"] or path.startswith(":memory:") else Path(path)


def _check_database(uri: str, *, create: bool) -> None:
    """Raise ``RegistryError`` when `uri` names a SQLite file that is not there (unless it may be made), or is none."""
    path = _database(uri)
    if path is None or (create and not path.exists()):
        return
    if not path.is_file():
        raise RegistryError(
            f"there is no registry database {path.absolute()}",
            where=uri,
            hint="registry.uri or MLFLOW_TRACKING_URI names it, and a SQLite path is absolute after four slashes; or "
            "bring the file back. Nothing was created",
        )
    with path.open("rb") as file:
        header = file.read(16)
    if header and header != b"SQLite format 3\0":
        raise RegistryError("this file is not a SQLite database", where=uri, hint="check registry.uri")


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for a moment, but never longer than a person asked for."""
    saved = {name: os.environ.get(name) for name in values}
    try:
        for name, value in values.items():
            if (saved[name] or value) == _PATIENCE.get(name, value):
                os.environ[name] = value
        yield
    finally:
        for name, old in saved.items():
            if old is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = old
