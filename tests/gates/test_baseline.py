"""The baseline of a candidate: counted, learned and measured on real flights, and honest about what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, recall_score, roc_auc_score

from mlship.errors import DataError
from mlship.gates.base import GateContext
from mlship.gates.baseline.make import make, told
from mlship.home import Home
from mlship.policy.schema import Policy
from mlship.sources.files import Rows
from mlship.stats import cutting, live_metrics, streams
from mlship.types import Candidate
from mlship.types.monitoring import Baseline
from tests.conftest import CATEGORIES, FEATURES
from tests.gates.support import NOW, Said, said, version

#: When the baseline was made.
MADE = 1763690000.0


def _context(
    models: Callable[[pd.DataFrame], Any],
    evaluation: pd.DataFrame,
    reference: pd.DataFrame | None = None,
    *,
    target: str | None = "late",
    time: str | None = "time_hour",
    inputs: tuple[str, ...] = tuple(FEATURES),
    gates: dict[str, Any] | None = None,
    **monitor: Any,
) -> GateContext:
    data: dict[str, Any] = {"evaluation": {"path": "july.parquet", "target": target, "time": time}}
    if reference is not None:
        data["reference"] = {"path": "h1.parquet", "time": time}
    owner = {"team": "t", "contact": "t@example.com"}
    policy = {"version": 1, "model": "m", "owner": owner, "data": data, "gates": gates or {}}
    policy["monitor"] = {"window": "6h"} | monitor

    def score(versions: Any, rows: pd.DataFrame, contents: str) -> tuple[Any, ...]:
        assert target not in rows.columns, "the label is kept from the model"
        return tuple(models(rows) for _ in versions)

    return GateContext(
        policy=Policy.model_validate(policy),
        resolve=Path,
        candidate=Candidate(version("2", inputs), version("1", inputs)),
        evaluation=Rows(evaluation, "sha256:e", Path("july.parquet"), target, time),
        reference=None if reference is None else Rows(reference, "sha256:r", Path("h1.parquet"), None, time),
        score=score,
        now=NOW,
        seed=1,
        home=Home(Path("/nowhere")),
    )


def _local(rows: pd.DataFrame) -> pd.DataFrame:
    """With the time on New York's clocks, which names no zone."""
    hours = rows["time_hour"].dt.tz_localize("UTC").dt.tz_convert("America/New_York").dt.tz_localize(None)
    return rows.assign(time_hour=hours).reset_index(drop=True)


@pytest.fixture(scope="module")
def half(flights: pd.DataFrame) -> pd.DataFrame:
    """January to June: every third flight, text as the files are read."""
    rows = _local(flights[flights["month"] <= 6].iloc[::3].drop(columns="late"))
    return rows.astype(dict.fromkeys(CATEGORIES, "category"))


@pytest.fixture(scope="module")
def july(flights: pd.DataFrame) -> pd.DataFrame:
    return _local(flights[flights["month"] == 7])


@pytest.fixture(scope="module")
def model(flights: pd.DataFrame, train: Callable[..., Any]) -> Callable[[pd.DataFrame], Said]:
    """A real gradient booster."""
    fitted = train(flights[flights["month"] <= 6].iloc[::10])

    def predict(rows: pd.DataFrame) -> Said:
        scores = fitted.predict_proba(rows[FEATURES])
        return Said(fitted.classes_[scores.argmax(axis=1)], scores, fitted.classes_)

    return predict


@pytest.fixture(scope="module")
def made(model: Callable[[pd.DataFrame], Said], july: pd.DataFrame, half: pd.DataFrame) -> Baseline:
    """With everything that a policy can ask for."""
    context = _context(
        model,
        july,
        half,
        gates={"value": {"payoff": {"tp": 40, "fp": -5, "fn": -60, "tn": 0}}},
        window="1h",
        zone="America/New_York",
        season=["hour"],
        slices={"by": ["origin", "weekday"], "most": 2},
        performance={"recall": {"min": 0.6}},
    )
    return make(context, "sha256:p", made=MADE)


