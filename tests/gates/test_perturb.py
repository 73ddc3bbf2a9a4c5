"""Perturbations: seeded, of the same shape and types, and touching nothing that they have no reason to touch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlship.gates.robustness import perturb
from mlship.gates.robustness.perturb import Column

Made = Callable[[pd.DataFrame, float, int, tuple[Column, ...]], pd.DataFrame]
MADE: dict[str, Made] = {
    "noise": lambda frame, share, seed, columns: perturb.noise(frame, share, np.random.default_rng(seed), columns),
    "missing": lambda frame, share, seed, columns: perturb.missing(frame, share, np.random.default_rng(seed), columns),
    "scale": lambda frame, share, _seed, columns: perturb.scale(frame, share, columns),
    "unseen": lambda frame, share, seed, columns: perturb.unseen(frame, share, np.random.default_rng(seed), columns),
}


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Every type of column that a file brings, with an index that is not 0, 1, 2."""
    n = draw(st.integers(1, 30))

    def column(values: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(values, min_size=n, max_size=n))

    floats = st.floats(allow_nan=True, allow_infinity=True, width=32)
    return pd.DataFrame(
        {
            "float": pd.Series(column(floats), dtype="float64"),
            "single": pd.Series(column(floats), dtype="float32"),
            "long": pd.Series(column(st.integers(-(2**63), 2**63 - 1)), dtype="int64"),
            "tiny": pd.Series(column(st.integers(-128, 127)), dtype="int8"),
            "natural": pd.Series(column(st.integers(0, 255)), dtype="uint8"),
            "nullable": pd.Series(column(st.integers(-9, 9) | st.none()), dtype="Int64"),
            "whole": pd.Series(column(st.integers(-99, 99)), dtype="float64"),
            "text": pd.Series(column(st.sampled_from(["a", "b"])), dtype="str"),
            "object": pd.Series(column(st.sampled_from(["a", "b"]) | st.none()), dtype="object"),
            "category": pd.Categorical(column(st.sampled_from(["a", "b"])), categories=["a", "b"]),
            "truth": pd.Series(column(st.booleans()), dtype="bool"),
            "time": pd.Timestamp(2026, 7, 1)
            + pd.to_timedelta(pd.Series(column(st.integers(0, 999)), dtype="int64"), unit="h"),
        }
    ).set_axis(pd.Index([f"row {i}" for i in range(n)]))


def _columns(frame: pd.DataFrame) -> tuple[Column, ...]:
    return perturb.inputs(frame, frame.columns, {"whole": "long", "tiny": "integer"})


@pytest.mark.parametrize("name", MADE)
@settings(max_examples=30, deadline=None)
@given(frame=tables(), share=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_the_shape_stays_and_the_seed_decides(name: str, frame: pd.DataFrame, share: float, seed: int) -> None:
    """Same rows, same columns, same seed: same table; and the one given is left alone."""
    before = frame.copy(deep=True)
    made, again = (MADE[name](frame, share, seed, _columns(frame)) for _ in range(2))
    pd.testing.assert_frame_equal(made, again)
    pd.testing.assert_frame_equal(frame, before)
    assert list(made.columns) == list(frame.columns)
    assert made.index.equals(frame.index)


@pytest.mark.parametrize(
    ("name", "touched"),
    [
        ("noise", {"number", "whole"}),
        ("scale", {"number", "whole"}),
        ("missing", {"number", "whole", "text", "truth", "other"}),
        ("unseen", {"text"}),
    ],
)
@settings(max_examples=30, deadline=None)
@given(frame=tables(), share=st.floats(0, 1))
def test_only_columns_of_its_kinds_are_touched(name: str, touched: set[str], frame: pd.DataFrame, share: float) -> None:
    """And of these only the ones given."""
    columns = _columns(frame)
    made = MADE[name](frame, share, 1, columns)
    for column in columns:
        if column.kind not in touched:
            pd.testing.assert_series_equal(made[column.name], frame[column.name])
    pd.testing.assert_frame_equal(MADE[name](frame, share, 1, ()), frame)


@pytest.mark.parametrize("name", ["noise", "scale"])
@settings(max_examples=30, deadline=None)
@given(frame=tables(), share=st.floats(0, 2))
def test_numbers_keep_their_types_and_whole_ones_stay_whole(name: str, frame: pd.DataFrame, share: float) -> None:
    """No missing value arises or goes, no integer wraps around."""
    made = MADE[name](frame, share, 3, _columns(frame))
    finite = np.isfinite(frame[["float", "single"]])
    assert (np.isfinite(made[["float", "single"]]) == finite).to_numpy().all()
    assert made.dtypes.equals(frame.dtypes)
    assert (made.isna() == frame.isna()).to_numpy().all()
    assert (made["whole"] % 1 == 0).all()
    if name == "scale":
        for column in ("long", "tiny", "natural"):
            assert (np.sign(made[column]) == np.sign(frame[column])).all()


@settings(max_examples=30, deadline=None)
@given(frame=tables(), strength=st.floats(0, 5))
def test_noise_stays_within_what_the_column_has_seen(frame: pd.DataFrame, strength: float) -> None:
    """A weekday of 7, or a negative distance, would test something else."""
    made = perturb.noise(frame, strength, np.random.default_rng(0), _columns(frame))
    for name in ("tiny", "natural", "whole"):
        assert frame[name].min() <= made[name].min()
        assert made[name].max() <= frame[name].max()


@settings(max_examples=30, deadline=None)
@given(frame=tables(), shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_more_missing_values_hold_the_fewer(frame: pd.DataFrame, shares: tuple[float, float]) -> None:
    """With one seed the values that are taken away at 5 % are among those at 10 %."""
    few, many = (MADE["missing"](frame, share, 4, _columns(frame)).isna() for share in sorted(shares))
    assert (few.to_numpy() <= many.to_numpy()).all()


def test_noise_has_the_strength_asked_for() -> None:
    """A tenth of the column's standard deviation, measured on the change."""
    values = np.random.default_rng(5).normal(100, 20, 50_000)
    frame = pd.DataFrame({"x": values})
    made = perturb.noise(frame, 0.1, np.random.default_rng(6), perturb.inputs(frame, ["x"], {}))
    assert (made["x"] - frame["x"]).std() == pytest.approx(2, rel=0.02)


def test_shares_are_kept() -> None:
    """Ten per cent of each column, drawn for each column by itself."""
    frame = pd.DataFrame({"x": np.arange(20_000.0), "t": ["a"] * 20_000})
    columns = perturb.inputs(frame, frame.columns, {})
    gone = perturb.missing(frame, 0.1, np.random.default_rng(7), columns).isna()
    assert gone.mean().tolist() == pytest.approx([0.1, 0.1], abs=0.01)
    assert (gone["x"] & gone["t"]).mean() == pytest.approx(0.01, abs=0.003)
    strange = perturb.unseen(frame, 0.1, np.random.default_rng(8), columns)
    assert (strange["t"] == perturb.UNSEEN).mean() == pytest.approx(0.1, abs=0.01)


def test_whole_numbers_of_a_signature_never_miss() -> None:
    """MLflow would refuse them; by the rows alone a whole number may be absent, and becomes a float."""
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [1.0, 2.0, 3.0]})
    strict = perturb.inputs(frame, ["a", "b"], {"a": "long", "b": "integer"})
    assert [(column.kind, column.may_miss) for column in strict] == [("whole", False)] * 2
    pd.testing.assert_frame_equal(perturb.missing(frame, 1, np.random.default_rng(0), strict), frame)
    loose = perturb.inputs(frame, ["a", "b"], {"a": "double"})
    assert [(column.kind, column.may_miss) for column in loose] == [("whole", True), ("number", True)]
    gone = perturb.missing(frame, 1, np.random.default_rng(0), loose)
    assert gone.isna().to_numpy().all()
    assert gone["a"].dtype == "float64"


