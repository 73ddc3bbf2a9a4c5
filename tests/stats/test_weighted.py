"""Every many-weights score equals scikit-learn's, with and without weights, ties and absent classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from mlship.stats import weighted

RNG = np.random.default_rng(0)
N = 400
WEIGHTS = RNG.integers(0, 4, size=(5, N)).astype(float)
POSITIVE = RNG.random(N) < 0.3
SMOOTH = POSITIVE + RNG.normal(size=N)


@pytest.mark.parametrize("score", [SMOOTH, SMOOTH.round(), np.zeros(N)], ids=["distinct", "tied", "constant"])
@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (weighted.average_precision, metrics.average_precision_score),
        (weighted.roc_auc, metrics.roc_auc_score),
    ],
)
def test_ranking_scores_are_scikit_learns(
    mine: Callable[..., Any], theirs: Callable[..., Any], score: np.ndarray
) -> None:
    """Average precision and the area under the ROC curve, on five weightings that leave rows out."""
    expected = [theirs(POSITIVE, score, sample_weight=row) for row in WEIGHTS]
    assert mine(POSITIVE, score)(WEIGHTS) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("mine", [weighted.average_precision, weighted.roc_auc])
def test_a_resample_without_positives_has_no_value(mine: Callable[..., Any]) -> None:
    """No weight on any positive row: nan, not zero."""
    assert np.isnan(mine(POSITIVE, SMOOTH)((~POSITIVE).astype(float)[None])).all()


@pytest.mark.parametrize(
    "name",
    ["accuracy", "balanced_accuracy", "matthews_corrcoef"]
    + [f"{base}_{how}" for base in ("precision", "recall", "f1", "jaccard") for how in ("macro", "micro", "weighted")],
)
def test_table_scores_are_scikit_learns_for_several_classes(name: str) -> None:
    """All averages over three classes, one of which is only predicted."""
    label = RNG.integers(0, 2, N)
    predicted = np.where(RNG.random(N) < 0.7, label, RNG.integers(0, 3, N))
    mine = weighted.from_confusion(name, label, predicted, 3)
    base, _, average = name.partition("_")
    if base in {"precision", "recall", "f1", "jaccard"}:
        options = {"average": average, "zero_division": 0.0}
        theirs = getattr(metrics, f"{base}_score")
    else:
        options = {}
        theirs = getattr(metrics, name if name == "matthews_corrcoef" else f"{name}_score")
    expected = [theirs(label, predicted, sample_weight=row, **options) for row in WEIGHTS + 0.5]
    assert mine is not None
    assert mine(WEIGHTS + 0.5) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("base", ["precision", "recall", "f1", "jaccard"])
def test_plain_table_scores_are_about_class_one(base: str) -> None:
    """For two classes the plain score is that of class 1; for three there is none."""
    label = POSITIVE.astype(int)
    predicted = (SMOOTH > 0.5).astype(int)
    mine = weighted.from_confusion(base, label, predicted, 2)
    assert mine is not None
    expected = [getattr(metrics, f"{base}_score")(label, predicted, sample_weight=row) for row in WEIGHTS]
    assert mine(WEIGHTS) == pytest.approx(expected, abs=1e-12)
    assert weighted.from_confusion(base, label, predicted, 3) is None
    assert weighted.from_confusion("no_such_score", label, predicted, 2) is None


def test_r2_is_scikit_learns() -> None:
    """The coefficient of determination on weighted rows, far from zero, without loss of digits."""
    label = 1e6 + RNG.normal(size=N)
    predicted = label + RNG.normal(size=N)
    expected = [metrics.r2_score(label, predicted, sample_weight=row) for row in WEIGHTS]
    assert weighted.r2(label, predicted)(WEIGHTS) == pytest.approx(expected, abs=1e-8)
