"""What the servers of a model have seen: the sketches that they export, and where their prediction logs are."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.engines import state
from mlship.guardian import asking
from mlship.stats.sketch_categories import CAPACITY, CategorySketch
from mlship.stats.sketch_numbers import BUCKETS, NumberSketch
from mlship.stats.sketches import ColumnSketch

if TYPE_CHECKING:
    from mlship.home import Home

#: What to ask, how long it may take to the last byte, and how many bytes are read of it.
PATH, SECONDS, MOST = "/sketches", 5.0, 64 << 20
#: Bounds of what is believed; a server keeps within them (`serving.notes`).
MAX_COLUMNS, LARGEST, LONGEST = 512, 2**53, 1024
#: Folder of the prediction logs, in a local engine's directory and beside the logs of a container that has ended.
PREDICTIONS = "predictions"


@dataclass(frozen=True, slots=True)
class Exported:
    """The answer of `GET /sketches`: all since `epoch` began."""

    version: str
    epoch: str
    missed: int
    """Rows that came too fast to be noted at all."""
    thinned: int
    """Rows whose features were left out."""
    features: Mapping[str, ColumnSketch]
    outputs: Mapping[str, ColumnSketch]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the servers of one endpoint have said."""

    told: Mapping[str, Exported]
    """By a name that is new at each deployment."""
    silent: tuple[str, ...]
    """Servers that run and did not answer, or not with sketches."""


def ask(home: Home, model: str) -> Asked:
    """What every server of a model exports now; nothing where no engine runs. Raises ``EngineError``."""
    directory = home.engine(model)
    if state.kind(directory) == "docker":
        from mlship.engines.docker import told

        bodies = told.sketches(home, model)
    else:
        known = state.load(directory)
        bodies = {one.cluster: _get(one.port) for one in known.servers.values()} if known else {}
    read_ = {name: None if body is None else read(body) for name, body in bodies.items()}
    told_ = {name: one for name, one in read_.items() if one is not None}
    return Asked(told_, tuple(name for name in read_ if name not in told_))


def logs(home: Home, model: str, version: str, into: Path) -> tuple[Path, ...]:
    """Directories that hold prediction logs of a version: of servers that run, and of those that have ended.

    Parameters
    ----------
    into
        Where logs of containers that run are copied; kept from pass to pass, so that files keep their identity.

    Raises ``EngineError``.
    """
    directory = home.engine(model)
    if state.kind(directory) == "docker":
        from mlship.engines.docker import told

        told.logs(home, model, version, into)
    places = (f"{PREDICTIONS}/*", f"logs/*/{PREDICTIONS}/*")
    found = [path for place in places for path in directory.glob(place)] + list(into.glob(f"*/{PREDICTIONS}/*"))
    ours = {path for path in found if path.name.rpartition("-")[0] == version and path.is_dir()}
    # A container that has ended is there twice: its log was brought home, and is whole there.
    home_again = {path.parent.parent.name for path in ours if path.is_relative_to(directory / "logs")}
    return tuple(sorted(path for path in ours if not (into in path.parents and path.parent.parent.name in home_again)))


def read(body: bytes) -> Exported | None:
    """A server's answer, whole; None when there is anything in it that a server never says, or too much of it."""
    if len(body) > MOST:
        return None
    try:
        given = json.loads(body, parse_constant=_refuse)
        return Exported(
            _text(given["version"]),
            _text(given["epoch"]),
            _count(given["rows_missed"]),
            _count(given["rows_thinned"]),
            _columns(given["features"]),
            _columns(given["outputs"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _columns(given: Any) -> dict[str, ColumnSketch]:
    if not isinstance(given, dict) or len(given) > MAX_COLUMNS:
        raise _Strange
    found = {}
    for name, document in given.items():
        sketch = ColumnSketch.from_json(document)
        _check(sketch)
        found[_text(name)] = sketch
    return found


def _check(sketch: ColumnSketch) -> None:
    """Raise ``ValueError`` for a sketch that no server makes."""
    _count(sketch.none), _count(sketch.unlike)
    _numbers(sketch.numbers)
    _categories(sketch.categories)


def _numbers(numbers: NumberSketch) -> None:
    parts = [_count(one) for one in (numbers.zero, numbers.below, numbers.beyond)]
    for side in (numbers.positive, numbers.negative):
        if len(side) > BUCKETS or any(abs(key) > BUCKETS for key in side):
            raise _Strange
        parts.append(_sum(side.values()))
    moments = (numbers.mean, numbers.m2)
    if _count(numbers.count) != sum(parts) or not all(isinstance(one, int | float) for one in moments):
        raise _Strange
    _count(numbers.nan)


def _categories(categories: CategorySketch) -> None:
    if len(categories.counts) > CAPACITY or any(len(_text(name)) > LONGEST for name in categories.counts):
        raise _Strange
    _count(categories.error)
    if _sum(categories.counts.values()) > _count(categories.count):
        raise _Strange


def _sum(counts: Iterable[Any]) -> int:
    return sum(map(_count, counts))


def _count(given: Any) -> int:
    """A count; true is none."""
    if type(given) is not int or not 0 <= given < LARGEST:
        raise _Strange
    return given


def _text(given: Any) -> str:
    if not isinstance(given, str) or len(given) > LONGEST:
        raise _Strange
    return given


def _refuse(constant: str) -> float:
    """Instead of NaN and infinities, which JSON lacks, and Python's reader takes."""
    raise ValueError(constant)


class _Strange(ValueError):
    """Something that no server says."""


def _get(port: int) -> bytes | None:
    try:
        ((status, body),) = asking.get("127.0.0.1", port, (PATH,), SECONDS, MOST)
    except (OSError, http.client.HTTPException):
        return None
    return body if status == HTTPStatus.OK else None
