"""What was gathered of one model, before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlship.estate.policies import Found
from mlship.estate.registries import Registered
from mlship.types import LedgerEntry
from mlship.types.estate import Trace
from mlship.types.monitoring import Finding, Incident, Trouble


@dataclass(frozen=True, slots=True)
class Watched:
    """What the monitor remembers of a model here."""

    at: float | None = None
    """Unix time of the last pass."""
    verdict: str = ""
    summary: str = ""
    findings: tuple[Finding, ...] = ()
    open: tuple[Incident, ...] = ()
    past: tuple[Incident, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    champion: str | None = None
    """The version that it watched last."""
    since: float | None = None
    """Unix time of that one's promotion."""
    asked: float | None = None
    """Unix time at which a retraining was last asked for, and taken; None: never."""
    refused: str = ""
    """What came of the last retraining, where it was given up."""
    drift: Trace | None = None
    performance: Trace | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """One model."""

    model: str
    policies: tuple[Found, ...] = ()
    """The one that counts first."""
    registry: str = ""
    """The registry's name, without anything secret."""
    reached: bool = True
    """Whether that registry answered."""
    registered: Registered | None = None
    entries: tuple[LedgerEntry, ...] = ()
    """Of the ledger, oldest first."""
    running: Mapping[str, Any] | None = None
    """As `mlship status --format json` tells it; None: nothing runs here."""
    watched: Watched = Watched()
