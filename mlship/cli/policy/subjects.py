"""A policy as something to compare: valid, with the places of its keys, whatever the environment lacks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mlship.errors import PolicyError
from mlship.policy import tree
from mlship.policy.faults import Fault, Severity, Spot
from mlship.policy.load import examine_text
from mlship.policy.tree import Node

if TYPE_CHECKING:
    from mlship.cli.policy.revisions import Version
    from mlship.policy.subject import Subject

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class InvalidPolicy(PolicyError):
    """A policy that has faults."""

    def __init__(self, faults: list[Fault], where: str) -> None:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"the policy has {count}", *map(str, faults)]), where=where)
        self.faults = tuple(faults)


def read(version: Version) -> Subject:
    """The policy in a version.

    Variables that are not set stand for themselves: a secret of the pipeline is not at hand where two policies are
    compared, and its name is what matters. A limit or a duration must be known.

    Raises ``InvalidPolicy`` with every fault.
    """
    unset = {name for name in _REFERENCE.findall(version.text) if not os.environ.get(name)}
    subject, faults = _examine(version, {**os.environ, **{name: f"${{{name}}}" for name in unset}})
    if subject is not None and subject.tree == subject.written:
        stand_ins = set(_stand_ins(subject.written, unset))
        faults = [fault for fault in faults if (fault.line, fault.col) not in stand_ins]
    elif unset:
        _, told = _examine(version, os.environ)
        faults = told or faults
    if subject is None or faults:
        raise InvalidPolicy(faults, version.name)
    return subject


def _examine(version: Version, environ: Mapping[str, str]) -> tuple[Subject | None, list[Fault]]:
    subjects: list[Subject] = []

    def keep(subject: Subject) -> tuple[Fault, ...]:
        subjects.append(subject)
        return ()

    checked = examine_text(version.text, version.path, version.name, environ, data=False, also=keep)
    return next(iter(subjects), None), [fault for fault in checked.faults if fault.severity is Severity.ERROR]


def _stand_ins(node: Node, unset: set[str]) -> Iterator[tuple[int, int]]:
    """Line and column of each value that names a variable which is not set."""
    match node:
        case tree.Mapping():
            for _, inner in node.entries.values():
                yield from _stand_ins(inner, unset)
        case tree.Sequence():
            for item in node.items:
                yield from _stand_ins(item, unset)
        case tree.Scalar(spot=Spot(line, column)) if node.from_environment and unset & {
            *_REFERENCE.findall(node.written)
        }:
            yield line, column
