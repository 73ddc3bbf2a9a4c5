"""Has what the model is asked, or what it answers, moved? Window by window, each column against its baseline. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mlship.monitor.columns import columns, counts_of, kind_of, measured, missing_share, severity, shares
from mlship.monitor.words import drifted
from mlship.policy.monitor import Monitor
from mlship.stats import cutting, detector, steady, streams
from mlship.stats.detector import FRESH, Detector
from mlship.types.monitoring import Baseline, Column, Counts, Finding, Steady, Tally

#: How far is measured over what came since the change, and of that over the last four weeks at most.
PERIOD = 28 * 86400.0
#: Of a column that has not moved, what came in so long is measured.
RECENT = 7 * 86400.0
#: The smallest change, in scores, whose return can be told from its going on.
_SMALLEST = 0.5
#: So many days' windows are looked at for the moment of a change.
_LONGEST = 120 * 86400.0


#: Counts by day, the newest last: (Unix time of its beginning, counts).
Days = tuple[tuple[float, Counts], ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """A column whose alarm is on."""

    stream: str
    direction: int
    since: float
    """Unix time of the first window after the change."""
    size: float
    """Of the change at least, in scores."""
    back: float = 0.0
    """Log of how much likelier it is that all is as before (CUSUM: Page, "Continuous inspection schemes", 1954)."""
    days: Days = ()
    """What was counted since, by day, of the last `PERIOD`."""
    levels: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    """By stream, the sum of its scores since, and how many: the level that a further change is held against."""
    again: Mapping[str, Detector] = field(default_factory=dict)
    """By stream, evidence of a further change from that level."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What is remembered between two windows."""

    detectors: Mapping[str, Detector] = field(default_factory=dict)
    """By `column|stream`."""
    moved: Mapping[str, Moved] = field(default_factory=dict)
    """By column."""
    recent: Mapping[str, Days] = field(default_factory=dict)
    """By column, what was counted in the last `RECENT`."""


#: The windows from one moment to another, both whole: those of this pass and of earlier ones.
History = Callable[[float, float], Sequence[Tally]]


