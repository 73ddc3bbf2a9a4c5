"""The contract gate: each property of the rows that a judgement rests on, kept and broken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.gates.contract import Contract
from mlship.types import GateResult, Status
from tests.gates.support import Case

ROWS = pd.DataFrame(
    {
        "id": range(100),
        "x": np.arange(100) % 7 / 2,
        "kind": ["a", "b"] * 50,
        "at": pd.date_range("2026-01-01", periods=100, freq="h"),
        "y": [0, 1] * 50,
    }
)


def _judged(rows: pd.DataFrame, inputs: tuple[str, ...] = (), **contract: Any) -> dict[str, GateResult]:
    return Case(gates={"contract": contract}, rows=rows, time="at", inputs=inputs).judged(Contract())


def test_sound_rows_pass_every_rule() -> None:
    """Nothing missing, repeated or contradicting; without a signature the inputs cannot be compared."""
    found = _judged(ROWS)
    assert {rule: result.status for rule, result in found.items()} == {
        "inputs": Status.SKIPPED,
        "max_missing": Status.PASSED,
        "max_duplicates": Status.PASSED,
        "max_label_conflicts": Status.PASSED,
    }


def test_the_column_with_most_missing_values_is_named() -> None:
    """Only columns that the model looks at count, when its signature tells."""
    rows = ROWS.assign(x=ROWS["x"].mask(ROWS.index < 3), kind=ROWS["kind"].mask(ROWS.index < 90))
    seen = _judged(rows, inputs=("x",))["max_missing"]
    assert seen.status is Status.FAILED
    assert seen.reason == "largest missing share is 3%, beyond the limit 1% (100 rows); column 'x'"
    assert "column 'kind'" in _judged(rows)["max_missing"].reason


def test_a_column_may_have_a_limit_of_its_own() -> None:
    """The contract's limit then does not hold for it."""
    rows = ROWS.assign(x=ROWS["x"].mask(ROWS.index < 3))
    found = _judged(rows, columns={"x": {"max_missing": "5%"}})
    assert found["max_missing"].status is Status.PASSED
    assert found["x max_missing"].status is Status.PASSED
    assert _judged(rows, columns={"x": {"max_missing": "2%"}})["x max_missing"].status is Status.FAILED


def test_repeated_rows_are_counted_and_shown() -> None:
    """Two rows of 102 repeat an earlier one in every column."""
    found = _judged(pd.concat([ROWS, ROWS.iloc[[4, 9]]]))["max_duplicates"]
    assert found.status is Status.FAILED
    assert "share of repeated rows is 1.96%" in found.reason
    assert "2 in all, such as data rows 5 and 101" in found.reason


def test_twins_with_another_label_are_contradictions() -> None:
    """Inputs, entity and time agree and the label does not; an id does not hide it."""
    rows = pd.concat([ROWS, ROWS.iloc[[4]].assign(id=1000, y=1)])
    found = _judged(rows, inputs=("x", "kind"))["max_label_conflicts"]
    assert found.status is Status.FAILED
    assert "2 in all, such as data rows 5 and 101; rows are twins when they agree in x, kind and at" in found.reason


def test_equal_features_at_other_times_are_no_contradiction() -> None:
    """Two flights may agree in all that the model sees and end differently: they are not the same flight."""
    rows = ROWS.assign(x=1.0, kind="a")
    assert _judged(rows, inputs=("x", "kind"))["max_label_conflicts"].status is Status.PASSED


def test_a_missing_input_is_named() -> None:
    """The candidate's signature asks for a column that the data lacks."""
    found = _judged(ROWS, inputs=("x", "kinds"))["inputs"]
    assert found.status is Status.FAILED
    assert found.reason == "the data lacks kinds, which the candidate needs; did you mean 'kind'?"


