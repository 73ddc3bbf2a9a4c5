"""Historical and online features from Feast, which runs in a Python of its own: Feast needs pandas before version 3."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import DataError
from mlship.sources import feast_child
from mlship.sources.feast_python import python_for

if TYPE_CHECKING:
    import pandas as pd

    from mlship.home import Home
    from mlship.policy.gates import FeastStore

#: The column that tells which entity row a row answers, and the one that Feast takes for the time.
ROW, TIME = feast_child.ROW, feast_child.TIME


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What Feast knows about some entities."""

    offline: pd.DataFrame
    """Columns `ROW`, the join keys, `TIME` and the features. Per entity row its historical values at its time, and,
    where the online store was last filled before that time, those at the moment it was filled."""
    online: pd.DataFrame
    """The same columns: per entity row the online values."""
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    """The features, in the order of the policy."""
    timed: bool
    """Whether the entities say their times; else all are of now."""
    filled: dict[str, str]
    """Up to when each feature view was materialised."""
    never: tuple[str, ...]
    """Feature views that were never materialised, as far as the registry knows."""
    statuses: dict[str, dict[str, int]]
    """How often each feature was PRESENT, NOT_FOUND, NULL_VALUE or OUTSIDE_MAX_AGE online."""


def retrieve(
    store: FeastStore,
    repository: Path,
    entities: pd.DataFrame,
    home: Home,
    *,
    python: Path | None = None,
    progress: Callable[[str], None],
    tick: Callable[[int, int], None],
) -> Features:
    """Historical and online values of `store.features` for each row of `entities`.

    `python` is the policy's Python with Feast; default: `FEAST_PYTHON`, else an environment that is made once in the
    state directory. `progress` hears sentences, `tick` how many rows the online store has answered.

    Raises ``DataError`` when there is no such Python, or with Feast's own reason when it cannot answer.
    """
    executable = python_for(python, home, progress)
    with tempfile.TemporaryDirectory(prefix=".feast-", dir=home.ensure(home.cache)) as directory:
        out = Path(directory)
        plain(entities).to_parquet(out / "entities.parquet", index=False)
        request = {
            "repository": str(repository),
            "features": list(store.features),
            "entities": str(out / "entities.parquet"),
        }
        (out / "request.json").write_text(json.dumps(request), encoding="utf-8")
        progress(f"asking Feast for {len(store.features)} features of {len(entities):,} entity rows")
        code, last = _run([str(executable), "-I", feast_child.__file__, str(out / "request.json"), str(out)], tick)
        return _answer(out, code, last, repository)


def plain(entities: pd.DataFrame) -> pd.DataFrame:
    """The same rows without categories, which Feast does not take for keys."""
    import pandas as pd

    def undone(column: pd.Series[Any]) -> pd.Series[Any]:
        dtype = column.dtype
        return column.astype(dtype.categories.dtype) if isinstance(dtype, pd.CategoricalDtype) else column

    return entities.apply(undone)


def _run(command: list[str], tick: Callable[[int, int], None]) -> tuple[int, list[str]]:
    """Exit code and last words of Feast's process, which never outlives this call."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    environment |= {"FEAST_USAGE": "False", "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*command, str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,
    )
    last: deque[str] = deque(maxlen=12)
    try:
        assert process.stderr is not None, "it is a pipe"
        for line in process.stderr:
            match line.split():
                case ["progress", done, total]:
                    tick(int(done), int(total))
                case _:
                    last.append(line.rstrip())
        return process.wait(), list(last)
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answer(out: Path, code: int, last: list[str], repository: Path) -> Features:
    import pandas as pd

    problem = out / "error.json"
    if problem.is_file():
        said = json.loads(problem.read_text(encoding="utf-8"))
        raise DataError(said["what"], where=f"Feast repository {repository}", hint=said["hint"])
    if code != 0 or not (out / "told.json").is_file():
        words = "\n    ".join(last) or "nothing"
        raise DataError(
            f"Feast ended with exit code {code}",
            where=f"Feast repository {repository}",
            hint=f"its last words were:\n    {words}",
        )
    told = json.loads((out / "told.json").read_text(encoding="utf-8"))
    return Features(
        offline=pd.read_parquet(out / "offline.parquet"),
        online=pd.read_parquet(out / "online.parquet"),
        keys=tuple(told["keys"]),
        columns=tuple(told["columns"]),
        timed=told["timed"],
        filled=told["materialised"],
        never=tuple(told["never"]),
        statuses=told["statuses"],
    )
