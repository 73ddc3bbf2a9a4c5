"""Predictions of a model version on a table of rows, made in a process of its own and kept by what made them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import DataError, MlshipError, ModelError, StateError
from mlship.home import Home
from mlship.types import ModelVersion

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

#: Models scored at once.
PARALLEL = 2
#: Predictions kept, the latest ones.
_KEPT = 100
_STDERR_LINES = 12


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model said about each row, in their order."""

    values: NDArray[np.generic]
    """Predicted classes or numbers, shape (n,)."""
    scores: NDArray[np.generic] | None = None
    """Class probabilities, shape (n, classes), or a decision value, shape (n,); None when the model has neither."""
    classes: NDArray[np.generic] | None = None
    """The classes in the order of the columns of `scores`; None when the model is no classifier or does not tell."""


def predict(
    version: ModelVersion,
    rows: pd.DataFrame | Path,
    *,
    data_digest: str,
    home: Home,
    progress: Callable[[str], None],
    timeout: float | None = None,
) -> Predictions:
    """Predictions of one version; see `score_many`."""
    (one,) = score_many([version], rows, data_digest=data_digest, home=home, progress=progress, timeout=timeout)
    return one


def score_many(
    versions: Sequence[ModelVersion],
    rows: pd.DataFrame | Path,
    *,
    data_digest: str,
    home: Home,
    progress: Callable[[str], None],
    timeout: float | None = None,
) -> tuple[Predictions, ...]:
    """Predictions of several versions on the same rows (a table, or a Parquet or CSV file), two processes at a time.

    Results are kept under the model's digest, `data_digest`, the columns given, and the versions of all installed
    packages; whoever gives other rows must give another `data_digest`. `timeout` is in seconds for each model;
    default: ten minutes, and 2 ms a row.

    Raises ``ModelError`` when a model cannot be loaded, crashes, exits, hangs, or gives no prediction for each row,
    with the last lines that it wrote; ``DataError`` when the rows do not fit its signature; ``StateError`` when the
    state directory cannot be written. No process is left behind, on Ctrl-C or a kill of this process either.
    """
    kept = home.ensure(home.cache / "predictions")
    paths = [kept / f"{_key(version, rows, data_digest)}.npz" for version in versions]
    found = {path: _load(path, rows) for path in dict.fromkeys(paths)}
    wanted = {path: version for path, version in zip(paths, versions, strict=True) if found[path] is None}
    if wanted:
        with _os_errors(kept), tempfile.TemporaryDirectory(prefix=".scoring-", dir=kept) as directory:
            source = _write(rows, list(wanted.values()), Path(directory))
            with _jobs(wanted, source, Path(directory), progress) as jobs:
                limit = timeout if timeout is not None else 600 + 0.002 * _count(rows)
                for job in _finished(jobs, limit):
                    found[job.target] = job.result(rows)
            _prune(kept)
    return tuple(predictions for path in paths if (predictions := found[path]) is not None)


