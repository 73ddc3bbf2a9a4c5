"""Flights scored by a real model (trained on January to April), counted as the monitor counts them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd

from mlship.demo.flights import FEATURES, TARGET, flights, in_hours, months
from mlship.stats import cutting
from mlship.stats.confidence import learn_calibration
from mlship.stats.live_metrics import known
from mlship.stats.reached import reached
from mlship.types.monitoring import Baseline, Bins, Column, Labelled, Tally

ZONE = "America/New_York"
THRESHOLD = 0.5
PAYOFF = {"tp": 10.0, "fp": -5.0, "fn": -8.0, "tn": 0.0}


@lru_cache(2)
def scored(trees: int = 60, broken: bool = False) -> pd.DataFrame:
    """All flights of May to December, in order: `time_hour`, `origin`, the label `late`, the model's `score`.

    `broken`: the model is asked with departure delays in hours, where it was trained on minutes.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    frame = flights()
    table = frame[list(FEATURES)].copy()
    for column in ("carrier", "origin", "dest"):
        table[column] = table[column].astype("category").cat.codes
    past = frame["time_hour"].dt.month <= 4
    model = HistGradientBoostingClassifier(max_iter=trees, random_state=0).fit(table[past], frame.loc[past, TARGET])
    if broken:
        table = in_hours(table)
    found: pd.DataFrame = frame.loc[~past, ["time_hour", "origin", TARGET]].reset_index(drop=True)
    found["score"] = model.predict_proba(table[~past])[:, 1]
    return found


def bare(frame: pd.DataFrame, most: int = 40) -> Baseline:
    """A baseline that knows how scores are counted, and nothing of performance yet."""
    sketch = cutting.sketched(frame["score"])
    bins = cutting.cut_scores(sketch, THRESHOLD, most)
    scores = Column(bins, cutting.of_sketch(sketch, bins), middles=cutting.middles(sketch, bins))
    answers = Bins("categories", names=("0", "1"))
    return Baseline(
        model="flight-delay",
        version="1",
        digest="sha256:0",
        made=0.0,
        policy_digest="sha256:0",
        task="binary",
        window=3600.0,
        zone=ZONE,
        season=(),
        rows=len(frame),
        since=None,
        until=None,
        features={},
        answers=Column(answers, (0,) * answers.width),
        scores=scores,
        labels=("0", "1"),
        threshold=THRESHOLD,
        slices={"origin": ("EWR", "JFK", "LGA")},
        payoff=PAYOFF,
    )


def labelled(frame: pd.DataFrame, baseline: Baseline) -> Labelled:
    """Rows counted by score and label."""
    assert baseline.scores is not None
    bins = baseline.scores.bins
    table = np.zeros((bins.width, 3), int)
    np.add.at(table, (cutting.positions(frame["score"], bins), frame[TARGET].to_numpy()), 1)
    return Labelled(rows=len(frame), scored=tuple(tuple(row) for row in table.tolist()))


def by_day(frame: pd.DataFrame, baseline: Baseline) -> list[Labelled]:
    """One each day, in order."""
    return [labelled(rows, baseline) for _, rows in frame.groupby(frame["time_hour"].dt.floor("D"))]


@lru_cache(1)
def proved() -> Baseline:
    """The baseline of an evaluation on May and June."""
    rows = months(scored(), 5, 6)
    baseline = bare(rows)
    days = by_day(rows, baseline)
    baseline = replace(baseline, calibration=learn_calibration(days, baseline))
    found = {name: reached(name, days, baseline) for name in known(baseline)}
    return replace(baseline, performance={name: one for name, one in found.items() if one is not None})


def windows(frame: pd.DataFrame, baseline: Baseline, slices: bool = False) -> Iterator[Tally]:
    """Hours of traffic with all their labels, of all rows and (if asked for) by origin."""
    local = frame["time_hour"].dt.tz_localize(ZONE, ambiguous=True, nonexistent="shift_forward")
    hours = (local.dt.as_unit("s").astype("int64") // 3600 * 3600).to_numpy()
    for start, rows in frame.groupby(hours):
        yield _window(float(start), rows, baseline, "")
        for origin, part in rows.groupby("origin") if slices else ():
            yield _window(float(start), part, baseline, f"origin={origin}")


def _window(start: float, rows: pd.DataFrame, baseline: Baseline, part: str) -> Tally:
    known_rows = labelled(rows, baseline)
    scores = tuple(sum(place) for place in known_rows.scored)
    return Tally(start, 3600.0, len(rows), scores=scores, labelled=known_rows, slice=part)
