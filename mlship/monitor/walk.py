"""Whether a figure by day has gone beyond its limit: the evidence after each day, and since when. Pure.

The hypothesis is that the figure's mean is within the limit; what the mean is does not matter as long as it is. What
is unusual of a day is told by how the figure varied from day to day in the baseline (`Reached.steady`), moved so that
its mean lies at the limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlship.monitor.limits import Asked
from mlship.stats import detector, steady
from mlship.stats.detector import FRESH, Detector
from mlship.types.monitoring import Reached, Steady

#: The alarm is over when a return to the limit is so many times as likely as that the breach goes on: one that does
#: seems over once in so many days.
_RETURNED = 1000.0
#: The smallest excess, in scores, whose end can be told from its going on.
_SMALLEST = 0.5


@dataclass(frozen=True, slots=True)
class Point:
    """A figure of one day."""

    start: float
    end: float
    value: float | None
    rows: int
    """Rows that it rests on (`reached.carriers`)."""


@dataclass(frozen=True, slots=True)
class State:
    """What is known after a day."""

    detector: Detector = FRESH
    begun: int = 0
    """Index of the first day that counts: after the end of the last alarm."""
    since: int | None = None
    """Index of the first day of the breach that the alarm is about; None: no alarm."""
    size: float = 0.0
    """By how many scores the days since then lie beyond the limit."""
    back: float = 0.0
    """Log of how much likelier it is by now that it is over (CUSUM: Page, "Continuous inspection schemes", 1954)."""


def at_limit(asked: Asked, usual: Steady, pooled: float, slack: float = 0.0) -> Steady:
    """How the figure's days would vary if it lay at its limit, or `slack` beyond it.

    `pooled` is the figure of all the baseline's rows, which the limit is about: the mean of its days is another number.
    """
    middle = math.fsum(usual.expected) / len(usual.expected)
    moved = asked.bound + asked.sign * slack - pooled
    # The seven days of a season stay as far apart as they are.
    return replace(usual, expected=tuple(moved + middle for _ in usual.expected), margin=0.0)


def learned(points: Sequence[Point], reached: Reached | None, noise: float | None) -> Steady | None:
    """How the figure varies from day to day: as in the baseline, else as on the first 30 days of labels."""
    if reached is not None and reached.steady is not None:
        return reached.steady
    told = [(point.value, point.rows) for point in points if point.value is not None][:30]
    if noise is None:
        return None
    values, rows = [value for value, _ in told], [max(1, count) for _, count in told]
    return steady.learn(values, rows, [0] * len(told), 1, noise=noise, a_day=1)


class Walk:
    """Takes days in one by one, and remembers each state: the same days give the same, however often it is asked."""

    def __init__(self, asked: Asked, weight: float, threshold: float) -> None:
        self._asked, self._weight, self._threshold = asked, weight, threshold
        self._points: list[Point] = []
        self.states: list[State] = []
        """After each day of the last call."""
        self._scores: list[float | None] = []
        self._usual: Steady | None = None

    def along(self, points: Sequence[Point], usual: Steady) -> State:
        """The state after these days, oldest first; only those that are not as at the last call are counted anew."""
        same = 0
        if usual == self._usual:
            while same < min(len(points), len(self._points)) and points[same] == self._points[same]:
                same += 1
        self._usual = usual
        del self._points[same:], self.states[same:], self._scores[same:]
        for point in points[same:]:
            score = None if point.value is None else steady.score(usual, point.value, max(1, point.rows), 0)
            self._points.append(point)
            self._scores.append(None if score is None else self._asked.sign * score)
            self.states.append(self._next(self.states[-1] if self.states else State()))
        return self.states[-1] if self.states else State()

    def evidence(self, state: State) -> float:
        """Log10 of the e-value, in the unit of the policy's threshold."""
        # One direction only: what is better than its limit is no breach.
        found = detector.evidence(Detector(up=state.detector.up), self._weight)[0] if self._weight else -math.inf
        return found if math.isfinite(found) else 0.0

    def _next(self, before: State) -> State:
        score, usual = self._scores[-1], self._usual
        if score is None or usual is None:
            return before
        state = replace(before, detector=detector.step(before.detector, score, usual))
        if before.since is None:
            if self.evidence(state) < self._threshold:
                return state
            first = before.begun + detector.change(self._scores[before.begun :], usual, 1)
            after = [one for one in self._scores[first:] if one is not None]
            return replace(state, since=first, size=max(_SMALLEST, math.fsum(after) / len(after)))
        step = (state.size**2 / 2 - state.size * score) / usual.inflation
        back = max(0.0, before.back + step)
        if back >= math.log(_RETURNED):
            return State(begun=len(self._points))
        return replace(state, back=back)
