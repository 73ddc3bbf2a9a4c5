"""Classes are called alike by models, logs and labels."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.serving.tally import Tally
from mlship.stats.classes import codes, text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, "1"),
        (1.0, "1"),
        (np.int8(1), "1"),
        (2.5, "2.5"),
        (True, "true"),
        (np.bool_(False), "false"),
        ("JFK", "JFK"),
        (np.str_("JFK"), "JFK"),
        (None, None),
        (float("nan"), None),
        (pd.NA, None),
        (pd.NaT, None),
        (Decimal(3), "3"),
        (float("inf"), "inf"),
    ],
)
def test_text(value: Any, expected: str | None) -> None:
    """Whole numbers without a point, truth values as in JSON, missing ones as None."""
    assert text(value) == expected


def test_it_is_what_the_servers_count() -> None:
    """Their counters name the classes so, also a long one."""
    tally, given = Tally(), [1, True, "JFK", "x" * 100]
    for value in given:
        tally.add("r", [value], 0.0)
    assert set(tally.counts()["classes"]) == {text(value) for value in given}


@pytest.mark.parametrize(
    ("values", "labels", "expected"),
    [
        (pd.Series([0, 1, 1, 7]), ("0", "1"), [0, 1, 1, 2]),
        (pd.Series([0.0, None, 1.0]), ("0", "1"), [0, -1, 1]),
        (pd.Series([True, False]), ("0", "1"), [1, 0]),
        (pd.Series(["1", "0", None], dtype="category"), ("false", "true"), [1, 0, -1]),
        (pd.Series([1, None], dtype="Int64"), ("0", "1"), [1, -1]),
        (np.array(["b", "c", "a"]), ("a", "b"), [1, 2, 0]),
        (np.array([1, 2]), ("a", "1"), [1, 2]),
        (pd.Series([], dtype=float), ("0", "1"), []),
    ],
)
def test_codes(values: Any, labels: tuple[str, ...], expected: list[int]) -> None:
    """The place among the labels, one more for others, -1 for missing ones."""
    assert codes(values, labels).tolist() == expected
