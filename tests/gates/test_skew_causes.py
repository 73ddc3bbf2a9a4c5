"""Each mistake is named when it is there, and none when there is only noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlship.exhibits import Table
from mlship.gates.skew.causes import causes
from mlship.gates.skew.gate import Skew
from mlship.gates.skew.rows import Around
from mlship.gates.skew.units import Cause
from mlship.gates.skew.values import Compared, compare
from tests.gates.support import Case

N = 2000
RNG = np.random.default_rng(11)
NUMBERS = pd.Series(RNG.normal(12, 30, N).round(3))
WHOLE = pd.Series(RNG.integers(-50, 1500, N))
WORDS = pd.Series(RNG.choice(["JFK", "LGA", "EWR", "LAX", "ORD"], N))
NAMES = pd.Series([f"N{i}AA" for i in RNG.integers(100, 999, N)])
TIMES = pd.Series(
    pd.Timestamp("2026-07-01") + pd.to_timedelta(RNG.integers(0, 10**7, N) + RNG.random(N).round(3), unit="s")
)
NOWHERE = Around(
    lambda rows, _steps: np.full(len(rows), -1),
    lambda _rows, _place: None,
    lambda _rows: iter(()),
)


def _compared(offline: Any, online: Any, tolerance: float = 1e-6) -> Compared:
    at = np.arange(len(offline))
    return compare("x", pd.Series(offline), pd.Series(online), position=at, rows=at, tolerance=tolerance)


def _why(offline: Any, online: Any, tolerance: float = 1e-6) -> list[Cause]:
    return causes(_compared(offline, online, tolerance), NOWHERE)


def _swapped(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.replace({"JFK": "LGA", "LGA": "JFK"})


PLANTED: list[tuple[str, Any, Any]] = [
    ("online is offline x 60", NUMBERS, NUMBERS * 60),
    ("online is offline / 60", NUMBERS, NUMBERS / 60),
    ("online is offline / 60", WHOLE, (WHOLE / 60).round(4)),
    ("online is offline / 60", WHOLE, (WHOLE / 60).round(6)),
    ("online is offline x 3600", NUMBERS, NUMBERS * 3600),
    ("online is offline x 1000", NUMBERS, NUMBERS * 1000),
    ("online is offline x 100", NUMBERS, NUMBERS * 100),
    ("online is offline / 100", WHOLE, WHOLE / 100),
    ("online is offline x 1.609344", WHOLE, WHOLE * 1.609344),
    ("online is offline x 1.17", NUMBERS, NUMBERS * 1.17),
    ("online is offline x -60", NUMBERS, NUMBERS * -60),
    ("online is offline with the other sign", NUMBERS, -NUMBERS),
    ("online is offline x 60", WHOLE, (WHOLE * 60.0).astype("float32")),
    ("online is offline + 1", WHOLE, WHOLE + 1),
    ("online is offline - 0.5", NUMBERS, NUMBERS - 0.5),
    ("online is offline + 7200", WHOLE, WHOLE + 7200),
    ("online is offline + 2 h", TIMES, TIMES + pd.Timedelta(hours=2)),
    ("online is offline - 4 h", TIMES, TIMES - pd.Timedelta(hours=4)),
    ("online is offline + 1.5 min", TIMES, TIMES + pd.Timedelta(seconds=90)),
    ("online is offline without what follows the second", TIMES, TIMES.dt.floor("s")),
    ("online is offline without what follows the day", TIMES, TIMES.dt.floor("D")),
    ("online is offline rounded to 1 digit", NUMBERS, NUMBERS.round(1)),
    ("online is offline rounded to a whole number", NUMBERS, NUMBERS.round(0)),
    ("offline is online rounded to 2 digits", NUMBERS.round(2), NUMBERS),
    ("online is offline rounded to 10s", WHOLE, WHOLE.round(-1)),
    ("online is offline cut to a whole number", NUMBERS, np.trunc(NUMBERS)),
    ("online is offline as float16", NUMBERS, NUMBERS.astype("float16")),
    ("online is offline as float32", WHOLE + 10**9, (WHOLE + 10**9).astype("float32")),
    ("online is always 0", NUMBERS, NUMBERS * 0),
    ("online is always 'JFK'", WORDS, pd.Series(["JFK"] * N)),
    ("online is cut off at 0 (offline goes down to", WHOLE, WHOLE.clip(lower=0)),
    ("online is cut off at 1000 (offline goes up to", WHOLE, WHOLE.clip(upper=1000)),
    ("online is -1 whatever offline is", WHOLE, WHOLE.where(WHOLE.index % 3 > 0, -1)),
    ("online is log(1 + x) of offline", WHOLE.abs(), np.log1p(WHOLE.abs())),
    ("online is offline without its sign", NUMBERS, NUMBERS.abs()),
    ("online is offline x 1.8 + 32", NUMBERS, NUMBERS * 1.8 + 32),
    ("online is (offline - 12) / 30", NUMBERS, (NUMBERS - 12) / 30),
    ("only upper and lower case differ", WORDS, WORDS.str.lower()),
    ("only spaces around the text differ", WORDS, WORDS + "  "),
    ("only case and spaces differ", WORDS, " " + WORDS.str.lower()),
    ("only leading zeros differ", WHOLE.abs().astype(str).str.zfill(6), WHOLE.abs().astype(str)),
    ("the texts are the same number", WHOLE.astype(str), WHOLE.astype(float).astype(str)),
    ("online has 'US-' before the same text", WORDS, "US-" + WORDS),
    ("offline has ' airport' after the same text", WORDS + " airport", WORDS),
    ("online is the beginning of offline", NAMES, NAMES.str[:3]),
    ("only punctuation differs", NAMES, NAMES.str.replace("N", "N-")),
    ("values are exchanged online ('JFK' is 'LGA', 'LGA' is 'JFK')", WORDS, _swapped(WORDS)),
    ("values have other names or numbers online (", WORDS, WORDS.replace({"JFK": "New York", "LAX": "Los Angeles"})),
    ("values are exchanged online (0 is 1, 1 is 0)", WHOLE % 2, 1 - WHOLE % 2),
    ("values are exchanged online (", WHOLE % 7, (WHOLE % 7).replace({0: 3, 3: 5, 5: 0})),
    ("values are exchanged online (0 is 1, 1 is 0)", WHOLE % 2 == 0, WHOLE % 2 == 1),
    ("numbers offline, text online, which read the same", NUMBERS, NUMBERS.astype(str)),
    ("numbers offline, text online", NUMBERS, WORDS),
    ("online is missing", NUMBERS, NUMBERS.where(NUMBERS.index % 5 > 0)),
    (
        "online is 0 where offline is missing",
        NUMBERS.where(NUMBERS.index % 5 > 0),
        NUMBERS.where(NUMBERS.index % 5 > 0, 0),
    ),
    (
        "online is missing where offline is -1",
        NUMBERS.where(NUMBERS.index % 5 > 0, -1),
        NUMBERS.where(NUMBERS.index % 5 > 0),
    ),
    (
        "online is 'none' where offline is missing",
        WORDS.where(WORDS.index % 5 > 0),
        WORDS.where(WORDS.index % 5 > 0, "none"),
    ),
    ("online has values where offline is missing", NUMBERS.where(NUMBERS.index % 5 > 0), NUMBERS),
    ("online is the offline value of the row before", NAMES, NAMES.shift(1, fill_value="N1")),
    ("online is the offline value of the row after", NUMBERS, NUMBERS.shift(-1, fill_value=0)),
    ("online holds the same values in other rows", NUMBERS, NUMBERS.sample(frac=1, random_state=1).to_numpy()),
]


@pytest.mark.parametrize(("claim", "offline", "online"), PLANTED, ids=[claim for claim, *_ in PLANTED])
def test_a_planted_mistake_is_named(claim: str, offline: Any, online: Any) -> None:
    tolerance = 0 if "float32" in claim else 1e-6
    found = _why(offline, online, tolerance)
    assert found, "nothing was claimed"
    assert found[0].claim.startswith(claim)
    assert found[0].share > 0.9


#: The others are claims about all rows.
SPOILED = [case for case in PLANTED if not any(word in case[0] for word in ("always", "cut off", "same values"))]


@pytest.mark.parametrize(("claim", "offline", "online"), SPOILED, ids=[claim for claim, *_ in SPOILED])
def test_a_few_other_rows_do_not_hide_it(claim: str, offline: Any, online: Any) -> None:
    """Of the differing rows 6 % differ for no reason."""
    offline, online = pd.Series(offline), pd.Series(online).copy()
    rows = np.flatnonzero(_compared(offline, online).differs)[::17]
    junk = RNG.normal(0, 1e4, len(rows)).round(1)
    kind = (
        "time"
        if pd.api.types.is_datetime64_any_dtype(online.dtype)
        else "text"
        if online.dtype in ("str", object)
        else "number"
    )
    if kind == "number":
        online = online.astype(float)
    online.iloc[rows] = (
        TIMES.iloc[rows[::-1]].to_numpy()
        if kind == "time"
        else [f"?{value}" for value in junk]
        if kind == "text"
        else junk
    )
    tolerance = 0 if "float32" in claim else 1e-6
    assert len(rows) >= 5
    found = _why(offline, online, tolerance)
    assert any(cause.claim.startswith(claim) for cause in found)


def _noise(kind: str, rng: np.random.Generator, n: int) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "normal": lambda: rng.normal(rng.normal() * 10, 20, n),
        "whole": lambda: rng.integers(0, 30, n).astype(float),
        "codes": lambda: rng.integers(0, 4, n),
        "binary": lambda: rng.integers(0, 2, n),
        "skewed": lambda: np.exp(rng.normal(0, 2, n)),
        "words": lambda: rng.choice(["a", "b", "c", "dd", "ee"], n),
        "two words": lambda: rng.choice(["yes", "no"], n),
        "names": lambda: np.array([f"{x:x}" for x in rng.integers(0, 2**40, n)]),
        "times": lambda: pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 10**7, n), unit="s"),
    }
    return makers[kind]()


KINDS = ["normal", "whole", "codes", "binary", "skewed", "words", "two words", "names", "times"]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 2**32), st.integers(30, 400), st.floats(0.05, 1))
def test_nothing_is_claimed_for_noise(kind: str, seed: int, n: int, changed: float) -> None:
    """Values drawn again, independently, in some of the rows."""
    rng = np.random.default_rng(seed)
    offline = pd.Series(_noise(kind, rng, n))
    online = offline.where(rng.random(n) > changed, pd.Series(_noise(kind, rng, n)))
    assert _why(offline, online) == []


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 2**32), st.integers(1, 12))
def test_noise_with_a_history_and_neighbours_is_still_noise(kind: str, seed: int, entities: int) -> None:
    """Other columns and earlier values of the entity are at hand, and none of them fits."""
    rng = np.random.default_rng(seed)
    n = 300
    keys, times = rng.integers(0, entities, n), pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(n), unit="h")
    frame = pd.DataFrame({"k": keys, "t": times, **{name: _noise(kind, rng, n) for name in "abc"}})
    online = frame.assign(**{name: _noise(kind, rng, n) for name in "abc"})
    for finding in _findings(frame, online, time="t"):
        assert finding is None


def _findings(offline: pd.DataFrame, online: pd.DataFrame, time: str | None = None) -> list[str | None]:
    """The likely causes, by column that differs, of the gate's own table."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as directory:
        offline.to_parquet(Path(directory) / "offline.parquet")
        online.to_parquet(Path(directory) / "online.parquet")
        section = {"offline": "offline.parquet", "online": "online.parquet", "key": ["k"], "time": time}
        results = Case({"skew": section}, base=Path(directory)).judged(Skew())
    tables = [exhibit for exhibit in results["mismatch"].exhibits if exhibit.title == "mismatch per feature"]
    return [
        None if row[-1] is None else str(row[-1]) for table in tables if isinstance(table, Table) for row in table.rows
    ]


