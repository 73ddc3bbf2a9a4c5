"""The metrics gate: any scorer, both tasks, limits and champion; and what it says when it cannot tell."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.naive_bayes import GaussianNB

from mlship.gates.metrics import cells, resample
from mlship.gates.metrics.gate import Metrics
from mlship.gates.metrics.paired import compare
from mlship.stats import bootstrap
from mlship.types import Status
from tests.gates.support import Case, Said, said

RNG = np.random.default_rng(0)
N = 2000
Y = (RNG.random(N) < 0.3).astype(int)
GOOD = said(1 / (1 + np.exp(-(3 * Y - 1.5 + RNG.normal(size=N)))))
WORSE = said(1 / (1 + np.exp(-(2 * Y - 1 + RNG.normal(size=N)))))
ROWS = pd.DataFrame({"x": RNG.normal(size=N), "y": Y})


def _metric(rows: pd.DataFrame = ROWS, **rules: Any) -> Case:
    return Case(gates={"metrics": rules}, rows=rows, candidate=GOOD, champion=WORSE)


def test_limits_and_champion_in_one_run() -> None:
    """`min`, `max` and `max_drop` give a result each, with value, interval, n, champion and reason."""
    found = _metric(recall={"min": 0.5, "max": 0.6, "max_drop": 0}).judged(Metrics())
    assert {rule: result.status for rule, result in found.items()} == {
        "recall min": Status.PASSED,
        "recall max": Status.FAILED,
        "recall max_drop": Status.PASSED,
    }
    best = found["recall min"]
    assert best.measured is not None
    assert best.champion is not None
    assert best.measured.value == pytest.approx(metrics.recall_score(Y, GOOD.values))
    assert best.champion.value == pytest.approx(metrics.recall_score(Y, WORSE.values))
    assert best.measured.low < best.measured.value < best.measured.high  # type: ignore[operator]  # they are numbers here
    assert best.measured.n == N


def test_a_worse_candidate_fails_against_its_champion() -> None:
    """The same two models the other way round."""
    case = _metric(average_precision={"max_drop": 0.01})
    case.candidate, case.champion = WORSE, GOOD
    (result,) = case.judged(Metrics()).values()
    assert result.status is Status.FAILED
    assert result.limit == ">= -0.01"


def test_the_comparison_is_paired() -> None:
    """Two models that differ in 3 of 2000 rows differ by a hundredth of what each of them is uncertain by."""
    nearly = GOOD.values.copy()
    nearly[:3] = 1 - nearly[:3]
    found = compare("accuracy", Y, GOOD, Said(nearly, None, np.array([0, 1])), seed=1)
    assert found.difference is not None
    alone = found.candidate.high - found.candidate.low  # type: ignore[operator]  # they are numbers here
    assert (found.difference.high - found.difference.low) < alone / 5  # type: ignore[operator]  # they are numbers here


def test_a_champion_against_itself_is_no_drop() -> None:
    """The same predictions on every row: the difference is zero, exactly, so that `max_drop: 0` passes."""
    case = _metric(average_precision={"max_drop": 0}, recall={"max_drop": 0})
    case.champion = GOOD
    for result in case.judged(Metrics()).values():
        assert result.status is Status.PASSED
        assert "same predictions on every row" in result.reason


def test_without_a_champion_a_drop_is_skipped() -> None:
    """The first promotion has nothing to compare with; absolute limits still hold."""
    case = _metric(recall={"min": 0.5, "max_drop": 0})
    case.champion = None
    found = case.judged(Metrics())
    assert found["recall max_drop"].status is Status.SKIPPED
    assert found["recall min"].status is Status.PASSED


@pytest.mark.parametrize("metric", ["average_precision", "recall", "neg_log_loss", "d2_brier_score"])
def test_the_same_seed_gives_the_same_figures_in_any_order(metric: str) -> None:
    """Whatever was measured before, and however often."""
    first = compare(metric, Y, GOOD, WORSE, seed=4)
    compare("roc_auc", Y, GOOD, WORSE, seed=4)
    assert compare(metric, Y, GOOD, WORSE, seed=4) == first
    assert compare(metric, Y, GOOD, WORSE, seed=5) != first


def _fitted(kind: str) -> tuple[np.ndarray, Any, Any, Said]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 3))
    z = x @ [1, -1, 0.5]
    label: Any = (z + rng.normal(size=300) > 0).astype(int)
    if kind == "numbers":
        label = np.exp(z / 3 + rng.normal(size=300) / 3)
    if kind == "text":
        label = np.where(label, "yes", "no").astype(object)
    if kind == "three":
        label = np.array(["a", "b", "c"], dtype=object)[np.digitize(z + rng.normal(size=300), [-1, 1])]
    model = LinearRegression() if kind == "numbers" else GaussianNB()
    model.fit(x, label)
    if kind == "numbers":
        return x, label, model, Said(model.predict(x))
    return x, label, model, Said(model.predict(x), model.predict_proba(x), model.classes_)


@pytest.mark.parametrize("kind", ["classes", "three", "numbers"])
def test_every_scorer_gives_scikit_learns_value_or_its_refusal(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each scorer that scikit-learn has: replayed predictions score as the model does, or fail as it does."""
    monkeypatch.setattr(resample, "_GENERAL", 20)  # a few replicates are enough to see that there are some
    monkeypatch.setattr(cells, "_GENERAL", 20)
    monkeypatch.setattr(bootstrap, "_GROUPS", 5)
    x, label, model, predictions = _fitted(kind)
    measured = 0
    for name in get_scorer_names():
        clusters = hasattr(metrics.cluster, name)
        if (clusters and name != "rand_score") or "ovo" in name:
            continue  # like their neighbours, and slow
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                expected = get_scorer(name)(model, x, label)
            except (AttributeError, ValueError):
                with pytest.raises((AttributeError, ValueError, TypeError)):
                    compare(name, label, predictions, None, seed=1)
                continue
        if clusters and kind == "numbers":
            continue
        found = compare(name, label, predictions, None, seed=1).candidate
        assert found.value == pytest.approx(expected), name
        assert found.low <= found.value <= found.high, name  # type: ignore[operator]  # they are numbers here
        measured += 1
    assert measured >= 11


