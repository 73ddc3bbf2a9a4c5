"""A column that gives the answer away is found, in any direction and form; one that does not is not accused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mlship.stats import association

RNG = np.random.default_rng(3)
N = 3000
POSITIVE = RNG.random(N) < 0.3


def test_auc_is_scikit_learns() -> None:
    """With ties counted half."""
    value = (POSITIVE + RNG.normal(size=N)).round(1)
    assert association.auc(POSITIVE, value) == pytest.approx(roc_auc_score(POSITIVE, value))


def test_a_column_tells_in_either_direction() -> None:
    """The answer upside down is still the answer."""
    assert association.numeric_auc(POSITIVE, -POSITIVE.astype(float)) == 1


def test_a_value_that_is_missing_when_the_answer_is_no_gives_it_away() -> None:
    """Random numbers, present only for the positive rows."""
    value = np.where(POSITIVE, RNG.normal(size=N), np.nan)
    assert association.numeric_auc(POSITIVE, value) == 1


def test_a_code_tells_although_its_order_does_not() -> None:
    """Codes 0 to 9, odd ones positive: the rank says little, the category everything."""
    code = 2 * RNG.integers(0, 5, N) + POSITIVE
    assert association.numeric_auc(POSITIVE, code.astype(float)) > 0.99


def test_an_identifier_tells_nothing() -> None:
    """A category that occurs once has no mean in other rows."""
    assert association.category_auc(POSITIVE, np.arange(N)) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("categories", [1, 2, 300])
def test_a_random_category_tells_nothing(categories: int) -> None:
    """One, two or three hundred categories that have nothing to do with the answer."""
    assert association.category_auc(POSITIVE, RNG.integers(0, categories, N)) == pytest.approx(0.5, abs=0.06)


def test_concordance_of_two_values_is_the_auc() -> None:
    """For a target of zeros and ones, Harrell's C is the area under the ROC curve."""
    value = (POSITIVE + RNG.normal(size=N)).round(1)
    assert association.concordance(POSITIVE.astype(float), value) == pytest.approx(association.auc(POSITIVE, value))


def test_concordance_of_a_quantity() -> None:
    """Itself: 1, also upside down and as a category; noise: a half; a constant: a half."""
    target = RNG.normal(size=N)
    assert association.numeric_concordance(target, -3 * target) == pytest.approx(1)
    assert association.concordance(target, RNG.normal(size=N)) == pytest.approx(0.5, abs=0.02)
    assert association.concordance(target, np.zeros(N)) == 0.5
    assert np.isnan(association.concordance(np.zeros(N), target))
    assert association.category_auc(target, (target > 0).astype(int)) > 0.74
