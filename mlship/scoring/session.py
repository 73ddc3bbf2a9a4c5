"""Predictions of model versions on tables of rows: one process a model, asked as often as needed, and answers kept."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Any

from mlship.errors import DataError, StateError
from mlship.home import Home
from mlship.policy.gates import SecurityGate
from mlship.scan.scan import require
from mlship.scoring import kept as store
from mlship.scoring.keeper import Job, Keeper, named
from mlship.scoring.kept import Predictions
from mlship.types import ModelVersion

if TYPE_CHECKING:
    import pandas as pd

#: Models that work at once.
PARALLEL = 2
#: Rows handed over at once; the model's process gives them to the model in the same pieces.
BATCH = 100_000


class Session:
    """The processes of one evaluation: each model is scanned, loaded once, and asked from any thread.

    Parameters
    ----------
    home
        The state directory, where predictions are kept.
    progress
        Told one sentence when a model is asked about rows.
    section
        What the policy allows a model: which types it may load, how much memory and time it may take.

    Leaving it as a context manager (or `close`) ends all processes; so does the end of this one, however it comes.
    """

    def __init__(self, home: Home, progress: Callable[[str], None], section: SecurityGate | None = None) -> None:
        self._home = home
        self._progress = progress
        self._section = section if section is not None else SecurityGate()
        self._lock = Lock()
        self._keepers: dict[str, Keeper] = {}
        self._flights: dict[Path, Future[Predictions]] = {}
        self._working = BoundedSemaphore(PARALLEL)
        self._cleared: set[str] = set()
        self._closed = False

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process."""
        with self._lock:
            self._closed = True
            keepers = list(self._keepers.values())
        for keeper in keepers:
            keeper.close()

    def rest(self) -> None:
        """End every process for now, so that their memory is free; a model that is asked again is started again."""
        with self._lock:
            keepers = list(self._keepers.values())
            self._keepers.clear()
        for keeper in keepers:
            keeper.close()

    def prepare(self, versions: Sequence[ModelVersion]) -> None:
        """Start the processes, so that their libraries are imported while there is other work; nothing is loaded yet.

        Versions that have answered before are left alone: they may not be needed.
        """
        kept = self._home.cache / "predictions"
        for version in versions:
            if not any(kept.glob(f"{_short(version)}-*")):
                self._keeper(version, len(versions))

    def score(
        self, versions: Sequence[ModelVersion], rows: pd.DataFrame | Path, contents: str
    ) -> tuple[Predictions, ...]:
        """Predictions of several versions on the same rows (a table, or a Parquet or CSV file).

        Results are kept under the model's digest, `contents`, the columns given, and the versions of all installed
        packages; whoever gives other rows must give other `contents`.

        Raises ``ModelRefused`` when a scan finds what the policy does not trust; ``ModelFault`` when a model crashes,
        exits, hangs, takes too much memory, or gives no prediction for each row; ``ModelError`` when something is
        missing here to load it; ``DataError`` when the rows do not fit its signature; ``StateError`` when the state
        directory cannot be written.
        """
        directory = self._home.ensure(self._home.cache / "predictions")
        count = None if isinstance(rows, Path) else len(rows)
        paths = [directory / _key(version, rows, contents) for version in versions]
        found = {path: store.load(path, count) for path in dict.fromkeys(paths)}
        wanted = {path: version for path, version in zip(paths, versions, strict=True) if found[path] is None}
        for version in wanted.values():
            self._keeper(version, len(wanted))  # imports libraries during the scan
        for version in versions:
            self._clear(version)  # also what is kept came from a model: there is no way around
        if wanted:
            with (
                _os_errors(directory),
                tempfile.TemporaryDirectory(prefix=".scoring-", dir=directory, ignore_cleanup_errors=True) as made,
            ):
                flights = self._start(wanted, rows, Path(made), count)
                wait(flights.values())  # the rows stay until nobody reads them
                for path, flight in flights.items():
                    found[path] = flight.result()
            store.prune(directory)
        return tuple(predictions for path in paths if (predictions := found[path]) is not None)

    def _clear(self, version: ModelVersion) -> None:
        if version.digest not in self._cleared:
            require(version, self._section, self._home)
            self._cleared.add(version.digest)

    def _start(
        self, wanted: dict[Path, ModelVersion], rows: pd.DataFrame | Path, made: Path, count: int | None
    ) -> dict[Path, Future[Predictions]]:
        """Ask for each prediction that nobody has asked for yet."""
        with self._lock:
            mine = [path for path in wanted if path not in self._flights]
            for path in mine:
                self._flights[path] = Future()
            flights = {path: self._flights[path] for path in wanted}
        try:
            if mine:
                source = write(rows, [wanted[path] for path in mine], made)
                keepers = [self._keeper(wanted[path], len(wanted)) for path in mine]
        except BaseException as error:
            for path in mine:
                self._landed(path, error)
            raise
        for number, path in enumerate(mine):
            self._progress(f"scoring {named(wanted[path])}")
            keepers[number].ask(Job(source, made / str(number), path, count), self._landed)
        return flights

    def _landed(self, path: Path, result: Predictions | BaseException) -> None:
        with self._lock:
            flight = self._flights.pop(path)
        if isinstance(result, BaseException):
            flight.set_exception(result)
        else:
            flight.set_result(result)

    def _keeper(self, version: ModelVersion, together: int) -> Keeper:
        threads = max(1, (os.cpu_count() or 1) // min(PARALLEL, max(1, together)))
        with self._lock:
            if self._closed:
                raise DataError("the evaluation has ended")
            if version.digest not in self._keepers:
                self._keepers[version.digest] = Keeper(version, self._section, self._home, threads, self._working)
            return self._keepers[version.digest]


def score_many(
    versions: Sequence[ModelVersion],
    rows: pd.DataFrame | Path,
    *,
    data_digest: str,
    home: Home,
    progress: Callable[[str], None],
    section: SecurityGate | None = None,
) -> tuple[Predictions, ...]:
    """Predictions in a session of their own; see `Session.score`."""
    with Session(home, progress, section) as session:
        return session.score(versions, rows, data_digest)


def predict(
    version: ModelVersion,
    rows: pd.DataFrame | Path,
    *,
    data_digest: str,
    home: Home,
    progress: Callable[[str], None],
    section: SecurityGate | None = None,
) -> Predictions:
    """Predictions of one version in a session of its own; see `Session.score`."""
    (one,) = score_many([version], rows, data_digest=data_digest, home=home, progress=progress, section=section)
    return one


def write(rows: pd.DataFrame | Path, versions: list[ModelVersion], directory: Path) -> Path:
    """An Arrow file of the rows for the models' processes, written piece by piece so that nothing is copied whole.

    Only the columns that the models ask for are in it, where their signatures tell. Raises ``DataError`` when a column
    holds values of several kinds.
    """
    if isinstance(rows, Path):
        return rows
    import pyarrow as pa

    asked = {name for version in versions for name in version.inputs}
    told = all(version.inputs for version in versions)
    names = [name for name in rows.columns if name in asked] if told else list(rows.columns)
    path = directory / "rows.arrow"
    try:
        schema = _schema(rows, names)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as out:
            for start in range(0, len(rows), BATCH):
                piece = rows.iloc[start : start + BATCH][names]
                out.write_batch(pa.RecordBatch.from_pandas(piece, schema=schema, preserve_index=False))
    except (ValueError, TypeError) as error:  # pyarrow's own errors are among these
        raise DataError(
            f"these rows cannot be handed to the model: {' '.join(str(error).split())[:300]}",
            hint="a column holds values of several kinds; give it one type",
        ) from error
    return path


def _schema(rows: pd.DataFrame, names: list[Any]) -> Any:
    """The Arrow types of all rows, so that each piece has the same, and the number of rows."""
    import pyarrow as pa

    fields = []
    for name in names:
        field = pa.Schema.from_pandas(rows[[name]], preserve_index=False).field(0)
        if pa.types.is_integer(field.type) and rows[name].dtype == object and rows[name].isna().any():
            field = field.with_type(pa.float64())  # as pandas reads whole numbers with gaps
        fields.append(field)
    known = pa.Schema.from_pandas(rows.iloc[:0][names], preserve_index=False).metadata or {}
    return pa.schema(fields, metadata={**known, b"rows": str(len(rows)).encode()})


def _short(version: ModelVersion) -> str:
    return version.digest.removeprefix("sha256:")[:16]


def _key(version: ModelVersion, rows: pd.DataFrame | Path, contents: str) -> str:
    columns: Any = None if isinstance(rows, Path) else [[str(name), str(dtype)] for name, dtype in rows.dtypes.items()]
    made_by = [version.digest, contents, columns, sys.version, _installed()]
    return f"{_short(version)}-{hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:40]}"


@cache
def _installed() -> list[str]:
    return sorted({f"{found.name}=={found.version}" for found in distributions()})


@contextmanager
def _os_errors(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(
            f"cannot keep predictions: {error.strerror or error}",
            where=str(where),
            hint="free space or permissions, or point MLSHIP_HOME at a writable directory",
        ) from error
