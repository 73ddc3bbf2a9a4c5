"""Which offline row an online row meets: against pandas.merge_asof, and where that has no answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlship.gates.skew.join import Match, Met, match
from mlship.gates.skew.keys import KeyProblem

T0 = pd.Timestamp("2026-07-01")


def _frame(rows: list[tuple[Any, ...]], columns: str) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def _at(*hours: float) -> list[pd.Timestamp]:
    return [T0 + pd.Timedelta(hours=hour) for hour in hours]


def _timed(keys: list[Any], hours: list[float], **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"k": keys, "t": _at(*hours), **columns})


def _joined(offline: pd.DataFrame, online: pd.DataFrame, **options: Any) -> Match:
    return match(offline, online, ["k"], time="t", values=["v"], **options)


side = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(side, side, st.none() | st.integers(0, 10))
def test_it_is_the_backward_merge_of_pandas(ours: Any, asked: Any, max_age: int | None) -> None:
    offline = _timed([k for k, _ in dict.fromkeys(ours)], [t for _, t in dict.fromkeys(ours)])
    offline["v"] = np.arange(len(offline))
    online = _timed([k for k, _ in asked], [t for _, t in asked])
    tolerance = None if max_age is None else pd.Timedelta(hours=max_age)
    expected = pd.merge_asof(
        online.assign(row=np.arange(len(online))).sort_values("t"),
        offline.sort_values("t"),
        on="t",
        by="k",
        tolerance=tolerance,
    ).sort_values("row")["v"]
    found = _joined(offline, online, max_age=None if max_age is None else max_age * 3600.0)
    assert found.offline.tolist() == expected.fillna(-1).astype(int).tolist()
    assert ((found.met == Met.MATCHED) == (found.offline >= 0)).all()


@settings(max_examples=100, deadline=None)
@given(side, side)
def test_a_later_offline_row_is_never_used(ours: Any, asked: Any) -> None:
    offline, online = (
        _timed([k for k, _ in rows], [t for _, t in rows], v=np.arange(len(rows))) for rows in (ours, asked)
    )
    found = _joined(offline, online)
    for row in np.flatnonzero(found.offline >= 0):
        assert offline["t"][found.offline[row]] <= online["t"][row]
        assert found.ages is not None
        assert found.ages[row] >= 0


@settings(max_examples=50, deadline=None)
@given(side, side, st.randoms())
def test_the_order_of_the_rows_does_not_matter(ours: Any, asked: Any, random: Any) -> None:
    rows = list(dict.fromkeys(ours))
    offline = _timed([k for k, _ in rows], [t for _, t in rows], v=np.arange(len(rows)))
    online = _timed([k for k, _ in asked], [t for _, t in asked])
    order = random.sample(range(len(offline)), len(offline))
    shuffled = offline.iloc[order].reset_index(drop=True)
    first, second = _joined(offline, online), _joined(shuffled, online)
    assert first.met.tolist() == second.met.tolist()
    assert [offline["v"][i] for i in first.offline if i >= 0] == [shuffled["v"][i] for i in second.offline if i >= 0]


def test_each_way_to_meet_nothing_has_its_name() -> None:
    offline = _timed([1, 1, 2], [0, 5, 5], v=[1, 2, 3])
    online = _timed([1, 2, 3, None, 1], [9, 4, 5, 5, 2], v=0)
    found = _joined(offline, online, max_age=3600.0)
    assert [Met(met).name for met in found.met] == ["TOO_OLD", "LATER", "UNKNOWN", "NO_KEY", "TOO_OLD"]
    assert found.ages is not None
    assert found.ages[1] == -3600, "an hour before the first offline row of its key"
    assert (found.offline == -1).all()


def test_without_time_the_key_alone_decides() -> None:
    found = match(_frame([("a", 1), ("b", 2)], "k v"), _frame([("b",), ("c",), ("b",)], "k"), ["k"], values=["v"])
    assert found.offline.tolist() == [1, -1, 1]
    assert found.ages is None


def test_twins_that_agree_are_one_row_and_twins_that_do_not_are_ambiguous() -> None:
    offline = _frame([("a", 1), ("b", 2), ("a", 1), ("b", 3), ("b", 2)], "k v")
    found = match(offline, _frame([("a",), ("b",)], "k"), ["k"], values=["v"])
    assert [Met(met).name for met in found.met] == ["MATCHED", "AMBIGUOUS"]
    assert found.twins(1).tolist() == [1, 3, 4]


def test_twins_matter_only_at_the_same_time() -> None:
    offline = _timed(["a", "a", "a"], [0, 0, 1], v=[1, 2, 3])
    found = _joined(offline, _timed(["a", "a"], [0.5, 1.5]))
    assert [Met(met).name for met in found.met] == ["AMBIGUOUS", "MATCHED"]


def test_twins_that_are_both_missing_agree() -> None:
    offline = _frame([("a", None), ("a", None)], "k v")
    assert match(offline, _frame([("a",)], "k"), ["k"], values=["v"]).met.tolist() == [Met.MATCHED]


@pytest.mark.parametrize(
    ("ours", "asked"),
    [
        ([1, 2, 3], ["2"]),
        ([1.0, 2.0, 3.0], ["2"]),
        (["1", "2", "3"], [2]),
        (["1", "2", "3"], [2.0]),
        ([1, 2, 3], ["2.0"]),
        ([1, 2, None], [2]),
        (pd.Series([1, 2, 3], dtype="Int64"), [2.0]),
        (pd.Categorical(["1", "2", "3"]), ["2"]),
        (pd.Categorical([1, 2, 3]), [2]),
        ([10**17 + 1, 10**17 + 2, 5], [10**17 + 2]),
        (pd.to_datetime(["2026-07-01", "2026-07-02", "2026-07-03"], utc=True), ["2026-07-02"]),
        (pd.Series(["1", 2, "x"], dtype=object), pd.Series([2, "y"], dtype=object)),
    ],
)
def test_keys_of_two_types_meet_where_that_is_safe(ours: Any, asked: Any) -> None:
    found = match(pd.DataFrame({"k": ours}), pd.DataFrame({"k": asked}), ["k"])
    assert found.offline.tolist()[0] == 1


def test_matching_by_other_types_is_told() -> None:
    found = match(pd.DataFrame({"k": [1, 2]}), pd.DataFrame({"k": ["2"]}), ["k"])
    assert found.notes == ("the key 'k' holds numbers offline and text online; they were matched as whole numbers",)


@pytest.mark.parametrize("text", ["007", "1e3", "AA1", "1.5", " 1"])
def test_keys_that_are_not_plainly_the_same_are_refused(text: str) -> None:
    with pytest.raises(KeyProblem, match=r"holds numbers offline and text online, such as .* store both in one type"):
        match(pd.DataFrame({"k": [7, 1]}), pd.DataFrame({"k": ["1", text]}), ["k"])


def test_keys_of_times_and_numbers_are_refused() -> None:
    with pytest.raises(KeyProblem, match="times offline and numbers online"):
        match(pd.DataFrame({"k": _at(0)}), pd.DataFrame({"k": [1]}), ["k"])


def test_several_keys_must_all_agree() -> None:
    offline = _frame([("a", 1), ("a", 2), ("b", 1)], "k m")
    found = match(offline, _frame([("b", 1), ("a", 2), ("b", 2), (None, 1)], "k m"), ["k", "m"])
    assert found.offline.tolist() == [2, 1, -1, -1]


def test_many_wide_keys_still_fit_beside_their_times() -> None:
    rng = np.random.default_rng(3)
    columns = {f"k{i}": rng.integers(0, 2**62, 300) for i in range(5)}
    offline = pd.DataFrame({**columns, "t": T0 + pd.to_timedelta(rng.integers(0, 10**17, 300), unit="ns")})
    online = offline.assign(t=offline["t"] + pd.Timedelta(1, unit="ns")).sample(frac=1, random_state=1)
    found = match(offline, online, list(columns), time="t")
    assert found.offline.tolist() == online.index.tolist()
    assert (
        match(offline, offline.assign(t=offline["t"] - pd.Timedelta(1, unit="ns")), list(columns), time="t").met
        == Met.LATER
    ).all()


def test_times_are_compared_in_utc_and_a_missing_zone_is_told() -> None:
    offline = pd.DataFrame({"k": [1], "t": pd.to_datetime(["2026-07-01 10:00"])})
    online = pd.DataFrame({"k": [1, 1], "t": pd.to_datetime(["2026-07-01 11:30+02:00", "2026-07-01 12:30+02:00"])})
    found = match(offline, online, ["k"], time="t")
    assert [Met(met).name for met in found.met] == ["LATER", "MATCHED"]
    assert found.notes == ("the offline times have no time zone and were read as UTC",)


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ([1.7829e9, 1.7829e9 + 60], "seconds since 1970"),
        ([1782900000000, 1782900060000], "milliseconds since 1970"),
        ([1782900000000000, 1782900060000000], "microseconds since 1970"),
    ],
)
def test_times_that_are_numbers_are_read_by_their_size_and_told(column: list[float], unit: str) -> None:
    offline = pd.DataFrame({"k": [1], "t": pd.to_datetime([1782900030], unit="s", utc=True)})
    found = match(offline, pd.DataFrame({"k": [1, 1], "t": column}), ["k"], time="t")
    assert [Met(met).name for met in found.met] == ["LATER", "MATCHED"]
    assert found.notes == (f"the online times are numbers and were read as {unit}",)


def test_days_counted_from_one_are_times_too() -> None:
    found = match(pd.DataFrame({"k": [1, 1], "t": [3, 5]}), pd.DataFrame({"k": [1], "t": [4]}), ["k"], time="t")
    assert found.offline.tolist() == [0]


def test_a_column_of_words_is_no_time() -> None:
    with pytest.raises(KeyProblem, match="the online column 't' holds no times, such as 'soon'"):
        match(_timed([1], [0]), pd.DataFrame({"k": [1], "t": ["soon"]}), ["k"], time="t")


def test_texts_that_are_no_time_are_missing_among_times() -> None:
    online = pd.DataFrame({"k": [1, 1, 1], "t": ["2026-07-02", "never", "2026-07-03T00:00:00Z"]})
    assert match(_timed([1], [0]), online, ["k"], time="t").met.tolist() == [Met.MATCHED, Met.NO_KEY, Met.MATCHED]


def test_the_rows_before_it_are_those_of_the_same_entity() -> None:
    offline = _timed(["b", "a", "a", "b", "a"], [0, 2, 1, 3, 3], v=[0, 1, 2, 3, 4])
    found = _joined(offline, _timed(["a"], [9]))
    assert [found.earlier(np.array([0]), steps).tolist() for steps in (0, 1, 2, 3)] == [[4], [1], [2], [-1]]


@pytest.mark.parametrize("empty", ["offline", "online", "both"])
def test_nothing_meets_nothing(empty: str) -> None:
    offline, online = _timed([1], [0], v=[1]), _timed([1], [0])
    offline = offline.iloc[:0] if empty in ("offline", "both") else offline
    online = online.iloc[:0] if empty in ("online", "both") else online
    found = _joined(offline, online)
    assert found.offline.tolist() == [-1] * len(online)
    assert found.earlier(np.arange(len(online)), 1).tolist() == [-1] * len(online)