@dataclass(slots=True)
class _Job:
    """One model's process: not started, running, or ended."""

    version: ModelVersion
    source: Path
    out: Path
    target: Path
    progress: Callable[[str], None]
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.version.model} version {self.version.version}"

    @property
    def log(self) -> Path:
        return self.out.with_suffix(".log")

    def start(self, threads: int) -> None:
        # -P: the model meets the same modules here as in a server, whatever directory the command runs in.
        command = [sys.executable, "-P", "-m", "mlship.gates.scorer"]
        arguments = [str(self.version.path), str(self.source), str(self.out), str(os.getpid())]
        environment = os.environ | {
            "PYTHONDONTWRITEBYTECODE": "1",  # loading must not change the files whose digest was taken
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
        }
        self.progress(f"scoring {self.name}")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self.began = time.monotonic()

    def kill(self) -> None:
        """End the process and whatever it started."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def result(self, rows: pd.DataFrame | Path) -> Predictions:
        """What the ended process left: predictions, which are put in their place; or the error it met."""
        assert self.process is not None
        problem = Path(f"{self.out}.error")
        if problem.is_file():
            raise self._told(json.loads(problem.read_text(encoding="utf-8")))
        predictions = _load(self.out, rows) if self.process.returncode == 0 else None
        if predictions is None:
            raise self._died(_end(self.process.returncode))
        self.out.replace(self.target)
        return predictions

    def overdue(self, limit: float) -> ModelError:
        return self._died(f"did not finish within {limit:.0f} s", "does it wait for something? score fewer rows")

    def _told(self, problem: dict[str, str]) -> MlshipError:
        kind = DataError if problem["kind"] == "DataError" else ModelError
        return kind(problem["what"], where=self.name, hint=problem["hint"] or self._last_words())

    def _died(self, how: str, hint: str = "") -> ModelError:
        return ModelError(f"the model's process {how}", where=self.name, hint=hint or self._last_words())

    def _last_words(self) -> str:
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 4096))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()[-_STDERR_LINES:]
        return "the last it wrote was:\n    " + "\n    ".join(lines) if lines else "it wrote nothing"


def _end(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed: out of memory, as a rule"
    if code < 0:
        return f"crashed ({signal.Signals(-code).name})"
    return f"ended by itself with exit code {code} and without predictions"


@contextmanager
def _jobs(
    wanted: dict[Path, ModelVersion], source: Path, directory: Path, progress: Callable[[str], None]
) -> Iterator[list[_Job]]:
    jobs = [
        _Job(version, source, directory / f"{number}.npz", target, progress)
        for number, (target, version) in enumerate(wanted.items())
    ]
    try:
        yield jobs
    finally:
        for job in jobs:
            job.kill()


def _finished(jobs: list[_Job], limit: float) -> Iterator[_Job]:
    """Run the jobs, some at a time, and give each when its process has ended."""
    threads = max(1, (os.cpu_count() or 1) // min(PARALLEL, len(jobs)))
    waiting, running = list(jobs), list[_Job]()
    while waiting or running:
        while waiting and len(running) < PARALLEL:
            job = waiting.pop(0)
            job.start(threads)
            running.append(job)
        for job in [job for job in running if job.process is not None and job.process.poll() is not None]:
            running.remove(job)
            yield job
        for job in running:
            if time.monotonic() - job.began > limit:
                raise job.overdue(limit)
        if running:
            time.sleep(0.02)


def _write(rows: pd.DataFrame | Path, versions: list[ModelVersion], directory: Path) -> Path:
    """A file of the rows that the processes can read; only the columns they ask for, where their signatures tell."""
    if isinstance(rows, Path):
        return rows
    asked = {name for version in versions for name in version.inputs}
    told = all(version.inputs for version in versions)
    table = rows[[name for name in rows.columns if name in asked]] if told else rows
    path = directory / "rows.parquet"
    try:
        table.to_parquet(path, index=False)
    except (ValueError, TypeError) as error:  # pyarrow's own errors are among these
        raise DataError(
            f"these rows cannot be handed to the model: {' '.join(str(error).split())[:300]}",
            hint="a column holds values of several kinds; give it one type",
        ) from error
    return path


def _load(path: Path, rows: pd.DataFrame | Path) -> Predictions | None:
    """Predictions from a file; None when there are none, or they are not these rows'."""
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    predictions = Predictions(arrays["values"], arrays.get("scores"), arrays.get("classes"))
    count = len(predictions.values) if isinstance(rows, Path) else len(rows)
    same = len(predictions.values) == count and (predictions.scores is None or len(predictions.scores) == count)
    return predictions if same else None


def _key(version: ModelVersion, rows: pd.DataFrame | Path, data_digest: str) -> str:
    columns: Any = None if isinstance(rows, Path) else [[str(name), str(dtype)] for name, dtype in rows.dtypes.items()]
    installed = sorted({f"{found.name}=={found.version}" for found in distributions()})
    made_by = [version.digest, data_digest, columns, sys.version, installed]
    return hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:40]


def _count(rows: pd.DataFrame | Path) -> int:
    if not isinstance(rows, Path):
        return len(rows)
    return rows.stat().st_size // 20  # a row of a model is rarely shorter, packed or not


def _prune(kept: Path) -> None:
    with suppress(FileNotFoundError):  # another command is at it
        for path in sorted(kept.glob("*.npz"), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
            path.unlink()
        for remains in kept.glob(".scoring-*"):  # of a command that was killed more than a day ago
            if time.time() - remains.stat().st_mtime > 86400:
                shutil.rmtree(remains, ignore_errors=True)


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
