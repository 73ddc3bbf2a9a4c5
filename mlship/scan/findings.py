"""What a scan of a model directory found: nothing, or things that would run and are not trusted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlship.report.figures import listed


class Kind(StrEnum):
    """Why something is not trusted."""

    DANGEROUS = "dangerous"
    """It can run anything; only its exact name in `allow_types` lets it pass."""
    UNKNOWN = "unknown"
    """Nobody has said that it is harmless; a name or `module.*` in `allow_types` lets it pass."""
    CODE = "code"
    """Python code that travels with the model; `allow_code` lets it pass."""
    UNREADABLE = "unreadable"
    """It cannot be looked through, so nothing is known about it; nothing lets it pass."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing in one file."""

    file: str
    """Relative to the model directory; a member of an archive follows after `!`."""
    kind: Kind
    what: str
    """The type, as `module.Name`; or what is wrong with the file."""

    def __str__(self) -> str:
        if self.kind is Kind.UNREADABLE:
            return f"{self.file} cannot be looked through: {self.what}"
        if self.kind is Kind.CODE:
            return f"{self.file} brings code of its own ({self.what})"
        return f"{self.file} needs {self.what}, which {_WHY[self.kind]}"


_WHY = {Kind.DANGEROUS: "can run anything", Kind.UNKNOWN: "nobody has declared harmless"}
_GRAVEST = (Kind.DANGEROUS, Kind.UNREADABLE, Kind.CODE, Kind.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that one scan found."""

    found: tuple[Finding, ...]
    """What the policy does not trust, the gravest first."""
    files: int
    """Files looked at."""
    types: int
    """Distinct types and functions that loading would reach."""

    @property
    def safe(self) -> bool:
        """Whether the model may be loaded."""
        return not self.found

    @property
    def told(self) -> str:
        """In one sentence."""
        if self.safe:
            return f"{self.files} files would load {self.types} types, all of them trusted"
        return listed([str(finding) for finding in self.found], 3)


def sorted_findings(found: set[Finding]) -> tuple[Finding, ...]:
    """The gravest first, then by file and name."""
    return tuple(sorted(found, key=lambda one: (_GRAVEST.index(one.kind), one.file, one.what)))
