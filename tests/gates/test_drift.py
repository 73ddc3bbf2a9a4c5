"""The drift gate: what has moved is named, with the month; what has not is not, however few rows there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.errors import DataError, MlshipError, ModelError, ModelFault, ModelRefused
from mlship.exhibits import Heat, Table
from mlship.gates.drift.gate import Drift
from mlship.types import GateResult, Status
from tests.conftest import FEATURES
from tests.gates.support import Case, Said, assert_page_shows, said

N = 3000


def _rows(seed: int, n: int = N, start: str = "2026-07-01", **columns: Any) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "at": pd.date_range(start, periods=n, freq="30min"),
            "origin": draw.choice(["JFK", "LGA", "EWR"], n, p=[0.5, 0.3, 0.2]),
            "delay": draw.normal(5, 20, n).round(1),
            "late": (draw.random(n) < 0.3).astype(int),
        }
    )
    return frame.assign(**columns)


TRAINED = _rows(1, start="2026-01-01")
FRESH = _rows(2)


def _by_delay(features: pd.DataFrame) -> Said:
    return said(1 / (1 + np.exp(-features["delay"].fillna(0).clip(-50, 50) / 20)))


def _case(rows: pd.DataFrame = FRESH, reference: pd.DataFrame | None = TRAINED, **rules: Any) -> Case:
    return Case(
        gates={"drift": rules},
        rows=rows,
        reference=reference,
        target="late",
        time="at",
        inputs=("origin", "delay"),
        models={"2": _by_delay},
    )


def _judged(case: Case) -> dict[str, GateResult]:
    return case.judged(Drift())


def _heat(results: dict[str, GateResult]) -> Heat:
    (found,) = [one for result in results.values() for one in result.exhibits if isinstance(one, Heat)]
    return found


def _table(results: dict[str, GateResult]) -> Table:
    (found,) = [one for result in results.values() for one in result.exhibits if isinstance(one, Table)]
    return found


def _shifted() -> pd.DataFrame:
    late_delay = FRESH["delay"].where(FRESH["at"] < "2026-08-01", FRESH["delay"] + 40)
    origin = FRESH["origin"].where(FRESH["at"] < "2026-08-15", "SWF")
    return FRESH.assign(delay=late_delay, origin=origin, late=FRESH["late"] | (FRESH["at"] > "2026-08-01"))


def test_the_page_shows_what_the_gate_says() -> None:
    """Word for word, figure for figure."""
    gate = Drift()
    assert_page_shows(gate, "passing", _case(window="month"))
    assert_page_shows(gate, "failing", _case(_shifted(), window="month"))


def test_rows_like_the_reference_pass() -> None:
    """Each rule, and nothing is left out."""
    found = _judged(_case())
    assert list(found) == ["columns", "features psi", "max_unseen", "predictions psi", "outcomes psi"]
    assert {result.status for result in found.values()} == {Status.PASSED}


def test_what_moved_is_named_with_its_month() -> None:
    """A column, a new category, what the model says, and the labels."""
    found = _judged(_case(_shifted(), window="month"))
    assert {rule for rule, result in found.items() if result.status is Status.FAILED} == {
        "features psi",
        "max_unseen",
        "predictions psi",
        "outcomes psi",
    }
    assert "most in 2026-08" in found["predictions psi"].reason
    assert "'SWF'" in found["max_unseen"].reason
    assert "also beyond it" in found["features psi"].reason


def test_september_differs_most(flights: pd.DataFrame, train: Callable[..., Any]) -> None:
    """July to December 2013 against the first half: outcomes and predictions are furthest away in September."""
    early, later = flights[flights["month"] <= 6], flights[flights["month"] > 6]
    model = train(early)

    def predict(features: pd.DataFrame) -> Said:
        scores = model.predict_proba(features[FEATURES])
        return Said(model.classes_[scores.argmax(axis=1)], scores, model.classes_)

    case = Case(
        gates={"drift": {}},
        rows=later.reset_index(drop=True),
        reference=early.reset_index(drop=True),
        target="late",
        time="time_hour",
        inputs=tuple(FEATURES),
        models={"2": predict},
    )
    found = _judged(case)
    shown = _heat(found)
    assert shown.x[:6] == ("2013-07", "2013-08", "2013-09", "2013-10", "2013-11", "2013-12")
    assert set(shown.y) == {"outcomes", "predictions", *FEATURES}
    for name in ("outcomes", "predictions"):
        months = {month: psi for month, psi in zip(shown.x, shown.values[shown.y.index(name)], strict=True) if psi}
        assert max(months, key=lambda month: months[month]) == "2013-09"
        assert "most in 2013-09" in found[f"{name} psi"].reason
    assert {result.status for result in found.values()} == {Status.PASSED}


@pytest.mark.parametrize(("n", "bins", "runs"), [(1000, 10, 60), (1000, 50, 60), (30, 10, 60), (100, 20, 60)])
def test_noise_alone_fails_nothing(n: int, bins: int, runs: int) -> None:
    """Two samples of one distribution, `min_rows` each: at most 1 % of the runs fail in any rule."""
    failed = 0
    for run in range(runs):
        case = _case(_rows(2 * run, n), _rows(2 * run + 1, n), min_rows=n, bins=bins, features={"wasserstein": 0.2})
        failed += any(result.status is Status.FAILED for result in _judged(case).values())
    assert failed / runs <= 0.01


def test_few_rows_that_chance_explains_are_inconclusive() -> None:
    """The figure is beyond the limit, but with 30 rows it means nothing; that is said."""
    said_so = 0
    for run in range(20):
        found = _judged(_case(_rows(run, 30), _rows(run + 50, 30), min_rows=30))["features psi"]
        assert found.status is not Status.FAILED
        said_so += "chance alone makes up to" in found.reason
    assert said_so


def test_a_small_shift_of_very_many_rows_passes() -> None:
    """A hundredth of a deviation in 200,000 rows: any test would call it significant, and nobody would care."""
    ours, theirs = _rows(5, 200_000), _rows(6, 200_000)
    found = _judged(_case(ours.assign(delay=ours["delay"] + 0.4), theirs))
    assert found["features psi"].status is Status.PASSED


def test_without_reference_or_rows_nothing_is_decided() -> None:
    """The gate was asked for, so it does not keep silent."""
    found = _judged(_case(reference=None))
    assert found["rows"].status is Status.INCONCLUSIVE
    assert "names no data.reference" in found["rows"].reason
    few = _judged(_case(FRESH.head(999)))
    assert list(few) == ["rows"]
    assert "the evaluation data has 999 rows; below gates.drift.min_rows (1,000)" in few["rows"].reason
    assert "the reference data has 0 rows" in _judged(_case(reference=TRAINED.head(0)))["rows"].reason
    assert "the policy names no evaluation data" in _judged(Case(gates={"drift": {}}))["rows"].reason
    assert Drift().judge(Case(rows=FRESH).context()) == []


def test_recent_rows_are_judged_too_and_told_apart() -> None:
    """Without labels, which recent rows do not have."""
    case = _case()
    case.recent = _rows(7, 2000, "2026-10-01").assign(delay=lambda rows: rows["delay"] + 50).drop(columns="late")
    found = _judged(case)
    assert found["features psi"].status is Status.PASSED
    assert found["recent features psi"].status is Status.FAILED
    assert found["recent predictions psi"].status is Status.FAILED
    assert found["recent outcomes psi"].status is Status.SKIPPED
    assert "the recent data has no column 'late'" in found["recent outcomes psi"].reason
    case.gates["drift"] = {"outcomes": {"psi": 0.1}}
    assert _judged(case)["recent outcomes psi"].status is Status.SKIPPED
    case.recent = case.recent.head(10)
    again = _judged(case)
    assert again["features psi"].status is Status.PASSED
    assert again["recent rows"].status is Status.INCONCLUSIVE


def test_what_is_not_asked_is_not_judged() -> None:
    """Nulls switch parts off; nothing is predicted then."""
    case = _case(features=None, predictions=None, outcomes=None, max_unseen="1%")
    case.models = None
    assert list(_judged(case)) == ["columns", "max_unseen"]
    only = _judged(_case(features=None, max_unseen=None, outcomes=None))
    assert list(only) == ["predictions psi"]
    assert _heat(only).y == ("predictions",)
    wasserstein = _judged(_case(features={"psi": None, "wasserstein": 0.2}))
    assert wasserstein["features wasserstein"].status is Status.PASSED
    assert "features psi" not in wasserstein


def test_wasserstein_is_in_deviations() -> None:
    """Half a deviation is beyond 0.3."""
    moved = FRESH.assign(delay=FRESH["delay"] + 10)
    found = _judged(_case(moved, features={"wasserstein": 0.3}))["features wasserstein"]
    assert found.status is Status.FAILED
    assert found.measured is not None
    assert found.measured.value == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize(
    ("ours", "theirs", "status"),
    [
        pytest.param(7.0, 7.0, Status.PASSED, id="constant"),
        pytest.param(8.0, 7.0, Status.FAILED, id="another constant"),
        pytest.param(np.nan, np.nan, Status.PASSED, id="all missing"),
        pytest.param(np.nan, 7.0, Status.FAILED, id="missing now"),
        pytest.param(7.0, np.nan, Status.FAILED, id="missing before"),
        pytest.param(None, "x", Status.FAILED, id="missing now, text"),
        pytest.param("x", None, Status.FAILED, id="missing before, text"),
        pytest.param(np.inf, np.inf, Status.PASSED, id="infinite"),
        pytest.param(True, 1, Status.PASSED, id="truth is a number"),
    ],
)
def test_columns_of_one_value(ours: Any, theirs: Any, status: Status) -> None:
    """Bins exist for these too; missing is a value of its own."""
    rows, reference = ({"delay": [value] * N} for value in (ours, theirs))
    case = _case(FRESH.assign(**rows), TRAINED.assign(**reference), predictions=None)
    assert _judged(case)["features psi"].status is status


def test_missing_and_infinite_values_show() -> None:
    """A fifth is missing, three are infinite: the first is drift, the second a note."""
    delay = FRESH["delay"].mask(FRESH.index % 5 == 0)
    delay[[1, 2, 3]] = [np.inf, -np.inf, np.inf]
    found = _judged(_case(FRESH.assign(delay=delay)))
    assert found["features psi"].status is Status.FAILED
    shown = _table(found)
    row = dict(zip(shown.columns, next(row for row in shown.rows if row[0] == "delay"), strict=True))
    assert row["missing"] == pytest.approx(0.2, abs=0.001)
    assert row["missing before"] == 0
    assert "3 in delay" in shown.note


def test_a_column_that_changed_its_kind_is_a_finding() -> None:
    """Numbers became text, or a column is gone: nobody wants a distance then."""
    found = _judged(_case(FRESH.assign(delay=FRESH["delay"].astype(str)), predictions=None))
    assert found["columns"].status is Status.FAILED
    assert found["columns"].reason == "the column 'delay' holds numbers in the reference and text here"
    gone = _judged(_case(FRESH.drop(columns="delay"), predictions=None))["columns"]
    assert gone.status is Status.FAILED
    assert "lacks the column 'delay', which the reference has" in gone.reason
    lost = _judged(_case(reference=TRAINED.drop(columns="delay"), predictions=None))["columns"]
    assert lost.status is Status.INCONCLUSIVE
    assert "the reference data lacks the column 'delay'" in lost.reason


def test_a_column_that_nobody_has_is_asked_about() -> None:
    """The policy's slip of the pen."""
    found = _judged(_case(columns=["delai"]))
    assert found["columns"].status is Status.INCONCLUSIVE
    assert "did you mean 'delay'?" in found["columns"].reason
    assert found["features psi"].status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda column: column.astype("category"), id="category"),
        pytest.param(lambda column: column.astype(object), id="objects"),
        pytest.param(lambda column: column.astype("string"), id="string"),
    ],
)
def test_text_is_text_however_it_is_stored(read: Callable[[Any], Any]) -> None:
    """The same values in another type have not drifted."""
    found = _judged(_case(FRESH.assign(origin=read(FRESH["origin"]))))
    plain = _judged(_case())
    assert _table(found) == _table(plain)


