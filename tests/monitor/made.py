"""Incidents, events and tallies for tests of what the monitor keeps and does."""

from __future__ import annotations

from typing import Literal

from mlship.monitor.incidents import identity
from mlship.types.monitoring import Incident, IncidentEvent, Kind, Labelled, Tally

MODEL = "flight-delay"
HOUR = 3600.0


def incident(
    subject: str = "dep_delay",
    *,
    kind: Kind = "features",
    opened: float = 1_000_000.0,
    worst: int = 1,
    version: str = "4",
    resolved: float | None = None,
) -> Incident:
    return Incident(
        identity(MODEL, version, (kind, subject), opened),
        MODEL,
        version,
        kind,
        subject,
        opened,
        opened - 7200,
        worst,
        f"{subject} has moved: PSI 0.31",
        resolved,
        None if resolved is None else resolved - 1,
        "request 17 shows it",
    )


def event(one: Incident, what: Literal["opened", "worsened", "resolved"] = "opened") -> IncidentEvent:
    return IncidentEvent(one, what, one.opened if one.resolved is None else one.resolved)


def tally(number: int, part: str = "", rows: int = 120) -> Tally:
    """The window of this number; everything in it follows from the number."""
    return Tally(
        number * HOUR,
        HOUR,
        rows,
        {"dep_delay": (number, 1, 2, 3), "origin": (5, 6, 0, 0, 0)},
        (10, number),
        (1, 2, 3, 0, 0, 0),
        Labelled(7, ((1, 2, 0), (3, 1, 0)), ((4, 3, 0),), (7.0, 0.5, 1.5, 2.25)) if number % 2 else None,
        part,
        None if number % 3 else 60,
    )
