"""The fairness gate: differences and ratios between groups, as fairlearn computes them, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics as fair

from mlship.exhibits import Table
from mlship.gates.fairness import Fairness
from mlship.types import GateResult, Status
from tests.gates.support import Case, Said, assert_page_shows, said

N = 6000
BASE = np.random.default_rng(11)
ROWS = pd.DataFrame(
    {
        "sex": BASE.choice(["female", "male"], N),
        "region": BASE.choice(["north", "south", "east", "west"], N),
        "age": BASE.integers(18, 80, N),
        "y": (BASE.random(N) < 0.4).astype(int),
    }
)


def model(shift: float = 0.0, seed: int = 1) -> Said:
    """Chooses 40 % of the rows, men more often by `shift`."""
    chance = 0.4 + shift * (ROWS["sex"] == "male").to_numpy()
    return said(np.random.default_rng(seed).random(N) * 0.5 + 0.5 * (BASE.random(N) < chance))


MODELS = {shift: model(shift) for shift in (0.0, 0.02, 0.3)}


def case(shift: float = 0.0, champion: Said | None = None, **rules: Any) -> Case:
    return Case(gates={"fairness": {"by": ["sex"], **rules}}, rows=ROWS, candidate=MODELS[shift], champion=champion)


def one(found: Case) -> GateResult:
    (result,) = found.judged(Fairness()).values()
    return result


EXAMPLES = {
    "passing": case(0.0, MODELS[0.02], max_difference=0.1, min_ratio=0.8),
    "failing": case(0.3, MODELS[0.02], max_difference=0.1, min_ratio=0.8),
    "inconclusive": case(0.02, by=["sex", "region"], max_difference=0.05),
}


@pytest.mark.parametrize("outcome", EXAMPLES)
def test_the_page_shows_what_the_gate_says(outcome: str) -> None:
    assert_page_shows(Fairness(), outcome, EXAMPLES[outcome])


def test_difference_and_ratio_are_fairlearns() -> None:
    """Demographic parity: of the selection rates; equalized odds: of both error rates, the larger."""
    found = EXAMPLES["failing"].judged(Fairness())
    chosen, label = MODELS[0.3].values, ROWS["y"]
    given = {"y_true": label, "y_pred": chosen, "sensitive_features": ROWS["sex"]}
    difference, ratio = found["sex max_difference"].measured, found["sex min_ratio"].measured
    assert difference is not None
    assert ratio is not None
    assert difference.value == pytest.approx(fair.demographic_parity_difference(**given))
    assert ratio.value == pytest.approx(fair.demographic_parity_ratio(**given))
    odds = []
    for metric in ("true_positive_rate", "false_positive_rate"):
        measured = one(case(0.3, metric=metric, max_difference=0.1)).measured
        assert measured is not None
        odds.append(measured.value)
    assert max(odds) == pytest.approx(fair.equalized_odds_difference(**given))  # type: ignore[type-var]  # both are numbers
    assert {result.status for result in found.values()} == {Status.FAILED}


def test_best_and_worst_group_are_named_and_the_champion_is_shown() -> None:
    result = EXAMPLES["failing"].judged(Fairness())["sex max_difference"]
    assert "for sex male and 0." in result.reason
    assert result.reason.endswith("for sex female")
    assert result.champion is not None
    assert result.champion.value == pytest.approx(
        fair.demographic_parity_difference(ROWS["y"], MODELS[0.02].values, sensitive_features=ROWS["sex"])
    )
    (table,) = result.exhibits
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["sex female", "sex male"]
    assert table.columns == ("group", "rows", "selection_rate", "low", "high", "champion")


def test_the_interval_holds_the_true_difference() -> None:
    """Four groups with shares .3, .35, .4 and .5: the interval misses 0.2 in at most 5 % of 300 draws, and the ratio's
    misses 0.6 as rarely."""
    rng = np.random.default_rng(5)
    missed = np.zeros(2)
    for _ in range(300):
        group = rng.integers(0, 4, 3000)
        chosen = (rng.random(3000) < np.array([0.3, 0.35, 0.4, 0.5])[group]).astype(float)
        found = Case(
            gates={"fairness": {"by": ["g"], "max_difference": 0.1, "min_ratio": 0.8}},
            rows=pd.DataFrame({"g": group, "y": chosen.astype(int)}),
            candidate=said(chosen),
        ).judged(Fairness())
        for i, (rule, truth) in enumerate((("g max_difference", 0.2), ("g min_ratio", 0.6))):
            measured = found[rule].measured
            assert measured is not None
            missed[i] += not measured.low <= truth <= measured.high  # type: ignore[operator]  # they are numbers here
    assert (missed / 300 <= 0.05).all()


def test_equal_groups_are_never_convicted_by_chance() -> None:
    """Of thirty small groups two differ by more than the limit: as the extreme of thirty that may be chance."""
    rows = ROWS.assign(g=np.random.default_rng(2).integers(0, 18, N))
    found = case(max_difference=0.05, by=["g"])
    found.rows = rows
    result = one(found)
    assert result.status is Status.INCONCLUSIVE
    assert "as the extreme of 18 groups it may be chance" in result.reason
    assert result.measured is not None
    assert (result.measured.value or 0) > 0.05


def test_a_column_of_numbers_is_cut_at_quantiles() -> None:
    result = one(case(by=["age"], max_difference=0.2))
    assert result.status is Status.PASSED
    assert "for age " in result.reason
    assert " to " in result.reason


@pytest.mark.parametrize(
    ("rules", "status", "says"),
    [
        ({"by": ["sx"], "max_difference": 0.1}, Status.INCONCLUSIVE, "no column 'sx'; did you mean 'sex'?"),
        ({"min_rows": 9000, "min_ratio": 0.8}, Status.INCONCLUSIVE, "no slice has 9000 rows"),
        ({"metric": "recal", "min_ratio": 0.8}, Status.ERROR, "did you mean 'recall'?"),
        ({"metric": "neg_log_loss", "min_ratio": 0.8}, Status.ERROR, "can be negative"),
        ({}, Status.SKIPPED, "no limit is set; selection_rate is 0."),
    ],
)
def test_what_cannot_be_judged_says_why(rules: dict[str, Any], status: Status, says: str) -> None:
    result = one(case(**rules))
    assert result.status is status
    assert says in result.reason


def test_one_group_alone_is_inconclusive() -> None:
    found = case(max_difference=0.1)
    found.rows = ROWS.assign(sex=np.where(ROWS.index < 5800, "male", "female"))
    assert one(found).status is Status.INCONCLUSIVE
    assert "only sex male has 300 rows" in one(found).reason


def test_nobody_selected_has_no_ratio() -> None:
    found = case(min_ratio=0.8)
    found.candidate = said(np.zeros(N))
    assert one(found).status is Status.INCONCLUSIVE
    assert "selection_rate is 0 in every group of sex" in one(found).reason


def test_a_group_that_is_never_selected_fails_the_ratio() -> None:
    found = case(min_ratio=0.8)
    found.candidate = said((ROWS["sex"] == "male").to_numpy() * 0.9)
    result = one(found)
    assert result.status is Status.FAILED
    assert result.measured is not None
    assert result.measured.value == 0
    assert 0 <= (result.measured.low or 0) <= (result.measured.high or 0) < 0.02


def test_selection_needs_no_labels_and_recall_does() -> None:
    for metric, status in (("selection_rate", Status.PASSED), ("recall", Status.INCONCLUSIVE)):
        found = case(metric=metric, max_difference=0.1)
        found.target = None
        assert one(found).status is status


def test_columns_are_judged_one_by_one() -> None:
    found = case(0.3, by=["sex", "region"], max_difference=0.1).judged(Fairness())
    assert {rule: result.status for rule, result in found.items()} == {
        "sex max_difference": Status.FAILED,
        "region max_difference": Status.PASSED,
    }
