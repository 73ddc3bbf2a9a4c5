"""Small logs, baselines made of them, and a second way of counting that is slow and plain."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlship.monitor.reading import Progress, Read, read
from mlship.policy.monitor import Monitor
from mlship.stats import cutting
from mlship.stats.placing import positions
from mlship.types.monitoring import Baseline, Column, Tally

HOUR = 3600.0
#: Monday, 4 November 2024, 00:00 UTC.
START = 1_730_678_400.0
#: When all that the logs of these tests hold is over.
LATER = START + 1000 * HOUR
FEATURES = ("delay", "hour", "carrier", "night")


def rows(count: int = 2000, *, hours: float = 10, seed: int = 0, start: float = START) -> pd.DataFrame:
    """Predictions in order of time: numbers, categories and booleans with gaps, scores, labels and keys."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, hours * HOUR, count))
    score = rng.beta(1, 3, count)
    return pd.DataFrame(
        {
            "time": pd.to_datetime(((start + times) * 1e6).astype("int64"), unit="us", utc=True),
            "id": [f"order-{number}" for number in range(count)],
            "version": rng.choice(["3", "4"], count, p=[0.9, 0.1]),
            "delay": np.where(rng.random(count) < 0.05, np.nan, rng.normal(10, 30, count).round(3)),
            "hour": rng.integers(0, 24, count),
            "carrier": rng.choice(np.array(["AA", "B6", "UA", None], dtype=object), count),
            "night": rng.random(count) < 0.2,
            "score": score,
            "prediction": (score >= 0.5).astype("int64"),
            "late": (rng.random(count) < score).astype("int64"),
        }
    )


def column(values: Any, bins: Any = None) -> Column:
    found = cutting.cut(cutting.sketched(values)) if bins is None else bins
    return Column(found, cutting.counted(positions(values, found), found))


def baseline(frame: pd.DataFrame, *, window: float = HOUR, zone: str = "UTC", slices: Sequence[str] = ()) -> Baseline:
    scores = cutting.cut_scores(cutting.sketched(frame["score"]), 0.5)
    answers = cutting.cut(cutting.sketched(frame["prediction"].astype(str)))
    return Baseline(
        model="late-flights",
        version="3",
        digest="sha256:3",
        made=START,
        policy_digest="sha256:p",
        task="binary",
        window=window,
        zone=zone,
        season=(),
        rows=len(frame),
        since=None,
        until=None,
        features={name: column(frame[name]) for name in FEATURES},
        answers=column(frame["prediction"].astype(str), answers),
        scores=column(frame["score"], scores),
        labels=("0", "1"),
        threshold=0.5,
        slices={name: tuple(sorted(frame[name].dropna().astype(str).unique())) for name in slices},
    )


def policy(**log: Any) -> Monitor:
    """A policy of one log that tells everything."""
    told = {"time": "time", "prediction": "prediction", "score": "score", "key": "id", "version": "version"}
    extra = {name: log.pop(name) for name in ("labels", "delay", "window", "zone") if name in log}
    return Monitor.model_validate({"log": {**told, **log}, **extra})


def resolve(directory: Path) -> Callable[[str], Path]:
    return lambda text: directory / text


def one_pass(monitor: Monitor, known: Baseline, directory: Path, now: float, **options: Any) -> Read:
    return read(monitor, known, resolve(directory), **{"version": "3", "since": None, "now": now} | options)


def passes(
    monitor: Monitor, known: Baseline, directory: Path, moments: Sequence[float], see: Callable[[float], None]
) -> list[Read]:
    """Passes at these moments, each with what the last one left; `see` makes the world as it was then."""
    found: list[Read] = []
    since, progress = None, Progress()
    for now in moments:
        see(now)
        one = one_pass(monitor, known, directory, now, since=since, progress=progress)
        since, progress = one.until, Progress.from_json(one.progress.to_json())
        found.append(one)
    return found


def together(reads: Sequence[Read]) -> dict[tuple[float, str], Tally]:
    """The windows of several passes as their store would have them; none may be given twice."""
    found: dict[tuple[float, str], Tally] = {}
    for one in reads:
        for tally in one.tallies:
            assert (tally.start, tally.slice) not in found
            found[tally.start, tally.slice] = tally
        for tally in one.labelled:
            before = found[tally.start, tally.slice]
            assert before.labelled is None
            assert (before.rows, before.answers, before.scores) == (tally.rows, tally.answers, tally.scores)
            found[tally.start, tally.slice] = replace(before, labelled=tally.labelled)
    return found


def plainly(
    frame: pd.DataFrame, known: Baseline, slices: Mapping[str, Sequence[str]] | None = None
) -> dict[tuple[float, str], Any]:
    """(rows, features, answers, scores, (label, score's position) counts) by window and slice, by pandas' groupby."""
    ours = frame[frame["version"].astype(str) == known.version]
    start = (ours["time"].astype("int64") // int(known.window * 1e6) * known.window).rename("start")
    found: dict[tuple[float, str], Any] = {}
    groups: list[tuple[str, pd.DataFrame]] = [("", ours)]
    for name, values in (slices or {}).items():
        groups += [(f"{name}={value}", ours[ours[name].astype(str) == value]) for value in values]
    for called, group in groups:
        for at, some in group.groupby(start[group.index]):
            features = {
                name: cutting.counted(positions(some[name], one.bins), one.bins) for name, one in known.features.items()
            }
            assert known.answers is not None
            assert known.scores is not None
            place = positions(some["score"], known.scores.bins)
            found[float(str(at)), called] = (
                len(some),
                {} if called else features,
                cutting.counted(positions(some["prediction"].astype(str), known.answers.bins), known.answers.bins),
                cutting.counted(place, known.scores.bins),
                Counter(zip(place.tolist(), some["late"].tolist(), strict=True)),
            )
    return found


def seen(tally: Tally) -> Any:
    """A tally as `plainly` tells it."""
    counts: Counter[tuple[int, int]] = Counter()
    if tally.labelled is not None:
        for place, line in enumerate(tally.labelled.scored):
            for label, times in enumerate(line):
                if times:
                    counts[place, label] = times
    return tally.rows, dict(tally.features), tally.answers, tally.scores, counts


def write(frame: pd.DataFrame, path: Path) -> None:
    """In the format that the name says, long ago."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, row_group_size=200)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".db":
        with sqlite3.connect(path) as database:
            frame.assign(time=frame["time"].astype(str)).to_sql("log", database, if_exists="replace", index=False)
    else:
        frame.assign(time=frame["time"].dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")).to_json(
            path, orient="records", lines=True
        )
    os.utime(path, (START, START))


def log_of(path: Path) -> dict[str, Any]:
    if path.suffix == ".db":
        return {"sql": {"url": f"sqlite:///{path.name}", "query": "SELECT * FROM log"}}
    return {"path": path.name}
