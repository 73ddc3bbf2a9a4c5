"""What a monitor keeps of a pass: the values that one transaction changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlship.monitor.acting.delivery import Delivery
from mlship.types.monitoring import Finding, Incident, IncidentEvent, Tally, Trouble


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass: when, and what came of it."""

    at: float
    """Unix time."""
    exit_code: int
    verdict: str
    """passed, failed, inconclusive, error."""
    summary: str
    """In one line."""
    seconds: float = 0.0
    """How long it took."""
    version: str = ""
    until: float | None = None
    """End of the newest window that it knows."""
    windows: int = 0
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Champion:
    """The version that is watched, and its baseline: as last told by the registry, which may be dead by now."""

    version: str
    digest: str
    """Of the model's files."""
    baseline: str = field(repr=False)
    """The text of `baseline.json`."""
    since: float | None = None
    """Unix time of its promotion."""
    looked: float = 0.0
    """Unix time at which the registry said so."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What one transaction changes; what is not named stays."""

    version: str = ""
    """Of windows and detectors."""
    windows: Sequence[Tally] = ()
    """New ones, and known ones as they are now."""
    apart: Sequence[Tally] = ()
    """The same of windows that tell performance only, where drift has another source (see ``Store.apart``)."""
    detectors: Mapping[str, Any] = field(default_factory=dict)
    """States by name, as JSON documents."""
    forget: Sequence[str] = ()
    """Versions whose windows and detectors go, before the others come: their baseline is another one now."""
    incidents: Sequence[Incident] = ()
    """New ones, and known ones as they are now."""
    events: Sequence[IncidentEvent] = ()
    """An event that is known already stays as it is."""
    deliveries: Sequence[Delivery] = ()
    """New ones; one that is known already stays as it is."""
    settled: Sequence[Delivery] = ()
    """Known ones as they are now."""
    troubles: Sequence[Trouble] | None = None
    """All that there are now."""
    findings: Sequence[Finding] | None = None
    """All of this pass."""
    last: Pass | None = None
    champion: Champion | None = None
    memory: Mapping[str, Any] = field(default_factory=dict)
    """JSON documents by name, such as sketches as they were read; None removes one."""
    thin: float | None = None
    """Unix time of now: what is older than it is kept goes."""