def test_all_of_it_is_there(made: Baseline, half: pd.DataFrame) -> None:
    """Whose it is, of which rows and times, and what it knows; nothing is lacking."""
    assert (made.model, made.version, made.policy_digest, made.made) == ("m", "2", "sha256:p", MADE)
    assert (made.task, made.labels, made.threshold) == ("binary", ("0", "1"), 0.5)
    assert (made.rows, made.source, made.window, made.season) == (len(half), "h1.parquet", 3600.0, ("hour",))
    assert made.since is not None
    assert pd.Timestamp(made.since, unit="s", tz="America/New_York") == half["time_hour"].min().tz_localize(
        "America/New_York"
    )
    assert list(made.features) == FEATURES
    assert made.calibration is not None
    assert made.payoff == {"tp": 40.0, "fp": -5.0, "fn": -60.0, "tn": 0.0}
    largest = {name: [str(value) for value in half[name].value_counts().index[:2]] for name in ("origin", "weekday")}
    assert {name: list(values) for name, values in made.slices.items()} == largest
    assert dict(made.why_not) == {}
    said_ = told(made)
    assert said_.startswith(f"{len(half):,} rows of h1.parquet: 7 features, scores, calibration and ")


def test_rows_are_counted_each_once(made: Baseline, half: pd.DataFrame) -> None:
    """Categories as pandas counts them, numbers with their mean and median; predictions of every row."""
    carriers, delays = made.features["carrier"], made.features["dep_delay"]
    counted = half["carrier"].value_counts()
    assert {name: n for name, n in zip(carriers.bins.names, carriers.counts, strict=False) if n} == counted[
        counted > 0
    ].to_dict()
    assert sum(delays.counts) == len(half)
    assert delays.example["mean"] == pytest.approx(half["dep_delay"].mean())
    assert delays.example["median"] == pytest.approx(half["dep_delay"].median(), abs=0.1)
    assert delays.deviation == pytest.approx(half["dep_delay"].std())
    total = sum(n * middle for n, middle in zip(delays.counts, delays.middles, strict=False))
    assert total == pytest.approx(half["dep_delay"].sum())
    assert made.scores is not None
    assert made.answers is not None
    assert sum(made.scores.counts) == sum(made.answers.counts) == len(half)


def test_what_is_usual_is_learned_from_windows_as_the_monitor_will_count_them(
    made: Baseline, half: pd.DataFrame
) -> None:
    """Mean by hour of the windows' values, each counted and valued as the monitor does it, one by one."""
    column = made.features["origin"]
    hours = half["time_hour"].dt.tz_localize("America/New_York").dt.tz_convert("UTC")
    window = hours.astype("int64").to_numpy() // (3600 * 10**9 if hours.dt.unit == "ns" else 3600 * 10**6)
    stream = next(one for one in streams.streams(column.bins, column.counts) if one.name == "=EWR")
    found = []
    for _, rows in half.groupby(window):
        if len(rows) >= 10:
            counts = cutting.counted(cutting.positions(rows["origin"], column.bins), column.bins)
            value, n = streams.value(stream, counts)
            assert n == len(rows)
            found.append((rows["time_hour"].iloc[0].hour, value))
    usual = column.streams["=EWR"]
    assert usual.windows == len(found)
    by_hour = pd.DataFrame(found, columns=["hour", "value"]).groupby("hour")["value"].agg(["mean", "count"])
    often = by_hour[by_hour["count"] > 100]
    assert len(often) > 10
    for hour, mean in zip(often.index.tolist(), often["mean"].tolist(), strict=True):
        assert usual.expected[hour] == pytest.approx(mean, abs=0.02)
    assert usual.noise == pytest.approx(found_share(made) * (1 - found_share(made)), rel=1e-6)


def found_share(made: Baseline) -> float:
    """Share of flights from EWR."""
    column = made.features["origin"]
    return column.counts[column.bins.names.index("EWR")] / sum(column.counts)