def test_integers_do_not_overflow_when_scaled() -> None:
    """The largest values of a type stay the largest."""
    frame = pd.DataFrame({"a": np.array([127, 100], dtype="int8"), "b": [2**62, 2**63 - 1], "c": [2**31 - 1, 5]})
    made = perturb.scale(frame, 1, perturb.inputs(frame, frame.columns, {"c": "integer"}))
    assert made["a"].tolist() == [127, 127]
    assert (made["b"] > 2**62).all()
    assert made["c"].tolist() == [2**31 - 1, 10]


def test_a_category_that_nobody_has_seen() -> None:
    """A categorical column gets a category more; numbers that are categories are left alone."""
    frame = pd.DataFrame({"c": pd.Categorical(["a", "b"]), "n": pd.Categorical([1, 2])})
    columns = perturb.inputs(frame, frame.columns, {})
    assert [column.kind for column in columns] == ["text", "other"]
    made = perturb.unseen(frame, 1, np.random.default_rng(0), columns)
    assert made["c"].tolist() == [perturb.UNSEEN] * 2
    assert isinstance(made["c"].dtype, pd.CategoricalDtype)
    assert made["n"].tolist() == [1, 2]


def test_a_shuffled_column_keeps_its_values() -> None:
    """And the others their places."""
    frame = pd.DataFrame({"a": range(100), "b": range(100)}, index=range(100, 200))
    made = perturb.shuffled(frame, "a", np.random.default_rng(0))
    assert sorted(made["a"]) == list(range(100))
    assert made["a"].tolist() != frame["a"].tolist()
    pd.testing.assert_series_equal(made["b"], frame["b"])


def test_columns_more_fewer_and_in_another_order() -> None:
    """The values of the columns that stay are the same."""
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    assert list(perturb.with_extra(frame, np.random.default_rng(0)).columns) == [perturb.EXTRA, "a", "b"]
    assert list(perturb.reordered(frame).columns) == ["b", "a"]
    assert list(perturb.without(frame, "a").columns) == ["b"]
    assert list(frame.columns) == ["a", "b"]


def test_mixed_and_foreign_columns_are_left_to_what_any_column_can_bear() -> None:
    """Numbers and texts in one column are no category; a column of nothing but missing values neither."""
    frame = pd.DataFrame({"m": [1, "a", None], "e": [None, None, None], "d": pd.to_timedelta([1, 2, 3], unit="h")})
    assert {column.kind for column in perturb.inputs(frame, frame.columns, {})} == {"other"}
    assert perturb.inputs(frame, ["absent"], {}) == ()
