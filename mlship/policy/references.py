"""Do the files and columns that a policy names exist? Reads headers and footers only."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path

from mlship.policy.columns import NotATableError, columns
from mlship.policy.data import Dataset
from mlship.policy.explain import suggestion
from mlship.policy.faults import Fault, plain
from mlship.policy.lint import Subject
from mlship.policy.tree import Location, Scalar, find


def check_references(subject: Subject, resolve: Callable[[str], Path]) -> list[Fault]:
    """Faults of every data file that cannot be used, and of every column that the file for it does not have."""
    data = subject.policy.data
    if data is None:
        return []
    faults: list[Fault] = []
    here: Location = ("data", "evaluation")
    evaluation = _columns(subject, here, data.evaluation, resolve, faults)
    reference = None
    if data.reference is not None:
        reference = _columns(subject, ("data", "reference"), data.reference, resolve, faults)
    faults.extend(_dataset(subject, here, data.evaluation, evaluation))
    if data.reference is not None:
        faults.extend(_dataset(subject, ("data", "reference"), data.reference, reference))
    contract, leakage = subject.policy.gates.contract, subject.policy.gates.leakage
    if evaluation is not None:
        for index, name in enumerate(data.entity):
            faults.extend(_column(subject, ("data", "entity", index), name, evaluation, "data.evaluation"))
        for name in contract.columns if contract else ():
            faults.extend(
                _column(
                    subject, ("gates", "contract", "columns", name), name, evaluation, "data.evaluation", at_key=True
                )
            )
    if reference is not None and leakage is not None and leakage.max_entity_overlap is not None:
        for index, name in enumerate(data.entity):
            if evaluation is None or name in evaluation:
                faults.extend(_column(subject, ("data", "entity", index), name, reference, "data.reference"))
    return faults


def _dataset(subject: Subject, here: Location, dataset: Dataset, known: tuple[str, ...] | None) -> Iterable[Fault]:
    if known is not None:
        for key in ("target", "time"):
            if name := getattr(dataset, key):
                yield from _column(subject, (*here, key), name, known, "this file")


def _column(
    subject: Subject, location: Location, name: str, known: tuple[str, ...], file: str, *, at_key: bool = False
) -> Iterable[Fault]:
    if name in known:
        return
    hint = suggestion(name, list(known)) or f"it has {plain(', '.join(known), 80)}"
    shown = subject.shown(location) or plain(name)
    yield subject.error(location, f"{file} has no column '{shown}'", hint, at_key=at_key)


def _columns(
    subject: Subject, here: Location, dataset: Dataset, resolve: Callable[[str], Path], faults: list[Fault]
) -> tuple[str, ...] | None:
    """The columns of a dataset's file; None, and a fault, when they cannot be read."""
    location = (*here, "path")
    if dataset.path is None:
        return None
    if "://" in dataset.path:
        faults.append(subject.error(location, "only local files can be read", "copy the file and give its path"))
        return None
    path = resolve(dataset.path)
    node = find(subject.tree, location)
    # A path that came from the environment is shown as it stands in the file.
    shown = subject.shown(location) if isinstance(node, Scalar) and node.from_environment else str(path)
    try:
        if path.is_dir():
            faults.append(subject.error(location, f"{shown} is a directory", "name one Parquet or CSV file"))
            return None
        if path.exists() and not path.is_file():
            faults.append(subject.error(location, f"{shown} is not a regular file", "name one Parquet or CSV file"))
            return None
        return columns(path)
    except FileNotFoundError:
        faults.append(
            subject.error(location, f"there is no file {shown}", _beside(path) or "paths are relative to the policy")
        )
    except NotATableError as error:
        faults.append(
            subject.error(location, f"{shown} cannot be used: {error}", "give a Parquet file, or CSV with a header")
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        faults.append(
            subject.error(location, f"{shown} cannot be read: {reason}", "check the path and its permissions")
        )
    return None


def _beside(path: Path) -> str:
    """The file of a like name in the same directory, if there is one."""
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_file()][:1000]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name[:100], names, n=1)
    return f"did you mean '{near[0]}'?" if near else ""
