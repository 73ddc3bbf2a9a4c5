"""One metric on every slice at once is the metric on each slice, by scikit-learn and by fairlearn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fairlearn import metrics as fair
from sklearn.metrics import get_scorer, zero_one_loss

from mlship.gates.metrics.measure import metric
from mlship.gates.slices import rates, rulers, tallies
from mlship.gates.slices.rulers import ruler
from mlship.policy.gates import MetricRule
from mlship.policy.scorers import RATES
from tests.gates.support import Said, said

RNG = np.random.default_rng(0)
N, SLICES = 3000, 4
CODES = RNG.integers(0, SLICES, N).astype(np.int16)
WANTED = np.ones(SLICES, dtype=bool)
Y = (RNG.random(N) < 0.3).astype(int)
GOOD = said(1 / (1 + np.exp(-(3 * Y - 1.5 + RNG.normal(size=N)))))
WORSE = said(1 / (1 + np.exp(-(2 * Y - 1 + RNG.normal(size=N)))))
NUMBER = RNG.normal(10, 2, N)
NEAR, FAR = Said(NUMBER + RNG.normal(size=N)), Said(NUMBER + 1.3 * RNG.normal(size=N))
THREE = np.array(["a", "b", "c"], dtype=object)[np.digitize(NUMBER, [9, 11])]
LEFT = Said(THREE[RNG.permutation(N)], None, np.array(["a", "b", "c"], dtype=object))
RIGHT = Said(np.where(RNG.random(N) < 0.7, THREE, "a").astype(object), None, LEFT.classes)
FAIRLEARN = {
    "error": zero_one_loss,
    "recall": fair.true_positive_rate,
    "selection_rate": fair.selection_rate,
    "false_negative_rate": fair.false_negative_rate,
    "false_positive_rate": fair.false_positive_rate,
    "true_negative_rate": fair.true_negative_rate,
    "true_positive_rate": fair.true_positive_rate,
}


@pytest.mark.parametrize(
    "name",
    [
        *("recall", "precision", "f1", "jaccard", "accuracy", "balanced_accuracy", "recall_micro", "f1_weighted"),
        *("recall_macro", "precision_macro", "f1_macro", "jaccard_macro", "recall_weighted", "matthews_corrcoef"),
        *("neg_log_loss", "log_loss", "brier_score", "neg_brier_score", "roc_auc", "average_precision"),
    ],
)
def test_of_two_classes(name: str) -> None:
    _check(name, Y, GOOD, WORSE)


@pytest.mark.parametrize(
    "name", ["mae", "rmse", "mape", "smape", "r2", "neg_mean_squared_error", "neg_root_mean_squared_error"]
)
def test_of_numbers(name: str) -> None:
    _check(name, NUMBER, NEAR, FAR)


@pytest.mark.parametrize("name", ["accuracy", "recall_macro", "f1_macro", "precision_macro", "balanced_accuracy"])
def test_of_three_classes(name: str) -> None:
    _check(name, THREE, RIGHT, LEFT)


def _check(name: str, label: Any, candidate: Said, champion: Said) -> None:
    by = ruler(name, label, candidate, champion, seed=1)
    found = by.on(CODES, SLICES, WANTED, 0.95)
    assert found.champion is not None
    assert found.difference is not None
    chosen = metric(name)
    for model, figure in ((candidate, found.candidate), (champion, found.champion)):
        expected = [chosen.of(label, model, np.flatnonzero(code == CODES)) for code in range(SLICES)]
        assert figure.value == pytest.approx(expected, rel=1e-5)
        low, high = figure.ends(0.95)
        assert (low < figure.value).all()
        assert (figure.value < high).all()
        assert (figure.support <= np.bincount(CODES)).all()
    assert found.difference.value == pytest.approx(found.candidate.value - found.champion.value, abs=1e-6)
    low, high = found.difference.ends(0.95)
    assert (low < found.difference.value).all()
    assert (found.difference.value < high).all()
    assert by.name == name
    assert by.higher_is_better == chosen.higher_is_better


@pytest.mark.parametrize("name", FAIRLEARN)
def test_rates_are_fairlearns(name: str) -> None:
    """The same figures as `MetricFrame`, whose intervals would take a bootstrap of all rows."""
    frame = fair.MetricFrame(metrics=FAIRLEARN[name], y_true=Y, y_pred=GOOD.values, sensitive_features=CODES)
    found = ruler(name, Y, GOOD, None, seed=1).on(CODES, SLICES, WANTED, 0.95)
    assert found.candidate.value == pytest.approx(frame.by_group.to_numpy())
    assert found.champion is None
    assert found.difference is None


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are counted in pieces; the figures do not know."""
    for name, label, model in (("recall", Y, GOOD), ("mae", NUMBER, NEAR)):
        whole = ruler(name, label, model, None, seed=1).on(CODES, SLICES, WANTED, 0.95).candidate
        for module in (rulers, tallies):
            monkeypatch.setattr(module, "CHUNK", 701)
        pieces = ruler(name, label, model, None, seed=1).on(CODES, SLICES, WANTED, 0.95).candidate
        assert pieces.value == pytest.approx(whole.value, rel=1e-12)
        assert pieces.ends(0.9)[0] == pytest.approx(whole.ends(0.9)[0], rel=1e-12)
        monkeypatch.undo()


