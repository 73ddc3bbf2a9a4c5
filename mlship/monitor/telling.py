"""A pass, put together for its reports: what it found, what is open, what followed, and where it all came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlship.monitor import limits, store
from mlship.monitor.columns import PREDICTIONS, SCORES
from mlship.monitor.judge import Judged
from mlship.monitor.performance import Performance
from mlship.monitor.seen import DRAWN, Sight
from mlship.monitor.subject import Subject
from mlship.monitor.traffic import Traffic
from mlship.policy.monitor import Monitor
from mlship.policy.units import format_duration
from mlship.report.figures import listed
from mlship.report.monitor_seen import BaselineSeen, Done, Seen
from mlship.stats import detector
from mlship.types.monitoring import Baseline, Tally, Trouble

if TYPE_CHECKING:
    from mlship.policy.load import LoadedPolicy

#: Resolved incidents that are told beside the open ones.
_PAST = 20


@dataclass(frozen=True, slots=True)
class Told:
    """What there is to tell from, beside what the pass itself found."""

    loaded: LoadedPolicy
    kept: store.Store
    who: Subject
    now: float
    whole: Sequence[Tally]
    """All windows that are known, ascending."""
    labelled: Sequence[Tally]
    """The same, of the source that tells labels."""
    performance: Performance

    def seen(self, found: Judged, traffic: Traffic, troubles: Sequence[Trouble]) -> Seen:
        """The pass as its reports want it."""
        monitor, who, whole = self.loaded.policy.monitor, self.who, self.whole
        assert monitor is not None, "the caller has looked"
        last = whole[-1].end if whole else self.now
        drawn = [one for one in whole if one.start > last - DRAWN * 86400]
        known = [one for one in self.labelled if one.start > last - DRAWN * 86400]
        sight = Sight(who.baseline, monitor, found.findings, drawn, known, self.performance, self.now)
        figures = {one.subject: one for one in limits.asked(monitor, who.baseline)}
        coverage, covered = sight.coverage()
        incidents = {one.id: one for one in (*self.kept.open(), *self.kept.past(_PAST), *found.incidents)}
        return Seen(
            self.loaded.policy.model,
            who.version,
            str(self.loaded.path),
            self.now,
            detector.threshold(monitor.false_alarms, who.baseline.window),
            findings=found.findings,
            incidents=tuple(incidents.values()),
            events=found.events,
            troubles=tuple(troubles),
            since=drawn[0].start if drawn else None,
            until=drawn[-1].end if drawn else None,
            rows=traffic.rows,
            judged=len([one for one in whole if one.rows >= monitor.min_rows]),
            features=tuple(filter(None, map(sight.column, who.baseline.features))),
            predictions=sight.column(PREDICTIONS),
            scores=sight.column(SCORES),
            figures=tuple(sight.figure(one) for one in figures.values() if not one.slice),
            slices=tuple(sight.figure(one) for one in figures.values() if one.slice),
            coverage=coverage,
            covered=covered,
            traffic=sight.traffic(),
            sources=traffic.sources,
            baseline=BaselineSeen.of(who.baseline, digest=who.digest, run=who.run),
            done=tuple(_done(self.kept, self.now)),
            false_alarms=monitor.false_alarms,
            age=self.now - who.registered if who.registered is not None else None,
            facts=(*_facts(self.loaded), *(("note", one) for one in (*notes(monitor, who.baseline), *traffic.notes))),
        )


def notes(monitor: Monitor, baseline: Baseline) -> list[str]:
    """Where the policy asks for something that the baseline was not made for: then the baseline's way holds."""
    asked = {
        "windows": (format_duration(monitor.window), format_duration(baseline.window)),
        "the zone": (monitor.zone, baseline.zone),
        "a season": (" and ".join(monitor.season) or "none", " and ".join(baseline.season) or "none"),
    }
    found = [
        f"the policy asks for {name} {ours}, and the baseline has {theirs}: evaluate the champion again to change it"
        for name, (ours, theirs) in asked.items()
        if ours != theirs
    ]
    lacking = [name for name in (monitor.slices.by if monitor.slices else ()) if name not in baseline.slices]
    if lacking:
        found.append(f"the baseline knows no slices by {listed(lacking)}: evaluate the champion again to look at them")
    return found


def _facts(loaded: LoadedPolicy) -> tuple[tuple[str, str], ...]:
    owner = loaded.policy.owner
    found = {"owner": owner.team, "contact": owner.contact, "runbook": owner.runbook or ""}
    return tuple((name, value) for name, value in found.items() if value)


def _done(kept: store.Store, since: float) -> Iterator[Done]:
    """What was asked for in this pass, and what waits."""
    states: dict[str, Literal["done", "waiting", "failed", "skipped"]] = {
        "done": "done",
        "pending": "waiting",
        "failed": "failed",
        "dropped": "skipped",
    }
    for one in kept.deliveries():
        if one.made < since and one.over and (one.ended or 0.0) < since:
            continue
        said = one.said or "not sent yet"
        yield Done(one.action, one.tried or one.made, states[one.state], f"{one.what} to {one.place}: {said}")
