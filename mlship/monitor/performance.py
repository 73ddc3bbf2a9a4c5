"""How good the model is on live traffic: realised where labels are there, estimated where they are to come. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from mlship.monitor import limits
from mlship.monitor.days import Days, complete
from mlship.monitor.limits import Asked
from mlship.monitor.performance_words import Told, estimated, realised
from mlship.monitor.walk import Point, State, Walk, at_limit, learned
from mlship.policy.monitor import Monitor
from mlship.stats import confidence, detector, reached
from mlship.stats.trust import LATEST, trusted
from mlship.types.monitoring import Baseline, Counts, Finding, Labelled, Reached, Tally

_DAY = 86400.0
#: A breach is measured over what came since it began, and of that over the last four weeks at most.
PERIOD = 28 * _DAY
#: An estimate is of the last week: so long are the periods that the baseline's strays are known of.
_ESTIMATED = 7 * _DAY
#: A week with fewer labelled days checks no estimate.
_CHECKED = 4
#: The metric that tells whether the calibration holds.
_CALIBRATED = "positive_rate"


@dataclass(frozen=True, slots=True)
class Period:
    """The figures of one metric over some days."""

    days: tuple[Tally, ...] = ()
    reached: Reached | None = None
    labelled: int = 0
    """Labelled rows."""

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(day.rows for day in self.days)


class Performance:
    """Judges days of traffic, each once it is over, and again once its labels are complete.

    A day is complete `monitor.delay` after its end. What is found depends on the windows and on the time of the look
    alone, not on the looks before: nothing has to be remembered from pass to pass but the windows. States of earlier
    looks are kept for speed only.

    Parameters
    ----------
    shares
        The part of the policy's false alarms that each kind (performance, estimate, value) may spend.
    """

    def __init__(self, baseline: Baseline, monitor: Monitor, shares: Mapping[str, float]) -> None:
        self._baseline, self._monitor = baseline, monitor
        self._days = Days(monitor.zone, baseline.window)
        self._asked = limits.asked(monitor, baseline)
        self._estimated = limits.estimated(monitor, baseline)
        self._threshold = detector.threshold(monitor.false_alarms, baseline.window)
        # A day's evidence is added up once a day: each start of a change stands for those of all its windows.
        windows = max(1.0, _DAY / baseline.window)
        both = (*self._asked, *self._estimated)
        self._weights = {one: weight * windows for one, weight in limits.weights(both, shares).items()}
        self._walks = {one: Walk(one, self._weights[one], self._threshold) for one in both}
        self._values: dict[tuple[str, str, float], tuple[Labelled, Point]] = {}
        self._checked: dict[tuple[str, int], tuple[list[Labelled], tuple[Reached, Reached] | None]] = {}
        self._guesses: dict[tuple[str, float], tuple[Counts | None, tuple[Point, Reached | None]]] = {}
        self._found: tuple[float, float, list[Finding]] = (math.inf, -math.inf, [])

    def put(self, windows: Iterable[Tally]) -> None:
        """Take in windows of traffic and of its slices, in any order; one that is known is replaced."""
        self._days.put(windows)
        self._found = (math.inf, -math.inf, [])

    def findings(self, now: float) -> list[Finding]:
        """How every limit stands at a moment (Unix time), one finding each: performance, value, then estimates.

        Windows that end after that moment are not looked at. A finding without a value says why there is none.
        """
        since, until, found = self._found
        if not since <= now < until:
            days = self._days.until(now)
            found = [self._realised(one, days.get(one.slice, []), now) for one in self._asked]
            found += [self._expected(one, days[""], now) for one in self._estimated]
            self._found = (now, self._days.following(now, self._monitor.delay), found)
        return list(found)

    def over_time(self, metric: str, now: float, part: str = "") -> list[Point]:
        """A metric by day, of the days whose labels are complete, for who draws it; oldest first."""
        return self._points(metric, complete(self._days.until(now).get(part, []), now, self._monitor.delay)[0])

    def recent(self, metric: str, now: float, part: str = "") -> Period:
        """A metric over the last `recovered` of the days whose labels are complete."""
        known, _ = complete(self._days.until(now).get(part, []), now, self._monitor.delay)
        return self._period(metric, self._last(self._told(known)))

    def estimates(self, metric: str, now: float) -> list[tuple[Point, Reached | None]]:
        """A metric as estimated by day, of days whose labels are to come, oldest first; none where `trust` fails."""
        days = self._days.until(now)[""]
        holds, _ = self._trust(metric, complete(days, now, self._monitor.delay)[0])
        return self._estimates(metric, self._pending(days, now)) if holds else []

    def trust(self, metric: str, now: float) -> tuple[bool, str]:
        """Whether a metric may be estimated, as far as labels tell by now, and why or why not."""
        return self._trust(metric, complete(self._days.until(now)[""], now, self._monitor.delay)[0])

    def _trust(self, metric: str, known: Sequence[Tally]) -> tuple[bool, str]:
        why = confidence.why_not(metric, self._baseline)
        if why:
            return False, why
        # How many positive rows come is the calibration itself: without it a metric is right by accident.
        if not confidence.why_not(_CALIBRATED, self._baseline):
            holds, why = trusted(self._pairs(_CALIBRATED, known))
            if not holds:
                return False, f"scores no longer mean what they did (share of positive rows): {why}"
        return trusted(self._pairs(metric, known))

    def _realised(self, asked: Asked, days: list[Tally], now: float) -> Finding:
        known, _ = complete(days, now, self._monitor.delay)
        known = self._told(known)
        state, evidence, spread = self._state(asked, known)
        recent = self._period(asked.metric, self._last(known))
        period, over = recent, asked.over(recent.reached.value if recent.reached else None)
        if state.since is not None:
            period = self._period(asked.metric, _latest(known[state.since :], PERIOD))
            # It is over as soon as the last days are within the limit, whatever came before.
            over = over and asked.over(period.reached.value if period.reached else None)
        finding = self._finding(asked, period, evidence=evidence, since=_start(known, state), over=over)
        told = Told(
            finding,
            asked,
            rows=period.rows,
            labelled=period.labelled,
            until=period.days[-1].end if period.days else None,
            spread=spread,
        )
        return replace(finding, sentence=realised(told, self._baseline, self._monitor))

    def _expected(self, asked: Asked, days: list[Tally], now: float) -> Finding:
        known, _ = complete(days, now, self._monitor.delay)
        pending = self._pending(days, now)
        holds, why = self._trust(asked.metric, known)
        if not pending or not holds:
            return self._instead(asked, self._told(known), "" if holds else why)
        points = [point for point, _ in self._estimates(asked.metric, pending)]
        last = _latest(pending, _ESTIMATED)
        whole = self._estimate(asked.metric, last)
        if whole is None or whole.low is None or whole.high is None:
            return self._instead(asked, self._told(known), "too few rows came")
        # What the estimate may be off by lasts for weeks: the evidence is that even so the limit is passed.
        slack = max(whole.high - whole.value, whole.value - whole.low)
        usual = learned(points, self._baseline.performance.get(asked.metric), None)
        walk, state = self._walks[asked], State()
        if usual is not None:
            pooled = self._baseline.performance[asked.metric].value
            state = walk.along(points, at_limit(asked, usual, pooled, slack))
        if state.since is not None:
            last = pending[state.since :]
            whole = self._estimate(asked.metric, last) or whole
        period = Period(tuple(last), whole, 0)
        since = _start(pending, state)
        finding = self._finding(asked, period, evidence=walk.evidence(state), since=since, over=asked.over(whole.value))
        told = Told(finding, asked, rows=period.rows, labelled=0, until=last[-1].end, spread=usual is not None, why=why)
        return replace(finding, sentence=estimated(told, self._monitor), n=period.rows)

    def _instead(self, asked: Asked, known: list[Tally], why: str) -> Finding:
        """Nothing is estimated: labels are all there, or do not bear it out. What came decides, and gives no alarm.

        What can never be estimated has no value: no incident of an estimate waits for its end.
        """
        never = bool(confidence.why_not(asked.metric, self._baseline))
        period = Period() if never else self._period(asked.metric, self._last(known))
        over = asked.over(period.reached.value if period.reached else None)
        finding = self._finding(asked, period, evidence=0.0, since=None, over=over)
        until = period.days[-1].end if period.days else None
        told = Told(finding, asked, rows=period.rows, labelled=period.labelled, until=until, spread=True, why=why)
        return replace(finding, sentence=estimated(told, self._monitor))

    def _finding(self, asked: Asked, period: Period, *, evidence: float, since: float | None, over: bool) -> Finding:
        one = period.reached
        expected = self._baseline.performance.get(asked.metric)
        return Finding(
            kind=asked.kind,
            subject=asked.subject,
            what=asked.metric,
            value=one.value if one is not None else None,
            limit=asked.limit,
            over=over,
            evidence=evidence,
            alarm=since is not None,
            since=since,
            sentence="",
            low=one.low if one is not None else None,
            high=one.high if one is not None else None,
            expected=expected.value if expected is not None else None,
            n=period.labelled,
            severity=asked.severity(one.value if one is not None else None) if over else 0,
        )

    def _state(self, asked: Asked, known: list[Tally]) -> tuple[State, float, bool]:
        """What the days tell, the evidence, and whether it is known how the figure varies from day to day."""
        points = self._points(asked.metric, known)
        base = self._baseline.performance.get(asked.metric)
        first = [day.labelled for day in known[:30] if day.labelled is not None]
        pooled = reached.metric(asked.metric, reached.merged(first), self._baseline) if base is None else base.value
        noise = None
        if base is None or base.steady is None:
            noise = reached.noise(asked.metric, reached.merged(first), self._baseline)
        usual = learned(points, base, noise)
        if usual is None or pooled is None:
            return State(), 0.0, False
        walk = self._walks[asked]
        state = walk.along(points, at_limit(asked, usual, pooled))
        return state, walk.evidence(state), True

    def _told(self, days: Sequence[Tally]) -> list[Tally]:
        """The days with labels."""
        return [day for day in days if day.labelled is not None and day.labelled.rows >= self._monitor.min_rows]

    def _pending(self, days: Sequence[Tally], now: float) -> list[Tally]:
        """The days to be estimated: after the last one whose labels are there, of the last four weeks."""
        known = self._told(complete(days, now, self._monitor.delay)[0])
        after = known[-1].end if known else -math.inf
        return _latest([day for day in days if day.start >= after and day.rows >= self._monitor.min_rows], PERIOD)

    def _last(self, days: Sequence[Tally]) -> list[Tally]:
        """The last days, as many as `recovered` holds; at least one."""
        return _latest(days, max(self._monitor.recovered, 1.0))

    def _points(self, metric: str, days: Sequence[Tally]) -> list[Point]:
        """A metric by day with labels; days that are as they were at the last look are not counted again."""
        told = [(day, day.labelled) for day in self._told(days) if day.labelled is not None]
        fresh = []
        for day, labelled in told:
            known = self._values.get((metric, day.slice, day.start))
            if known is None or (known[0] is not labelled and known[0] != labelled):
                fresh.append((day, labelled))
        found = reached.by_part(metric, [labelled for _, labelled in fresh], self._baseline)
        for (day, labelled), (value, behind) in zip(fresh, found, strict=True):
            self._values[metric, day.slice, day.start] = (labelled, Point(day.start, day.end, value, behind))
        return [self._values[metric, day.slice, day.start][1] for day, _ in told]

    def _period(self, metric: str, days: Sequence[Tally]) -> Period:
        parts = [day.labelled for day in days if day.labelled is not None]
        return Period(
            tuple(days), reached.with_interval(metric, parts, self._baseline), sum(part.rows for part in parts)
        )

    def _estimates(self, metric: str, days: Sequence[Tally]) -> list[tuple[Point, Reached | None]]:
        """A metric as estimated by day; a day that is as it was at the last look is not counted again."""
        for day in days:
            known = self._guesses.get((metric, day.start))
            if known is None or known[0] != day.scores:
                one = self._estimate(metric, [day])
                behind = confidence.expected_carriers(metric, day.scores or (), self._baseline) if one else 0
                point = Point(day.start, day.end, one.value if one is not None else None, behind)
                self._guesses[metric, day.start] = (day.scores, (point, one))
        return [self._guesses[metric, day.start][1] for day in days]

    def _estimate(self, metric: str, days: Sequence[Tally]) -> Reached | None:
        told = [day.scores for day in days if day.scores is not None]
        if not told or confidence.why_not(metric, self._baseline):
            return None
        return confidence.estimate(metric, _sum(told), self._baseline, len(told))

    def _pairs(self, metric: str, known: Sequence[Tally]) -> list[tuple[Reached, Reached]]:
        """(Estimated, realised) of the last weeks, from Monday to Sunday, of the rows that have labels."""
        weeks: dict[int, list[Labelled]] = {}
        zone = ZoneInfo(self._monitor.zone)
        for day in self._told(known):
            if day.labelled is not None and day.labelled.scored:
                middle = datetime.fromtimestamp(day.start + day.seconds / 2, zone)
                weeks.setdefault((middle.toordinal() - 1) // 7, []).append(day.labelled)
        found = []
        latest = sorted(weeks)[-LATEST:]
        for week in latest:
            if len(weeks[week]) < _CHECKED:
                continue
            key = (metric, week)
            if key not in self._checked or self._checked[key][0] != weeks[week]:
                pair = self._pair(metric, reached.merged(weeks[week]), len(weeks[week]))
                self._checked[key] = (weeks[week], pair)
            pair = self._checked[key][1]
            found += [pair] if pair is not None else []
        return found

    def _pair(self, metric: str, labelled: Labelled, days: int) -> tuple[Reached, Reached] | None:
        scores = tuple(sum(place) for place in labelled.scored)
        expected = confidence.estimate(metric, scores, self._baseline, days)
        value = reached.metric(metric, labelled, self._baseline)
        return None if expected is None or value is None else (expected, Reached(value))


def _latest(days: Sequence[Tally], period: float) -> list[Tally]:
    """The last of some days: those that end less than `period` seconds before the last one does."""
    return [day for day in days if day.end > days[-1].end - period]


def _start(days: Sequence[Tally], state: State) -> float | None:
    """When the breach began that the alarm is about; None without alarm."""
    return None if state.since is None else days[state.since].start


def _sum(counts: Sequence[Counts]) -> Counts:
    return tuple(map(sum, zip(*counts, strict=True)))