def test_performance_is_what_scikit_learn_says(
    made: Baseline, model: Callable[[pd.DataFrame], Said], july: pd.DataFrame
) -> None:
    """Recall exactly, areas as well as bins of scores tell them; with an interval and the days' behaviour."""
    answers = model(july.drop(columns="late"))
    recall = made.performance["recall"]
    assert recall.value == pytest.approx(recall_score(july["late"], answers.values))
    assert recall.low is not None
    assert recall.low < recall.value < (recall.high or 0)
    assert recall.steady is not None
    assert recall.steady.windows == 31
    score = answers.scores[:, 1]
    assert made.performance["roc_auc"].value == pytest.approx(roc_auc_score(july["late"], score), abs=0.003)
    assert made.performance["average_precision"].value == pytest.approx(
        average_precision_score(july["late"], score), abs=0.005
    )
    assert set(made.performance) == set(live_metrics.known(made))


def test_a_policy_s_threshold_decides_by_score(
    model: Callable[[pd.DataFrame], Said], july: pd.DataFrame, half: pd.DataFrame
) -> None:
    """The metrics' gate's threshold is a border of the bins, and performance is that of its decisions."""
    gates = {"metrics": {"recall": {"min": 0.5, "threshold": 0.3}}}
    found = make(_context(model, july, half, gates=gates), "p", made=MADE)
    assert found.threshold == 0.3
    scores = model(july.drop(columns="late")).scores[:, 1]
    expected = recall_score(july["late"], scores >= 0.3)
    assert found.performance["recall"].value == pytest.approx(expected, abs=0.01)


def test_the_same_rows_give_the_same_baseline(
    made: Baseline, model: Callable[[pd.DataFrame], Said], july: pd.DataFrame, half: pd.DataFrame
) -> None:
    """Twice the same; and without a reference, the evaluation rows are it."""
    one, other = (make(_context(model, july, half), "p", made=MADE) for _ in range(2))
    assert one == other
    alone = make(_context(model, july), "p", made=MADE)
    assert (alone.rows, alone.source) == (len(july), "july.parquet")
    assert alone.performance.keys() == one.performance.keys()
    assert alone.features["carrier"].streams


