"""One pass of the monitor: read, judge, keep all of it in one transaction, let follow what has to, and tell."""

from __future__ import annotations

import shutil
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import Exit
from mlship.home import Home
from mlship.monitor import schema, store, subject
from mlship.monitor.acting import deliver, plan
from mlship.monitor.columns import PREDICTIONS, shares
from mlship.monitor.judge import Facts, Judged, State, Watched, judge
from mlship.monitor.kept import Changes, Pass
from mlship.monitor.performance import Performance
from mlship.monitor.telling import Told
from mlship.monitor.traffic import Traffic, shows, take
from mlship.report.monitor_seen import Done, Example, Seen
from mlship.types import Status
from mlship.types.monitoring import IncidentEvent, Tally

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from mlship.policy.load import LoadedPolicy
    from mlship.policy.monitor import Monitor

#: With which code a pass ends.
EXITS = {
    Status.PASSED: Exit.PASSED,
    Status.FAILED: Exit.GATE_FAILED,
    Status.INCONCLUSIVE: Exit.INCONCLUSIVE,
    Status.ERROR: Exit.UNREACHABLE,
}
#: Windows that are new or changed: those that drift is told by, and those for performance alone.
_Both = tuple[Sequence[Tally], Sequence[Tally]]
#: Names under which the store keeps what the next pass needs.
_STATE, _PROGRESS, _BASELINE = "state", "progress", "baseline"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asked for beside what the policy says."""

    since: float | None = None
    """Unix time at which the first pass begins."""
    dry_run: bool = False
    """Look and tell only."""


def look(
    loaded: LoadedPolicy,
    home: Home,
    now: float,
    asked: Asked | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Seen:
    """One pass over what came since the last one; what is found is kept before anything follows from it.

    Parameters
    ----------
    now
        Unix time.
    say
        Told each step in one sentence.

    Raises ``Inconclusive`` when nobody is champion, ``RegistryError`` when it has no baseline or cannot be told, and
    ``StateError`` when what is known cannot be kept.
    """
    asked = asked or Asked()
    began = time.monotonic()
    with _kept(home, loaded.policy.model, dry_run=asked.dry_run) as kept:
        say("reaching the registry")
        return _Pass(loaded, home, kept, now, asked).run(began, say)


class _Pass:
    def __init__(self, loaded: LoadedPolicy, home: Home, kept: store.Store, now: float, asked: Asked) -> None:
        assert loaded.policy.monitor is not None, "the caller has looked"
        self._loaded, self._home, self._kept, self._now = loaded, home, kept, now
        self._asked = asked
        self._monitor: Monitor = loaded.policy.monitor
        self._model = loaded.policy.model
        self._who = subject.subject(loaded.policy, home, kept, now)
        self._version = self._who.version

    def run(self, began: float, say: Callable[[str], None]) -> Seen:
        """Do all of it."""
        known = self._kept.detectors(self._version)
        stale = known.get(_BASELINE, self._who.digest) != self._who.digest
        before = self._state(known[_STATE]) if _STATE in known else State()
        # Traffic is held against another baseline from the beginning, but what people were told stays told.
        known, state = ({}, State(at=before.at)) if stale else (known, before)
        windows = [] if stale else list(self._kept.windows(self._version, part=None))
        say("reading traffic")
        apart = [] if stale else list(self._kept.apart(self._version))
        traffic = self._take(known.get(_PROGRESS))
        new, told = list(traffic.tallies), list(traffic.apart or ())
        changed = _labelled(windows if traffic.apart is None else apart, traffic.labelled)
        everything = sorted([*windows, *new], key=lambda one: (one.start, one.slice))
        performance = Performance(self._who.baseline, self._monitor, shares(self._who.baseline, self._monitor))
        performance.put(everything if traffic.apart is None else [*apart, *told])
        whole = [one for one in everything if not one.slice]
        say("judging")
        facts = Facts(self._now, self._who.registered, self._newest(traffic, whole), known=not traffic.blind)
        watched = Watched(
            self._model, self._version, self._who.baseline, self._monitor, performance.findings, _history(whole)
        )
        found = judge(watched, state, self._kept.open(), [one for one in new if not one.slice], facts)
        found, examples = self._shown(found)
        until = whole[-1].end if whole else self._now
        both = ([*new, *changed], told) if traffic.apart is None else (new, [*told, *changed])
        why_not = self._keep(found, traffic, both, until=until, forget=stale)
        troubles = [*traffic.troubles, *([self._who.trouble] if self._who.trouble else [])]
        last = self._kept.last()
        if not self._asked.dry_run:
            say("sending what is due")
            troubles += deliver.deliver(self._home, self._loaded, self._kept, self._now)
        lasting = store.lasting(self._kept.troubles(), troubles)
        of_labels = whole if traffic.apart is None else [one for one in (*apart, *told) if not one.slice]
        teller = Told(self._loaded, self._kept, self._who, self._now, whole, of_labels, performance)
        seen = replace(
            teller.seen(found, traffic, lasting),
            windows=len([one for one in new if not one.slice]),
            before=last.at if last else None,
            examples=examples,
        )
        waiting = tuple(Done("retrain", self._now, "skipped", why) for why in why_not)
        seen = replace(seen, done=(*seen.done, *waiting))
        self._end(seen, time.monotonic() - began)
        return seen

    def _state(self, document: Any) -> State:
        try:
            return _states().validate_python(document)
        except ValueError as error:
            raise schema.damaged(self._kept.path, "the state of the detectors cannot be read") from error

    def _take(self, before: Mapping[str, Any] | None) -> Traffic:
        since = self._asked.since if self._asked.since is not None else self._who.promoted
        since, before = self._from_its_promotion(since, before)
        return take(self._loaded, self._home, self._who, since=since, now=self._now, before=before)

    def _from_its_promotion(
        self, since: float | None, before: Mapping[str, Any] | None
    ) -> tuple[float | None, Mapping[str, Any] | None]:
        """Where to begin when another version was champion at the last pass.

        Rows that name no version are of whoever served then: those of before the promotion are not this version's.
        """
        promoted, last, log = self._who.promoted, self._kept.champion(), self._monitor.log
        nobody_says = log is not None and log.version is None
        if not nobody_says or promoted is None or last is None or last.version == self._version:
            return since, before
        since = promoted if since is None else max(since, promoted)
        if before is not None and before.get("until") is not None:
            before = {**before, "until": max(before["until"], promoted)}
        return since, before

    def _newest(self, traffic: Traffic, whole: Sequence[Tally]) -> float | None:
        known = [one.end for one in whole if one.rows] + ([traffic.newest] if traffic.newest is not None else [])
        return min(max(known), self._now) if known else None

    def _shown(self, found: Judged) -> tuple[Judged, tuple[Example, ...]]:
        """The incidents with the requests that show them, where they open."""
        examples: list[Example] = []
        events: list[IncidentEvent] = []
        incidents = {one.id: one for one in found.incidents}
        for event in found.events:
            one = event.incident
            rows: tuple[str, ...] = ()
            if event.what == "opened" and one.kind in ("features", PREDICTIONS):
                rows = shows(self._loaded, self._home, self._who, one)
            if rows:
                examples.append(Example(one.kind, one.subject, rows))
                one = replace(one, detail=f"such as {'; '.join(rows)}")
                incidents[one.id] = replace(incidents[one.id], detail=one.detail)
            events.append(replace(event, incident=one))
        return replace(found, incidents=tuple(incidents.values()), events=tuple(events)), tuple(examples)

    def _keep(self, found: Judged, traffic: Traffic, windows: _Both, *, until: float, forget: bool) -> tuple[str, ...]:
        """All of it in one transaction, what is to be sent included; returns why something does not follow yet."""
        open_ = [one for one in found.incidents if one.resolved is None]
        known = plan.Known(self._kept.acts("retrain"), self._kept.acts("rollback"))
        events = () if self._asked.dry_run else found.events
        follows = plan.plan(self._loaded.policy, self._loaded.digest, events, open_, known, now=self._now, until=until)
        states = {_STATE: _states().dump_python(found.state, mode="json"), _BASELINE: self._who.digest}
        self._kept.commit(
            Changes(
                version=self._version,
                windows=windows[0],
                apart=windows[1],
                detectors=states | ({_PROGRESS: traffic.progress} if traffic.progress is not None else {}),
                forget=[self._version] if forget else [],
                incidents=found.incidents,
                events=found.events,
                deliveries=follows.deliveries if not self._asked.dry_run else (),
                findings=found.findings,
                champion=self._who.champion,
                memory=self._who.more,
                thin=until,
            )
        )
        return follows.why_not

    def _end(self, seen: Seen, seconds: float) -> None:
        """Note how the pass has ended, for who asks later."""
        from mlship.report.monitor_json import traces
        from mlship.report.monitor_words import summary

        last = Pass(
            self._now,
            int(EXITS[seen.status]),
            str(seen.status),
            summary(seen),
            seconds,
            self._version,
            seen.until,
            seen.windows,
            seen.rows,
        )
        told = {"traces": traces(seen), "policy": str(self._loaded.path.absolute())}  # for `mlship status --all`
        self._kept.commit(Changes(troubles=seen.troubles, last=last, memory=told))


def _labelled(known: list[Tally], came: Sequence[Tally]) -> list[Tally]:
    """Known windows whose labels have come; `known` is brought up to date in place."""
    labels = {(one.start, one.slice): one.labelled for one in came}
    changed = []
    for index, one in enumerate(known):
        if (one.start, one.slice) in labels:
            changed.append(replace(one, labelled=labels[one.start, one.slice]))
            known[index] = changed[-1]
    return changed


def _history(whole: Sequence[Tally]) -> Callable[[float, float], Sequence[Tally]]:
    starts = [one.start for one in whole]

    def between(since: float, until: float) -> Sequence[Tally]:
        return whole[bisect_left(starts, since) : bisect_left(starts, until)]

    return between


@cache
def _states() -> TypeAdapter[State]:
    from pydantic import TypeAdapter

    return TypeAdapter(State)


@contextmanager
def _kept(home: Home, model: str, *, dry_run: bool) -> Iterator[store.Store]:
    """The model's store; of a dry run, a copy that nobody keeps."""
    from mlship.ledger import who

    if not dry_run:
        with store.writing(home, model, who()) as kept:
            yield kept
        return
    with tempfile.TemporaryDirectory(prefix="mlship-monitor-") as scratch:
        copy = Home(Path(scratch))
        there = home.monitor(model) / "monitor.db"
        if there.exists():
            target = copy.ensure(copy.monitor(model)) / there.name
            shutil.copy2(there, target)
        with store.writing(copy, model, who()) as kept:
            yield kept
