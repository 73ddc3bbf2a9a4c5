"""The fast lane makes exactly the frames that MLflow makes, or steps aside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlship.serving.protocol import JSON, Request
from mlship.serving.rows import Lane

pytestmark = pytest.mark.slow  # MLflow takes seconds to import

NAMES = ["d", "f", "l", "i", "b", "s"]
#: Mostly what belongs into a column, and sometimes what a caller might send instead.
ODD = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
)
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "d": st.floats() | st.integers(),
    "f": st.floats(width=32) | st.floats(),
    "l": st.integers(-(2**63), 2**63 - 1),
    "i": st.integers(-(2**31), 2**31 - 1),
    "b": st.booleans(),
    "s": st.text(max_size=4),
}


def schema() -> Any:
    from mlflow.types import ColSpec, Schema

    types = ["double", "float", "long", "integer", "boolean", "string"]
    return Schema([ColSpec(kind, name) for kind, name in zip(types, NAMES, strict=True)])


def lane() -> Lane:
    from mlflow.models import Model, ModelSignature

    made = Lane.of(Model(signature=ModelSignature(schema())))
    assert made is not None
    return made


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    odd = draw(st.sampled_from([None, None, *NAMES]))
    row = st.fixed_dictionaries({name: (CELLS[name] | ODD) if name == odd else CELLS[name] for name in NAMES})
    rows = draw(st.lists(row, min_size=1, max_size=4))
    names = draw(st.permutations(NAMES))
    if draw(st.booleans()):
        return {"dataframe_records": [{name: row[name] for name in names} for row in rows]}
    split: dict[str, Any] = {"columns": names, "data": [[row[name] for name in names] for row in rows]}
    if draw(st.booleans()):
        split["index"] = list(range(len(rows)))
    return {"dataframe_split": split}


@settings(max_examples=250, deadline=None)
@given(documents())
def test_a_frame_of_the_lane_is_the_frame_that_mlflow_enforces(document: dict[str, Any]) -> None:
    import pandas as pd
    from mlflow.models.utils import _enforce_schema
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    body = json.dumps(document).encode()
    rows = lane().read(Request(body, JSON))
    if rows is None:
        return
    try:
        ours = lane().frame([rows])
    except Exception:  # noqa: BLE001 - the scorer then asks MLflow
        return
    theirs = _enforce_schema(infer_and_parse_data(json.loads(body), schema()), schema())
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries(CELLS), min_size=2, max_size=6))
def test_rows_that_share_a_frame_keep_their_values_and_types(rows: list[dict[str, Any]]) -> None:
    import pandas as pd

    read = [lane().read(Request(json.dumps({"dataframe_records": [row]}).encode(), JSON)) for row in rows]
    known = [one for one in read if one is not None]
    if not known:
        return
    together = lane().frame(known)
    alone = pd.concat([lane().frame([one]) for one in known], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone, check_exact=True)


def test_typed_rows_take_the_lane() -> None:
    """The property tests above would also hold for a lane that never takes anything."""
    row = {"d": 1, "f": 0.5, "l": 3, "i": 4, "b": True, "s": "x"}
    rows = lane().read(Request(json.dumps({"dataframe_records": [row | {"more": [1]}] * 2}).encode(), JSON))
    assert rows is not None
    assert rows.count == 2
    assert rows.columns[2] == [3, 3]


@pytest.mark.parametrize(
    "document",
    [
        {"dataframe_records": [{"d": 1.0}]},
        {"dataframe_records": []},
        {"dataframe_split": {"columns": ["d", "d"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": NAMES, "data": [[1]]}},
        {"dataframe_split": {"columns": NAMES, "index": ["a"], "data": [[1, 0.5, 3, 4, True, "x"]]}},
        {"dataframe_split": {"columns": NAMES, "data": [[1, 0.5, 3, 4, 1, "x"]]}},
        {"dataframe_split": {"columns": NAMES, "data": [[1, 0.5, 3, 4, True, "x"]]}, "params": {}},
        {"inputs": [1]},
        [1],
        3,
    ],
)
def test_what_needs_conversion_or_judgement_is_left_to_mlflow(document: Any) -> None:
    assert lane().read(Request(json.dumps(document).encode(), JSON)) is None