class Judge:
    """Judges windows in their order; the same windows give the same state, however they are handed over.

    Parameters
    ----------
    history
        Windows before the present one, for the moment of a change.
    """

    def __init__(self, baseline: Baseline, monitor: Monitor, history: History) -> None:
        self._baseline, self._monitor, self._history = baseline, monitor, history
        self._columns = columns(baseline, monitor)
        self._streams = {
            name: [(one, column.streams[one.name]) for one in _streams(column) if one.name in column.streams]
            for name, column in self._columns.items()
        }
        self._share = shares(baseline, monitor)
        self.threshold = detector.threshold(monitor.false_alarms, baseline.window)
        """Log10 of the evidence at which an alarm is given."""

    def window(self, state: Drift, tally: Tally) -> Drift:
        """Take one whole window in."""
        if tally.rows < self._monitor.min_rows:
            return state
        cell = steady.cell(tally.start + tally.seconds / 2, self._baseline.season, self._baseline.zone)
        detectors, moved, recent = dict(state.detectors), dict(state.moved), dict(state.recent)
        for name in self._columns:
            counts = counts_of(name, tally)
            if counts is None:
                continue
            recent[name] = counted(recent.get(name, ()), tally, counts, RECENT)
            scores: dict[str, float] = {}
            for stream, usual in self._streams[name]:
                seen, rows = streams.value(stream, counts)
                if seen is None:
                    continue
                key = f"{name}|{stream.name}"
                scores[stream.name] = steady.score(usual, seen, rows, cell)
                detectors[key] = detector.step(detectors.get(key, FRESH), scores[stream.name], usual)
            before = moved.pop(name, None)
            now = self._alarm(name, detectors, tally) if before is None else _further(before, tally, counts)
            if before is not None and now is not None:
                now = self._again(name, now, scores, tally)
                now = self._returned(name, before, now, scores) if now is not None else None
                if now is None:
                    detectors |= {f"{name}|{stream.name}": FRESH for stream, _ in self._streams[name]}
            if now is not None:
                moved[name] = now
        return Drift(detectors, moved, recent)

    def findings(self, state: Drift, beside: Collection[str] | None = None) -> list[Finding]:
        """How every column stands, one finding a limit; of columns without a limit, one that can be no breach.

        With `beside`, only of those whose alarm is on, and of these.
        """
        chosen = [name for name in self._columns if beside is None or name in beside or name in state.moved]
        return [one for name in chosen for one in self._of(name, self._columns[name], state)]

    def weight(self, name: str) -> float:
        """The part of the budget that each direction of each stream of a column has."""
        kind = kind_of(name)
        alike = sum(1 for one in self._columns if kind_of(one) == kind)
        return self._share.get(kind, 1.0) / (max(1, alike) * max(1, len(self._streams[name])) * 2)

    def _again(self, name: str, moved: Moved, scores: Mapping[str, float], tally: Tally) -> Moved | None:
        """The change as it was, or a further one on top of it: the same bets, on what differs from the level since.

        None when the further one led back to where the baseline is. Without such bets, a large change after an old
        small one would be drowned in all that came since the first.
        """
        again, levels = dict(moved.again), dict(moved.levels)
        for stream, usual in self._streams[name]:
            total, known = levels.get(stream.name, (0.0, 0))
            seen = scores.get(stream.name)
            if seen is None:
                continue
            if known:
                unsure = replace(usual, margin=max(usual.margin, math.sqrt(usual.inflation / known)))
                again[stream.name] = detector.step(again.get(stream.name, FRESH), seen - total / known, unsure)
            levels[stream.name] = total + seen, known + 1
        told = {f"{name}|{stream}": one for stream, one in again.items()}
        means = {stream: total / known for stream, (total, known) in moved.levels.items() if known}
        found = self._alarm(name, told, tally, means)
        if found is None:
            return replace(moved, again=again, levels=levels)
        usual = self._columns[name].streams[found.stream]
        total, known = found.levels[found.stream]
        back = abs(total) <= 3 * math.sqrt(usual.inflation * known) + usual.margin * known
        return None if back else found

    def _alarm(
        self, name: str, detectors: Mapping[str, Detector], tally: Tally, levels: Mapping[str, float] | None = None
    ) -> Moved | None:
        """The change that the strongest stream of a column tells, if its evidence is enough.

        `levels` are scores that the streams have had since an earlier change; None: there was none.
        """
        # The mean over sizes is at most the largest: most windows need no more than that.
        needed = self.threshold * math.log(10) - math.log(self.weight(name))
        keys = [f"{name}|{stream.name}" for stream, _ in self._streams[name]]
        known = [detectors[key] for key in keys if key in detectors]
        if not any(max(*each.up, *each.down) >= needed for each in known):
            return None
        best = self._strongest(name, detectors)
        if best is None or best[0] < self.threshold:
            return None
        _, direction, (stream, usual) = best
        since = tally.end - detectors[f"{name}|{stream.name}"].windows * self._baseline.window
        before = [one for one in self._history(max(since, tally.end - _LONGEST), tally.start) if not one.slice]
        before = [*(one for one in before if one.rows >= self._monitor.min_rows), tally]
        scores = [self._score(name, stream, usual, one) for one in before]
        level = (levels or {}).get(stream.name, 0.0)
        first = detector.change([None if one is None else one - level for one in scores], usual, direction)
        after = [score for score in scores[first:] if score is not None]
        if levels is not None and after:
            direction = 1 if sum(after) >= 0 else -1  # away from the baseline, wherever it came from
        found = Moved(stream.name, direction, before[first].start, _surely(after, usual))
        sums = {one.name: self._scores(name, one, before[first:]) for one, _ in self._streams[name]}
        found = replace(found, levels={one: (sum(seen), len(seen)) for one, seen in sums.items()})
        for one in before[first:]:
            counts = counts_of(name, one)
            if counts is not None:
                found = _further(found, one, counts)
        return found

    def _strongest(
        self, name: str, detectors: Mapping[str, Detector]
    ) -> tuple[float, int, tuple[streams.Stream, Steady]] | None:
        found = [
            (*detector.evidence(detectors[key], self.weight(name)), pair)
            for pair in self._streams[name]
            if (key := f"{name}|{pair[0].name}") in detectors
        ]
        return max(found, key=lambda one: one[0], default=None)

    def _score(self, name: str, stream: streams.Stream, usual: Steady, tally: Tally) -> float | None:
        counts = counts_of(name, tally)
        seen, rows = streams.value(stream, counts) if counts is not None else (None, 0)
        if seen is None:
            return None
        cell = steady.cell(tally.start + tally.seconds / 2, self._baseline.season, self._baseline.zone)
        return steady.score(usual, seen, rows, cell)

    def _scores(self, name: str, stream: streams.Stream, windows: Sequence[Tally]) -> list[float]:
        usual = self._columns[name].streams[stream.name]
        told = (self._score(name, stream, usual, one) for one in windows)
        return [one for one in told if one is not None]

    def _returned(self, name: str, before: Moved, now: Moved, scores: Mapping[str, float]) -> Moved | None:
        """None once all is as it was: by a CUSUM that ends a change which stays as seldom as a false alarm comes."""
        seen = scores.get(before.stream)
        if seen is None:
            return now
        usual = self._columns[name].streams[before.stream]
        step = (before.size**2 / 2 - before.size * before.direction * seen) / usual.inflation
        back = max(0.0, before.back + step)
        return None if back >= self.threshold * math.log(10) else replace(now, back=back)

    def _of(self, name: str, column: Column, state: Drift) -> list[Finding]:
        strongest = self._strongest(name, state.detectors)
        moved = state.moved.get(name)
        days = moved.days if moved is not None else state.recent.get(name, ())
        counts = cutting.added(*(one for _, one in days)) if days else None
        evidence = strongest[0] if strongest is not None else 0.0
        kind = kind_of(name)
        found = []
        for what, limit in self._limits(name, column):
            value = measured(what, counts, column) if counts is not None else None
            over = value is not None and limit is not None and value > limit
            finding = Finding(
                kind=kind,
                subject=name,
                what=what,
                value=value,
                limit=f"{what} <= {limit:g}" if limit is not None else "",
                over=over,
                evidence=evidence,
                alarm=moved is not None,
                since=moved.since if moved is not None else None,
                sentence="",
                expected=measured(what, column.counts, column),
                n=sum(counts) if counts is not None else 0,
                severity=severity(value, limit) if over else 0,
            )
            found.append(replace(finding, sentence=drifted(finding, column, counts, self._baseline.zone)))
        return found

    def _limits(self, name: str, column: Column) -> list[tuple[str, float | None]]:
        if kind_of(name) == "predictions":
            return [("psi", self._monitor.predictions.psi if self._monitor.predictions is not None else None)]
        rules = self._monitor.features
        if rules is None:
            return [("psi", None)]
        found: list[tuple[str, float | None]] = [("psi", rules.psi)]
        if rules.wasserstein is not None and column.bins.kind == "numbers":
            found.append(("wasserstein", rules.wasserstein))
        if rules.missing is not None:
            found.append(("missing", rules.missing + missing_share(column.counts, column)))
        if rules.unseen is not None and column.bins.kind == "categories":
            found.append(("unseen", rules.unseen + (measured("unseen", column.counts, column) or 0.0)))
        return found


def _surely(after: Sequence[float], usual: Steady) -> float:
    """How large a change is at least, in scores: two standard errors less than what came since.

    The few windows that gave the alarm look larger than the change is; by twice its size its end could not be told from
    its going on.
    """
    if not after:
        return _SMALLEST
    return max(_SMALLEST, abs(sum(after) / len(after)) - 2 * math.sqrt(usual.inflation / len(after)))


def _streams(column: Column) -> tuple[streams.Stream, ...]:
    return streams.streams(column.bins, column.counts)


def counted(days: Days, tally: Tally, counts: Counts, period: float) -> Days:
    """With one window more, without the days that began more than `period` seconds before its own did."""
    day = tally.start // 86400 * 86400
    kept = [one for one in days if one[0] >= day - period]
    if kept and kept[-1][0] == day:
        kept[-1] = (day, cutting.added(kept[-1][1], counts))
    else:
        kept.append((day, counts))
    return tuple(kept)


def _further(moved: Moved, tally: Tally, counts: Counts) -> Moved:
    return replace(moved, days=counted(moved.days, tally, counts, PERIOD))