def test_numbers_are_numbers_however_they_are_stored() -> None:
    """Categories of numbers, objects, nullable integers, truth values with gaps, and times of another resolution."""
    at, flag = FRESH["at"], FRESH["late"] == 1
    for ours, theirs in (
        (FRESH["late"].astype("category"), TRAINED["late"]),
        (FRESH["late"].astype(object), TRAINED["late"]),
        (FRESH["late"].astype("Int64").mask(FRESH.index == 3), TRAINED["late"]),
        (flag.astype(object).mask(FRESH.index == 3), TRAINED["late"] == 1),
        (at.dt.tz_localize("UTC").astype("datetime64[s, UTC]"), at.astype("datetime64[ns]")),
        (at - at[0], (at - at[0]).astype("timedelta64[s]")),
    ):
        case = _case(FRESH.assign(delay=ours), TRAINED.assign(delay=theirs.to_numpy()), predictions=None)
        found = _judged(case)
        assert found["columns"].status is Status.PASSED, found["columns"].reason
        assert found["features psi"].status is Status.PASSED, found["features psi"].reason


def test_mixed_types_and_lists_are_read_as_text() -> None:
    """7 and "7" are one category; a list is what it looks like."""
    mixed = [7 if i % 2 else "7" for i in range(N)]
    lists = pd.Series([[1] if i % 2 else [2] for i in range(N)], dtype=object)
    case = _case(FRESH.assign(origin="7", delay=lists), TRAINED.assign(origin=mixed, delay=lists), predictions=None)
    found = _judged(case)
    assert {result.status for result in found.values()} == {Status.PASSED}