def _hourly(make: Callable[[np.random.Generator, int], Any]) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    keys = np.repeat(np.arange(20), 60)
    times = np.tile(pd.Timestamp("2026-07-01") + pd.to_timedelta(np.arange(60), unit="h"), 20)
    return pd.DataFrame({"k": keys, "t": times, "x": make(rng, 1200)})


@pytest.mark.parametrize("kind", ["normal", "names", "whole"])
def test_a_stale_value_is_named_with_its_age(kind: str) -> None:
    offline = _hourly(lambda rng, n: _noise(kind, rng, n))
    online = offline.assign(x=offline.groupby("k")["x"].shift(1)).dropna()
    (cause,) = _findings(offline, online, "t")
    assert cause is not None
    assert cause.startswith("online is the value of the entity's previous offline row, 1 h old in the median")


def test_a_value_of_last_midnight_is_named() -> None:
    offline = _hourly(lambda rng, n: _noise("normal", rng, n))
    midnight = offline["t"].dt.floor("D")
    at = offline.merge(offline.rename(columns={"t": "m", "x": "old"}), left_on=["k", midnight], right_on=["k", "m"])
    online = at.rename(columns={"t": "t"})[["k", "t", "old"]].rename(columns={"old": "x"})
    (cause,) = _findings(offline, online, "t")
    assert cause is not None
    assert cause.startswith("online is an earlier offline value of the entity")


