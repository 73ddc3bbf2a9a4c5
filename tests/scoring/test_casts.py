"""Rows reach a model in the types of its signature, or not at all, with the column and the reason named."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.errors import DataError
from mlship.scoring.casts import cast, fit


class Schema:
    """What `fit` asks of an MLflow schema."""

    def __init__(self, *columns: tuple[str, str, bool]) -> None:
        self.inputs = [
            SimpleNamespace(name=name, type=SimpleNamespace(name=kind), required=required)
            for name, kind, required in columns
        ]

    def has_input_names(self) -> bool:
        return bool(self.inputs)


@pytest.mark.parametrize(
    ("values", "wanted", "expected"),
    [
        (pd.Series([1, 2]), "double", np.array([1.0, 2.0])),
        (pd.Series([1, None], dtype="Int64"), "double", np.array([1.0, np.nan])),
        (pd.Series([1, None], dtype="object"), "double", np.array([1.0, np.nan])),
        (pd.Series([Decimal("1.5")]), "double", np.array([1.5])),
        (pd.Series([None, None]), "double", np.array([np.nan, np.nan])),
        (pd.Series([True, False]), "double", np.array([1.0, 0.0])),
        (pd.Series([1.5]), "float", np.array([1.5], dtype=np.float32)),
        (pd.Series([1.0, 2.0]), "long", np.array([1, 2])),
        (pd.Series([1, 2]), "integer", np.array([1, 2], dtype=np.int32)),
        (pd.Series([7], dtype="UInt8"), "long", np.array([7])),
        (pd.Series([True], dtype="boolean"), "boolean", np.array([True])),
        (pd.Series([1, 2], dtype="category"), "long", np.array([1, 2])),
        (pd.Series(["2013-07-01 05:00"]), "datetime", np.array(["2013-07-01T05"], dtype="datetime64[ns]")),
        (pd.Series([], dtype="int64"), "integer", np.array([], dtype=np.int32)),
    ],
)
def test_what_can_be_converted_without_loss_is(values: pd.Series, wanted: str, expected: Any) -> None:
    result = cast(values, wanted).to_numpy()
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)


def test_text_stays_text_with_its_gaps() -> None:
    for given in (
        pd.Series(["a", None]),
        pd.Series(["a", None], dtype="object"),
        pd.Series(["a", None]).astype("category"),
    ):
        result = cast(given, "string")
        assert result[0] == "a"
        assert pd.isna(result[1])


@pytest.mark.parametrize(
    ("values", "wanted", "why"),
    [
        (pd.Series([1.0, None]), "long", "1 of its values are missing"),
        (pd.Series([1.5]), "long", "fractions"),
        (pd.Series([2**40]), "integer", "beyond 2147483647"),
        (pd.Series(["1"]), "double", "as double, but it holds"),
        (pd.Series(["1", 2], dtype="object"), "double", "holds text"),
        (pd.Series([True]), "long", "holds bool"),
        (pd.Series([1]), "boolean", "holds int64"),
        (pd.Series([1]), "string", "holds int64"),
        (pd.Series([1]), "datetime", "holds int64"),
        (pd.Series(["soon"]), "datetime", "text that is no time"),
        (pd.Series(pd.to_datetime(["2013-07-01"], utc=True)), "datetime", "time zone"),
    ],
)
def test_what_would_be_lost_or_guessed_is_refused_with_the_reason(values: pd.Series, wanted: str, why: str) -> None:
    with pytest.raises(DataError, match=why) as caught:
        cast(values.rename("x"), wanted)
    assert "column 'x'" in caught.value.what
    assert caught.value.hint


def test_columns_come_in_the_order_of_the_signature_and_optional_ones_only_if_there() -> None:
    table = pd.DataFrame({"b": [1], "extra": [0], "a": [2]})
    assert list(fit(table, Schema(("a", "double", True), ("b", "long", True), ("c", "long", False)), [])) == ["a", "b"]
    assert list(fit(table, None, ["a", "b"])) == ["a", "b"]
    assert list(fit(table, None, [])) == ["b", "extra", "a"]


def test_every_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="columns that the model asks for: x, y") as caught:
        fit(pd.DataFrame({"a": [1]}), Schema(("x", "long", True), ("a", "long", True), ("y", "long", True)), [])
    assert "the rows have: a" in caught.value.hint
    with pytest.raises(DataError, match="a column that the model asks for: x"):
        fit(pd.DataFrame({"a": [1]}), None, ["x"])