@pytest.mark.parametrize(
    ("column", "kind", "fits"),
    [
        ([1, 2], "integer", True),
        ([1.0, None], "integer", True),
        ([1.5, 2.0], "integer", False),
        ([1.5, 2.0], "number", True),
        ([True, False], "number", False),
        ([True, False], "boolean", True),
        ([True, None], "boolean", True),
        (["a", None], "string", True),
        ([1, "a"], "string", False),
        (["1", "2"], "number", False),
        (["2026-01-01", None], "datetime", True),
        (["2026-01-01", "soon"], "datetime", False),
        ([1, 2], "string", False),
        (pd.date_range("2026-01-01", periods=2), "datetime", True),
        (pd.date_range("2026-01-01", periods=2), "string", False),
    ],
)
def test_types(column: Any, kind: str, fits: bool) -> None:
    """What fits a type in memory, as files and CSV readers deliver it; missing values fit every type."""
    found = _judged(pd.DataFrame({"x": column, "y": 0, "at": 0}), columns={"x": {"type": kind}})["x type"]
    assert (found.status is Status.PASSED) is fits
    assert found.limit == kind
    assert ("such as" in found.reason) is not fits


def test_ranges_and_allowed_values_show_an_offender() -> None:
    """The value and its row, in one sentence."""
    found = _judged(ROWS, columns={"x": {"min": 0, "max": 2.5}, "kind": {"values": ["a"]}})
    assert found["x range"].status is Status.FAILED
    assert found["x range"].limit == ">= 0 and <= 2.5"
    assert "such as 3.0 in data row 7" in found["x range"].reason
    assert found["kind values"].limit == "in {a}"
    assert "50 in all, such as 'b' in data row 2" in found["kind values"].reason
    assert _judged(ROWS, columns={"x": {"min": 0, "max": 3}})["x range"].status is Status.PASSED


def test_a_promised_column_that_is_not_there_fails() -> None:
    """With the name that was probably meant."""
    found = _judged(ROWS, columns={"kimd": {"type": "string"}})["kimd present"]
    assert found.status is Status.FAILED
    assert "did you mean 'kind'?" in found.reason


def test_no_rows_are_inconclusive() -> None:
    """An empty file proves nothing."""
    (found,) = _judged(ROWS.head(0)).values()
    assert found.status is Status.INCONCLUSIVE


def test_lists_in_cells_are_compared_too() -> None:
    """A Parquet file may hold lists; they are values like others."""
    rows = pd.DataFrame({"x": [[1, 2], [1, 2], [3]], "y": [0, 1, 0], "at": 0})
    found = _judged(rows)
    assert found["max_label_conflicts"].status is Status.FAILED
    assert found["max_duplicates"].status is Status.PASSED


def test_flights_of_july_keep_the_contract(flights: pd.DataFrame) -> None:
    """Real rows that share all seven features by the dozen are no contradiction when the flight itself is named."""
    july = flights[flights["month"] == 7]
    case = Case(
        gates={"contract": {}},
        rows=july,
        target="late",
        time="time_hour",
        entity=("flight", "tailnum"),
        inputs=("carrier", "origin", "dest", "hour", "distance", "weekday", "dep_delay"),
    )
    assert {result.status for result in case.judged(Contract()).values()} == {Status.PASSED}


@pytest.mark.parametrize("kept_as", ["str", "category"])
def test_text_where_numbers_were_is_named(kept_as: str) -> None:
    """One row among numbers breaks the promise, not all of them; numbers that are all text are of the wrong type."""
    gates = {"contract": {"columns": {"x": {"type": "number"}}}}
    values = ["1.5", "2", "n-a", None] * 20
    rows = pd.DataFrame({"x": pd.Series(values, dtype=kept_as), "y": range(80)})
    [result] = [it for it in Case(gates, rows).judged(Contract()).values() if it.rule == "x type"]
    assert "20 in all, such as 'n-a' in data row 3" in result.reason
    rows = pd.DataFrame({"x": pd.Series(["1", "2"] * 40, dtype=kept_as), "y": range(80)})
    assert "80 in all, such as '1' in data row 1" in Case(gates, rows).judged(Contract())["x type"].reason


def test_what_is_judged_does_not_depend_on_how_text_is_kept() -> None:
    """Categories and plain text give the same results, rule by rule."""
    values = ["2013-07-01", "later", "7", None, "b"] * 8
    rules = {"type": "datetime", "values": ["7", "b"]}
    gates = {"contract": {"columns": {"x": rules, "z": {"type": "string", "min": 1}}, "max_missing": "100%"}}
    both = [
        pd.DataFrame({"x": pd.Series(values, dtype=kind), "z": pd.Series(values, dtype=kind), "y": [0, 1] * 20})
        for kind in ("str", "category")
    ]
    assert Case(gates, both[0]).judged(Contract()) == Case(gates, both[1]).judged(Contract())
