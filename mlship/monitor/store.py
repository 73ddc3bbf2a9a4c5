"""What a monitor remembers of one model, in one SQLite file: each pass is one transaction, and anybody may read.

One process writes at a time, by a lock that it holds for the whole pass. The file keeps SQLite's rollback journal: a
write-ahead log would need shared memory, which a network disk does not give. A process that is killed leaves either
what was before its transaction or what is after it.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from mlship.errors import StateError
from mlship.home import Home
from mlship.monitor import documents, schema
from mlship.monitor.acting.delivery import Delivery
from mlship.monitor.incidents import event_id
from mlship.monitor.kept import Champion, Changes, Pass
from mlship.rollout import lock
from mlship.types.monitoring import Finding, Incident, IncidentEvent, Tally, Trouble

#: Seconds for which windows are kept, whole ones and those of slices, and for which past incidents are.
KEPT, KEPT_SLICES, KEPT_PAST = 400 * 86400.0, 100 * 86400.0, 800 * 86400.0
#: Seconds that a writer waits for readers, and a reader for a writer's commit.
_PATIENCE = 30.0
_Read = TypeVar("_Read")
_LOCK = lock.Kind(
    "the monitor's lock",
    "this model is being monitored already",
    "let that pass end: one at a time is enough",
)


class Store:
    """What is remembered of one model. Use ``writing`` or ``reading``."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def commit(self, changes: Changes) -> None:
        """Make all these changes, durably, or none. Raises ``StateError``."""
        with schema.told(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._apply(changes)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite may have taken it back by itself, as when the disk is full
                    self._connection.execute("ROLLBACK")
                raise

    def windows(
        self, version: str, since: float | None = None, until: float | None = None, part: str | None = ""
    ) -> tuple[Tally, ...]:
        """Windows that begin in [since, until), by time: whole ones, those of one slice, or (None) all."""
        where = "version = ? AND start >= ? AND start < ?" + ("" if part is None else " AND slice = ?")
        values = [version, since if since is not None else -1e300, until if until is not None else 1e300]
        rows = self._all(
            f"SELECT body FROM windows WHERE {where} ORDER BY start, slice",
            [*values, *([] if part is None else [part])],
        )
        return self._values(rows, lambda body: documents.tally(_unpacked(body)))

    def apart(self, version: str) -> tuple[Tally, ...]:
        """Windows, whole and by slice, that tell performance only: servers sketch all rows, and log some of them."""
        return self.windows(_apart(version), part=None)

    def newest(self, version: str) -> float | None:
        """End of the newest window, Unix time; None without any."""
        latest = "SELECT start + seconds FROM windows WHERE version = ? AND slice = '' ORDER BY start DESC LIMIT 1"
        rows = self._all(latest, [version])
        return rows[0][0] if rows else None

    def detectors(self, version: str) -> dict[str, Any]:
        """States of the detectors by name, as JSON documents."""
        rows = self._all("SELECT name, body FROM detectors WHERE version = ?", [version])
        return self._read(lambda: {name: json.loads(body) for name, body in rows})

    def open(self) -> tuple[Incident, ...]:
        """Open incidents, the oldest first."""
        return self._incidents("resolved IS NULL ORDER BY opened, id", [])

    def past(self, most: int = 100) -> tuple[Incident, ...]:
        """Resolved incidents, the last one first."""
        return self._incidents("resolved IS NOT NULL ORDER BY resolved DESC, id LIMIT ?", [most])

    def incident(self, id_: str) -> Incident | None:
        """One incident; None when there is none of this id."""
        return next(iter(self._incidents("id = ?", [id_])), None)

    def events(self, most: int = 1000) -> tuple[IncidentEvent, ...]:
        """The latest events, the oldest of them first."""
        rows = self._all("SELECT body FROM events ORDER BY number DESC LIMIT ?", [most])
        return self._values(rows, lambda body: documents.event(json.loads(body)))[::-1]

    def pending(self) -> tuple[Delivery, ...]:
        """Deliveries that are not over, in the order in which they were decided on."""
        return self._deliveries("state = 'pending' ORDER BY number", [])

    def deliveries(self, most: int = 1000) -> tuple[Delivery, ...]:
        """The latest deliveries, the oldest of them first."""
        return self._deliveries("1 ORDER BY number DESC LIMIT ?", [most])[::-1]

    def acts(self, action: str, most: int = 200) -> tuple[Delivery, ...]:
        """The latest deliveries of one action, the oldest of them first."""
        return self._deliveries("action = ? ORDER BY number DESC LIMIT ?", [action, most])[::-1]

    def delivery(self, id_: str) -> Delivery | None:
        """One delivery; None when there is none of this id."""
        return next(iter(self._deliveries("id = ?", [id_])), None)

    def troubles(self) -> tuple[Trouble, ...]:
        """What could not be asked at the last pass."""
        found = self.memory("troubles") or []
        return self._read(lambda: tuple(documents.trouble(one) for one in found))

    def findings(self) -> tuple[Finding, ...]:
        """What the last pass found."""
        found = self.memory("findings") or []
        return self._read(lambda: tuple(documents.finding(one) for one in found))

    def last(self) -> Pass | None:
        """The last pass; None before the first."""
        found = self.memory("last")
        return self._read(lambda: None if found is None else Pass(**found))

    def champion(self) -> Champion | None:
        """The version that was watched last; None before the first pass."""
        found = self.memory("champion")
        return self._read(lambda: None if found is None else Champion(**found))

    def memory(self, name: str) -> Any:
        """A JSON document by its name; None when there is none."""
        rows = self._all("SELECT body FROM documents WHERE name = ?", [name])
        return self._read(lambda: _unpacked(rows[0][0])) if rows else None

    def _apply(self, changes: Changes) -> None:
        run, many = self._connection.execute, self._connection.executemany
        for version in changes.forget:
            run("DELETE FROM windows WHERE version IN (?, ?)", [version, _apart(version)])
            run("DELETE FROM detectors WHERE version = ?", [version])
        of = changes.version
        for owner, windows in ((of, changes.windows), (_apart(of), changes.apart)):
            rows = ((owner, one.slice, one.start, one.seconds, _packed(documents.of_tally(one))) for one in windows)
            many("INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?, ?)", rows)
        states = ((of, name, documents.dumps(state)) for name, state in changes.detectors.items())
        many("INSERT OR REPLACE INTO detectors VALUES (?, ?, ?)", states)
        incidents = ((one.id, one.opened, one.resolved, _text(one)) for one in changes.incidents)
        many("INSERT OR REPLACE INTO incidents VALUES (?, ?, ?, ?)", incidents)
        events = ((event_id(one), one.incident.id, one.at, _text(one)) for one in changes.events)
        many("INSERT OR IGNORE INTO events (id, incident, at, body) VALUES (?, ?, ?, ?)", events)
        new = ((one.id, one.incident, one.action, one.state, _text(one)) for one in changes.deliveries)
        many("INSERT OR IGNORE INTO deliveries (id, incident, action, state, body) VALUES (?, ?, ?, ?, ?)", new)
        settled = ((one.state, _text(one), one.id) for one in changes.settled)
        many("UPDATE deliveries SET state = ?, body = ? WHERE id = ?", settled)
        for name, document in _named(changes).items():
            if document is None:
                run("DELETE FROM documents WHERE name = ?", [name])
            else:
                run("INSERT OR REPLACE INTO documents VALUES (?, ?)", [name, _packed(document)])
        if changes.thin is not None:
            self._thin(changes.thin)

    def _thin(self, now: float) -> None:
        run = self._connection.execute
        run("DELETE FROM windows WHERE start < ?", [now - KEPT])
        run("DELETE FROM windows WHERE slice != '' AND start < ?", [now - KEPT_SLICES])
        run("DELETE FROM incidents WHERE resolved < ?", [now - KEPT_PAST])
        for table in ("events", "deliveries"):
            run(f"DELETE FROM {table} WHERE incident NOT IN (SELECT id FROM incidents)")

    def _incidents(self, where: str, values: list[Any]) -> tuple[Incident, ...]:
        rows = self._all(f"SELECT body FROM incidents WHERE {where}", values)
        return self._values(rows, lambda body: documents.incident(json.loads(body)))

    def _deliveries(self, where: str, values: list[Any]) -> tuple[Delivery, ...]:
        rows = self._all(f"SELECT body FROM deliveries WHERE {where}", values)
        return self._values(rows, lambda body: documents.delivery(json.loads(body)))

    def _values(self, rows: list[tuple[Any, ...]], make: Callable[[Any], _Read]) -> tuple[_Read, ...]:
        """What the rows' bodies hold."""
        return self._read(lambda: tuple(make(body) for (body,) in rows))

    def _all(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with schema.told(self.path):
            return self._connection.execute(query, values).fetchall()

    def _read(self, make: Callable[[], _Read]) -> _Read:
        """What a row holds, or the one error that says that it does not."""
        try:
            return make()
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error, RecursionError) as error:
            raise schema.damaged(self.path, f"a row cannot be read ({type(error).__name__})") from error


@contextmanager
def writing(home: Home, model: str, who: str) -> Iterator[Store]:
    """The model's store, to change it; made unless it is there. Nobody else writes meanwhile.

    Raises ``StateError`` that names who does, or says what is the matter with the file.
    """
    directory = home.ensure(home.monitor(model))
    path = directory / "monitor.db"
    with lock.held(directory, who, "monitor", _LOCK):
        with schema.told(path):
            path.touch(mode=0o600)
            connection = sqlite3.connect(path, isolation_level=None, timeout=_PATIENCE, check_same_thread=False)
        with Store(path, connection) as store:
            with schema.told(path):
                # A power cut takes nothing that was committed; readers are held up by a commit only, not by what leads
                # up to it.
                connection.execute("PRAGMA synchronous = EXTRA")
                connection.execute("PRAGMA cache_spill = OFF")
                schema.ensure(connection, path)
            yield store


def reading(home: Home, model: str) -> Store | None:
    """The model's store as it is at this moment, for reading; None when nobody has monitored it here.

    Needs no lock and makes nothing;
    close it soon, for a pass waits with its commit until then. Raises ``StateError`` when the file cannot be read.
    """
    path = home.monitor(model) / "monitor.db"
    with schema.told(path):
        if not path.exists() or not path.stat().st_size:
            return None
    try:
        return _opened(path, "rw")  # it may have to take back what a killed writer has left half-done
    except StateError:
        return _opened(path, "ro")


def _opened(path: Path, mode: str) -> Store | None:
    with schema.told(path):
        address = f"{path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=5.0, check_same_thread=False)
    try:
        with schema.told(path):
            connection.execute("BEGIN")  # all that is read is of one moment
            if schema.refuse_newer(connection, path) == schema.VERSION:
                return Store(path, connection)
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def lasting(before: Sequence[Trouble], found: Sequence[Trouble]) -> tuple[Trouble, ...]:
    """Troubles of this pass, each of a source that was in trouble already since that began."""
    since = {one.source: one.since for one in before}
    return tuple(Trouble(one.source, one.what, min(one.since, since.get(one.source, one.since))) for one in found)


def _apart(version: str) -> str:
    """Under which name those windows are kept; MLflow's versions are numbers."""
    return f"{version}/log"


def _named(changes: Changes) -> dict[str, Any]:
    """Documents of this transaction by name."""
    named = dict(changes.memory)
    if changes.troubles is not None:
        named["troubles"] = [documents.of(one) for one in changes.troubles]
    if changes.findings is not None:
        named["findings"] = [documents.of(one) for one in changes.findings]
    if changes.last is not None:
        named["last"] = asdict(changes.last)
    if changes.champion is not None:
        named["champion"] = asdict(changes.champion)
    return named


def _text(value: Finding | Incident | IncidentEvent | Delivery) -> str:
    return documents.dumps(documents.of(value))


def _packed(document: Any) -> bytes:
    return zlib.compress(documents.dumps(document).encode("ascii"), 1)


def _unpacked(body: bytes) -> Any:
    return json.loads(zlib.decompress(body))
