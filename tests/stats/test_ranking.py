"""Areas by counting are scikit-learn's: exactly for few rows, to a fraction of their standard error for many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from mlship.stats import ranking
from mlship.stats.ranking import Ranked

RNG = np.random.default_rng(0)
SCORES = st.lists(st.tuples(st.booleans(), st.floats(-5, 5).map(lambda x: round(x, 1))), min_size=2, max_size=60)


@given(SCORES)
def test_areas_of_few_rows_are_scikit_learns(rows: list[tuple[bool, float]]) -> None:
    """With ties, negative scores, and whole blocks of one class."""
    label, score = np.array([one for one, _ in rows]), np.array([one for _, one in rows])
    ranked = Ranked.of(label, score)
    precision, area = ranking.average_precision(ranked), ranking.roc_auc(ranked)
    if not label.any():
        assert precision is None
        assert area is None
        return
    assert precision is not None
    assert precision.value == pytest.approx(metrics.average_precision_score(label, score))
    if label.all():
        assert area is None
    else:
        assert area is not None
        assert area.value == pytest.approx(metrics.roc_auc_score(label, score))


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(lambda z: 1 / (1 + np.exp(-z)), id="probabilities"),
        pytest.param(lambda z: 1 / (1 + np.exp(9 - 2 * z)), id="rare"),
        pytest.param(lambda z: 1 / (1 + np.exp(-7 - 2 * z)), id="nearly certain"),
        pytest.param(lambda z: 50 * z, id="decision values"),
        pytest.param(lambda z: np.round(1 / (1 + np.exp(-z)), 2), id="ties"),
        pytest.param(lambda z: (1 / (1 + np.exp(-z))).astype(np.float32), id="32 bits"),
    ],
)
def test_areas_of_many_rows_are_scikit_learns_to_a_hundredth_of_their_error(shape: object) -> None:
    """300,000 rows, coded by at most 65,536 codes."""
    label = RNG.random(300_000) < 0.05
    score = shape(1.5 * label + RNG.normal(size=300_000))  # type: ignore[operator]  # a function of the table above
    ranked = Ranked.of(label, score)
    assert len(ranked.edges) <= 65_536
    for ours, theirs in (
        (ranking.average_precision, metrics.average_precision_score),
        (ranking.roc_auc, metrics.roc_auc_score),
    ):
        area = ours(ranked)
        assert area is not None
        influence = area.at(ranked.codes, label)
        error = influence.std() / np.sqrt(300_000)
        assert abs(influence.mean()) < 1e-9
        assert abs(area.value - theirs(label, score)) < error / 100


def test_codes_keep_the_order_and_name_their_lowest_score() -> None:
    """A higher score never has a lower code; a code's edge is not above its scores."""
    score = RNG.normal(size=100_000) * 10.0 ** RNG.integers(-8, 8, 100_000)
    codes, edges = ranking.ranks(score)
    order = np.argsort(score)
    assert (np.diff(codes[order].astype(int)) >= 0).all()
    assert (np.diff(edges) > 0).all()
    assert (edges[codes] <= score + np.abs(score) * 1e-6).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [100, 100_000])
def test_scores_that_are_not_finite_are_refused(bad: float, n: int) -> None:
    """In one sentence."""
    score = RNG.random(n)
    score[7] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        ranking.ranks(score)