def test_many_categories_are_no_drift() -> None:
    """A thousand names in 3,000 rows: the rare ones share a bin, and new ones are counted."""
    names = [np.random.default_rng(seed).integers(0, 1000, N).astype(str) for seed in (1, 2)]
    found = _judged(_case(FRESH.assign(origin=names[0]), TRAINED.assign(origin=names[1]), max_unseen="10%"))
    assert found["features psi"].status is Status.PASSED
    assert found["max_unseen"].status is Status.PASSED
    assert found["max_unseen"].measured is not None
    assert 0.02 < (found["max_unseen"].measured.value or 0) < 0.08


def test_numbers_only_have_no_unseen_categories() -> None:
    """Skipped, with the reason."""
    case = _case()
    case.inputs = ("delay",)
    assert _judged(case)["max_unseen"].status is Status.SKIPPED


def test_without_a_signature_time_target_and_entity_are_left_out() -> None:
    """An identifier always drifts."""
    case = _case(FRESH.assign(flight=FRESH.index.astype(str)), TRAINED.assign(flight="T" + TRAINED.index.astype(str)))
    case.inputs, case.entity = (), ("flight",)
    assert {row[0] for row in _table(_judged(case)).rows} == {"origin", "delay"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ModelError("no model server", hint="look at it"), Status.ERROR),
        (ModelFault("it crashed", where="m version 2"), Status.FAILED),
        (ModelRefused("os.system is called", where="m version 2"), Status.INCONCLUSIVE),
        (DataError("there is no column 'x'"), Status.INCONCLUSIVE),
    ],
)
def test_a_model_without_an_answer_spoils_only_its_rule(error: MlshipError, status: Status) -> None:
    """The columns are judged all the same."""

    def refuse(_features: pd.DataFrame) -> Said:
        raise error

    case = _case()
    case.models = {"2": refuse}
    found = _judged(case)
    assert found["predictions psi"].status is status
    assert error.what in found["predictions psi"].reason
    assert found["features psi"].status is Status.PASSED