@pytest.mark.parametrize("kind", ["normal", "words", "whole"])
def test_the_values_of_another_column_are_named(kind: str) -> None:
    rng = np.random.default_rng(5)
    offline = pd.DataFrame({"k": np.arange(500), **{name: _noise(kind, rng, 500) for name in "abc"}})
    online = offline.assign(a=offline["b"], b=offline["a"])
    assert _findings(offline, online) == [
        "online holds the offline values of 'b' (100%)",
        "online holds the offline values of 'a' (100%)",
    ]


def test_two_mistakes_in_one_column_are_both_named() -> None:
    offline = NUMBERS.where(NUMBERS.index % 4 > 0)
    found = _why(offline, (offline * 60).fillna(-1))
    assert [(cause.claim, round(cause.share, 2)) for cause in found] == [
        ("online is offline x 60", 0.75),
        ("online is -1 where offline is missing", 0.25),
    ]


def test_a_filled_mean_is_called_that() -> None:
    offline = NUMBERS.where(NUMBERS.index % 4 > 0)
    (cause,) = _why(offline, offline.fillna(offline.mean()))
    assert "the mean of the offline values where offline is missing" in cause.claim


@pytest.mark.parametrize("n", [1, 2, 4])
def test_with_a_handful_of_rows_nothing_is_claimed(n: int) -> None:
    online = NUMBERS.copy()
    online.iloc[:n] *= 60
    assert _why(NUMBERS, online) == []


