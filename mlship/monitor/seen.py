"""One pass as its reports tell it: every column and figure with its course over the last weeks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlship.monitor import limits
from mlship.monitor.columns import PREDICTIONS, columns, counts_of, measured, missing_share
from mlship.monitor.days import Cut, complete
from mlship.monitor.drift import RECENT
from mlship.monitor.performance import Performance
from mlship.policy.monitor import Monitor
from mlship.report.monitor_seen import ColumnSeen, FigureSeen, Line, Share
from mlship.stats import cutting, shift
from mlship.types.monitoring import Baseline, Column, Counts, Finding, Tally

#: Days that are drawn.
DRAWN = 60


@dataclass(frozen=True, slots=True)
class Sight:
    """What there is to tell from."""

    baseline: Baseline
    monitor: Monitor
    findings: Sequence[Finding]
    windows: Sequence[Tally]
    """Whole ones, ascending, of as many days as are to be drawn."""
    labelled: Sequence[Tally]
    """The same, of the source that tells labels."""
    performance: Performance
    now: float

    def column(self, name: str) -> ColumnSeen | None:
        """A feature, or the predictions; None when no window counted it."""
        column = columns(self.baseline, self.monitor).get(name)
        if column is None:
            return None
        found = [one for one in self.findings if one.kind in ("features", PREDICTIONS) and one.subject == name]
        since = next((one.since for one in found if one.since is not None), None)
        last = self.windows[-1].end if self.windows else self.now
        start = since if since is not None else last - RECENT
        parts = [(one, counts) for one in self.windows if (counts := counts_of(name, one)) is not None]
        now = [counts for one, counts in parts if one.start >= start]
        if not now:
            return None
        counts = cutting.added(*now)
        return ColumnSeen(
            name,
            column.bins.kind,
            sum(counts),
            psi=measured("psi", counts, column),
            wasserstein=measured("wasserstein", counts, column),
            missing=missing_share(counts, column),
            missing_then=missing_share(column.counts, column),
            unseen=measured("unseen", counts, column) if column.bins.kind == "categories" else None,
            evidence=max((one.evidence for one in found), default=0.0),
            since=since,
            over=tuple(one.what for one in found if one.over),
            breach=any(one.breach for one in found),
            sentence=next((one.sentence for one in found if one.alarm), ""),
            shares=_shares(counts, column),
            line=self._course(column, parts),
        )

    def figure(self, one: limits.Asked) -> FigureSeen:
        """A metric, of all traffic or of a slice; of two ends of a limit, as that stands which tells more."""
        at = self.now
        own = [found for found in self.findings if found.subject == one.subject and found.what == one.metric]
        real = max((found for found in own if found.kind == one.kind), key=_telling, default=None)
        guess = max((found for found in own if found.kind == "estimate"), key=_telling, default=None)
        recent = self.performance.recent(one.metric, at, one.slice)
        over_time = self.performance.over_time(one.metric, at, one.slice)[-DRAWN:]
        estimates = self.performance.estimates(one.metric, at)[-DRAWN:] if not one.slice else []
        ahead = [found for _, found in estimates if found is not None]
        holds, why = (True, "") if ahead or one.slice else self.performance.trust(one.metric, at)
        then = self.baseline.performance.get(one.metric)
        told = [found for found in (real, guess) if found is not None]
        return FigureSeen(
            one.subject,
            (real.limit if real is not None else one.limit).partition(" ")[2],
            then.value if then is not None else None,
            recent.reached.value if recent.reached is not None else None,
            recent.reached.low if recent.reached is not None else None,
            recent.reached.high if recent.reached is not None else None,
            recent.labelled,
            estimated=guess.value if guess is not None and ahead else None,
            estimated_low=guess.low if guess is not None and ahead else None,
            estimated_high=guess.high if guess is not None and ahead else None,
            why_not="" if holds else why,
            evidence=max((found.evidence for found in told), default=0.0),
            since=next((found.since for found in told if found.since is not None), None),
            breach=any(found.breach for found in told),
            sentence=next((found.sentence for found in told if found.breach), real.sentence if real else ""),
            line=Line(
                tuple((point.start + point.end) / 2 for point in over_time),
                tuple(point.value for point in over_time),
                rows=tuple(point.rows for point in over_time),
            )
            if over_time
            else None,
            estimate=Line(
                tuple((point.start + point.end) / 2 for point, _ in estimates),
                tuple(point.value for point, _ in estimates),
                tuple(found.low if found is not None else None for _, found in estimates),
                tuple(found.high if found is not None else None for _, found in estimates),
            )
            if ahead
            else None,
        )

    def days(self, windows: Sequence[Tally]) -> dict[float, list[Tally]]:
        """Windows by the beginning of their day."""
        cut = Cut(self.monitor.zone, self.baseline.window)
        found: dict[float, list[Tally]] = {}
        for one in windows:
            found.setdefault(cut.day(one.start)[0], []).append(one)
        return dict(sorted(found.items())[-DRAWN:])

    def traffic(self) -> Line | None:
        """Predictions by day."""
        days = self.days(self.windows)
        rows = [sum(one.rows for one in windows) for windows in days.values()]
        return Line(_middles(days), tuple(map(float, rows)), rows=tuple(rows)) if days else None

    def coverage(self) -> tuple[float | None, Line | None]:
        """Share of predictions with a label, of days whose labels are due; and by day."""
        days = {
            start: windows
            for start, windows in self.days(self.labelled).items()
            if complete(windows, self.now, self.monitor.delay)[0] == windows
        }
        if not any(one.labelled is not None for windows in days.values() for one in windows):
            return None, None
        shares = [(sum(map(_labelled, windows)), sum(one.rows for one in windows)) for windows in days.values()]
        total = sum(rows for _, rows in shares)
        line = Line(_middles(days), tuple(known / rows if rows else None for known, rows in shares))
        return (sum(known for known, _ in shares) / total if total else None), line

    def _course(self, column: Column, parts: Sequence[tuple[Tally, Counts]]) -> Line | None:
        """PSI of the week up to each day: of a single day, the weather would be all there is to see."""
        cut = Cut(self.monitor.zone, self.baseline.window)
        days: dict[float, list[Counts]] = {}
        for one, counts in parts:
            days.setdefault(cut.day(one.start)[0], []).append(counts)
        weeks = {
            day: cutting.added(*(part for other in days if day - RECENT < other <= day for part in days[other]))
            for day in sorted(days)[-DRAWN:]
        }
        values = tuple(shift.psi(counts, column.counts) for counts in weeks.values())
        return Line(_middles(weeks), values, rows=tuple(map(sum, weeks.values()))) if len(weeks) > 1 else None


def _telling(one: Finding) -> tuple[bool, bool, float]:
    return one.breach, one.over, one.evidence


def _shares(counts: Counts, column: Column) -> tuple[Share, ...]:
    names = [*shift.labels(column.bins), "unseen", "missing", "of another kind"]
    now, then = max(sum(counts), 1), max(sum(column.counts), 1)
    rows = zip(names, column.counts, counts, strict=True)
    return tuple(Share(name, before / then, after / now) for name, before, after in rows if before or after)


def _middles(days: Mapping[float, object]) -> tuple[float, ...]:
    return tuple(start + 43200.0 for start in days)


def _labelled(one: Tally) -> int:
    return one.labelled.rows if one.labelled is not None else 0