def test_of_many_rows_a_sample_is_predicted_and_every_feature_counted(
    model: Callable[[pd.DataFrame], Said],
    july: pd.DataFrame,
    half: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its windows are small, and still tell what is usual."""
    monkeypatch.setattr("mlship.gates.few.PREDICTED", 20_000)
    asked: list[int] = []

    def counting(rows: pd.DataFrame) -> Said:
        asked.append(len(rows))
        return model(rows)

    found = make(_context(counting, july, half, window="1d"), "p", made=MADE)
    assert found.scores is not None
    assert sum(found.scores.counts) == 20_000
    assert sum(found.features["carrier"].counts) == len(half)
    assert found.scores.streams["level"].windows == 181
    assert set(asked) == {len(july), 20_000}


def test_what_it_lacks_is_said_with_what_to_do(
    model: Callable[[pd.DataFrame], Said], july: pd.DataFrame, half: pd.DataFrame
) -> None:
    """No times, no labels, too few windows, a metric that the model has not; all else is there."""
    timeless = make(_context(model, july, half, time=None), "p", made=MADE)
    assert (timeless.since, timeless.until) == (None, None)
    assert timeless.why_not["streams"] == (
        "data.reference has no time column: add data.reference.time, so that what is usual can be learned"
    )
    assert "days" in timeless.why_not["calibration"]
    assert "data.evaluation.time is not set" in timeless.why_not["performance"]
    assert timeless.performance["recall"].value > 0.5
    assert not timeless.features["carrier"].streams
    blind = make(_context(model, july.drop(columns="late"), half, target=None), "p", made=MADE)
    assert blind.why_not["performance"] == "data.evaluation names no target column"
    assert not blind.performance
    few = make(_context(model, july, half[half["month"] == 1].head(2000), window="7d"), "p", made=MADE)
    assert "windows of 7d with monitor.min_rows (10) rows in data.reference are too few" in few.why_not["streams"]
    odd = make(_context(model, july, half, performance={"mae": {"max": 1}}), "p", made=MADE)
    assert odd.why_not["performance"].startswith("mae: no such metric of these rows and predictions (there are: recall")


def test_columns_that_cannot_be_watched(
    model: Callable[[pd.DataFrame], Said], july: pd.DataFrame, half: pd.DataFrame
) -> None:
    """Times are left out, and said; a column that the reference lacks is one message with its likely name."""
    inputs = (*FEATURES, "seen")
    seen = half.assign(seen=half["time_hour"])
    found = make(_context(model, july.assign(seen=july["time_hour"]), seen, inputs=inputs), "p", made=MADE)
    assert list(found.features) == FEATURES
    assert found.why_not["features"] == "seen: neither numbers nor categories"
    with pytest.raises(DataError, match=r"the model takes the column 'carrier', .* did you mean 'carriers'"):
        make(_context(model, july, half.rename(columns={"carrier": "carriers"})), "p", made=MADE)
    with pytest.raises(DataError, match=r"monitor.slices.by names the column 'orign'.*did you mean 'origin'"):
        make(_context(model, july, half, slices={"by": ["orign"]}), "p", made=MADE)
    chosen = _context(model, july, half, features={"psi": 0.2, "columns": ["tailnum", "carrier"]})
    watched = make(chosen, "p", made=MADE).features
    assert {"tailnum", *FEATURES} == set(watched)
    assert watched["tailnum"].bins.size == 50
    with pytest.raises(DataError, match="the reference data has 29 rows"):
        make(_context(model, july, half.head(29)), "p", made=MADE)
    no_data = replace(_context(model, july), evaluation=None)
    with pytest.raises(DataError, match="the policy names no data"):
        make(no_data, "p", made=MADE)


def test_models_of_every_kind(july: pd.DataFrame, half: pd.DataFrame) -> None:
    """Numbers, several classes, answers alone, truth values, and a decision value, which is no probability."""
    delay = july.assign(late=july["dep_delay"] + 1.0)
    number = make(_context(lambda rows: Said(rows["dep_delay"].to_numpy() * 1.0), delay, half), "p", made=MADE)
    assert (number.task, number.labels, number.scores) == ("numbers", (), None)
    assert number.performance["bias"].value == pytest.approx(-1)
    assert number.performance["mae"].value == pytest.approx(1)
    assert number.answers is not None
    assert {"level", "spread"} <= set(number.answers.streams)

    airports = july.assign(late=july["origin"].astype(str))
    names = np.array(["EWR", "JFK", "LGA"])
    classes = make(
        _context(lambda rows: Said(rows["origin"].astype(str).to_numpy(), None, names), airports, half), "p", made=MADE
    )
    assert (classes.task, classes.labels) == ("classes", ("EWR", "JFK", "LGA"))
    assert classes.performance["accuracy"].value == 1
    assert classes.why_not["scores"] == "the model has 3 classes, not two"

    def early(rows: pd.DataFrame) -> Any:
        return (rows["dep_delay"] > 15).to_numpy()

    alone = make(_context(lambda rows: Said(early(rows).astype(int)), july, half), "p", made=MADE)
    assert (alone.task, alone.labels, alone.scores) == ("binary", ("0", "1"), None)
    assert alone.why_not["scores"] == "the model gives no probabilities"
    assert alone.performance["recall"].value == pytest.approx(
        recall_score(july["late"], early(july.drop(columns="late")))
    )
    truth = make(_context(lambda rows: Said(early(rows)), july.assign(late=july["late"] == 1), half), "p", made=MADE)
    assert truth.labels == ("false", "true")
    assert truth.performance["recall"].value == alone.performance["recall"].value
    decision = make(
        _context(
            lambda rows: Said(early(rows).astype(int), rows["dep_delay"].to_numpy() - 15.0, np.array([0, 1])),
            july,
            half,
        ),
        "p",
        made=MADE,
    )
    assert decision.why_not["scores"] == "the model gives a decision value, no probability"
    assert decision.task == "binary"


def test_a_model_that_decides_elsewhere_has_its_own_threshold(july: pd.DataFrame, half: pd.DataFrame) -> None:
    """Answers that follow from a score of 0.2 on are taken for that."""
    found = make(
        _context(lambda rows: said((rows["dep_delay"].clip(-20, 80) + 20) / 100, 0.2), july, half), "p", made=MADE
    )
    assert found.threshold == pytest.approx(0.21)
    assert found.answers is not None
    assert found.scores is not None
    size = found.scores.bins.size
    first = cutting.first_positive(found.scores.bins, found.threshold or 0)
    assert sum(found.scores.counts[first:size]) == found.answers.counts[1]
