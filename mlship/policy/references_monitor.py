"""Are the files, columns and programs there that the monitor section names? Of data, reads headers and footers only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mlship.policy.data import Dataset
from mlship.policy.datasets import check_dataset
from mlship.policy.faults import Fault, plain
from mlship.policy.formats import matches
from mlship.policy.monitor import Labels, Log
from mlship.policy.references_gates import Known, column, columns
from mlship.policy.references_rollout import command_references
from mlship.policy.subject import Subject
from mlship.policy.tree import Location

_HERE: Location = ("monitor",)
#: Keys of each source that name a column.
_NAMED: Mapping[str, tuple[str, ...]] = {
    "log": ("time", "prediction", "score", "key", "version", "target"),
    "labels": ("key", "target"),
}


def check_monitor_references(subject: Subject, known: Known, resolve: Callable[[str], Path]) -> Iterable[Fault]:
    """Faults of logs and labels that cannot be read, and of columns and programs that are not there.

    A log that has no file yet is a warning: it is written by what serves, and perhaps on another machine.
    """
    monitor = subject.policy.monitor
    if monitor is None:
        return
    found = {}
    for name, source in (("log", monitor.log), ("labels", monitor.labels)):
        faults: list[Fault] = []
        found[name] = _source(subject, (*_HERE, name), source, resolve, faults)
        yield from faults
        for key in _NAMED[name] if source is not None else ():
            if (written := getattr(source, key)) is not None:
                yield from column(subject, (*_HERE, name, key), written, found[name], f"monitor.{name}")
    rows = (
        "reference" if subject.policy.data is not None and subject.policy.data.reference is not None else "evaluation"
    )
    for key, field in (("features", "columns"), ("slices", "by")):
        here: Location = (*_HERE, key, field)
        names: tuple[str, ...] = getattr(getattr(monitor, key), field, ())
        if subject.has_broken(here):
            continue
        yield from columns(subject, here, names, known.get(rows), f"data.{rows}")
        yield from columns(subject, here, names, found["log"], "monitor.log")
    for index, item in enumerate(monitor.on_breach):
        if item.retrain is not None and item.retrain.command is not None:
            place: Location = (*_HERE, "on_breach", index, "retrain", "command")
            lacking = "where it is missing, nothing is trained"
            yield from command_references(subject, place, item.retrain.command, resolve, lacking)


def _source(
    subject: Subject, here: Location, source: Log | Labels | None, resolve: Callable[[str], Path], faults: list[Fault]
) -> tuple[str, ...] | None:
    """The columns of a source's rows; None when they cannot be known here."""
    if source is None or subject.has_broken(here):
        return None
    if source.path is not None and "://" not in source.path and not _there(source.path, resolve):
        shown = plain(subject.shown((*here, "path")) or source.path)
        what = f"there is no file {shown} yet: until there is one, nothing is read"
        faults.append(subject.warning((*here, "path"), what, "paths are relative to the policy"))
        return None
    dataset = Dataset.model_construct(path=source.path, sql=source.sql)
    return check_dataset(subject, here, dataset, resolve, faults, ordered=False)


def _there(written: str, resolve: Callable[[str], Path]) -> bool:
    try:
        path = resolve(written)
        found = matches(written, path)
        return path.exists() if found is None else bool(found)
    except (OSError, ValueError):
        return True  # what is wrong with it is told where it is read
