"""What a pass over the log has found, and what the next one has to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from mlship.types.monitoring import Tally, Trouble


@dataclass(frozen=True, slots=True)
class Met:
    """A file (or query) as a pass has met it."""

    name: str
    size: int
    changed: int
    """Nanoseconds since 1970: its last change."""
    newest: float | None
    """Unix time of its newest row."""
    before: int
    """Rows of this version whose window was given by then; more of them later have come too late."""
    unread: int
    """Rows without a time, and lines that are none."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What one pass leaves for the next: keep it with the windows that it gave, in one transaction."""

    labelled: float | None = None
    """Up to where (Unix time) labels were given; None: of no window yet."""
    files: Mapping[str, Met] = field(default_factory=dict)
    """By what a file is known by when it is renamed."""
    begun: bool = False
    """Whether any pass has been."""

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads back as the same value."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""
        files = {key: Met(**met) for key, met in document["files"].items()}
        return cls(document["labelled"], files, document["begun"])


@dataclass(frozen=True, slots=True)
class Read:
    """What one pass has read."""

    tallies: tuple[Tally, ...] = ()
    """Windows that are complete now and were not given before, in order; first the whole of each, then its slices (of
    which features are not counted: the baseline has none to hold them against). Windows without rows are left out.
    `labelled` is there where the labels are complete, too."""
    labelled: tuple[Tally, ...] = ()
    """Windows that were given before, and whose labels are complete now: with `labelled`, without features."""
    until: float | None = None
    """`since` of the next pass: all windows before are given. As it was, when the log could not be read."""
    newest: float | None = None
    """Unix time of the newest row of this version."""
    rows: int = 0
    """Rows in the windows of `tallies`."""
    others: int = 0
    """Rows of other versions in the same time."""
    late: int = 0
    """Rows that came after their window was given: they are in no window."""
    unread: int = 0
    """Rows without a time that can be read, and lines that are no rows; new since the last pass."""
    future: int = 0
    """Rows of a time that is still to come."""
    troubles: tuple[Trouble, ...] = ()
    notes: tuple[str, ...] = ()
    """What a person should know, and is no trouble: sentences."""
    progress: Progress = field(default_factory=Progress)
