"""Streams: what each says of a column's counts, and which way it moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.stats.cutting import counted, cut, positions, sketched
from mlship.stats.streams import CATEGORIES, Stream, streams, value
from mlship.types.monitoring import Bins, Counts

_NUMBERS = Bins("numbers", (10, 20, 30))
_TEXTS = Bins("categories", names=("a", "b", "c"))


def by_name(bins: Bins, counts: Counts) -> dict[str, Stream]:
    return {stream.name: stream for stream in streams(bins, counts)}


@given(st.lists(st.integers(0, 1000), min_size=7, max_size=7))
def test_the_baseline_itself_is_in_the_middle(counts: list[int]) -> None:
    found = by_name(_NUMBERS, tuple(counts))
    level, rows = value(found["level"], tuple(counts))
    assert rows == sum(counts[:4])
    assert level is None if not rows else level == pytest.approx(0.5)


@given(st.lists(st.integers(0, 50), min_size=7, max_size=7), st.lists(st.integers(0, 50), min_size=7, max_size=7))
def test_every_value_is_a_share(then: list[int], now: list[int]) -> None:
    for bins in (_NUMBERS, _TEXTS, Bins("categories", names=("a", "b", "c", "d"))):
        for stream in streams(bins, tuple(then[: bins.width])):
            seen, rows = value(stream, tuple(now[: bins.width]))
            assert (seen is None) == (rows == 0)
            assert seen is None or 0 <= seen <= 1


@pytest.mark.parametrize(
    ("now", "level", "spread"),
    [
        ((0, 0, 0, 10, 0, 0, 0), 0.875, 0.75),
        ((10, 0, 0, 0, 0, 0, 0), 0.125, 0.75),
        ((0, 5, 5, 0, 0, 90, 7), 0.5, 0.25),
        ((5, 0, 0, 5, 0, 0, 0), 0.5, 0.75),
    ],
)
def test_numbers_move_up_or_outwards(now: Counts, level: float, spread: float) -> None:
    found = by_name(_NUMBERS, (100, 100, 100, 100, 0, 0, 0))
    assert value(found["level"], now)[0] == pytest.approx(level)
    assert value(found["spread"], now)[0] == pytest.approx(spread)


def test_shares_of_categories_are_among_the_cells_that_are_there() -> None:
    found = by_name(_TEXTS, (50, 30, 20, 0, 100, 0))
    now = (2, 1, 0, 1, 6, 0)
    assert set(found) == {"=a", "=b", "=c", "unseen", "missing"}
    assert value(found["=a"], now) == (0.5, 4)
    assert value(found["unseen"], now) == (0.25, 4)
    assert value(found["missing"], now) == (0.6, 10)


def test_cells_of_another_kind_are_unseen() -> None:
    found = by_name(_NUMBERS, (1, 1, 1, 1, 0, 0, 0))
    assert value(found["unseen"], (1, 0, 0, 0, 0, 5, 3)) == (0.75, 4)


def test_of_two_categories_one_tells_all_and_of_many_the_frequent_ones_are_followed() -> None:
    assert [stream.name for stream in streams(Bins("categories", names=("x", "y")), (1, 9, 0, 0, 0))] == [
        "=y",
        "unseen",
        "missing",
    ]
    names = tuple(f"c{number:02}" for number in range(20))
    many = Bins("categories", names=names)
    then = (*range(100, 120), 0, 0, 0)
    found = by_name(many, then)
    assert next(iter(found)) == "level"
    assert [name for name in found if name.startswith("=")] == [f"={name}" for name in names[: -CATEGORIES - 1 : -1]]
    rare, often = (1, *[0] * 22), (*[0] * 19, 1, 0, 0, 0)
    assert (value(found["level"], rare)[0] or 0) > 0.9
    assert (value(found["level"], often)[0] or 1) < 0.1


def test_a_shift_of_a_column_is_one_of_its_level() -> None:
    rng = np.random.default_rng(0)
    then, now = rng.normal(0, 1, 5000), rng.normal(1, 1, 5000)
    bins = cut(sketched(then))
    found = by_name(bins, counted(positions(then, bins), bins))
    seen, _ = value(found["level"], counted(positions(now, bins), bins))
    assert seen == pytest.approx(0.76, abs=0.02)  # P(now > then), as bins of a tenth tell it
