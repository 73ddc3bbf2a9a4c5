"""Metrics by name: ours are scikit-learn's with the sign turned, on all rows or some, for any kind of label."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from mlship.gates.metrics import functions, measure, ours
from mlship.gates.metrics.paired import compare
from mlship.gates.metrics.side import Side, coded
from mlship.policy.gates import MetricRule
from mlship.policy.scorers import OWN, SCORERS, SYNONYMS
from tests.gates.support import Said, said

RNG = np.random.default_rng(0)
N = 900
Y = (RNG.random(N) < 0.3).astype(int)
CHANCE = 1 / (1 + np.exp(1 - 2 * Y - RNG.normal(size=N)))
BINARY = said(CHANCE)
CLASSES = np.array(["ash", "elm", "oak"])
THREE = RNG.integers(0, 3, N)
LOUD = np.exp(RNG.normal(size=(N, 3)) + 2 * np.eye(3)[THREE])
CHANCES = LOUD / LOUD.sum(axis=1, keepdims=True)
TREES = Said(CLASSES[CHANCES.argmax(axis=1)], CHANCES, CLASSES)
NUMBERS = RNG.normal(10, 3, N)
NUMBER = Said(NUMBERS + RNG.normal(size=N))


def test_the_names_that_validate_knows_are_the_ones_that_there_are() -> None:
    """The list that is read without scikit-learn is complete, and hints lead to names that exist."""
    assert set(OWN) == set(ours.ALL) - {"mse"}
    assert set(SYNONYMS.values()) <= {*SCORERS, *OWN}
    assert not set(SYNONYMS) & {*SCORERS, *OWN}


@pytest.mark.parametrize(
    ("name", "label", "model", "expected"),
    [
        ("log_loss", Y, BINARY, lambda: metrics.log_loss(Y, CHANCE)),
        ("brier_score", Y, BINARY, lambda: metrics.brier_score_loss(Y, CHANCE)),
        ("log_loss", CLASSES[THREE], TREES, lambda: metrics.log_loss(THREE, CHANCES)),
        ("brier_score", CLASSES[THREE], TREES, lambda: metrics.brier_score_loss(THREE, CHANCES)),
        ("mae", NUMBERS, NUMBER, lambda: metrics.mean_absolute_error(NUMBERS, NUMBER.values)),
        ("rmse", NUMBERS, NUMBER, lambda: metrics.root_mean_squared_error(NUMBERS, NUMBER.values)),
        ("mape", NUMBERS, NUMBER, lambda: metrics.mean_absolute_percentage_error(NUMBERS, NUMBER.values)),
    ],
)
def test_our_names_are_scikit_learns_formulas(
    name: str, label: np.ndarray, model: Said, expected: Callable[[], float]
) -> None:
    """Two classes, three classes named by text, and numbers."""
    metric = measure.metric(name)
    assert metric.of(label, model) == pytest.approx(expected())
    assert not metric.higher_is_better
    found = compare(metric, label, model, None, seed=1).candidate
    assert found.low < found.value < found.high  # type: ignore[operator]  # they are numbers here


def test_quantile_loss_weighs_both_sides() -> None:
    """Pinball loss of the ninth decile, and the reason when nobody says which quantile."""
    metric = measure.metric("quantile_loss", MetricRule(quantile=0.9))
    assert metric.of(NUMBERS, NUMBER) == pytest.approx(metrics.mean_pinball_loss(NUMBERS, NUMBER.values, alpha=0.9))
    with pytest.raises(ValueError, match="needs the quantile"):
        measure.metric("quantile_loss")


def test_a_share_of_zero_is_nothing() -> None:
    """MAPE leaves out labels of zero, SMAPE counts them; with nothing but zeros MAPE has no value."""
    label, model = np.array([0.0, 1.0, 2.0, 4.0]), Said(np.array([5.0, 1.1, 2.2, 4.4]))
    assert measure.metric("mape").of(label, model) == pytest.approx(0.1)
    assert measure.metric("smape").of(label, model) == pytest.approx((2 + 3 * 0.2 / 2.1) / 4)
    assert np.isnan(measure.metric("mape").of(np.zeros(4), model))
    assert compare("mape", np.zeros(50), Said(np.ones(50)), None, seed=1).candidate.value is None


def test_calibration_error_is_the_weighted_gap_of_fifteen_bins() -> None:
    """By hand for two classes; of three, the largest probability against being right."""
    place = np.ceil(CHANCE * 15) - 1
    gaps = sum(abs((Y - CHANCE)[place == k].sum()) for k in range(15))
    assert measure.metric("calibration_error").of(Y, BINARY) == pytest.approx(gaps / N)
    sure, right = CHANCES.max(axis=1), CHANCES.argmax(axis=1) == THREE
    place = np.ceil(sure * 15) - 1
    gaps = sum(abs((right - sure)[place == k].sum()) for k in range(15))
    assert measure.metric("calibration_error").of(CLASSES[THREE], TREES) == pytest.approx(gaps / N)


@pytest.mark.parametrize("metric", ["recall", "average_precision", "roc_auc", "log_loss", "calibration_error"])
def test_rows_are_a_slice(metric: str) -> None:
    """Rows by index give what these rows alone give, with value and interval."""
    rows = np.flatnonzero(RNG.random(N) < 0.5)
    part = Said(BINARY.values[rows], BINARY.scores[rows], BINARY.classes)
    assert measure.metric(metric).of(Y, BINARY, rows) == pytest.approx(measure.metric(metric).of(Y[rows], part))
    assert compare(metric, Y, BINARY, None, 1, rows=rows) == compare(metric, Y[rows], part, None, 1)


@pytest.mark.parametrize("metric", ["recall", "average_precision", "log_loss", "calibration_error", "neg_log_loss"])
def test_more_confidence_is_a_wider_interval(metric: str) -> None:
    """95, 99 and 99.95 %, as many slices ask for."""
    worse = said(np.clip(CHANCE + RNG.normal(0, 0.1, N), 0.001, 0.999))
    for of in ("candidate", "champion", "difference"):
        found = [getattr(compare(metric, Y, BINARY, worse, 1, confidence=c), of) for c in (0.95, 0.99, 0.9995)]
        widths = [one.high - one.low for one in found]
        assert widths[0] < widths[1] < widths[2] < 3 * widths[0]


@pytest.mark.parametrize(
    "as_label",
    [
        pytest.param(lambda y: np.where(y == 1, "yes", "no"), id="text"),
        pytest.param(lambda y: np.where(y == 1, "yes", "no").astype(object), id="objects"),
        pytest.param(lambda y: pd.Series(np.where(y == 1, "yes", "no")), id="pandas text"),
        pytest.param(lambda y: pd.Series(np.where(y == 1, "yes", "no")).astype("category"), id="categories"),
        pytest.param(lambda y: y == 1, id="booleans"),
        pytest.param(lambda y: y + 1, id="1 and 2"),
        pytest.param(lambda y: y.astype(float), id="floats"),
        pytest.param(lambda y: 2 * y - 1, id="-1 and 1"),
    ],
)
def test_the_second_class_is_positive_however_it_is_named(as_label: Callable[[np.ndarray], Any]) -> None:
    """The same figures for every name of the same two classes."""
    label = as_label(Y)
    classes = np.unique(np.asarray(label))
    model = Said(classes[BINARY.values], BINARY.scores, classes)
    for metric in ("recall", "average_precision", "log_loss"):
        assert measure.metric(metric).of(label, model) == pytest.approx(measure.metric(metric).of(Y, BINARY))
    rows = np.arange(0, N, 3)
    assert measure.metric("recall").of(label, model, rows) == measure.metric("recall").of(Y, BINARY, rows)


def test_a_threshold_decides_the_class() -> None:
    """From 0.2 on the positive class is predicted; a metric of probabilities refuses a threshold."""
    metric = measure.metric("recall", MetricRule(threshold=0.2))
    assert metric.of(Y, BINARY) == pytest.approx(metrics.recall_score(Y, CHANCE >= 0.2))
    with pytest.raises(ValueError, match="a threshold changes nothing"):
        measure.metric("roc_auc", MetricRule(threshold=0.2))


@pytest.mark.parametrize(
    ("name", "rule", "label", "model", "says"),
    [
        ("recall", {"threshold": 0.3}, Y, Said(Y, None, np.array([0, 1])), "a threshold needs probabilities"),
        ("recall", {"threshold": 0.3}, CLASSES[THREE], TREES, "a threshold is for two classes, and the model knows 3"),
        ("recall", {"threshold": 0.3}, NUMBERS, NUMBER, "a threshold is for classes"),
        ("log_loss", {}, NUMBERS, NUMBER, "it needs probabilities of classes, and the model predicts numbers"),
        (
            "log_loss",
            {},
            CLASSES[THREE],
            Said(CLASSES[THREE]),
            "answers with classes alone: leave this metric away",
        ),
        ("log_loss", {}, Y, Said(Y), 'log the model so that it gives them (pyfunc_predict_fn="predict_proba"'),
        ("calibration_error", {}, CLASSES[THREE], Said(CLASSES[THREE]), "answers with classes alone"),
        ("log_loss", {}, Y, Said(Y, None, np.array([0, 1])), "needs probabilities, and the model gives none"),
        ("calibration_error", {}, Y, Said(Y, CHANCE, np.array([0, 1])), "it needs predict_proba"),
        ("log_loss", {}, Y, Said(Y, 3 * BINARY.scores, np.array([0, 1])), "not from 0 to 1"),
        ("log_loss", {}, Y, Said(Y, np.full((N, 2), np.nan), np.array([0, 1])), "contain NaN"),
        ("mae", {}, Y, BINARY, "it is for numbers, and the model predicts classes"),
        ("mae", {}, NUMBERS, Said(np.full(N, np.inf)), "NaN or infinite"),
        ("r2", {}, CLASSES[THREE], TREES, "it is for numbers, and the labels are classes such as 'ash'"),
        ("recall", {}, np.append(Y[1:], 2), BINARY, "the label '2' is none of the model's classes"),
        ("recall", {}, Y[1:], BINARY, "the model gave 900 predictions for 899 rows"),
        ("accuracy", {}, Y, Said(np.where(Y, 7, 0), None, np.array([0, 1])), "predicts a third one, '7'"),
    ],
)
def test_what_does_not_fit_says_why(name: str, rule: dict[str, Any], label: np.ndarray, model: Said, says: str) -> None:
    """A ValueError that a person can read, from `of` and from `compare` alike."""
    metric = measure.metric(name, MetricRule(**rule))
    with pytest.raises(ValueError, match=re.escape(says)):
        metric.of(label, model)
    with pytest.raises(ValueError, match=re.escape(says)):
        compare(metric, label, model, None, seed=1)


@pytest.mark.parametrize(
    ("name", "rule", "says"),
    [
        ("recal", {}, "did you mean 'recall'?"),
        ("pr_auc", {}, "did you mean 'average_precision'?"),
        ("ECE", {}, "did you mean 'calibration_error'?"),
        ("recall", {"lower_is_better": True}, "lower_is_better is for a metric of your own"),
        ("mae", {"quantile": 0.9}, "quantile is for quantile_loss"),
        ("cost", {"function": "costs"}, "'costs' is not `module:function`"),
        ("cost", {"function": "costs:mean"}, "there is no module 'costs' beside the policy file"),
    ],
)
def test_a_rule_that_cannot_be_measured_says_why(name: str, rule: dict[str, Any], says: str) -> None:
    """Before any row is looked at."""
    with pytest.raises(ValueError, match=re.escape(says)):
        measure.metric(name, MetricRule(**rule))


def test_a_slice_without_the_class_has_no_value() -> None:
    """No positive row: no recall and no average precision, not zero; no rows: nothing."""
    negatives = np.flatnonzero(Y == 0)
    for name in ("recall", "average_precision", "roc_auc"):
        assert np.isnan(measure.metric(name).of(Y, BINARY, negatives))
        assert compare(name, Y, BINARY, None, 1, rows=negatives).candidate.value is None
        assert np.isnan(measure.metric(name).of(Y, BINARY, np.arange(0)))


def test_an_absent_class_is_not_held_against_the_model() -> None:
    """Of three classes, two in the slice: the mean of these two, with an interval; and log loss has a value."""
    rows = np.flatnonzero(THREE != 2)
    label = CLASSES[THREE]
    two = [metrics.average_precision_score(THREE[rows] == k, CHANCES[rows, k]) for k in (0, 1)]
    found = compare("average_precision", label, TREES, None, 1, rows=rows).candidate
    assert found.value == pytest.approx(np.mean(two))
    assert found.low < found.value < found.high  # type: ignore[operator]  # they are numbers here
    losses = [measure.metric(name).of(label, TREES, rows) for name in ("log_loss", "neg_log_loss")]
    assert losses[0] == pytest.approx(-losses[1])


@pytest.mark.parametrize("metric", ["average_precision", "roc_auc_ovr", "roc_auc_ovr_weighted", "recall_macro"])
def test_averages_over_classes_have_intervals_of_the_right_width(metric: str) -> None:
    """What resampling rows says and what the influences say are the same width, but for a tenth."""
    rng = np.random.default_rng(5)
    draws = []
    for _ in range(200):
        rows = rng.integers(0, N, N)
        draws.append(measure.metric(metric).of(CLASSES[THREE[rows]], Said(TREES.values[rows], CHANCES[rows], CLASSES)))
    for confidence in (0.95, 0.951):
        found = compare(metric, CLASSES[THREE], TREES, None, 1, confidence=confidence).candidate
        assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(draws), rel=0.15)  # type: ignore[operator]  # they are numbers here


@pytest.mark.parametrize(
    "metric", ["average_precision", "roc_auc", "neg_log_loss", "brier_score", "accuracy", "f1_macro"]
)
def test_many_rows_give_scikit_learns_value(metric: str) -> None:
    """120,000 rows, where nothing is resampled: the value agrees to a hundredth of the interval."""
    label = (RNG.random(120_000) < 0.2).astype(int)
    model = said(1 / (1 + np.exp(1 - 2 * label - RNG.normal(size=120_000))))
    found = compare(metric, label, model, None, seed=1).candidate
    expected = measure.metric(metric).of(label, model)
    assert abs(found.value - expected) < (found.high - found.low) / 100  # type: ignore[operator]  # they are numbers here


def test_many_rows_of_any_other_scorer_are_looked_at_in_blocks() -> None:
    """60,000 rows of a scorer without a formula of ours: paired, seeded, and about as wide as resampling says."""
    label = RNG.normal(size=60_000)
    one, other = Said(label + RNG.normal(size=60_000)), Said(label + 1.1 * RNG.normal(size=60_000))
    found = compare("neg_median_absolute_error", label, one, other, seed=1)
    assert found == compare("neg_median_absolute_error", label, one, other, seed=1)
    assert found.candidate.source == "paired random blocks"
    # A median of n absolute normal errors has the standard error 1 / (2 f sqrt(n)), f = 0.6357 the density there.
    expected = 2 * 1.96 / (2 * 0.6357 * np.sqrt(60_000))
    assert found.candidate.high - found.candidate.low == pytest.approx(expected, rel=0.25)  # type: ignore[operator]  # they are numbers here


def test_a_function_beside_the_policy_is_a_metric(tmp_path: Path) -> None:
    """`(labels, predictions, scores) -> number`, with its helper module, and its digest in the measurement's source."""
    (tmp_path / "helper_of_costs.py").write_text("COST = 40\n")
    (tmp_path / "costs.py").write_text(
        "import helper_of_costs\n\n\ndef mean(labels, predictions, scores):\n"
        "    assert scores.shape == (len(labels), 2)\n"
        "    return helper_of_costs.COST * ((labels == 'yes') & (predictions == 'no')).mean()\n"
    )
    names = np.array(["no", "yes"])
    model = Said(names[BINARY.values], BINARY.scores, names)
    rule = MetricRule(function="costs:mean", lower_is_better=True)
    metric = measure.metric("cost", rule, lambda path: tmp_path / path)
    assert not metric.higher_is_better
    assert metric.of(names[Y], model) == pytest.approx(40 * ((Y == 1) & (BINARY.values == 0)).mean())
    found = compare(metric, names[Y], model, None, seed=1).candidate
    assert found.low < found.value < found.high  # type: ignore[operator]  # they are numbers here
    assert "costs:mean (sha256 " in found.source


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def mean(*_):\n    raise KeyError('late')\n", "costs:mean failed at costs.py:2: KeyError: 'late'"),
        ("def mean(*_):\n    return 'much'\n", "costs:mean gives str, not numbers"),
        ("import sys\n\n\ndef mean(*_):\n    sys.exit(3)\n", "costs:mean failed at costs.py:5: SystemExit"),
    ],
)
def test_a_function_that_fails_says_where(tmp_path: Path, code: str, says: str) -> None:
    """File, line and its own words."""
    (tmp_path / "costs.py").write_text(code)
    metric = measure.metric("cost", MetricRule(function="costs:mean"), lambda path: tmp_path / path)
    with pytest.raises(ValueError, match=re.escape(says)):
        metric.of(Y, BINARY)


