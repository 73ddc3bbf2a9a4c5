"""Where a pass gets its windows from: the team's own log, or what the model's servers tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.home import Home
from mlship.monitor import reading, serving
from mlship.monitor.reading import Order, Progress
from mlship.monitor.subject import Subject
from mlship.report.dates import hour
from mlship.report.monitor_seen import SourceSeen
from mlship.types.monitoring import Incident, Tally, Trouble

if TYPE_CHECKING:
    from mlship.policy.load import LoadedPolicy


@dataclass(frozen=True, slots=True)
class Traffic:
    """What came since the last pass."""

    tallies: tuple[Tally, ...] = ()
    """New windows, whole ones and those of slices."""
    labelled: tuple[Tally, ...] = ()
    """Windows that are known, with the labels that have come."""
    apart: tuple[Tally, ...] | None = None
    """New windows for performance alone, where drift is told by another source; None: `tallies` are for both."""
    newest: float | None = None
    """Unix time of the newest prediction."""
    rows: int = 0
    troubles: tuple[Trouble, ...] = ()
    notes: tuple[str, ...] = ()
    sources: tuple[SourceSeen, ...] = ()
    progress: Mapping[str, Any] | None = None
    """For the next pass."""

    @property
    def blind(self) -> bool:
        """Whether nobody knows if there was traffic."""
        return any(one.source in ("log", "engine") for one in self.troubles)


def take(
    loaded: LoadedPolicy, home: Home, who: Subject, *, since: float | None, now: float, before: Mapping[str, Any] | None
) -> Traffic:
    """Read what is complete and was not given before; what cannot be read is a trouble, and left for the next pass.

    Parameters
    ----------
    since
        Unix time at which the first pass begins; None: all there is.
    before
        `Traffic.progress` of the last pass.
    """
    monitor, known = loaded.policy.monitor, before or {}
    assert monitor is not None, "the caller has looked"
    if monitor.log is None:
        return _served(loaded, home, who, since=since, now=now, known=known)
    found = reading.read(
        monitor,
        who.baseline,
        loaded.resolve,
        version=who.version,
        since=known["until"] if known.get("until") is not None else since,
        now=now,
        progress=serving.resumed(loaded.policy, home, Progress.from_json, known.get("log")),
    )
    return Traffic(
        found.tallies,
        found.labelled,
        None,
        found.newest,
        found.rows,
        found.troubles,
        found.notes,
        (_source(found, _shown(loaded)),),
        {"log": found.progress.to_json(), "until": found.until},
    )


def shows(loaded: LoadedPolicy, home: Home, who: Subject, incident: Incident) -> tuple[str, ...]:
    """Some requests that show what an incident is about: key, time, value; none where they cannot be had.

    They came before it was opened.
    """
    monitor = loaded.policy.monitor
    assert monitor is not None, "the caller has looked"
    since, now = incident.since, incident.opened
    if monitor.log is None:
        order = serving.order(loaded.policy, home, who.baseline, version=who.version, since=since, now=now)
    else:
        order = Order(monitor, who.baseline, loaded.resolve, who.version, since, now)
    if order is None:
        return ()
    subject = incident.subject if incident.kind == "features" else "predictions"
    found = reading.examples(order, subject)
    return tuple(f"{one.key or 'a row'} ({hour(one.time)}): {one.value}" for one in found)


def _served(
    loaded: LoadedPolicy, home: Home, who: Subject, *, since: float | None, now: float, known: Mapping[str, Any]
) -> Traffic:
    """Sketches for drift; logs, where the servers keep them, for labels and slices."""
    policy, baseline = loaded.policy, who.baseline
    tally, sketches, servers, troubles = serving.sketched(
        policy,
        home,
        baseline,
        version=who.version,
        since=who.promoted if who.promoted is not None else since,
        now=now,
        before=known.get("sketches"),
    )
    found, more = serving.logged(
        policy, home, baseline, version=who.version, since=since, now=now, before=known.get("logs")
    )
    progress = {"sketches": sketches, "logs": known.get("logs")}
    sources = [servers]
    if found is not None:
        progress["logs"] = {"log": found.progress.to_json(), "until": found.until}
        sources.append(_source(found, "the servers' prediction logs"))
    return Traffic(
        (tally,) if tally is not None else (),
        found.labelled if found is not None else (),
        found.tallies if found is not None else (),
        found.newest if found is not None else None,
        tally.rows if tally is not None else 0,
        (*troubles, *more),
        (*(found.notes if found is not None else ()), *_waits(who, now, tally is None and not troubles)),
        tuple(sources),
        progress,
    )


def _waits(who: Subject, now: float, nothing: bool) -> tuple[str, ...]:
    """When the first window of the servers' sketches is complete, while it is not."""
    window, since = who.baseline.window, who.promoted
    if not nothing or since is None or now - since >= window:
        return ()
    return (
        f"the first window of the servers' sketches is complete {hour(since + window)}: a window after the promotion",
    )


def _source(found: reading.Read, where: str) -> SourceSeen:
    return SourceSeen("log", where, found.rows, found.newest, found.others, found.late)


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