def test_text_labels_have_a_positive_class() -> None:
    """Of two texts the model's second class is the positive one, as for the areas under curves."""
    _, label, _, predictions = _fitted("text")
    found = compare("recall", label, predictions, None, seed=1).candidate
    assert found.value == pytest.approx(metrics.recall_score(label, predictions.values, pos_label="yes"))


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ("roc_auc", "needs probabilities, and the model gives none"),
        ("recal", "'recal' is neither a scikit-learn scorer nor a metric of mlship; did you mean 'recall'?"),
        ("f1_samples", "cannot be measured here"),
    ],
)
def test_a_scorer_that_does_not_fit_is_an_error_with_a_reason(metric: str, says: str) -> None:
    """An error result, not a crash, in one sentence."""
    case = _metric()
    case.gates = {"metrics": {metric: {"min": 0.5}}}
    case.candidate, case.champion = Said(GOOD.values, None, np.array([0, 1])), None
    (result,) = case.judged(Metrics()).values()
    assert result.status is Status.ERROR
    assert says in result.reason


def test_two_class_scorers_name_their_like_for_three() -> None:
    """`recall` and `roc_auc` on three classes say what to use instead."""
    _, label, _, predictions = _fitted("three")
    rows = pd.DataFrame({"y": label})
    case = Case(gates={"metrics": {"recall": {"min": 0}, "roc_auc": {"min": 0}}}, rows=rows, candidate=predictions)
    reasons = [result.reason for result in case.judged(Metrics()).values()]
    assert "use recall_macro" in reasons[0]
    assert "use roc_auc_ovr" in reasons[1]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (ROWS.head(29), "29 rows"),
        (ROWS.head(0), "0 rows"),
        (ROWS.assign(y=1), "every row has the same label, 1"),
        (ROWS.assign(y=[1] + [0] * (N - 1)), "only 1 row has the label 1"),
    ],
)
def test_too_little_data_is_inconclusive(rows: pd.DataFrame, says: str) -> None:
    """Few rows, no rows, one class, or a class of one row: no verdict, and the reason why."""
    (result,) = _metric(rows=rows, recall={"min": 0.5}).judged(Metrics()).values()
    assert result.status is Status.INCONCLUSIVE
    assert says in result.reason


@pytest.mark.parametrize("metric", ["recall", "average_precision", "roc_auc"])
def test_a_perfect_score_on_few_rows_is_no_proof(metric: str) -> None:
    """40 rows, all right: the interval does not collapse to 1, so 0.99 is inconclusive and 0.5 passes."""
    label = np.arange(40) % 2
    case = Case(
        gates={"metrics": {metric: {"min": 0.99}}}, rows=pd.DataFrame({"y": label}), candidate=said(0.1 + 0.8 * label)
    )
    (result,) = case.judged(Metrics()).values()
    assert result.status is Status.INCONCLUSIVE
    assert result.measured is not None
    assert result.measured.value == 1
    assert 0.5 < (result.measured.low or 0) < 0.97