def test_text_among_numbers_is_shown() -> None:
    online = NUMBERS.astype(str)
    online.iloc[7] = "n/a"
    (cause,) = _why(NUMBERS, online)
    assert cause.claim == "numbers offline, text online, which read the same"
    assert "such as 'n/a', do not" in cause.guess


@pytest.mark.parametrize(
    ("offline", "online", "differs"),
    [
        ([1.0, np.nan, np.nan, 2.0], [1.0, np.nan, 2.0, np.nan], [0, 0, 1, 1]),
        ([1.0, 1.0], [1.0 + 1e-7, 1.0 + 1e-5], [0, 1]),
        ([np.inf, np.inf, -np.inf], [np.inf, 5.0, np.inf], [0, 1, 1]),
        ([True, False, True], [1, 0, 0], [0, 0, 1]),
        ([10**9, 10**9], [10**9, 10**9 + 1], [0, 1]),
        ([10**9 + 0.5], [10**9 + 0.6], [0]),
        ([2**60, 2**60], [2**60, 2**60 + 1], [0, 1]),
        ([0.0, 1.0], [5.6e-17, 1.0], [0, 0]),
        (["a", None, "b"], ["a", None, None], [0, 0, 1]),
        ([None, None], [None, None], [0, 0]),
        ([None, None], ["a", None], [1, 0]),
        ([1, 2], ["1", "2"], [1, 1]),
        (pd.Categorical(["a", "b"]), ["a", "c"], [0, 1]),
        (pd.Series([1, None], dtype="Int64"), [1.0, np.nan], [0, 0]),
        (pd.to_datetime(["2026-07-01"]), ["2026-07-01T00:00:00Z"], [0]),
        (pd.to_datetime(["2026-07-01 02:00+02:00"]), pd.to_datetime(["2026-07-01"]), [0]),
        (pd.to_datetime(["2026-07-01"]), [1782864000], [1]),
        ([[1, 2], [3, 4]], [[1, 2], [3, 5]], [0, 1]),
        ([], [], []),
    ],
)
def test_what_is_the_same(offline: Any, online: Any, differs: list[int]) -> None:
    assert _compared(offline, online).differs.astype(int).tolist() == differs
