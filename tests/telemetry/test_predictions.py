"""Predictions between two looks: nothing twice, nothing guessed; agreement over requests that both arms answered."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.telemetry.predictions import same
from mlship.telemetry.windows import observe
from mlship.types import OTHER_CLASS, Observation, Prediction, Predictions, Routes, Scrape, ServerCounters

ROUTES = Routes("s", "c", 0.1)
MIRROR = Routes("s", "c", 0.0, mirror=1.0)
NONE = Predictions()


def server(
    predictions: Predictions | None = NONE, answers: Mapping[str, Prediction] | None = None, epoch: str | None = "p"
) -> ServerCounters:
    return ServerCounters("e", 0, 0, (), labels_epoch=epoch, predictions=predictions, answers=answers)


def look(stable: ServerCounters, canary: ServerCounters | None = None, at: float = 0.0) -> Scrape:
    return Scrape(at, {"s": stable} | ({"c": canary} if canary else {}))


def test_predictions_are_differences_of_classes_and_scores() -> None:
    before = look(server(Predictions({"a": 3, "b": 1}, {-2: 1, 7: 5})), server())
    after = look(server(Predictions({"a": 5, "b": 1}, {-2: 2, 7: 5, 9: 1})), server(Predictions({"a": 1})))
    seen = observe(before, after, ROUTES)
    assert seen.stable.predictions == Predictions({"a": 2}, {-2: 1, 9: 1})
    assert seen.canary.predictions == Predictions({"a": 1})


def test_predictions_that_a_look_could_not_read_are_unknown_and_those_of_a_new_server_all_count() -> None:
    told = server(Predictions({"a": 3}))
    for silent in (server(None), server(NONE, epoch=None)):
        assert observe(look(silent), look(told), ROUTES).stable.predictions is None
        assert observe(look(told), look(silent), ROUTES).stable.predictions is None
    again = observe(look(server(Predictions({"a": 9}))), look(server(Predictions({"a": 3}), epoch="q")), ROUTES)
    assert again.stable.predictions == Predictions({"a": 3})
    assert observe(look(told), look(told, told), ROUTES).canary.predictions == Predictions({"a": 3})


def test_where_one_arm_does_not_tell_all_classes_apart_both_are_folded_alike() -> None:
    stable = server(Predictions({"a": 5, "b": 5, OTHER_CLASS: 2}))
    seen = observe(look(server(), server()), look(stable, server(Predictions({"a": 4, "z": 3}))), ROUTES)
    assert seen.stable.predictions == Predictions({"a": 5, OTHER_CLASS: 7})
    assert seen.canary.predictions == Predictions({"a": 4, OTHER_CLASS: 3})
    whole = observe(
        look(server(), server()), look(server(Predictions({"a": 5})), server(Predictions({"z": 3}))), ROUTES
    )
    assert whole.canary.predictions == Predictions({"z": 3}), "nothing is hidden in another name"


#: What one arm predicts between two looks: classes, scores; or it restarts.
happening = st.one_of(
    st.tuples(st.lists(st.sampled_from(["a", "b"]), max_size=4), st.lists(st.integers(-2, 2), max_size=4)),
    st.just("restarts"),
)


@given(st.lists(happening, min_size=1, max_size=10), st.data())
def test_the_windows_of_looks_add_up_whenever_looks_are_taken(happenings: list[Any], data: st.DataObject) -> None:
    total, now, epoch = Counter[Any](), Counter[Any](), 0
    looks = [look(server(NONE, epoch="0"))]
    for what in happenings:
        if what == "restarts":
            epoch, now = epoch + 1, Counter()
        else:
            now = now + Counter(what[0]) + Counter(what[1])
            total += Counter(what[0]) + Counter(what[1])
        classes = {key: times for key, times in now.items() if isinstance(key, str)}
        scores = {key: times for key, times in now.items() if isinstance(key, int)}
        looks.append(look(server(Predictions(classes, scores), epoch=str(epoch))))
    assert _summed(looks) == total
    chosen = [one for one in looks[1:-1] if data.draw(st.booleans())]
    fewer = _summed([looks[0], *chosen, looks[-1]])
    assert fewer <= total, "what came before a restart may be lost, and nothing is counted twice"
    assert fewer == total or "restarts" in happenings


def _summed(looks: list[Scrape]) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for before, after in pairwise(looks):
        seen = observe(before, after, Routes("s")).stable.predictions
        assert seen is not None
        found += Counter(seen.classes) + Counter(seen.scores)
    return found


# Agreement


def compared(before: Scrape, after: Scrape, tolerance: float = 0.0, routes: Routes = MIRROR) -> tuple[int, int]:
    return observe(before, after, routes, tolerance).agreement


def test_requests_that_both_arms_have_answered_are_compared_when_both_answers_are_first_there() -> None:
    first = look(server(answers={"1": "a", "2": "b"}), server(answers={"1": "a"}))
    second = look(server(answers={"1": "a", "2": "b", "3": "c"}), server(answers={"1": "a", "2": "x", "4": "d"}))
    assert compared(look(server(answers={}), server(answers={})), first) == (1, 0)
    assert compared(first, second) == (1, 1), "request 2: stable's answer was there before, the canary's is new"
    assert compared(second, second) == (0, 0)
    assert compared(first, second, routes=ROUTES) == (0, 0), "nothing is mirrored"


def test_answers_that_a_look_did_not_read_are_not_compared_in_the_next_one() -> None:
    both = look(server(answers={"1": 1}), server(answers={"1": 2}))
    for unread in (look(server(), server()), look(server(answers={}), server()), look(server(), server(answers={}))):
        assert compared(unread, both) == (0, 0), "they may have been compared before"
        assert compared(both, unread) == (0, 0)
    assert compared(look(server(answers={"1": 1})), both) == (1, 1), "the canary was not there"


@pytest.mark.parametrize(
    ("one", "other", "tolerance", "agree"),
    [
        (1, 1, 0.0, True),
        (1, 2, 0.0, False),
        (1, 2, 1.0, True),
        (10**9, 10**9 + 1, 0.0, False),
        (0.3, 0.1 + 0.2, 0.0, True),
        (0.3, 0.31, 0.0, False),
        (0.3, 0.31, 0.02, True),
        (120.69999999999999, 120.69999999999997, 0.0, True),
        (1, 1.0, 0.0, True),
        (math.nan, math.nan, 0.0, True),
        (math.nan, 0.5, 9.0, False),
        ("a", "a", 0.0, True),
        ("a", "b", 9.0, False),
        ("1", 1, 9.0, False),
        (True, 1, 0.0, True),
        (True, False, 0.0, False),
    ],
)
def test_the_same_prediction(one: Prediction, other: Prediction, tolerance: float, agree: bool) -> None:
    assert same(one, other, tolerance) is same(other, one, tolerance) is agree


@given(
    st.lists(st.tuples(st.sampled_from(["stable", "canary", "both", "look"]), st.integers(0, 30)), max_size=60),
    st.integers(1, 6),
)
def test_no_request_is_compared_twice_however_looks_fall_and_whatever_is_forgotten(
    steps: list[tuple[str, int]], size: int
) -> None:
    """Each arm remembers its latest answers only; an id comes once in each arm."""
    arms: dict[str, deque[str]] = {"stable": deque(maxlen=size), "canary": deque(maxlen=size)}
    answered: dict[str, set[str]] = {"stable": set(), "canary": set()}
    looks = [look(server(answers={}), server(answers={}))]
    for what, number in [*steps, ("look", 0)]:
        for arm, remembered in arms.items():
            if what in (arm, "both") and str(number) not in answered[arm]:
                remembered.append(str(number))
                answered[arm].add(str(number))
        if what == "look":
            stable, canary = (dict.fromkeys(arms[arm], arm) for arm in arms)
            looks.append(look(server(answers=stable), server(answers=canary)))
    counts = [compared(before, after) for before, after in pairwise(looks)]
    assert all(one == other for one, other in counts), "the arms never agree here"
    seen_together = [one.servers["s"].answers or {} for one in looks], [one.servers["c"].answers or {} for one in looks]
    wanted = {key for ours, theirs in zip(*seen_together, strict=True) for key in ours.keys() & theirs.keys()}
    assert sum(one for one, _ in counts) == len(wanted)


def test_the_observation_of_two_arms_that_tell_nothing_is_as_before() -> None:
    silent = ServerCounters("e", 3, 0, ())
    seen: Observation = observe(look(silent, silent), look(silent, silent), MIRROR)
    assert (seen.stable.predictions, seen.canary.predictions, seen.agreement) == (None, None, (0, 0))
