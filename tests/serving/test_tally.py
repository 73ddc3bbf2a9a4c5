"""What was predicted is counted exactly, at once, in bounded memory; answers are remembered while somebody asks."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.serving.state import MAX_CLASSES as MAX_TOGETHER
from mlship.serving.state import State, merged
from mlship.serving.tally import ASKED, MANY, MAX_ANSWERS, MAX_CLASSES, MAX_ROWS, NULL, Tally, digest, together, value
from mlship.stats.buckets import INFINITY, MISSING, bucket
from mlship.types import OTHER_CLASS

NOW = 1_800_000_000.0


def tally(*requests: list[Any]) -> Tally:
    counted = Tally()
    for number, predictions in enumerate(requests):
        counted.add(str(number), predictions, NOW)
    return counted


def test_texts_booleans_and_integers_are_classes_and_floats_are_scores() -> None:
    counts = tally([1], ["a"], [True], [0.5], [1, 1, 7], [np.int64(7)], [np.float32(0.5)], [np.bool_(False)]).counts()
    assert counts["classes"] == {"1": 3, "7": 2, "true": 1, "false": 1, "a": 1}
    assert counts["scores"] == {str(bucket(0.5)): 2}


@pytest.mark.parametrize(
    ("row", "last"),
    [
        ([0.25, 0.75], 0.75),
        ({"y": "a", "p": 0.5}, 0.5),
        ([[0.25], [0.75]], 0.75),
        ((0.25,), 0.25),
        ({"p": [1, 2.5]}, 2.5),
    ],
)
def test_of_a_row_with_several_values_the_last_is_counted(row: Any, last: float) -> None:
    assert tally([row]).counts() == {"classes": {}, "scores": {str(bucket(last)): 1}}
    assert value(row) == last


def test_what_is_missing_has_a_place_of_its_own_and_what_cannot_be_counted_is_among_the_others() -> None:
    counts = tally([None], [math.nan], [math.inf], [-math.inf], [[]], [object()], [10**400]).counts()
    assert counts["classes"] == {NULL: 1, OTHER_CLASS: 3}
    assert counts["scores"] == {str(index): 1 for index in (MISSING, -INFINITY, INFINITY)}


def test_classes_are_bounded_and_a_class_that_has_a_count_keeps_it() -> None:
    counted = tally([f"class {number}" for number in range(MAX_CLASSES)])
    before = counted.counts()["classes"]
    assert len(before) == MAX_CLASSES
    counted.add("x", ["new", "class 7", 12, "new"], NOW)
    assert counted.counts()["classes"] == before | {"class 7": 2, OTHER_CLASS: 3}


def test_long_names_are_cut_where_they_still_differ_and_can_be_written() -> None:
    counts = tally(["a" * 10**6], ["a" * 10**6 + "b"], ["\ud800"]).counts()["classes"]
    assert list(counts.values()) == [1, 1, 1]
    assert sum(map(len, counts)) < 200
    json.dumps(counts, ensure_ascii=False).encode()


ROW: st.SearchStrategy[Any] = st.one_of(
    st.integers(-3, 3), st.sampled_from(["a", "b"]), st.booleans(), st.none(), st.floats(), st.just([0.5, 0.25])
)


@given(st.lists(st.lists(ROW, max_size=5), max_size=12))
def test_the_counts_of_many_rows_at_once_are_those_of_single_rows_and_merge_by_adding(
    requests: list[list[Any]],
) -> None:
    rows = [row for request in requests for row in request]
    one_by_one = tally(*([row] for row in rows)).counts()
    assert sum(one_by_one["classes"].values()) + sum(one_by_one["scores"].values()) == len(rows)
    for kind in (int, str, bool, float):
        same = [row for row in rows if type(row) is kind]
        many = same * MANY
        assert tally(many).counts() == tally(*([row] for row in many)).counts() or not same
    states = [State({"predicted": tally(request).counts()}) for request in requests]
    together = merged(states).counts.get("predicted", {"classes": {}, "scores": {}})
    assert together == one_by_one


def test_the_classes_of_very_many_workers_are_bounded_too() -> None:
    parts = [State({"predicted": tally([f"{part}-{n}" for n in range(150)]).counts()}) for part in range(10)]
    classes = merged(parts).counts["predicted"]["classes"]
    assert (len(classes), sum(classes.values()), classes[OTHER_CLASS]) == (MAX_TOGETHER + 1, 1500, 500)


def test_answers_are_remembered_from_the_first_question_on_and_forgotten_when_nobody_asks_any_more() -> None:
    counted = tally([1])
    assert counted.asked(NOW, 10) == {}, "what came before was not remembered"
    counted.add("a", [2], NOW + 1)
    counted.add("b", ["x", 3.5], NOW + 2)
    told = {digest("a"): 2, digest("b"): "x", f"{digest('b')}.1": 3.5}
    assert counted.asked(NOW + 3, 10) == told
    assert counted.asked(NOW + 3, 2) == {key: told[key] for key in list(told)[1:]}
    assert counted.asked(NOW + 3, 1) == {f"{digest('b')}.1": 3.5}
    counted.add("c", [4], NOW + 4 + ASKED)
    assert not counted._answers, "nobody has asked for so long"
    assert counted.asked(NOW + 5 + ASKED, 10) == {}


def test_nothing_is_told_of_features_or_ids() -> None:
    counted = tally()
    counted.asked(NOW, 10)
    counted.add("somebody@example.org", [1], NOW)
    assert list(counted.asked(NOW, 10).values()) == [1]
    assert "somebody" not in str(counted.asked(NOW, 10))


@pytest.mark.parametrize("second", [[1], [2], [3, 4], []])
def test_an_id_that_came_twice_has_no_answer_for_as_long_as_either_could_be_told(second: list[int]) -> None:
    counted = tally()
    counted.asked(NOW, MAX_ANSWERS)
    for request_id, predictions in (("a", [1, 1]), ("b", [5]), ("a", second), ("c", [6])):
        counted.add(request_id, predictions, NOW)
    told = counted.asked(NOW, MAX_ANSWERS)
    assert list(told.items()) == [(digest("b"), 5), (digest("a"), []), (digest("c"), 6)]
    assert together([told]) == {digest("b"): 5, digest("c"): 6}
    for number in range(MAX_ANSWERS - 2):
        counted.add(str(number), [number], NOW)
    assert counted.asked(NOW, MAX_ANSWERS)[digest("a")] == [], "what came before it is forgotten, the second not yet"
    for request_id in ("d", "a"):
        counted.add(request_id, [8], NOW)
    assert counted.asked(NOW, MAX_ANSWERS)[digest("a")] == 8, "neither is remembered any more"


def test_an_id_that_two_workers_met_has_no_answer() -> None:
    parts: list[dict[str, Any]] = [
        {"a": 1, "b": 2},
        {"a": 1, "a.1": 3, "c": []},
        {"c": 4, "d.1": 5},
        {"d": 6},
        {"e": None, "e.1": 7},
    ]
    assert together(parts) == {"b": 2, "e": None, "e.1": 7}


def test_requests_under_one_id_in_another_order_never_make_two_servers_of_one_model_differ() -> None:
    random = Random(7)
    servers = Tally(), Tally()
    for one in servers:
        one.asked(NOW, 2048)
    earlier: list[dict[str, Any]] = [{}, {}]
    compared = 0
    for _ in range(30):
        requests = [(f"{random.randrange(10**6)}", row) for row in range(80)]
        requests += [(request_id, row + 1) for request_id, row in requests if row % 4 == 0]
        for one in servers:
            for request_id, row in random.sample(requests, len(requests)):
                one.add(request_id, [row % 2], NOW)
        told = [together([one.asked(NOW, 2048)]) for one in servers]
        fresh = (told[0].keys() & told[1].keys()) - (earlier[0].keys() & earlier[1].keys())
        assert all(told[0][key] == told[1][key] for key in fresh)
        compared, earlier = compared + len(fresh), told
    assert compared > 1500


def test_answers_are_bounded_in_number_rows_and_length() -> None:
    counted = tally()
    counted.asked(NOW, MAX_ANSWERS)
    counted.add("long", ["a" * 10**6], NOW)
    counted.add("many", [1] * (MAX_ROWS + 1), NOW)
    assert [len(str(one)) for one in counted.asked(NOW, MAX_ANSWERS).values()] == [64]
    for number in range(MAX_ANSWERS + 5):
        counted.add(str(number), [number], NOW)
    told = counted.asked(NOW, MAX_ANSWERS)
    assert list(told.values()) == list(range(5, MAX_ANSWERS + 5))
    for number in range(2 * MAX_ANSWERS):
        counted.add(f"empty {number}", [], NOW)
    assert (counted.asked(NOW, MAX_ANSWERS), len(counted._answers)) == ({}, MAX_ANSWERS)


@given(st.lists(ROW, min_size=1, max_size=4))
def test_answers_are_strict_json_and_come_back_as_they_were(row: list[Any]) -> None:
    counted = tally()
    counted.asked(NOW, 10)
    counted.add("a", row, NOW)
    told = counted.asked(NOW, 10)
    assert json.loads(json.dumps(told), parse_constant=pytest.fail) == told