def test_a_perfect_regressor_on_few_rows_is_no_proof() -> None:
    """40 numbers, all right: what three of a hundred unseen rows may do is inside the interval."""
    label = np.arange(40.0)
    found = compare("r2", label, Said(label), None, seed=1).candidate
    assert found.value == 1
    assert 0.8 < (found.low or 0) < 0.95


@pytest.mark.parametrize("constant", [0, 1])
def test_a_model_that_says_one_thing_is_measured(constant: int) -> None:
    """A constant classifier has recall 0 or 1, precision or none, and no exception."""
    model = DummyClassifier(strategy="constant", constant=constant).fit(np.zeros((N, 1)), Y)
    predictions = Said(model.predict(np.zeros((N, 1))), model.predict_proba(np.zeros((N, 1))), model.classes_)
    for metric in ("recall", "precision", "f1", "average_precision", "roc_auc"):
        found = compare(metric, Y, predictions, WORSE, seed=1)
        assert found.candidate.value is not None
        assert found.difference is not None
        assert found.difference.value is not None


def test_a_regressor_is_judged_against_its_champion() -> None:
    """Errors of numbers: a better regressor passes, the mean as champion."""
    x, label, _, predictions = _fitted("numbers")
    mean = DummyRegressor().fit(x, label).predict(x)
    rules = {"neg_mean_absolute_error": {"max_drop": 0}, "r2": {"min": 0.3, "max_drop": 0}}
    case = Case(gates={"metrics": rules}, rows=pd.DataFrame({"y": label}), candidate=predictions, champion=Said(mean))
    assert {result.status for result in case.judged(Metrics()).values()} == {Status.PASSED}


def test_predictions_that_are_not_numbers_are_an_error() -> None:
    """A model that says nan somewhere cannot be scored, and the reason says so."""
    broken = np.where(np.arange(N) == 7, np.nan, 0.5)
    case = Case(gates={"metrics": {"r2": {"min": 0}}}, rows=ROWS.assign(y=RNG.normal(size=N)), candidate=Said(broken))
    (result,) = case.judged(Metrics()).values()
    assert result.status is Status.ERROR
    assert "NaN" in result.reason


def test_a_label_that_the_model_does_not_know_is_an_error() -> None:
    """Labels 0, 1 and 2 for a model of 0 and 1."""
    case = _metric(rows=ROWS.assign(y=np.arange(N) % 3), average_precision={"min": 0.1})
    (result,) = case.judged(Metrics()).values()
    assert result.status is Status.ERROR
    assert "the label '2' is none of the model's classes ['0', '1']" in result.reason


def test_of_an_error_less_is_better() -> None:
    """`max_drop` of an error is by how much it may be larger: the difference's upper end is judged."""
    rules = {
        "log_loss": {"max": 0.6, "max_drop": 0},
        "brier_score": {"max_drop": 0.01},
        "calibration_error": {"max": 1},
    }
    better = Case(gates={"metrics": rules}, rows=ROWS, candidate=GOOD, champion=WORSE).judged(Metrics())
    assert {result.status for result in better.values()} == {Status.PASSED}
    assert better["log_loss max_drop"].limit == "<= 0"
    assert better["log_loss max_drop"].measured is not None
    assert better["log_loss max_drop"].measured.value < 0  # type: ignore[operator]  # it is a number here
    worse = Case(gates={"metrics": rules}, rows=ROWS, candidate=WORSE, champion=GOOD).judged(Metrics())
    assert worse["log_loss max_drop"].status is Status.FAILED
    assert worse["brier_score max_drop"].status is Status.FAILED


def test_a_threshold_of_the_policy_is_told() -> None:
    """Recall at 0.2 is larger than at the model's 0.5, and the reason says which threshold it is."""
    found = _metric(recall={"min": 0.5, "threshold": 0.2}).judged(Metrics())["recall min"]
    assert found.measured is not None
    assert found.measured.value == pytest.approx(metrics.recall_score(Y, GOOD.scores[:, 1] >= 0.2))
    assert "predicted from a probability of 0.2 on" in found.reason


