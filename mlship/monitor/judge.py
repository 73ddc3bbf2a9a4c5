"""Judges what a pass has read, window by window and day by day, and lets incidents open, worsen and end. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from mlship.monitor import incidents, limits
from mlship.monitor.columns import PREDICTIONS, SCORES, columns, severity
from mlship.monitor.drift import Drift, History, Judge
from mlship.monitor.words import day as told_day
from mlship.policy.monitor import Monitor
from mlship.policy.units import format_duration
from mlship.types.monitoring import Baseline, Finding, Incident, IncidentEvent, Tally

_DAY = 86400.0
#: Findings about performance, estimate and value at a moment (Unix time).
Performance = Callable[[float], Sequence[Finding]]


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered between two passes, beside windows and incidents."""

    drift: Drift = field(default_factory=Drift)
    at: float | None = None
    """Unix time of the last look: the end of a window, or of a day."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of a pass."""

    state: State
    incidents: tuple[Incident, ...]
    """Those that were open before, and those that were opened."""
    events: tuple[IncidentEvent, ...]
    findings: tuple[Finding, ...]
    """How everything stands at the end."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is judged by the clock."""

    now: float
    registered: float | None
    """When the version was registered, Unix time."""
    newest: float | None
    """When the newest prediction was asked for; None: none is known."""
    known: bool
    """Whether the source of predictions could be read: else nobody knows whether they have stopped."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Who is judged, and by what."""

    model: str
    version: str
    baseline: Baseline
    monitor: Monitor
    performance: Performance
    history: History
    """Windows of earlier passes and of this one."""


def judge(watched: Watched, state: State, open_: Sequence[Incident], tallies: Sequence[Tally], facts: Facts) -> Judged:
    """Take in the whole windows of a pass, in the order of time.

    Drift is judged at the end of every window, performance at the end of every day, age and silence now. The same
    windows give the same incidents, however passes cut them. Windows of before the last look (a baseline that is made
    anew is held against all of them) change no past: they are judged by where they lead.

    Parameters
    ----------
    tallies
        Whole windows; those of slices are `performance`'s.
    """
    drift, seen = state.drift, None if state.at is None else min(state.at, facts.now)  # a clock may have been set back
    eye, looks = Judge(watched.baseline, watched.monitor, watched.history), _Looks(watched, open_, seen)
    ordered = sorted(tallies, key=lambda one: one.start)
    behind = [one for one in ordered if seen is not None and one.end <= seen]
    for tally in behind:
        drift = eye.window(drift, tally)
    if behind and seen is not None:
        looks.at(eye.findings(drift, looks.subjects()), seen)
    for tally in ordered[len(behind) :]:
        for end in ends_of_days(seen, tally.end, watched.monitor.zone):
            looks.at(watched.performance(end), end)
        drift = eye.window(drift, tally)
        seen = max(tally.end, seen or tally.end)
        looks.at(eye.findings(drift, looks.subjects()), seen)
    # Once the labels of the last window are due, nothing new is told of performance, and time alone ends no incident.
    windows = watched.history(-math.inf, math.inf)
    last = max([one.end for one in (*windows[-1:], *ordered[-1:])], default=seen or facts.now)
    told = min(facts.now, last + watched.monitor.delay + _DAY)
    for end in ends_of_days(seen, told, watched.monitor.zone):
        looks.at(watched.performance(end), end)
    days, clock = watched.performance(facts.now), by_the_clock(watched, facts)
    looks.at([*(days if facts.now <= told else ()), *clock], facts.now)
    state = State(drift, None if seen is None else max(seen, facts.now))
    return Judged(state, tuple(looks.incidents.values()), tuple(looks.events), (*eye.findings(drift), *days, *clock))


class _Looks:
    """Incidents, look by look; the time of a look never goes back."""

    def __init__(self, watched: Watched, open_: Sequence[Incident], at: float | None) -> None:
        self._watched, self._at = watched, at
        self.incidents: dict[str, Incident] = {one.id: one for one in open_}
        self.events: list[IncidentEvent] = []

    def subjects(self) -> set[str]:
        """What open incidents are about."""
        return {one.subject for one in self.incidents.values() if one.resolved is None}

    def at(self, findings: Sequence[Finding], moment: float) -> None:
        """Take one look."""
        self._at = moment if self._at is None else max(moment, self._at)
        live = [one for one in self.incidents.values() if one.resolved is None]
        after, told = incidents.step(
            live,
            findings,
            self._at,
            recovered=self._watched.monitor.recovered,
            model=self._watched.model,
            version=self._watched.version,
            dropped=[(one.kind, one.subject) for one in live if not judged(one, self._watched)],
        )
        self.incidents |= {one.id: one for one in after}
        self.events += told


def judged(incident: Incident, watched: Watched) -> bool:
    """Whether the policy still judges what an incident is about."""
    rules, kind = watched.monitor, incident.kind
    looked_at = {*columns(watched.baseline, rules)} - {PREDICTIONS, SCORES}
    figures = (*limits.asked(rules, watched.baseline), *limits.estimated(rules, watched.baseline))
    figure = any((one.kind, one.subject) == (kind, incident.subject) for one in figures)
    there = {
        "features": rules.features is not None and incident.subject in looked_at,
        "predictions": rules.predictions is not None,
        "performance": figure,
        "estimate": figure,
        "value": figure,
        "age": rules.max_age is not None,
        "silence": rules.max_silence is not None,
    }
    return there[kind]


def by_the_clock(watched: Watched, facts: Facts) -> list[Finding]:
    """The model's age, and how long nobody has asked it."""
    found: list[Finding] = []
    rules, zone = watched.monitor, watched.monitor.zone
    if rules.max_age is not None and facts.registered is not None:
        age = max(0.0, facts.now - facts.registered)
        said = f"version {watched.version} was registered {told_day(facts.registered, zone)}, {age / _DAY:.0f} days ago"
        found.append(_clock("age", age, rules.max_age, facts.registered + rules.max_age, said))
    if rules.max_silence is not None and facts.known:
        since = facts.newest if facts.newest is not None else facts.registered
        if since is not None:
            quiet = max(0.0, facts.now - since)
            last = told_day(since, zone)
            said = f"the last prediction is of {last}" if facts.newest is not None else f"no prediction since {last}"
            found.append(_clock("silence", quiet, rules.max_silence, since, said))
    return found


def _clock(kind: Literal["age", "silence"], value: float, limit: float, since: float, said: str) -> Finding:
    over = value > limit
    return Finding(
        kind=kind,
        subject="model" if kind == "age" else "traffic",
        what="days" if kind == "age" else "seconds",
        value=value / _DAY if kind == "age" else value,
        limit=f"<= {format_duration(limit)}",
        over=over,
        evidence=0.0,
        alarm=over,
        since=since if over else None,
        sentence=f"{said} ({'limit' if over else 'within'} {format_duration(limit)})",
        severity=severity(value, limit),
    )


def ends_of_days(after: float | None, until: float, zone: str) -> list[float]:
    """The midnights in (after, until], by the clock of a time zone; none before anything was seen."""
    if after is None:
        return []
    there = ZoneInfo(zone)
    date = datetime.fromtimestamp(after, there).date()
    found: list[float] = []
    while True:
        date += timedelta(days=1)
        midnight = datetime(date.year, date.month, date.day, tzinfo=there).timestamp()
        if midnight > until:
            return found
        if midnight > after:
            found.append(midnight)
