"""The slices gate: limits per slice, honest about how many slices were looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.exhibits import Heat, Table
from mlship.gates.slices.gate import Slices
from mlship.types import GateResult, Status
from tests.gates.support import Case, Said, assert_page_shows, said

N = 8000
CARRIERS = ("AA", "DL", "HA", "UA")
BASE = np.random.default_rng(2013)
ROWS = pd.DataFrame(
    {
        "carrier": BASE.choice(CARRIERS, N, p=[0.3, 0.3, 0.1, 0.3]),
        "origin": BASE.choice(["JFK", "EWR", "LGA"], N),
        "delay": BASE.normal(5, 20, N).round(1),
        "y": (BASE.random(N) < 0.3).astype(int),
    }
)


def model(recall: float = 0.8, weak: dict[str, float] | None = None, seed: int = 1) -> Said:
    """Finds this share of the positives (another share for a carrier), and is wrong on a tenth of the negatives."""
    rng = np.random.default_rng(seed)
    chance = ROWS["carrier"].map(weak or {}).fillna(recall).to_numpy(dtype=float)
    hit = np.where(ROWS["y"] == 1, rng.random(N) < chance, rng.random(N) < 0.1)
    return said(np.where(hit, 0.5 + 0.5 * rng.random(N), 0.5 * rng.random(N)))


def case(candidate: Said | None = None, champion: Said | None = None, **rules: Any) -> Case:
    gates = {"slices": {"by": ["carrier", "origin"], "metric": "recall", **rules}}
    return Case(gates=gates, rows=ROWS, candidate=candidate or model(), champion=champion)


def one(found: Case) -> GateResult:
    (result,) = found.judged(Slices()).values()
    return result


PASSING = case(model(0.85), model(0.8, seed=2), min=0.7, max_gap=0.2, max_drop=0.1)
FAILING = case(model(0.85, {"HA": 0.5}), model(0.85, seed=2), min=0.7, max_gap=0.2, max_drop=0.1)
INCONCLUSIVE = case(model(0.85, {"HA": 0.7}), min=0.7, pairs=False)
EXAMPLES = {"passing": PASSING, "failing": FAILING, "inconclusive": INCONCLUSIVE}


@pytest.mark.parametrize("outcome", EXAMPLES)
def test_the_page_shows_what_the_gate_says(outcome: str) -> None:
    assert_page_shows(Slices(), outcome, EXAMPLES[outcome])


def test_every_limit_has_a_result_with_the_slice_that_decided() -> None:
    found = FAILING.judged(Slices())
    assert {rule: result.status for rule, result in found.items()} == dict.fromkeys(
        ("recall min", "recall max_gap", "recall max_drop"), Status.FAILED
    )
    worst = found["recall min"].measured
    assert worst is not None
    assert worst.metric.startswith("recall of carrier HA")
    mine = (ROWS["carrier"] == "HA") & (ROWS["y"] == 1)
    assert found["recall max_gap"].measured is not None
    assert " and 0." in found["recall max_gap"].reason
    assert FAILING.candidate is not None
    expected = float(FAILING.candidate.values[mine].mean())
    shown = found["recall min"].exhibits[0]
    assert isinstance(shown, Table)
    by_name = {row[0]: row for row in shown.rows}
    assert by_name["carrier HA"][2] == pytest.approx(expected)
    assert by_name["carrier HA"][1] == int((ROWS["carrier"] == "HA").sum())


def test_the_worst_slices_come_first_and_pairs_make_a_grid() -> None:
    found = FAILING.judged(Slices())["recall min"]
    table, grid = found.exhibits
    assert isinstance(table, Table)
    assert isinstance(grid, Heat)
    values = [float(row[2]) for row in table.rows]  # type: ignore[arg-type]  # the third column is the metric
    assert values == sorted(values)
    assert all("HA" in str(row[0]) for row in table.rows[:1])
    assert table.columns == ("slice", "rows", "recall", "low", "high", "champion")
    assert sorted(grid.y) == sorted(CARRIERS)
    assert sorted(grid.x) == ["EWR", "JFK", "LGA"]
    at = ROWS[(ROWS["carrier"] == "UA") & (ROWS["origin"] == "JFK") & (ROWS["y"] == 1)].index
    assert FAILING.candidate is not None
    cell = grid.values[grid.y.index("UA")][grid.x.index("JFK")]
    assert cell == pytest.approx(float(FAILING.candidate.values[at].mean()))


def test_small_slices_are_counted_and_not_judged() -> None:
    """HA has some 800 rows: with 1,000 wanted it is named nowhere, but told; with 300 its pairs are left out."""
    result = one(case(model(0.85, {"HA": 0.1}), min=0.7, min_rows=1000, pairs=False))
    assert result.status is Status.PASSED
    assert "1 smaller slice is not judged" in result.reason
    assert "all 6 slices" in result.reason


def test_a_slice_without_rows_that_matter_is_not_judged() -> None:
    """A thousand rows, but hardly a positive one: there is no recall to speak of."""
    found = case(model(0.85), min=0.7, pairs=False)
    found.rows = ROWS.assign(y=np.where((ROWS["carrier"] == "HA") & (ROWS.index > 300), 0, ROWS["y"]))
    result = one(found)
    assert "1 smaller slice is not judged" in result.reason


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"min_rows": 9000}, Status.INCONCLUSIVE, "no slice has 9000 rows: the largest"),
        ({"by": ["carier"]}, Status.INCONCLUSIVE, "no column 'carier'; did you mean 'carrier'?"),
        ({"metric": "recal"}, Status.ERROR, "did you mean 'recall'?"),
        ({"metric": "mae"}, Status.ERROR, "it is for numbers"),
    ],
)
def test_what_cannot_be_judged_says_why(change: dict[str, Any], status: Status, says: str) -> None:
    result = one(case(min=0.5, **change))
    assert result.status is status
    assert says in result.reason
    assert result.measured is None


def test_without_rows_labels_or_champion() -> None:
    few = case(min=0.5)
    few.rows = ROWS.head(20)
    assert "20 rows" in one(few).reason
    unlabelled = case(min=0.5)
    unlabelled.target = None
    assert one(unlabelled).status is Status.INCONCLUSIVE
    assert "names no target column" in one(unlabelled).reason
    nothing = case(min=0.5)
    nothing.rows = None
    assert "names no evaluation data" in one(nothing).reason
    alone = one(case(max_drop=0.1))
    assert alone.status is Status.SKIPPED
    assert "no champion yet" in alone.reason


def test_without_a_limit_the_worst_slice_is_told_and_nothing_is_passed() -> None:
    result = one(case(model(0.85, {"HA": 0.3})))
    assert result.status is Status.SKIPPED
    assert "no limit is set; the worst of 16 slices: recall is 0." in result.reason
    assert "carrier HA" in result.reason


def test_a_column_that_is_named_twice_is_looked_at_once() -> None:
    assert one(case(min=0.5, by=["carrier", "carrier"])) == one(case(min=0.5, by=["carrier"]))


def test_a_column_of_one_value_has_no_gap() -> None:
    found = case(max_gap=0.1, by=["one"])
    found.rows = ROWS.assign(one="same")
    assert one(found).status is Status.INCONCLUSIVE
    assert "no column has two slices" in one(found).reason


def test_numbers_are_cut_at_quantiles_and_missing_values_are_a_slice() -> None:
    found = case(model(0.9), min=0.5, by=["delay"])
    found.rows = ROWS.assign(delay=ROWS["delay"].mask(ROWS.index % 7 == 0))
    table = found.judged(Slices())["recall min"].exhibits[0]
    assert isinstance(table, Table)
    names = {str(row[0]) for row in table.rows}
    assert len(names) == 5
    assert "delay missing" in names


def test_an_error_may_not_be_too_large_in_any_slice() -> None:
    """Where less is better, the largest is the worst, and a drop is a rise."""
    found = case(model(0.9, {"HA": 0.2}), model(0.9, seed=3), metric="error", max=0.2, max_drop=0.05, pairs=False)
    results = found.judged(Slices())
    assert results["error max"].status is Status.FAILED
    assert results["error max"].measured is not None
    assert results["error max"].measured.metric == "error of carrier HA"
    assert results["error max_drop"].status is Status.FAILED
    assert results["error max_drop"].limit == "<= 0.05"
    better = case(model(0.9, seed=3), model(0.9, {"HA": 0.2}), metric="error", max_drop=0.05, pairs=False)
    assert one(better).status is Status.PASSED


def test_metrics_of_probabilities_are_measured_slice_by_slice() -> None:
    found = case(model(0.9, {"HA": 0.1}), model(0.9, seed=4), metric="roc_auc", min=0.8, max_drop=0.05, pairs=False)
    results = found.judged(Slices())
    assert {result.status for result in results.values()} == {Status.FAILED}
    assert "roc_auc is 0." in results["roc_auc min"].reason
    assert "carrier HA" in results["roc_auc min"].reason


def test_a_champion_that_cannot_be_measured_costs_only_the_comparison() -> None:
    silent = Said(model(0.9).values, None, np.array([0, 1]))
    found = case(model(0.9), silent, metric="roc_auc", min=0.7, max_drop=0.1, pairs=False).judged(Slices())
    assert found["roc_auc min"].status is Status.PASSED
    assert found["roc_auc max_drop"].status is Status.INCONCLUSIVE
    assert "the champion cannot be compared: roc_auc needs probabilities" in found["roc_auc max_drop"].reason


def test_a_regressor_is_judged_by_its_errors() -> None:
    rng = np.random.default_rng(3)
    label = rng.normal(10, 3, N)
    spread = np.where(ROWS["carrier"] == "HA", 3.0, 1.0)
    found = case(Said(label + spread * rng.normal(size=N)), Said(label + rng.normal(size=N)), metric="mae", max=1.5)
    found.rows = ROWS.assign(y=label)
    result = one(found)
    assert result.status is Status.FAILED
    assert "mae is 2." in result.reason
    assert "HA" in result.reason


def test_two_models_that_say_the_same_have_no_drop() -> None:
    same = model(0.8)
    assert one(case(same, same, max_drop=0)).status is Status.PASSED


def test_the_same_rows_give_the_same_figures() -> None:
    for metric in ("recall", "average_precision"):
        found = case(model(), model(0.7, seed=2), metric=metric, min=0.1, max_drop=0.3, pairs=False)
        assert Slices().judge(found.context()) == Slices().judge(found.context())


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    context = PASSING.context()
    object.__setattr__(context, "tick", lambda done, total: told.append((done, total)))
    Slices().judge(context)
    assert told == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("champion", [False, True])
def test_equal_slices_are_hardly_ever_failed(champion: bool) -> None:
    """Ninety slices, each exactly at its limit, with no gap and no drop: in 300 evaluations at most 5 % fail."""
    rng = np.random.default_rng(99)
    n, rounds, failed = 12_000, 300, 0
    for _ in range(rounds):
        rows = pd.DataFrame({"a": rng.integers(0, 8, n), "b": rng.integers(0, 8, n), "y": rng.random(n) < 0.4})
        rows["y"] = rows["y"].astype(int)
        ours, theirs = (said(np.where(rng.random(n) < 0.7, rows["y"], 1 - rows["y"])) for _ in range(2))
        gates = {"by": ["a", "b"], "metric": "recall", "min": 0.7, "max_gap": 0.0, "min_rows": 100}
        if champion:
            gates["max_drop"] = 0.0
        found = Case(gates={"slices": gates}, rows=rows, candidate=ours, champion=theirs if champion else None)
        failed += any(result.status is Status.FAILED for result in Slices().judge(found.context()))
    assert failed / rounds <= 0.05


def test_on_the_flights_a_planted_weak_carrier_is_named_first(flights: pd.DataFrame, train: Callable[..., Any]) -> None:
    """Labels of one carrier are flipped: its slices are the worst, and the gate fails for it and for nobody else."""
    half = flights[flights["month"] <= 6].iloc[::10]
    july = flights[flights["month"] == 7].reset_index(drop=True)
    pipeline = train(half)
    inputs = july.drop(columns="late")
    predicted = Said(pipeline.predict(inputs), pipeline.predict_proba(inputs), pipeline.classes_)
    rules = {"by": ["origin", "carrier"], "metric": "recall", "min": 0.45, "max_gap": 0.35}
    honest = Case(gates={"slices": rules}, rows=july, target="late", candidate=predicted)
    assert honest.judged(Slices())["recall min"].status is Status.PASSED
    planted = july.assign(late=july["late"].where(july["carrier"] != "WN", 1 - july["late"]))
    found = Case(gates={"slices": rules}, rows=planted, target="late", candidate=predicted).judged(Slices())
    assert {result.status for result in found.values()} == {Status.FAILED}
    table = found["recall min"].exhibits[0]
    assert isinstance(table, Table)
    assert "carrier WN" in str(table.rows[0][0])
    assert "carrier WN" in found["recall min"].reason.split(" (")[0]
    assert "carrier WN" in found["recall max_gap"].reason
