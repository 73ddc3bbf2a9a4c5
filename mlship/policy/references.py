"""Do the files and columns that a policy names exist? Of data, reads headers and footers only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from mlship.policy.data import Dataset
from mlship.policy.datasets import check_dataset
from mlship.policy.faults import Fault, plain
from mlship.policy.references_endpoint import check_endpoint_references
from mlship.policy.references_gates import check_gate_references, column
from mlship.policy.references_monitor import check_monitor_references
from mlship.policy.references_rollout import check_rollout_references
from mlship.policy.subject import Subject
from mlship.policy.tree import Location


def check_references(subject: Subject, resolve: Callable[[str], Path]) -> list[Fault]:
    """Faults of every data file that cannot be used, and of every column that the file for it does not have."""
    data = subject.policy.data
    others = [
        *_runbook(subject, resolve),
        *check_endpoint_references(subject, resolve),
        *check_rollout_references(subject, resolve),
    ]
    if data is None:
        nothing = [*check_gate_references(subject, {}, resolve), *check_monitor_references(subject, {}, resolve)]
        return [*nothing, *others]
    faults: list[Fault] = []
    known: dict[str, tuple[str, ...] | None] = {}
    for name in ("evaluation", "reference", "recent"):
        here: Location = ("data", name)
        dataset: Dataset | None = getattr(data, name)
        known[name] = check_dataset(subject, here, dataset, resolve, faults)
        if dataset is not None:
            faults.extend(_dataset(subject, here, dataset, known[name]))
    evaluation, reference = known["evaluation"], known["reference"]
    contract, leakage = subject.policy.gates.contract, subject.policy.gates.leakage
    if evaluation is not None:
        for index, name in enumerate(data.entity):
            faults.extend(column(subject, ("data", "entity", index), name, evaluation, "data.evaluation"))
        for name in contract.columns if contract else ():
            faults.extend(
                column(
                    subject, ("gates", "contract", "columns", name), name, evaluation, "data.evaluation", at_key=True
                )
            )
    if reference is not None and leakage is not None and leakage.max_entity_overlap is not None:
        for index, name in enumerate(data.entity):
            if evaluation is None or name in evaluation:
                faults.extend(column(subject, ("data", "entity", index), name, reference, "data.reference"))
    faults.extend(check_gate_references(subject, known, resolve))
    return [*faults, *check_monitor_references(subject, known, resolve), *others]


def _runbook(subject: Subject, resolve: Callable[[str], Path]) -> Iterable[Fault]:
    """As the ownership gate looks for it."""
    here: Location = ("owner", "runbook")
    runbook = subject.policy.owner.runbook
    if runbook is None or subject.has_broken(("owner",)) or "://" in runbook:
        return
    if not resolve(runbook.partition("#")[0]).is_file():
        shown = plain(subject.shown(here) or runbook, 60)
        yield subject.error(here, f"there is no file {shown}", "a path relative to the policy, or a URL")


def _dataset(subject: Subject, here: Location, dataset: Dataset, known: tuple[str, ...] | None) -> Iterable[Fault]:
    if known is not None:
        for key in ("target", "time"):
            if name := getattr(dataset, key):
                yield from column(subject, (*here, key), name, known, "this file")
