"""Can the rows that one dataset names be there? Reads headers and footers, and asks no database and no registry."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path

from mlship.policy import databases
from mlship.policy.columns import NotATableError, columns
from mlship.policy.data import Dataset, Sql
from mlship.policy.explain import suggestion
from mlship.policy.faults import Fault, plain
from mlship.policy.formats import matches
from mlship.policy.subject import Subject
from mlship.policy.tree import Location, Scalar, find

#: A glob's files beyond these are left to the gates.
_MOST_FILES = 1000
#: JSON lines: a key that a line, or a file, lacks is a missing value there.
_KEYS_MAY_LACK = (".jsonl", ".ndjson", ".json")


def check_dataset(
    subject: Subject,
    here: Location,
    dataset: Dataset | None,
    resolve: Callable[[str], Path],
    faults: list[Fault],
    *,
    ordered: bool = True,
) -> tuple[str, ...] | None:
    """The columns of a dataset's rows; None when they cannot be known here, or cannot be read: that is a fault.

    Parameters
    ----------
    ordered
        Rows in another order are other evidence; of rows that are only counted, the order means nothing.
    """
    if dataset is None:
        return None
    if dataset.sql is not None:
        faults.extend(_sql(subject, (*here, "sql"), dataset.sql, resolve, ordered=ordered))
    if dataset.path is None:
        return None
    # `offline: rows.csv` is short for `offline: {path: rows.csv}`.
    location = here if isinstance(find(subject.tree, here), Scalar) else (*here, "path")
    if "://" in dataset.path:
        hint = "copy the file and give its path; databases go under sql"
        faults.append(subject.error(location, "only local files can be read", hint))
        return None
    path = resolve(dataset.path)
    try:
        found = matches(dataset.path, path)
    except (OSError, ValueError):
        found = None
    if found is None:
        return _file(subject, location, path, _shown(subject, location, path), faults)
    if not found:
        hint = "paths are relative to the policy; `**/` also looks into directories"
        faults.append(subject.error(location, f"no file matches {_shown(subject, location, path)}", hint))
        return None
    return _files(subject, location, found, faults)


def _files(
    subject: Subject, location: Location, found: list[tuple[str, Path]], faults: list[Fault]
) -> tuple[str, ...] | None:
    """The columns that all files of a glob have; the first file that has others is a fault."""
    before = len(faults)
    seen: dict[str, tuple[str, ...]] = {}
    for name, path in found[:_MOST_FILES]:
        known = _file(subject, location, path, name, faults)
        if len(faults) > before:
            return None
        if known is not None:
            seen[name] = known
    if any(path.suffix in _KEYS_MAY_LACK for _, path in found):
        every = dict.fromkeys(key for known in seen.values() for key in known)
        return tuple(every) if len(seen) == len(found) else None
    for name, known in seen.items():
        first, columns_of_first = next(iter(seen.items()))
        for odd in sorted(set(known) ^ set(columns_of_first)):
            has, lacks = (first, name) if odd in columns_of_first else (name, first)
            what = f"the files have different columns: '{plain(odd, 40)}' is in {plain(has)}, not in {plain(lacks)}"
            faults.append(subject.error(location, what, "narrow the pattern to files with the same columns"))
            return None
    return next(iter(seen.values()), None)


def _file(subject: Subject, location: Location, path: Path, shown: str, faults: list[Fault]) -> tuple[str, ...] | None:
    """The columns of one file; None, and a fault, when they cannot be read."""
    try:
        if path.is_dir():
            hint = f"name one file, or all that are in it: {plain(path.name)}/*.parquet"
            faults.append(subject.error(location, f"{shown} is a directory", hint))
            return None
        if path.exists() and not path.is_file():
            faults.append(subject.error(location, f"{shown} is not a regular file", "name one Parquet or CSV file"))
            return None
        return columns(path)
    except FileNotFoundError:
        hint = _beside(path) or "paths are relative to the policy"
        faults.append(subject.error(location, f"there is no file {shown}", hint))
    except NotATableError as error:
        hint = "give a Parquet file, CSV with a header, or one JSON object a line"
        faults.append(subject.error(location, f"{shown} cannot be used: {error}", hint))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        hint = "check the path and its permissions"
        faults.append(subject.error(location, f"{shown} cannot be read: {reason}", hint))
    return None


def _sql(
    subject: Subject, here: Location, sql: Sql, resolve: Callable[[str], Path], *, ordered: bool
) -> Iterable[Fault]:
    url: Location = (*here, "url")
    node = find(subject.tree, url)
    written = isinstance(node, Scalar) and not node.from_environment
    driver = databases.driver_of(sql.url)
    dialect = driver.split("+")[0] if driver else ""
    if driver is None:
        yield subject.error(url, "not a SQLAlchemy URL", "dialect+driver://host/database, or sqlite:///file.db")
    elif meant := databases.ASYNCHRONOUS.get(driver):
        yield subject.error(url, f"{driver} works with asyncio only", f"write {meant}://")
    elif meant := databases.MEANT.get(dialect):
        yield subject.error(url, f"SQLAlchemy knows no database '{dialect}'", f"did you mean '{meant}'?")
    elif dialect not in databases.PACKAGES:
        hint = suggestion(dialect, list(databases.PACKAGES)) or "install the package that brings its dialect"
        yield subject.warning(url, f"'{plain(dialect, 40)}' is none of the databases known here", hint)
    if driver and written and databases.has_password(sql.url):
        hint = 'put the URL into the environment: "${DATABASE_URL}"'
        yield subject.error(url, "a password does not belong into a policy", hint)
    if dialect == "sqlite" and (database := databases.sqlite_file(sql.url)) is not None:
        path = resolve(database)
        if not path.is_file():
            shown = _shown(subject, url, path)
            yield subject.error(url, f"there is no SQLite database {shown}", _beside(path) or "it is made beforehand")
    query: Location = (*here, "query")
    if not databases.reads(sql.query):
        yield subject.error(query, "this is not a query for rows", "it begins with SELECT or WITH")
    elif ordered and not databases.is_ordered(sql.query):
        hint = "add ORDER BY: rows in another order are other evidence"
        yield subject.warning(query, "the query leaves the order of its rows to the database", hint)


def _shown(subject: Subject, location: Location, path: Path) -> str:
    """A path for a message; one that came from the environment as it stands in the policy."""
    node = find(subject.tree, location)
    return subject.shown(location) if isinstance(node, Scalar) and node.from_environment else str(path)


def _beside(path: Path) -> str:
    """The file of a like name in the same directory, if there is one."""
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_file()][:1000]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name[:100], names, n=1)
    return f"did you mean '{near[0]}'?" if near else ""
