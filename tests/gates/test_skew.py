"""The skew gate on whole tables: what passes, what fails, what cannot be told, and what a person reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.errors import DataError
from mlship.exhibits import Table
from mlship.gates.skew.gate import Skew
from mlship.types import GateResult, Status
from tests.gates.support import Case, assert_page_shows

PAGE_RNG = np.random.default_rng(7)
N = 1000
OFFLINE = pd.DataFrame(
    {
        "flight": [f"F{i:04}" for i in range(N)],
        "at": pd.date_range("2026-07-01", periods=N, freq="10min"),
        "origin": PAGE_RNG.choice(["JFK", "LGA", "EWR"], N),
        "distance": PAGE_RNG.integers(90, 2600, N),
        "dep_delay": PAGE_RNG.normal(8, 25, N).round(),
    }
)
ONLINE = OFFLINE.assign(at=OFFLINE["at"] + pd.Timedelta(minutes=3))
INPUTS = ("origin", "distance", "dep_delay")


def _case(
    directory: Path, offline: pd.DataFrame, asked: pd.DataFrame, inputs: tuple[str, ...] = INPUTS, **section: Any
) -> Case:
    offline.to_parquet(directory / "offline.parquet")
    asked.to_parquet(directory / "online.parquet")
    skew = {"offline": "offline.parquet", "online": "online.parquet", "key": ["flight"], **section}
    return Case({"skew": skew}, inputs=inputs, base=directory)


def _judged(directory: Path, offline: pd.DataFrame, online: pd.DataFrame, **options: Any) -> dict[str, GateResult]:
    return _case(directory, offline, online, **options).judged(Skew())


def _table(result: GateResult, start: str) -> Table:
    (found,) = (shown for shown in result.exhibits if shown.title.startswith(start))
    assert isinstance(found, Table)
    assert all(len(row) == len(found.columns) for row in found.rows)
    return found


def _broken() -> pd.DataFrame:
    online = ONLINE.assign(dep_delay=(OFFLINE["dep_delay"] * 60), origin=OFFLINE["origin"].str.lower())
    online.loc[online.index % 40 == 0, "distance"] = 0
    return online.iloc[:-4]


def test_the_page_shows_what_passes(tmp_path: Path) -> None:
    assert_page_shows(Skew(), "passing", _case(tmp_path, OFFLINE, ONLINE, time="at", max_age="1h"))


def test_the_page_shows_what_fails(tmp_path: Path) -> None:
    offline = OFFLINE.iloc[4:]
    assert_page_shows(Skew(), "failing", _case(tmp_path, offline, _broken(), time="at", max_age="1h"))


def test_the_same_values_pass(tmp_path: Path) -> None:
    results = _judged(tmp_path, OFFLINE.sample(frac=1, random_state=1), ONLINE)
    assert {rule: result.status for rule, result in results.items()} == dict.fromkeys(
        ["unmatched", "mismatch"], "passed"
    )
    assert results["mismatch"].reason.endswith("all 3 columns are the same in every row")
    assert not results["mismatch"].exhibits


def test_a_policy_without_skew_is_not_judged() -> None:
    assert Skew().judge(Case().context()) == []


def test_each_column_beyond_the_limit_fails_with_its_cause_and_its_rows(tmp_path: Path) -> None:
    results = _judged(tmp_path, OFFLINE, _broken())
    assert [rule for rule, result in results.items() if result.status is Status.FAILED] == [
        "mismatch",
        "mismatch origin",
        "mismatch dep_delay",
        "mismatch distance",
    ]
    delay = results["mismatch dep_delay"]
    assert "online is offline x 60 in all of them (hours against minutes, or minutes against seconds?)" in delay.reason
    rows = _table(delay, "first rows")
    assert rows.columns == ("row", "flight", "offline", "online", "difference")
    first = OFFLINE["dep_delay"].iloc[0]
    assert rows.rows[0] == (1, "F0000", f"{first:g}", f"{first * 60:g}", f"{first * 59:+g}")
    summary = _table(results["mismatch"], "mismatch per feature")
    assert [row[0] for row in summary.rows] == ["origin", "dep_delay", "distance"]
    assert [row[-1] for row in summary.rows] == [
        "only upper and lower case differ (100%)",
        "online is offline x 60 (100%)",
        "online is 0 whatever offline is (100%)",
    ]


def test_the_limit_is_a_share_of_rows(tmp_path: Path) -> None:
    online = ONLINE.assign(distance=ONLINE["distance"].where(ONLINE.index % 100 > 0, 0))
    result = _judged(tmp_path, OFFLINE, online, max_mismatch="1%")["mismatch"]
    assert result.status is Status.PASSED
    assert "2 of 3 columns are the same in every row; within the limit differ distance (1%)" in result.reason
    assert _table(result, "first rows").rows
    assert _judged(tmp_path, OFFLINE, online, max_mismatch="0.9%")["mismatch"].status is Status.FAILED


def test_with_time_the_value_of_then_counts_and_never_a_later_one(tmp_path: Path) -> None:
    """The feature changes at noon; a join by key alone, or to the nearest time, would take the wrong value."""
    noon = pd.Timestamp("2026-07-01 12:00")
    keys = [f"F{i}" for i in range(100)]
    before = pd.DataFrame({"flight": keys, "at": noon - pd.Timedelta(hours=5), "x": np.arange(100.0)})
    after = before.assign(at=noon, x=before["x"] + 1000)
    offline = pd.concat([after, before])
    online = before.assign(at=noon - pd.Timedelta(seconds=1))
    results = _judged(tmp_path, offline, online, inputs=("x",), time="at")
    assert results["mismatch"].status is Status.PASSED
    assert "largest share of rows that differ is 0%" in results["mismatch"].reason
    late = _judged(tmp_path, offline, online.assign(at=noon), inputs=("x",), time="at")
    assert late["mismatch x"].status is Status.FAILED
    assert (
        "online is the value of the entity's previous offline row, 5 h old in the median" in late["mismatch x"].reason
    )
    assert _table(late["mismatch x"], "first rows").rows[0][:6] == (1, "F0", f"{noon}", f"{noon}", "1000", "0")


def test_an_offline_row_that_is_too_old_is_no_match(tmp_path: Path) -> None:
    online = ONLINE.assign(at=ONLINE["at"] + pd.Timedelta(hours=2))
    result = _judged(tmp_path, OFFLINE, online, time="at", max_age="1h")["unmatched"]
    assert result.status is Status.FAILED
    assert "1,000 meet an offline row older than 1 h" in result.reason
    assert _table(result, "online rows without").rows[0][1:] == (
        "F0000",
        "2026-07-01 02:03:00",
        "2.05 h earlier",
        "offline row is too old",
    )


def test_local_time_on_one_side_is_suspected(tmp_path: Path) -> None:
    online = OFFLINE.assign(at=OFFLINE["at"] - pd.Timedelta(hours=4))
    reason = _judged(tmp_path, OFFLINE, online, time="at")["unmatched"].reason
    assert "1,000 come before the first offline row of their key" in reason
    assert "the next offline row is 4 h later for most of them: is one side in another time zone?" in reason


def test_online_rows_without_offline_row_count_against_their_limit(tmp_path: Path) -> None:
    results = _judged(tmp_path, OFFLINE.iloc[20:], ONLINE)
    assert results["unmatched"].status is Status.FAILED
    assert "20 have a key that no offline row has" in results["unmatched"].reason
    assert results["mismatch"].measured is not None
    assert results["mismatch"].measured.n == N - 20
    assert _judged(tmp_path, OFFLINE.iloc[20:], ONLINE, max_unmatched="2%")["unmatched"].status is Status.PASSED


def test_when_nothing_meets_nothing_is_passed(tmp_path: Path) -> None:
    results = _judged(tmp_path, OFFLINE, ONLINE.assign(flight="X" + ONLINE["flight"]))
    assert results["unmatched"].status is Status.FAILED
    assert results["mismatch"].status is Status.INCONCLUSIVE
    assert "no online row met an offline row" in results["mismatch"].reason


def test_offline_rows_that_disagree_are_not_guessed_at(tmp_path: Path) -> None:
    twin = OFFLINE.iloc[[5, 9]].assign(distance=1, at=OFFLINE["at"].iloc[0])
    results = _judged(tmp_path, pd.concat([OFFLINE, twin]), ONLINE)
    result = results["duplicates"]
    assert result.status is Status.INCONCLUSIVE
    assert result.reason == (
        "2 online rows of 1,000 were not compared: several offline rows with their key do not agree, such as data rows "
        "6, 1,001 for flight F0005: give `time`, so that the last one before the request counts, or keep one of each"
    )
    assert _table(result, "several offline rows").rows == (
        (6, "F0005", 2, "6 and 1,001"),
        (10, "F0009", 2, "10 and 1,002"),
    )
    assert results["mismatch"].measured is not None
    assert results["mismatch"].measured.n == N - 2


def test_rows_that_are_twice_in_all_columns_do_no_harm(tmp_path: Path) -> None:
    results = _judged(tmp_path, pd.concat([OFFLINE, OFFLINE]), pd.concat([ONLINE, ONLINE]))
    assert {result.status for result in results.values()} == {Status.PASSED}


@pytest.mark.parametrize("side", ["offline", "online", "both"])
def test_an_input_that_a_side_lacks_is_not_passed(tmp_path: Path, side: str) -> None:
    offline = OFFLINE.rename(columns={"distance": "distanze"}) if side in ("offline", "both") else OFFLINE
    online = ONLINE.rename(columns={"distance": "distanze"}) if side in ("online", "both") else ONLINE
    results = _judged(tmp_path, offline, online)
    assert results["columns"].status is Status.INCONCLUSIVE
    lacks = "neither side has" if side == "both" else f"the {side} side lacks"
    assert results["columns"].reason == (
        f"{lacks} 'distance', which the candidate takes: it was not compared; did you mean 'distanze'?"
    )
    assert results["mismatch"].status is Status.PASSED


def test_only_the_columns_asked_for_are_compared(tmp_path: Path) -> None:
    results = _judged(tmp_path, OFFLINE, _broken(), columns=["origin"])
    assert [rule for rule in results if rule.startswith("mismatch ")] == ["mismatch origin"]


def test_without_a_signature_the_common_columns_are_compared(tmp_path: Path) -> None:
    results = _judged(tmp_path, OFFLINE.assign(extra=1), ONLINE.assign(more=2), inputs=(), time="at")
    assert results["mismatch"].reason.endswith("all 3 columns are the same in every row")


@pytest.mark.parametrize("side", ["offline", "online"])
def test_an_empty_side_is_inconclusive(tmp_path: Path, side: str) -> None:
    offline, online = (OFFLINE.iloc[:0], ONLINE) if side == "offline" else (OFFLINE, ONLINE.iloc[:0])
    (result,) = _judged(tmp_path, offline, online).values()
    assert result.status is Status.INCONCLUSIVE
    assert result.reason == f"the {side} side has no rows"


def test_few_rows_can_fail_but_not_pass(tmp_path: Path) -> None:
    assert _judged(tmp_path, OFFLINE, ONLINE.head(29))["mismatch"].status is Status.INCONCLUSIVE
    assert _judged(tmp_path, OFFLINE, _broken().head(10))["mismatch"].status is Status.FAILED


def test_keys_that_cannot_be_matched_are_told(tmp_path: Path) -> None:
    (result,) = _judged(tmp_path, OFFLINE.assign(flight=range(N)), ONLINE).values()
    assert result.status is Status.INCONCLUSIVE
    assert result.reason.startswith("the key 'flight' holds numbers offline and text online, such as 'F0000'")


@pytest.mark.parametrize("name", ["key", "time"])
def test_a_key_or_time_that_is_no_column_is_an_error(tmp_path: Path, name: str) -> None:
    sections: dict[str, dict[str, Any]] = {"key": {"key": ["flihgt"]}, "time": {"time": "att"}}
    meant = {"key": "flight", "time": "at"}[name]
    with pytest.raises(DataError, match=f"there is no column .*; did you mean '{meant}'"):
        _judged(tmp_path, OFFLINE, ONLINE, **sections[name])


def test_two_hundred_columns_are_one_result_unless_they_differ(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    wide = pd.DataFrame({"flight": OFFLINE["flight"], **{f"f{i:03}": rng.normal(size=N) for i in range(200)}})
    results = _judged(tmp_path, wide, wide, inputs=())
    assert list(results) == ["unmatched", "mismatch"]
    broken = wide.assign(**{f"f{i:03}": wide[f"f{i:03}"] * 60 for i in range(50)})
    results = _judged(tmp_path, wide, broken, inputs=())
    assert len(results) == 14
    assert "50 of 200 columns beyond it" in results["mismatch"].reason
    table = _table(results["mismatch"], "mismatch per feature")
    assert len(table.rows) == 20
    assert "30 more columns differ" in table.note


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        (slice(700, None), "only from 2026-07-05 20:43 UTC on"),
        (slice(None, 700), "only up to 2026-07-05 20:33 UTC"),
        (slice(300, 500), "only between 2026-07-03 02:03 and 2026-07-04 11:13 UTC"),
        (OFFLINE["origin"] == "JFK", "only where origin is 'JFK'"),
        (OFFLINE.index % 3 == 0, ""),
        (PAGE_RNG.random(N) < 0.05, ""),
        (slice(0, 20), ""),
        (slice(None), ""),
    ],
)
def test_where_the_differences_are_is_told(tmp_path: Path, rows: Any, place: str) -> None:
    """A deployment, or one part of the traffic, is half of the way to the fault."""
    online = ONLINE.copy()
    online.loc[online.index[rows], "distance"] *= 60
    result = _judged(tmp_path, OFFLINE, online, time="at")["mismatch distance"]
    said = result.reason.split(" differ (")[1].split(")", 1)[1].split(": online is")[0]
    assert said == (f", {place}" if place else "")


def test_sources_may_be_of_two_kinds(tmp_path: Path) -> None:
    """Parquet keeps timestamps and booleans, CSV keeps text: the values are the same."""
    offline = OFFLINE.assign(early=OFFLINE["dep_delay"] < 0, when=OFFLINE["at"])
    case = _case(tmp_path, offline, ONLINE, inputs=(*INPUTS, "early", "when"), online="online.csv", time="at")
    ONLINE.assign(early=offline["early"].astype(int), when=OFFLINE["at"]).to_csv(tmp_path / "online.csv", index=False)
    assert {result.status for result in case.judged(Skew()).values()} == {Status.PASSED}


def test_a_database_can_be_a_side(tmp_path: Path) -> None:
    import sqlite3

    case = _case(
        tmp_path, OFFLINE, ONLINE, online={"sql": {"url": "sqlite:///log.db", "query": "select * from features"}}
    )
    with sqlite3.connect(tmp_path / "log.db") as database:
        _broken().to_sql("features", database, index=False)
    assert case.judged(Skew())["mismatch dep_delay"].status is Status.FAILED


def test_hours_fed_with_minutes_on_real_flights(tmp_path: Path, flights: pd.DataFrame) -> None:
    """The classic: a model trained on hours of delay, asked with minutes."""
    july = flights[flights["month"] == 7].reset_index(names="id")
    inputs = ("carrier", "origin", "dest", "hour", "distance", "weekday", "dep_delay")
    offline = july.assign(dep_delay=july["dep_delay"] / 60)
    case = _case(tmp_path, offline, july, inputs=inputs, key=["id"])
    results = case.judged(Skew())
    assert [rule for rule, result in results.items() if result.status is Status.FAILED] == [
        "mismatch",
        "mismatch dep_delay",
    ]
    reason = results["mismatch dep_delay"].reason
    assert reason.startswith("26,867 of 28,293 rows differ (95%): online is offline x 60 in all of them (hours against")
    assert reason.endswith("16.75 offline, 1005 online")
