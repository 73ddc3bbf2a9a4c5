"""The agreement gate: which answers change, where, and whether for the better."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.exhibits import Heat, Table
from mlship.gates.agreement import Agreement
from mlship.types import GateResult, Status
from tests.gates.support import Case, Said, assert_page_shows

N = 5000
RNG = np.random.default_rng(4)
ROWS = pd.DataFrame(
    {
        "origin": RNG.choice(["EWR", "JFK", "LGA"], N),
        "delay": RNG.normal(5, 20, N),
        "y": (RNG.random(N) < 0.3).astype(int),
    }
)
CLASSES = np.array([0, 1])
OLD = Said(np.where(RNG.random(N) < 0.85, ROWS["y"], 1 - ROWS["y"]), None, CLASSES)


def changed(better: float, worse: float, *, only: str = "EWR") -> Said:
    """Mends this share of the champion's errors, and spoils this share of its right answers, at one airport."""
    there = (ROWS["origin"] == only).to_numpy()
    right = (OLD.values == ROWS["y"]).to_numpy()
    flip = there & (np.random.default_rng(2).random(N) < np.where(right, worse, better))
    return Said(np.where(flip, 1 - OLD.values, OLD.values), None, CLASSES)


BETTER, WORSE = changed(0.5, 0.02), changed(0.2, 0.2)


def case(candidate: Said = BETTER, champion: Said | None = OLD, **rules: Any) -> Case:
    return Case(
        gates={"agreement": {"by": ["origin", "delay"], **rules}}, rows=ROWS, candidate=candidate, champion=champion
    )


def one(found: Case) -> GateResult:
    (result,) = found.judged(Agreement()).values()
    return result


EXAMPLES = {
    "passing": case(max_changed="5%", min_better="60%"),
    "failing": case(WORSE, max_changed="5%", min_better="60%"),
    "skipped": case(),
}


@pytest.mark.parametrize("outcome", EXAMPLES)
def test_the_page_shows_what_the_gate_says(outcome: str) -> None:
    assert_page_shows(Agreement(), outcome, EXAMPLES[outcome])


def test_changes_are_counted_and_told_for_better_and_worse() -> None:
    result = one(case(max_changed="10%"))
    moved = BETTER.values != OLD.values
    better = int((moved & (BETTER.values == ROWS["y"])).sum())
    assert result.status is Status.PASSED
    assert result.measured is not None
    assert result.measured.value == pytest.approx(moved.mean())
    assert result.measured.n == N
    assert f"{better} for the better, {int(moved.sum()) - better} for the worse" in result.reason
    assert "most for origin EWR (" in result.reason


def test_where_answers_change_is_a_table_and_the_classes_are_a_grid() -> None:
    table, grid = one(case(max_changed="10%")).exhibits
    assert isinstance(table, Table)
    assert isinstance(grid, Heat)
    assert table.columns == ("where", "rows", "changed", "better", "worse")
    assert table.rows[0][0] == "origin EWR"
    at_ewr = (ROWS["origin"] == "EWR").to_numpy()
    assert table.rows[0][2] == pytest.approx((BETTER.values != OLD.values)[at_ewr].mean())
    assert {str(row[0]).split()[0] for row in table.rows} == {"origin", "delay"}
    assert grid.x == grid.y == ("0", "1")
    assert grid.values[0][1] == pytest.approx(((OLD.values == 0) & (BETTER.values == 1)).mean())
    assert sum(value or 0 for line in grid.values for value in line) == pytest.approx(1)


def test_changes_for_the_worse_fail() -> None:
    found = EXAMPLES["failing"].judged(Agreement())
    assert found["min_better"].status is Status.FAILED
    assert found["max_changed"].status is Status.FAILED
    assert found["min_better"].measured is not None
    assert found["min_better"].measured.n == int((WORSE.values != OLD.values).sum())


def test_without_limits_the_figures_are_told_and_nothing_is_passed() -> None:
    result = one(case())
    assert result.status is Status.SKIPPED
    assert result.reason.startswith("no limit is set; ")
    assert "for the better" in result.reason
    assert result.exhibits


def test_without_a_champion_everything_is_skipped() -> None:
    found = case(champion=None, max_changed="5%", min_better="50%").judged(Agreement())
    assert {result.status for result in found.values()} == {Status.SKIPPED}
    assert {result.reason for result in found.values()} == {"there is no champion yet to compare with"}


def test_without_labels_changes_are_counted_but_nobody_knows_whether_for_the_better() -> None:
    unlabelled = case(max_changed="10%", min_better="50%")
    unlabelled.target = None
    found = unlabelled.judged(Agreement())
    assert found["max_changed"].status is Status.PASSED
    assert "no labels say whether for the better" in found["max_changed"].reason
    assert found["min_better"].status is Status.INCONCLUSIVE