@pytest.mark.parametrize(
    "say",
    [
        pytest.param(lambda rows: Said(rows["delay"].to_numpy()), id="numbers"),
        pytest.param(lambda rows: Said(rows["origin"].to_numpy()), id="classes"),
        pytest.param(lambda rows: Said(rows["delay"].to_numpy() > 9, rows["delay"].to_numpy()), id="decision values"),
        pytest.param(
            lambda rows: Said(rows["origin"].to_numpy(), np.zeros((len(rows), 3)), np.array(["EWR", "JFK", "LGA"])),
            id="three classes",
        ),
    ],
)
def test_predictions_of_every_kind(say: Callable[[pd.DataFrame], Said]) -> None:
    """Like the reference: passed; shifted: failed."""
    case = _case()
    case.models = {"2": say}
    assert _judged(case)["predictions psi"].status is Status.PASSED
    case.rows = FRESH.assign(delay=FRESH["delay"] + 90, origin="JFK")
    assert _judged(case)["predictions psi"].status is Status.FAILED


def test_reference_predictions_are_of_a_seeded_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is not asked about millions of rows, the labels stay hidden, and the sample is the same each time."""
    monkeypatch.setattr("mlship.gates.few.PREDICTED", 500)
    asked: list[pd.DataFrame] = []

    def watch(features: pd.DataFrame) -> Said:
        asked.append(features)
        return _by_delay(features)

    case = _case()
    case.models, case.recent = {"2": watch}, _rows(9, start="2026-10-01")
    assert _judged(case) == _judged(case)
    assert [len(table) for table in asked[:3]] == [500, N, 500]
    assert all("late" not in table.columns for table in asked)
    assert asked[0].equals(asked[3])


def test_windows_follow_the_span() -> None:
    """Days when there are enough rows a day, else weeks or months; hours when asked; the time zone is the column's."""
    by_minute = pd.date_range("2026-07-01", periods=30_000, freq="min")
    for rows, unit, first in (
        (_rows(3, 30_000).assign(at=by_minute), None, "2026-07-01"),
        (_rows(3, 30_000), None, "2026-07"),
        (FRESH, "week", "2026-06-29"),
        (_rows(3, 1500).assign(at=by_minute[:1500]), "hour", "2026-07-01 00:00"),
        (FRESH.assign(at=FRESH["at"].astype(str)), "month", "2026-07"),
        (FRESH.assign(at=(FRESH["at"]).dt.tz_localize("America/New_York")), "day", "2026-07-01"),
    ):
        rules: dict[str, Any] = {} if unit is None else {"window": unit}
        found = _judged(_case(rows, min_rows=1000, **rules))
        shown = _heat(found)
        assert shown.x[0] == first or len(shown.x) == 60
        assert all(len(row) == len(shown.x) for row in shown.values)


