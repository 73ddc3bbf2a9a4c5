"""What a pass over a log is to do, and where the log's rows come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.errors import DataError
from mlship.monitor.reading.logs import Files, Query, Source, Wanted
from mlship.monitor.reading.served import NAMES, Served
from mlship.monitor.reading.taking import Names
from mlship.monitor.reading.values import Progress
from mlship.types.monitoring import Baseline, Bins, Trouble

if TYPE_CHECKING:
    from mlship.policy.monitor import Monitor
    from mlship.sources.quick import Kind

Resolve = Callable[[str], Path]


@dataclass(frozen=True, slots=True)
class Order:
    """What one pass is to do; fields as of `read`."""

    monitor: Monitor
    baseline: Baseline
    resolve: Resolve
    version: str
    since: float | None
    now: float
    progress: Progress | None = None
    served: tuple[Path, ...] = ()
    redacted: frozenset[str] = frozenset()


def trouble(source: str, error: DataError, now: float) -> Trouble:
    """An error as something that is told, in one sentence."""
    where = f"{error.where}: " if error.where else ""
    return Trouble(source, f"{where}{error.what}" + (f"; {error.hint}" if error.hint else ""), now)


def source_of(order: Order, *, keys: bool = False) -> tuple[Source, Names]:
    """Where the log's rows come from, and what it calls them.

    Parameters
    ----------
    keys
        Whether the keys of predictions are wanted; they are read where labels need them, too.
    """
    monitor, baseline = order.monitor, order.baseline
    log = monitor.log
    kinds: dict[str, Kind | None] = {name: _kind(column.bins) for name, column in baseline.features.items()}
    if log is None:
        names = replace(NAMES, features={name: f"{NAMES.features['']}{name}" for name in (*kinds, *baseline.slices)})
        return Served(order.served, baseline, order.now), names
    key = log.key if keys or monitor.labels is not None else None
    names = Names(log.time, log.prediction, log.score, key, log.version, log.target)
    for name in baseline.slices:
        kinds.setdefault(name, "text")
    for called in (log.prediction, log.target):
        if called is not None:
            kinds.setdefault(called, None)
    if log.score is not None:
        kinds.setdefault(log.score, "number")
    for called in (key, log.version):
        if called is not None:
            kinds.setdefault(called, None)
    required = frozenset(filter(None, (log.prediction, log.score, key, log.version, log.target)))
    wanted = Wanted(log.time, kinds, frozenset(filter(None, (key,))), required)
    if log.sql is not None:
        return Query(log.sql, order.resolve("."), wanted), names
    assert log.path is not None, "the policy has one of the two"
    return Files(log.path, order.resolve(log.path), wanted, monitor.zone, order.now), names


def _kind(bins: Bins) -> Kind:
    if bins.kind == "numbers":
        return "number"
    return "boolean" if bins.names and set(bins.names) <= {"true", "false"} else "text"
