"""The monitor on the flights: `python tests/benchmarks/monitor.py [--seeds 100] [--jobs 2]`.

A model of January to April; the baseline is January to June, window by window of an hour. Then

- July to December as they came: which alarms and incidents, since when, and how soon after 3 September they are told;
- half-years in which nothing changes, as long as that one: **rows** drawn one by one from the baseline's same hour of
  the day, as many as that hour had; whole **days** drawn from the baseline; whole **weeks**. How many seeds stay
  without an alarm (the detector's, whatever the limits) and without an incident (an alarm and a limit exceeded);
- a half-year of such days in which a feature breaks (minutes become hours): how soon that is told;

and beside it, on the same rows, what others do (`monitor_peers.py`).

A table on stderr as it goes; the last line of stdout is one JSON object. Exit code 1 when a target was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from mlship.demo.flights import FEATURES, TARGET, flights
from mlship.gates.baseline.columns import column
from mlship.gates.baseline.windows import Windows
from mlship.monitor.columns import SCORES
from mlship.monitor.judge import Facts, Judged, State, Watched, judge
from mlship.policy.monitor import Monitor
from mlship.stats import cutting
from mlship.types.monitoring import Baseline, Bins, Incident, Tally
from tests.benchmarks.monitor_peers import PEERS, Peers

HOUR = 3600
#: An hour has some 45 flights, and the first and last of a day five: a window counts for less the fewer rows it has.
POLICY = Monitor.model_validate(
    {"season": ["hour"], "features": {"psi": 0.2}, "predictions": {"psi": 0.05}, "min_rows": 5, "false_alarms": 1}
)
#: The new schedule after Labor Day, and its moment.
CHANGE = pd.Timestamp("2013-09-03", tz="UTC").timestamp()
KINDS = ("rows", "days", "weeks")
Positions = dict[str, NDArray[np.int16]]


@dataclass(frozen=True)
class World:
    """All flights of the year, scored and placed in the baseline's bins."""

    baseline: Baseline
    bins: dict[str, Bins]
    positions: Positions
    broken: Positions
    """The same rows with the departure delay in hours."""
    scores: NDArray[np.float64]
    hours: NDArray[np.int64]
    """Since the epoch, by the clock on the wall."""
    before: NDArray[np.bool_]
    """Whether a row is of the baseline."""


@cache
def world() -> World:
    """The flights, the model and the baseline."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    frame = flights()
    month, start = frame["time_hour"].dt.month, frame["time_hour"].to_numpy()
    hours = (start - np.datetime64("1970-01-01")) // np.timedelta64(HOUR, "s")
    codes = frame[list(FEATURES)].assign(
        **{name: frame[name].astype("category").cat.codes for name in ("carrier", "origin", "dest")}
    )
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    model.fit(codes[month <= 4], frame[TARGET][month <= 4])
    before = (month <= 6).to_numpy()

    def placed(minutes: pd.Series[Any], bins: dict[str, Bins]) -> tuple[NDArray[np.float64], Positions]:
        scores = model.predict_proba(codes.assign(dep_delay=minutes))[:, 1]
        cells = frame.assign(dep_delay=minutes, **{SCORES: scores})
        return scores, {name: cutting.positions(cells[name], one) for name, one in bins.items()}

    scores = model.predict_proba(codes)[:, 1]
    windows = Windows.cut(hours[before] * float(HOUR), POLICY)
    features = {name: column(frame[name][before], windows) for name in FEATURES}
    known = {name: one for name, one in features.items() if one is not None}
    said = column(pd.Series(scores[before]), windows, lambda sketch: cutting.cut_scores(sketch, 0.5))
    assert said is not None
    baseline = Baseline(
        "flights",
        "1",
        "",
        0.0,
        "",
        "binary",
        POLICY.window,
        POLICY.zone,
        POLICY.season,
        int(before.sum()),
        None,
        None,
        known,
        None,
        said,
        labels=("0", "1"),
        threshold=0.5,
    )
    bins = {name: one.bins for name, one in known.items()} | {SCORES: said.bins}
    _, broken = placed(frame["dep_delay"] / 60, bins)
    return World(baseline, bins, placed(frame["dep_delay"], bins)[1], broken, scores, hours, before)


def tallies(hours: NDArray[np.int64], positions: Positions) -> Iterator[Tally]:
    """Rows, at these hours, counted as the monitor's reader does."""
    made, bins = world(), world().bins
    starts, window, rows = np.unique(hours, return_inverse=True, return_counts=True)
    tables = {
        name: np.bincount(window * bins[name].width + place, minlength=len(starts) * bins[name].width)
        .reshape(len(starts), -1)
        .tolist()
        for name, place in positions.items()
    }
    for number, start in enumerate(starts.tolist()):
        counts = {name: tuple(table[number]) for name, table in tables.items()}
        features = {name: counts[name] for name in made.baseline.features}
        yield Tally(float(start * HOUR), float(HOUR), int(rows[number]), features, scores=counts[SCORES])