def test_no_change_at_all() -> None:
    found = case(OLD, max_changed="1%", min_better="50%").judged(Agreement())
    assert found["max_changed"].status is Status.PASSED
    assert found["min_better"].status is Status.SKIPPED
    assert "no answer changes" in found["min_better"].reason


def test_numbers_change_beyond_a_tolerance() -> None:
    label = RNG.normal(10, 2, N)
    old = label + RNG.normal(size=N)
    new = np.where(np.arange(N) % 10 == 0, old + 2, old + 0.001)
    found = case(Said(new), Said(old), tolerance=0.01, max_changed="12%", min_better="90%")
    found.rows = ROWS.assign(y=label)
    results = found.judged(Agreement())
    measured, better = results["max_changed"].measured, results["min_better"].measured
    assert measured is not None
    assert better is not None
    assert measured.value == pytest.approx(0.1)
    assert better.value == pytest.approx(np.mean((abs(new - label) < abs(old - label))[::10]))
    assert results["min_better"].status is Status.FAILED
    assert len(results["max_changed"].exhibits) == 1


def test_predictions_that_are_no_numbers_have_changed_for_the_worse() -> None:
    label = RNG.normal(10, 2, N)
    new = np.where(np.arange(N) % 5 == 0, np.nan, label)
    found = case(Said(new), Said(label + 0.0), max_changed="50%")
    found.rows = ROWS.assign(y=label)
    assert "0 for the better, 1,000 for the worse" in one(found).reason


def test_of_three_classes_a_change_may_be_neither() -> None:
    names = np.array(["a", "b", "c"], dtype=object)
    label = names[RNG.integers(0, 3, N)]
    found = case(Said(np.full(N, "a", dtype=object), None, names), Said(np.full(N, "b", dtype=object), None, names))
    found.rows = ROWS.assign(y=label)
    result = one(found)
    a, b, c = ((label == name).sum() for name in "abc")
    assert f"{a:,} for the better, {b:,} for the worse, {c:,} neither" in result.reason


@pytest.mark.parametrize(
    ("rows", "by", "says"),
    [
        (ROWS.head(20), ["origin"], "20 rows"),
        (None, ["origin"], "names no evaluation data"),
        (ROWS, ["orgin"], "no column 'orgin'; did you mean 'origin'?"),
    ],
)
def test_what_cannot_be_judged_is_inconclusive(rows: pd.DataFrame | None, by: list[str], says: str) -> None:
    found = case(by=by, max_changed="5%")
    found.rows = rows
    assert one(found).status is Status.INCONCLUSIVE
    assert says in one(found).reason


def test_a_label_that_the_models_do_not_know_is_an_error() -> None:
    found = case(max_changed="5%")
    found.rows = ROWS.assign(y=ROWS["y"] + 1)
    assert one(found).status is Status.ERROR
    assert "none of the model's classes" in one(found).reason


def test_columns_default_to_those_of_the_slices_then_to_the_inputs() -> None:
    def shown(found: Case) -> set[str]:
        table = found.judged(Agreement())["max_changed"].exhibits[0]
        assert isinstance(table, Table)
        return {str(row[0]).split()[0] for row in table.rows}

    inputs = Case(gates={"agreement": {"max_changed": "5%"}}, rows=ROWS, candidate=BETTER, champion=OLD)
    assert shown(inputs) == {"origin", "delay"}
    inputs.gates["slices"] = {"by": ["delay"], "metric": "recall"}
    assert shown(inputs) == {"delay"}


def test_on_the_flights(flights: pd.DataFrame, train: Callable[..., Any]) -> None:
    """Two real models: as many changes as there are, more of them for the better than for the worse."""
    july = flights[flights["month"] == 7].reset_index(drop=True)
    inputs = july.drop(columns="late")
    early = flights[flights["month"] <= 3].iloc[::40]
    half = flights[flights["month"] <= 6].iloc[::10]
    models = [train(half, max_iter=60), train(early)]
    new, old = (Said(model.predict(inputs), None, model.classes_) for model in models)
    found = Case(
        gates={"agreement": {"max_changed": "20%", "min_better": "50%", "by": ["origin", "carrier"]}},
        rows=july,
        target="late",
        candidate=new,
        champion=old,
    ).judged(Agreement())
    measured = found["max_changed"].measured
    assert measured is not None
    assert measured.value == pytest.approx(float((new.values != old.values).mean()))
    assert {result.status for result in found.values()} == {Status.PASSED}
