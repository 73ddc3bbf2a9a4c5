"""The last mile: the server's answers against the model's own, in every form in which models answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.errors import DataError
from mlship.gates.latency.agree import compare
from mlship.gates.latency.bodies import plain, sender
from tests.gates.support import Said

TWO = np.array([0, 1])
CLASSIFIER = Said(np.array([0, 1, 0]), np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), TWO)
NUMBERS = Said(np.array([1.5, -2.0, 1e6]))
TEXTS = Said(np.array(["no", "yes", "no"]), np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), np.array(["no", "yes"]))


@pytest.mark.parametrize(
    ("served", "registered"),
    [
        ([0, 1, 0], CLASSIFIER),
        ([[0], [1], [0]], CLASSIFIER),
        ([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], CLASSIFIER),
        ([0.1, 0.8, 0.3], CLASSIFIER),
        ([{"prediction": 0, "why": "x"}, {"prediction": 1, "why": "y"}, {"prediction": 0, "why": "z"}], CLASSIFIER),
        ([{"0": 0.9, "1": 0.1}, {"0": 0.2, "1": 0.8}, {"0": 0.7, "1": 0.3}], CLASSIFIER),
        ([1.5, -2.0, 1_000_000.5], NUMBERS),
        ([1.5, -2, 1000000], NUMBERS),
        (["no", "yes", "no"], TEXTS),
        ([0, 1], CLASSIFIER),
    ],
)
def test_the_same_answer_in_another_form_agrees(served: list[Any], registered: Said) -> None:
    """Classes, probabilities, tables, whole numbers for floats, and fewer rows than there are."""
    found = compare(served, registered, 1e-6)
    assert (found.different, found.reason, found.rows) == (0, "", len(served))


@pytest.mark.parametrize(
    ("served", "registered", "row", "furthest"),
    [
        ([0, 1, 1], CLASSIFIER, 3, 1.0),
        ([[0.9, 0.1], [0.3, 0.7], [0.7, 0.3]], CLASSIFIER, 2, 1 / 3),
        ([1.5, -2.00001, 1e6], NUMBERS, 2, 5e-6),
        ([1.5, None, 1e6], NUMBERS, 2, 0.0),
        (["no", "yes", "maybe"], TEXTS, 3, 0.0),
        ([False, True, True], CLASSIFIER, 1, 0.0),
    ],
)
def test_another_answer_is_found_by_its_row(served: list[Any], registered: Said, row: int, furthest: float) -> None:
    """The row, both values, and how far apart the numbers are at most."""
    found = compare(served, registered, 1e-6)
    assert found.different >= 1
    assert found.worst[0].row == row - 1
    assert found.worst[0].served == served[row - 1]
    assert found.furthest == pytest.approx(furthest, rel=1e-4)


@pytest.mark.parametrize("served", [[], [[1, 2, 3]] * 3, [{"a": 1, "b": 2, "c": 3}] * 3])
def test_what_cannot_be_compared_says_why(served: list[Any]) -> None:
    """No data is no agreement."""
    found = compare(served, CLASSIFIER, 1e-6)
    assert found.rows == 0
    assert found.reason


def test_cells_are_written_as_json_knows_them() -> None:
    """Every kind of missing value is null; times are ISO 8601; numbers are exact."""
    missing = [plain(value) for value in (None, float("nan"), np.nan, pd.NaT, pd.NA)]
    assert missing == [None] * 5
    assert plain(pd.Timestamp("2026-11-21 10:00")) == "2026-11-21T10:00:00"
    assert plain(np.float32(0.1)) == 0.10000000149011612
    assert plain({"a": np.int64(1), "b": [np.float64(0.5), None]}) == {"a": 1, "b": [0.5, None]}
    assert plain(np.array([1, 2])) == [1, 2]
    assert type(plain(np.bool_(True))) is bool


def test_rows_are_sent_in_the_types_of_the_signature(tmp_path: Any) -> None:
    """A whole number kept as a float goes out as a whole number; the label and unknown columns stay at home."""
    columns = [{"name": "n", "type": "long"}, {"name": "when", "type": "datetime"}, {"name": "c", "type": "string"}]
    optional = [{"name": "x", "type": "double"}, {"name": "gone", "type": "double", "required": False}]
    import json

    signature = json.dumps([*columns, *optional])
    (tmp_path / "MLmodel").write_text(f"signature:\n  inputs: '{signature}'\n")
    frame = pd.DataFrame(
        {
            "x": [0.5, np.nan],
            "other": [1, 2],
            "c": pd.Categorical(["a", None]),
            "when": pd.Series(["2026-01-01", None], dtype="datetime64[ns]"),
            "n": [3.0, 4.0],
        }
    )
    sent = sender(frame, [tmp_path], 1000)
    assert sent.names == ("n", "when", "c", "x")
    assert sent.cells == ((3, "2026-01-01T00:00:00", "a", 0.5), (4, None, None, None))
    assert json.loads(sent.bodies(1)[1])["dataframe_split"] == {
        "columns": ["n", "when", "c", "x"],
        "data": [[4, None, None, None]],
    }
    assert len(sent.bodies(2)) == 1
    assert len(sent.bodies(50)) == 1, "all rows, where a request asks for more"
    with pytest.raises(DataError, match="lack columns that the model asks for: n"):
        sender(frame.drop(columns="n"), [tmp_path], 10)
    with pytest.raises(DataError, match="no evaluation row"):
        sender(frame.iloc[:0], [tmp_path], 10)
