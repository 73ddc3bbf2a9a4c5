"""What one look at this machine comes to: a finding with its reason, and the one command that mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """From good to bad, and beside the point."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"
    NOT_NEEDED = "not needed"


class Need(StrEnum):
    """Whether the policy asks for a thing."""

    YES = "yes"
    MAYBE = "maybe"
    """No policy was given, so nobody knows."""
    NO = "no"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    group: str
    name: str
    state: State
    reason: str
    """What was found, and why it matters when it is not as it should be."""
    hint: str = ""
    """One command; empty where nothing is to be done, or nothing can be."""
    seconds: float = 0.0


def lacking(group: str, name: str, need: Need, reason: str, hint: str) -> Finding:
    """A thing that is not there: as bad as it is needed."""
    state = {Need.YES: State.MISSING, Need.MAYBE: State.WARNING, Need.NO: State.NOT_NEEDED}[need]
    return Finding(group, name, state, reason, "" if need is Need.NO else hint)


def healthy(findings: Iterable[Finding]) -> bool:
    """Nothing that is needed is missing."""
    return all(finding.state is not State.MISSING for finding in findings)
