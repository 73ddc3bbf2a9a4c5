"""Metrics from counts are scikit-learn's: exactly where only answers count, within the bins' accuracy by score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from mlship.demo.flights import TARGET, flights, months
from mlship.stats import calibration, cutting
from mlship.stats.live_metrics import Tables, known, values
from mlship.stats.reached import metric, noise
from mlship.types.monitoring import Baseline, Bins, Column, Labelled
from tests.stats.flights_scored import PAYOFF, THRESHOLD, bare, labelled, scored


def plain(task: str, labels: tuple[str, ...] = ()) -> Baseline:
    """A baseline of answers alone."""
    bins = Bins("categories", names=labels)
    answers = Column(bins, (0,) * bins.width) if labels else None
    return Baseline(
        model="m",
        version="1",
        digest="d",
        made=0.0,
        policy_digest="p",
        task=task,  # type: ignore[arg-type]  # one of the three
        window=3600.0,
        zone="UTC",
        season=(),
        rows=1,
        since=None,
        until=None,
        features={},
        answers=answers,
        scores=None,
        labels=labels,
        payoff=PAYOFF if len(labels) == 2 else {},
    )


def table(answers: np.ndarray, labels: np.ndarray, classes: int) -> Labelled:
    """Rows counted by answer and label, both codes."""
    counts = np.zeros((classes + 3, classes + 1), int)
    np.add.at(counts, (answers, labels), 1)
    return Labelled(len(labels), answered=tuple(tuple(row) for row in counts.tolist()))


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40))
def test_answers_of_two_classes_are_counted_as_scikit_learn_does(rows: list[tuple[int, int]]) -> None:
    """Without a positive row there is no recall; without a positive answer no precision."""
    baseline = plain("binary", ("no", "yes"))
    said, came = np.array(rows).T
    found = {name: metric(name, table(said, came, 2), baseline) for name in known(baseline)}
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(came, said))
    assert found["error"] == pytest.approx(metrics.zero_one_loss(came, said))
    assert found["positive_rate"] == pytest.approx(came.mean())
    for name, score, there in (
        ("recall", metrics.recall_score, came.any()),
        ("precision", metrics.precision_score, said.any()),
        ("f1", metrics.f1_score, came.any() or said.any()),
    ):
        assert found[name] == (pytest.approx(score(came, said)) if there else None)
    (_, fp), (fn, tp) = metrics.confusion_matrix(came, said, labels=[0, 1])
    assert found["value"] == pytest.approx((10 * tp - 5 * fp - 8 * fn) / len(rows) * 1000)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_answers_of_more_classes_are_averaged_over_classes(rows: list[tuple[int, int]]) -> None:
    """Macro averages over the classes that were answered or came, as scikit-learn's."""
    baseline = plain("classes", ("a", "b", "c", "d"))
    said, came = np.array(rows).T
    counted = table(said, came, 4)
    assert metric("error", counted, baseline) == pytest.approx(metrics.zero_one_loss(came, said))
    for name, score in (
        ("recall", metrics.recall_score),
        ("precision", metrics.precision_score),
        ("f1", metrics.f1_score),
    ):
        wanted = score(came, said, average="macro", zero_division=0)
        assert metric(name, counted, baseline) == pytest.approx(wanted)


def test_a_label_that_the_model_does_not_know_is_never_right() -> None:
    """It is none of the classes: an error whatever was answered, and a false alarm when the answer was positive."""
    baseline = plain("binary", ("no", "yes"))
    counted = table(np.array([0, 1, 1]), np.array([2, 2, 1]), 2)
    assert metric("precision", counted, baseline) == 0.5
    assert metric("recall", counted, baseline) == 1.0
    many = table(np.array([0, 1]), np.array([4, 1]), 4)
    assert metric("accuracy", many, plain("classes", ("a", "b", "c", "d"))) == 0.5


def test_scores_of_real_flights_have_scikit_learns_metrics() -> None:
    """Of July to December by bins of May and June: 40 bins cost an area less than its own standard error of a week."""
    baseline = bare(months(scored(), 5, 6))
    rows = months(scored(), 7, 12)
    came, score = rows[TARGET].to_numpy(), rows["score"].to_numpy()
    found = {name: metric(name, labelled(rows, baseline), baseline) for name in known(baseline)}
    said = score >= THRESHOLD
    assert found["recall"] == pytest.approx(metrics.recall_score(came, said), abs=0.003)
    assert found["precision"] == pytest.approx(metrics.precision_score(came, said), abs=0.003)
    assert found["error"] == pytest.approx(metrics.zero_one_loss(came, said), abs=0.001)
    assert found["average_precision"] == pytest.approx(metrics.average_precision_score(came, score), abs=0.01)
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(came, score), abs=0.002)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(came, score), abs=0.005)
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(came, score), abs=0.001)
    wanted = calibration.Reliability.of(score, came.astype(bool)).error
    assert found["calibration_error"] == pytest.approx(wanted, abs=0.003)


def test_finer_bins_bring_areas_to_scikit_learns() -> None:
    """What is left with 40 bins is theirs, and no other error."""
    rows = months(scored(), 7, 8)
    came, score = rows[TARGET].to_numpy(), rows["score"].to_numpy()
    baseline = bare(rows, most=2000)
    counted = labelled(rows, baseline)
    assert metric("roc_auc", counted, baseline) == pytest.approx(metrics.roc_auc_score(came, score), abs=3e-4)
    wanted = metrics.average_precision_score(came, score)
    assert metric("average_precision", counted, baseline) == pytest.approx(wanted, abs=2e-3)


def test_numbers_have_scikit_learns_errors() -> None:
    """A flight's time in the air, told from the distance."""
    rows = months(flights(), 7, 7)
    said, came = (rows["distance"] / 7.9 + 18).to_numpy(), rows["air_time"].to_numpy()
    off = said - came
    counted = Labelled(len(off), errors=(len(off), float(off.sum()), float(abs(off).sum()), float((off**2).sum())))
    baseline = plain("numbers")
    assert metric("mae", counted, baseline) == pytest.approx(metrics.mean_absolute_error(came, said))
    assert metric("rmse", counted, baseline) == pytest.approx(metrics.root_mean_squared_error(came, said))
    assert metric("bias", counted, baseline) == pytest.approx(off.mean())
    spread = noise("bias", counted, baseline)
    assert spread == pytest.approx(off.var())
    assert metric("recall", counted, baseline) is None


def test_many_tables_are_measured_as_each_alone() -> None:
    """The leading axis is nothing but many at once."""
    baseline = bare(months(scored(), 5, 6))
    parts = [labelled(rows, baseline) for _, rows in months(scored(), 7, 7).groupby("origin")]
    for name in known(baseline):
        together = values(name, Tables.of(parts, baseline), baseline)
        assert together.tolist() == pytest.approx([metric(name, part, baseline) for part in parts])


def test_nothing_has_no_metric() -> None:
    """No rows are no zero."""
    baseline = bare(months(scored(), 5, 6))
    assert all(metric(name, Labelled(), baseline) is None for name in known(baseline))
    assert cutting.first_positive(baseline.scores.bins, THRESHOLD) > 0 if baseline.scores else False
    with pytest.raises(KeyError):
        values("mae", Tables.of([Labelled()], baseline), baseline)
