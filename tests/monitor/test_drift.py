"""A change that stays is told as one change; what the baseline itself lacks of a column is no news."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from mlship.gates.baseline.windows import Windows
from mlship.monitor.drift import Drift, Judge
from mlship.policy.monitor import Monitor
from mlship.types.monitoring import Baseline, Bins, Column, Counts, Tally

HOUR, DAY = 3600.0, 86400.0
START = 1_600_000_000 // DAY * DAY
BINS = Bins("categories", names=("bill", "tech", "other"))
RULES = Monitor.model_validate({"features": {"psi": 0.1, "unseen": "1%"}})
USUAL, CHANGED = (0.5, 0.3, 0.2), (0.3, 0.5, 0.2)


def counts(shares: Sequence[float], windows: int, seed: int) -> list[Counts]:
    """Of windows with 16 rows at night and 40 by day, so that one of them says little."""
    rng = np.random.default_rng(seed)
    sizes = [16 if number % 24 < 12 else 40 for number in range(windows)]
    return [(*(int(one) for one in rng.multinomial(rows, shares)), 0, 0, 0) for rows in sizes]


def baseline(rows: Sequence[Counts]) -> Baseline:
    moments = np.concatenate([np.full(sum(row), START + HOUR * number) for number, row in enumerate(rows)])
    places = np.concatenate([np.repeat(np.arange(BINS.width), row) for row in rows]).astype(np.int16)
    total = tuple(int(one) for one in np.sum(rows, axis=0))
    column = Column(BINS, total, streams=Windows.cut(moments, RULES).learn(places, BINS, total))
    plain = ("m", "4", "d", START, "p", "numbers", HOUR, "UTC", (), len(moments), START, START)
    return Baseline(*plain, features={"topic": column}, answers=None, scores=None)  # type: ignore[arg-type]  # as they stand there


def changes(seed: int, *, stays: int, back: int) -> tuple[list[float], float | None]:
    """When the column's alarm went on, in hours since the change, and when off, in hours since its end."""
    found = [*counts(CHANGED, stays, seed), *counts(USUAL, back, seed + 1)]
    tallies = [Tally(START + 60 * DAY + at * HOUR, HOUR, sum(one), {"topic": one}) for at, one in enumerate(found)]
    starts = [one.start for one in tallies]
    eye = Judge(
        baseline(counts(USUAL, 60 * 24, 0)),
        RULES,
        lambda since, until: tallies[bisect_left(starts, since) : bisect_left(starts, until)],
    )
    state, on, off = Drift(), list[float](), None
    for at, tally in enumerate(tallies):
        before, state = state, eye.window(state, tally)
        if state.moved and not before.moved:
            on.append(at)
        if before.moved and not state.moved:
            off = float(at - stays)
    return on, off


def test_a_change_that_stays_is_one_change_and_its_end_is_seen() -> None:
    """Six weeks of tickets of another kind: one alarm within two days, and off two days after its end."""
    for seed in range(10, 22, 2):
        on, off = changes(seed, stays=42 * 24, back=4 * 24)
        assert len(on) == 1, "the change was over for a while, and began anew"
        assert on[0] <= 48
        assert off is not None
        assert 0 <= off <= 48


def test_what_the_baseline_itself_does_not_know_is_no_excess() -> None:
    """Free text: hardly any cell is one of the names that are kept, then and now."""
    then: Counts = (4, 4, 2, 990, 0, 0)
    column = Column(BINS, then)
    plain = ("m", "4", "d", START, "p", "numbers", HOUR, "UTC", (), 1000, START, START)
    base = Baseline(*plain, features={"text": column}, answers=None, scores=None)  # type: ignore[arg-type]  # as they stand there
    eye = Judge(base, RULES, lambda _, __: ())
    found = eye.findings(eye.window(Drift(), Tally(START, HOUR, 100, {"text": (0, 0, 0, 100, 0, 0)})))
    unseen = next(one for one in found if one.what == "unseen")
    assert unseen.value == 1.0
    assert not unseen.over, unseen.limit


def test_a_large_change_after_an_old_small_one_is_dated_anew() -> None:
    """A little more tech for 30 days, within limits; then most of it is something else: told within a day, dated so."""
    small, large = (0.45, 0.35, 0.2), (0.1, 0.2, 0.7)
    found = [*counts(small, 30 * 24, 3), *counts(large, 2 * 24, 4)]
    tallies = [Tally(START + 60 * DAY + at * HOUR, HOUR, sum(one), {"topic": one}) for at, one in enumerate(found)]
    starts = [one.start for one in tallies]
    eye = Judge(
        baseline(counts(USUAL, 60 * 24, 0)),
        RULES,
        lambda since, until: tallies[bisect_left(starts, since) : bisect_left(starts, until)],
    )
    state, first, opened = Drift(), None, None
    for at, tally in enumerate(tallies):
        state = eye.window(state, tally)
        if state.moved and first is None:
            first = at
        breach = [one for one in eye.findings(state) if one.breach]
        if breach and opened is None:
            opened = (at, breach[0].since)
    assert first is not None
    assert first < 30 * 24, "the small change was an alarm, and no breach"
    assert opened is not None
    assert 30 * 24 <= opened[0] <= 31 * 24
    assert opened[1] is not None
    assert abs(opened[1] - (START + 90 * DAY)) <= 6 * HOUR