def test_windows_with_few_rows_are_empty() -> None:
    """Shown as not measured, and counted."""
    shown = _heat(_judged(_case(window="month")))
    assert shown.x == ("2026-07", "2026-08", "2026-09")
    assert [value is None for value in shown.values[0]] == [False, False, True]
    assert "1 of 3 windows have fewer than 1,000 rows" in shown.note


def test_a_time_column_without_times_gives_no_windows() -> None:
    """Asked for: inconclusive. Not asked for: no heat map."""
    numbers = FRESH.assign(at=range(N))
    assert not [one for result in _judged(_case(numbers)).values() for one in result.exhibits if isinstance(one, Heat)]
    found = _judged(_case(numbers, window="day"))["window"]
    assert found.status is Status.INCONCLUSIVE
    assert "holds no times" in found.reason
    case = _case(window="day")
    case.time = None
    assert "there is no time column" in _judged(case)["window"].reason


def test_counts_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million rows at a time, or 700."""
    whole = _judged(_case(_shifted()))
    monkeypatch.setattr("mlship.stats.binning.CHUNK", 700)
    parts = _judged(_case(_shifted()))
    assert [result.status for result in whole.values()] == [result.status for result in parts.values()]
    for ours, theirs in zip(_table(whole).rows, _table(parts).rows, strict=True):
        assert ours[0] == theirs[0]
        assert [value for value in ours[1:] if value is not None] == pytest.approx(
            [value for value in theirs[1:] if value is not None]
        )