@dataclass(frozen=True)
class Told:
    """What the monitor said of a half-year."""

    alarms: dict[str, tuple[float, float]]
    """By column, since when (Unix time) and when its first alarm was given."""
    incidents: tuple[Incident, ...]


def watched(hours: NDArray[np.int64], positions: Positions) -> Told:
    """A pass a day, as `mlship monitor` makes them."""
    made, seen = world(), list[Tally]()

    def history(since: float, until: float) -> list[Tally]:
        return [tally for tally in seen if since <= tally.start and tally.end <= until]

    who = Watched("flights", "1", made.baseline, POLICY, lambda _: (), history)
    state, incidents = State(), dict[str, Incident]()
    alarms: dict[str, tuple[float, float]] = {}
    for day, group in groupby(tallies(hours, positions), key=lambda tally: tally.start // 86400):
        some = list(group)
        seen += some
        facts = Facts((day + 1) * 86400, None, some[-1].end, known=True)
        open_ = [one for one in incidents.values() if one.resolved is None]
        came: Judged = judge(who, state, open_, some, facts)
        state = came.state
        incidents |= {one.id: one for one in came.incidents}
        for name, moved in state.drift.moved.items():
            alarms.setdefault(name, (moved.since, facts.now))
    return Told(alarms, tuple(incidents.values()))


def resampled(kind: str, seed: int) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Rows of the baseline that stand for July to December, and the hours at which they come, in order."""
    made, rng = world(), np.random.default_rng(1000 + seed)
    live, rows = made.hours[~made.before], np.flatnonzero(made.before)
    hours = made.hours[rows]
    if kind == "rows":
        drawn = np.empty(len(live), np.intp)
        for hour in range(24):
            of = rows[hours % 24 == hour]
            here = np.flatnonzero(live % 24 == hour)
            drawn[here] = rng.choice(of if len(of) else rows, len(here))
        return drawn, live
    days, length = np.unique(hours // 24), 1 if kind == "days" else 7
    wanted = np.unique(live // 24)
    firsts = rng.integers(0, len(days), -(-len(wanted) // length))
    chosen = days[(firsts[:, None] + np.arange(length)).ravel()[: len(wanted)] % len(days)]
    begins, ends = np.searchsorted(hours // 24, chosen, "left"), np.searchsorted(hours // 24, chosen, "right")
    drawn = np.concatenate([rows[begin:end] for begin, end in zip(begins, ends, strict=True)])
    return drawn, np.repeat(wanted, ends - begins) * 24 + made.hours[drawn] % 24


def stationary(task: tuple[str, int]) -> dict[str, Any]:
    """One half-year without a change: who gave an alarm."""
    made = world()
    drawn, hours = resampled(*task)
    told = watched(hours, {name: place[drawn] for name, place in made.positions.items()})
    peers = Peers.of(made.scores[made.before]).alarms(made.scores[drawn], hours)
    return {
        "alarms": sorted(told.alarms),
        "incidents": sorted(one.subject for one in told.incidents),
        "peers": {name: len(found) for name, found in peers.items()},
    }


def as_they_came() -> dict[str, Any]:
    """July to December: alarms and incidents with their moments, and those of the others."""
    made, live = world(), ~world().before
    told = watched(made.hours[live], {name: place[live] for name, place in made.positions.items()})
    peers = Peers.of(made.scores[made.before]).alarms(made.scores[live], made.hours[live])
    change = CHANGE // HOUR
    return {
        "alarms": {
            name: {"since": _day(since), "told": _day(at), "days_after_3_september": _days(at)}
            for name, (since, at) in told.alarms.items()
        },
        "incidents": [
            {
                "subject": one.subject,
                "since": _day(one.since or one.opened),
                "opened": _day(one.opened),
                "delay_days": round((one.opened - (one.since or one.opened)) / 86400, 1),
                "off_3_september_days": _days(one.since or one.opened),
                "resolved": None if one.resolved is None else _day(one.resolved),
                "sentence": one.sentence,
            }
            for one in told.incidents
        ],
        "peers": {
            name: {
                "alarms": len(found),
                "before_september": int((found < change - 48).sum()),
                "after": int((found >= change).sum()),
            }
            for name, found in peers.items()
        },
    }


def breaks() -> dict[str, Any]:
    """Days of the baseline; from noon of 1 October on the delay comes in hours: how soon it is told."""
    made = world()
    drawn, hours = resampled("days", 0)
    at = pd.Timestamp("2013-10-01 12:00", tz="UTC").timestamp()
    after = hours * HOUR >= at
    mixed = {name: np.where(after, made.broken[name][drawn], place[drawn]) for name, place in made.positions.items()}
    told = watched(hours, mixed)
    return {
        one.subject: {
            "hours": round((one.opened - at) / HOUR, 1),
            "since_off_hours": round(((one.since or one.opened) - at) / HOUR, 1),
        }
        for one in told.incidents
    }


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")


def _days(moment: float) -> float:
    return round((moment - CHANGE) / 86400, 1)


def main() -> None:
    """Watch all half-years, and print the result as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    chosen = parser.parse_args()
    began = time.monotonic()
    world()
    came, broken = as_they_came(), breaks()
    for one in came["incidents"]:
        print(f"{one['subject']:<12} since {one['since']}, opened {one['opened']}: {one['sentence']}", file=sys.stderr)
    still: dict[str, Any] = {}
    with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("fork")) as pool:
        for kind in KINDS:
            runs = list(pool.map(stationary, [(kind, seed) for seed in range(chosen.seeds)]))
            still[kind] = {
                "seeds": chosen.seeds,
                "without_alarm": sum(not run["alarms"] for run in runs),
                "without_incident": sum(not run["incidents"] for run in runs),
                "alarms_of": sorted({name for run in runs for name in run["alarms"]}),
                "peers": {
                    name: {
                        "without_alarm": sum(not run["peers"][name] for run in runs),
                        "alarms_each": round(float(np.mean([run["peers"][name] for run in runs])), 1),
                    }
                    for name in PEERS
                },
            }
            shown = {name: figures["without_alarm"] for name, figures in still[kind]["peers"].items()}
            print(
                f"{kind}: {still[kind]['without_alarm']} of {chosen.seeds} without an alarm, peers {shown}",
                file=sys.stderr,
            )
    found = [one for one in came["incidents"] if one["subject"] in ("predictions", SCORES)]
    near = [one for one in found if -9 <= one["off_3_september_days"] <= 7]
    targets = {
        "the shift of September is told, with its change point within a week": bool(near),
        "rows: 95 of 100 without an alarm": still["rows"]["without_alarm"] >= 0.95 * chosen.seeds,
        "days: 95 of 100 without an alarm": still["days"]["without_alarm"] >= 0.95 * chosen.seeds,
    }
    result = {
        "benchmark": "monitor",
        "seconds": round(time.monotonic() - began, 1),
        "july_to_december": came,
        "minutes_become_hours": broken,
        "stationary": still,
        "targets": targets,
    }
    print(f"missed: {[name for name, met in targets.items() if not met] or 'nothing'}", file=sys.stderr)
    print(json.dumps(result))
    raise SystemExit(0 if all(targets.values()) else 1)


if __name__ == "__main__":
    main()
