"""Where a pass gets its windows from: the team's own log, or what the model's servers tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.home import Home
from mlship.monitor import reading
from mlship.monitor.reading import Progress
from mlship.monitor.subject import Subject
from mlship.report.monitor_seen import SourceSeen
from mlship.types.monitoring import Baseline, Incident, Tally, Trouble

if TYPE_CHECKING:
    from mlship.policy.load import LoadedPolicy


@dataclass(frozen=True, slots=True)
class Traffic:
    """What came since the last pass."""

    tallies: tuple[Tally, ...] = ()
    """New windows, whole ones and those of slices."""
    labelled: tuple[Tally, ...] = ()
    """Windows that are known, with the labels that have come."""
    newest: float | None = None
    """Unix time of the newest prediction."""
    rows: int = 0
    troubles: tuple[Trouble, ...] = ()
    notes: tuple[str, ...] = ()
    sources: tuple[SourceSeen, ...] = ()
    progress: Mapping[str, Any] | None = None
    """For the next pass; None: as it was."""

    @property
    def blind(self) -> bool:
        """Whether nobody knows if there was traffic."""
        return any(one.source in ("log", "engine") for one in self.troubles)


def take(
    loaded: LoadedPolicy,
    home: Home,
    baseline: Baseline,
    *,
    version: str,
    since: float | None,
    now: float,
    before: Mapping[str, Any] | None,
) -> Traffic:
    """Read what is complete and was not given before; what cannot be read is a trouble, and left for the next pass.

    Parameters
    ----------
    since
        Unix time at which windows begin that are not known yet; None: all there is.
    before
        `Traffic.progress` of the last pass.
    """
    monitor = loaded.policy.monitor
    assert monitor is not None, "the caller has looked"
    if monitor.log is None:
        from mlship.monitor import serving

        return serving.take(loaded, home, baseline, version=version, since=since, now=now, before=before)
    known = Progress.from_json(before["log"]) if before is not None and "log" in before else None
    until = before.get("until") if before is not None else None
    found = reading.read(
        monitor,
        baseline,
        loaded.resolve,
        version=version,
        since=until if until is not None else since,
        now=now,
        progress=known,
    )
    return of(found, (_shown(loaded),))


def of(found: reading.Read, where: tuple[str, ...]) -> Traffic:
    """One reading of logs, as the pass wants it."""
    seen = SourceSeen("log", ", ".join(where), found.rows, found.newest, found.others, found.late)
    return Traffic(
        found.tallies,
        found.labelled,
        found.newest,
        found.rows,
        found.troubles,
        found.notes,
        (seen,),
        {"log": found.progress.to_json(), "until": found.until},
    )


def shows(loaded: LoadedPolicy, home: Home, who: Subject, incident: Incident, now: float) -> tuple[str, ...]:
    """Some requests that show what an incident is about; none where they cannot be had."""
    monitor = loaded.policy.monitor
    assert monitor is not None, "the caller has looked"
    del home, who, incident, now
    return ()


def _shown(loaded: LoadedPolicy) -> str:
    """The log as people know it; never a database's password."""
    monitor = loaded.policy.monitor
    assert monitor is not None, "the caller has looked"
    assert monitor.log is not None, "asked before"
    if monitor.log.path is not None:
        return monitor.log.path
    from mlship.policy.databases import driver_of

    assert monitor.log.sql is not None, "the policy has one of the two"
    return f"a query ({driver_of(monitor.log.sql.url) or 'SQL'})"