def test_accuracy_alone_on_a_rare_class_is_warned_of() -> None:
    """What always predicting the commonest class would reach; no warning beside recall, or with classes of a size."""
    rare = (RNG.random(N) < 0.05).astype(int)
    rows, model = pd.DataFrame({"y": rare}), said(0.05 + 0 * rare)
    case = Case(gates={"metrics": {"accuracy": {"min": 0.9}}}, rows=rows, candidate=model)
    (result,) = case.judged(Metrics()).values()
    assert result.status is Status.PASSED
    assert "warning: accuracy alone says little here, since always predicting 0 would reach 0.9" in result.reason
    case.gates = {"metrics": {"accuracy": {"min": 0.9}, "recall": {"max": 1}}}
    assert not any("warning" in result.reason for result in case.judged(Metrics()).values())
    assert "warning" not in _metric(accuracy={"min": 0.5}).judged(Metrics())["accuracy min"].reason


def test_labels_of_zero_are_counted_in_the_reason() -> None:
    """MAPE says how many rows it leaves out, and what counts them."""
    label = np.append(np.zeros(7), RNG.normal(10, 1, 93))
    case = Case(
        gates={"metrics": {"mape": {"max": 0.5}}}, rows=pd.DataFrame({"y": label}), candidate=Said(label * 1.1 + 0.01)
    )
    (result,) = case.judged(Metrics()).values()
    assert result.status is Status.PASSED
    assert "7 rows with the label 0 left out" in result.reason
    assert "smape" in result.reason


def test_a_champion_that_cannot_be_measured_leaves_the_candidates_own_limits() -> None:
    """A champion without probabilities: `min` is judged, `max_drop` is inconclusive and says why."""
    case = _metric(roc_auc={"min": 0.5, "max_drop": 0})
    case.champion = Said(WORSE.values, None, np.array([0, 1]))
    found = case.judged(Metrics())
    assert found["roc_auc min"].status is Status.PASSED
    assert found["roc_auc max_drop"].status is Status.INCONCLUSIVE
    assert "the champion cannot be compared: roc_auc needs probabilities" in found["roc_auc max_drop"].reason


def _exhibits(case: Case) -> dict[str, tuple[str, Any]]:
    return {
        exhibit.title: (rule, exhibit) for rule, result in case.judged(Metrics()).items() for exhibit in result.exhibits
    }


def test_plots_stand_beside_the_metric_they_explain() -> None:
    """ROC, precision and recall, calibration, confusion: each with the champion, in at most 100 points."""
    rules: dict[str, Any] = {
        "accuracy": {"min": 0},
        "roc_auc": {"min": 0},
        "average_precision": {"min": 0},
        "log_loss": {"max": 9},
    }
    found = _exhibits(_metric(**rules))
    assert {title: rule.split()[0] for title, (rule, _) in found.items()} == {
        "ROC": "roc_auc",
        "Precision and recall": "average_precision",
        "Calibration": "log_loss",
        "Confusion, candidate": "accuracy",
        "Confusion, champion": "accuracy",
    }
    for title in ("ROC", "Precision and recall", "Calibration"):
        for series in found[title][1].series:
            assert 2 <= len(series.x) == len(series.y) <= 101
    assert [series.name for series in found["ROC"][1].series] == ["candidate", "champion"]
    roc = found["ROC"][1].series[0]
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(metrics.roc_auc_score(Y, GOOD.scores[:, 1]), abs=0.005)
    grid = found["Confusion, candidate"][1]
    assert grid.values[1][1] == pytest.approx(metrics.recall_score(Y, GOOD.values), abs=1e-4)
    assert grid.y[1] == f"1 ({Y.sum()} rows)"


def test_a_regressors_plots_are_of_numbers() -> None:
    """Predicted against actual by tenths, and quantiles of the errors."""
    label = RNG.normal(size=500)
    models = Said(label + RNG.normal(size=500)), Said(np.zeros(500))
    rows = pd.DataFrame({"y": label})
    case = Case(gates={"metrics": {"mae": {"max": 9}}}, rows=rows, candidate=models[0], champion=models[1])
    found = _exhibits(case)
    assert set(found) == {"Predicted and actual", "Errors"}
    (candidate, champion) = found["Predicted and actual"][1].series
    assert len(candidate.x) == 10
    assert len(champion.x) == 1
    assert found["Errors"][1].rows[1][3] == pytest.approx(-np.median(label))


def test_three_classes_have_a_grid_and_no_roc() -> None:
    """Nor does a model without probabilities have a curve."""
    _, label, _, predictions = _fitted("three")
    rows = pd.DataFrame({"y": label})
    case = Case(gates={"metrics": {"recall_macro": {"min": 0}}}, rows=rows, candidate=predictions)
    assert set(_exhibits(case)) == {"Calibration", "Confusion, candidate"}
    case.candidate = Said(predictions.values, None, predictions.classes)
    assert set(_exhibits(case)) == {"Confusion, candidate"}