def test_a_function_does_not_take_the_name_of_a_module(tmp_path: Path) -> None:
    """A file json.py beside the policy is the function's, and nobody else's json."""
    import json
    import sys

    (tmp_path / "json.py").write_text("def mean(*_):\n    return 1.0\n")
    metric = measure.metric("cost", MetricRule(function="json:mean"), lambda path: tmp_path / path)
    assert metric.of(Y, BINARY) == 1
    assert sys.modules["json"] is json
    assert str(tmp_path) not in sys.path


def test_models_of_other_classes_meet_by_name() -> None:
    """The champion never learned the third class: its answers are compared by name; two-class models must agree."""
    old = Said(CLASSES[np.minimum(CHANCES.argmax(axis=1), 1)], None, CLASSES[:2])
    with pytest.raises(ValueError, match="none of the model's classes"):
        compare("recall_macro", CLASSES[THREE], TREES, old, seed=1)
    new = Said(TREES.values, None, CLASSES)
    some = Said(TREES.values, None, np.array(["ash", "elm", "oak", "yew"]))
    found = compare("recall_macro", CLASSES[THREE], new, some, seed=1)
    assert found.difference is not None
    assert found.difference.value == pytest.approx(0)


def test_missing_values_among_classes_are_refused() -> None:
    """A prediction that is missing is no class."""
    values = np.where(np.arange(N) == 3, None, TREES.values.astype(object))
    with pytest.raises(ValueError, match="missing values"):
        Side.of(CLASSES[THREE], Said(values, CHANCES, CLASSES))
    assert coded(np.array(["b", "a", "z"]), np.array(["a", "b"]))[0].tolist() == [1, 0, 2]


def test_what_a_function_prints_is_no_part_of_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It goes to stderr: stdout holds one document."""
    (tmp_path / "loud.py").write_text("print('imported')\ndef cost(l, p, s):\n    print('called')\n    return 1.0\n")
    found = functions.find("loud:cost", tmp_path)
    assert found.call(None, None, None) == 1.0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "imported\ncalled\n")