def test_the_rule_of_gates_metrics_holds_for_the_slices_too() -> None:
    """Its threshold, and its quantile."""
    lower = (
        ruler("recall", Y, GOOD, None, seed=1, rule=MetricRule(threshold=0.2)).on(CODES, SLICES, WANTED, 0.95).candidate
    )
    assert (lower.value > ruler("recall", Y, GOOD, None, seed=1).on(CODES, SLICES, WANTED, 0.95).candidate.value).all()
    assert lower.value[0] == pytest.approx(np.mean(GOOD.scores[:, 1][(CODES == 0) & (Y == 1)] >= 0.2))
    high = ruler("quantile_loss", NUMBER, NEAR, None, seed=1, rule=MetricRule(quantile=0.9))
    error = (NUMBER - NEAR.values)[CODES == 0]
    expected = np.where(error > 0, 0.9 * error, -0.1 * error).mean()
    assert high.on(CODES, SLICES, WANTED, 0.95).candidate.value[0] == pytest.approx(expected, rel=1e-5)


def test_the_positive_class_may_be_text() -> None:
    """Of two texts the model's second class; of 1 and 2 the one that is 1."""
    label = np.where(Y, "yes", "no").astype(object)
    model = Said(np.where(GOOD.values, "yes", "no").astype(object), GOOD.scores, np.array(["no", "yes"], dtype=object))
    assert _recall(label, model) == pytest.approx(_recall(Y, GOOD))
    assert _recall(label, Said(model.values, None, None)) == pytest.approx(_recall(Y, GOOD))


def _recall(label: Any, model: Said) -> Any:
    return ruler("recall", label, model, None, seed=1).on(CODES, SLICES, WANTED, 0.95).candidate.value


def test_two_models_with_the_same_answers_differ_by_exactly_nothing() -> None:
    difference = ruler("recall", Y, GOOD, GOOD, seed=1).on(CODES, SLICES, WANTED, 0.95).difference
    assert difference is not None
    low, high = difference.ends(0.999)
    assert (low == 0).all()
    assert (high == 0).all()


def test_a_slice_of_one_class_has_no_area_under_its_curve() -> None:
    """It is left undefined; the other slices are measured."""
    label = np.where(CODES == 2, 0, Y)
    value = ruler("roc_auc", label, GOOD, WORSE, seed=1).on(CODES, SLICES, WANTED, 0.95).candidate.value
    assert np.isnan(value[2])
    assert np.isfinite(value[[0, 1, 3]]).all()


@pytest.mark.parametrize(
    ("name", "label", "model", "says"),
    [
        ("recal", Y, GOOD, "did you mean 'recall'?"),
        ("selection", Y, GOOD, "did you mean 'selection_rate'?"),
        ("recall", None, GOOD, "recall needs labels, and data.evaluation names no target column"),
        ("recall", THREE, RIGHT, "use recall_macro or recall_weighted for more"),
        ("selection_rate", THREE, RIGHT, "selection_rate is for two classes"),
        ("selection_rate", NUMBER, NEAR, "selection_rate is for classes, and there are more than 12"),
        ("roc_auc", Y, Said(GOOD.values, None, GOOD.classes), "needs probabilities, and the model gives none"),
        ("mae", Y, GOOD, "it is for numbers, and the model predicts classes"),
        ("r2", THREE, RIGHT, "r2 cannot be measured here"),
        ("quantile_loss", NUMBER, NEAR, "needs the quantile"),
        ("recall", Y[:-1], GOOD, "3,000 predictions for 2,999 rows"),
    ],
)
def test_what_does_not_fit_says_why(name: str, label: Any, model: Said, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("?", r"\?").replace("(", r"\(")):
        ruler(name, label, model, None, seed=1).on(CODES, SLICES, WANTED, 0.95)


def test_selection_needs_no_labels() -> None:
    value = ruler("selection_rate", None, GOOD, WORSE, seed=1).on(CODES, SLICES, WANTED, 0.95).candidate.value
    assert value == pytest.approx([GOOD.values[code == CODES].mean() for code in range(SLICES)])


def test_every_metric_of_classes_that_is_counted_is_scikit_learns() -> None:
    """A name that `rates` takes for a table is a scorer of scikit-learn, or one of the listed rates."""
    assert set(RATES) <= set(FAIRLEARN)
    for name in ("f1_micro", "precision_micro", "recall_micro", "recall_weighted"):
        assert rates.is_known(name)
        get_scorer(name)
    for name in ("f1_weighted", "jaccard_micro", "jaccard_samples", "roc_auc", "log_loss", "matthews_corrcoef"):
        assert not rates.is_known(name)
