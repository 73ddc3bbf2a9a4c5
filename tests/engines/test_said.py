"""What a server says of its counts is read whole, or not at all; older images tell less."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.engines import said
from mlship.engines.said import LARGEST, NOTHING, Said, path, read
from mlship.stats.buckets import INFINITY, MISSING
from mlship.types import OTHER_CLASS, Labelled, Predictions, Routes, ServerCounters

LABELS = [[1_800_000_000, 3, 1]]
TOLD = {"epoch": "e", "labels": LABELS, "predictions": {"classes": {"1": 4}, "scores": {"-7": 1, "0": 2}}}
REAL = TOLD | {"answers": {"a": 1, "b": None, "c": "x", "d": 0.5, "e": True}}


def told(document: Any) -> Said | None:
    """What is read when a server says this."""
    return read(json.dumps(document).encode())


def test_answers_are_asked_for_only_while_a_canary_gets_copies() -> None:
    assert path(Routes("s", "c", 0.0, mirror=0.5)) == "/counters?answers=2048"
    for routes in (None, Routes("s"), Routes("s", "c", 0.5), Routes("s", None, 0.0, mirror=0.5)):
        assert path(routes) == "/counters"


def test_everything_a_server_tells_stands_beside_what_the_router_counted() -> None:
    found = told(REAL)
    assert found is not None
    routed = ServerCounters("r", 9, 1, (9,), timeouts=1, mirrored=(3, 1))
    whole = found.beside(routed)
    assert (whole.epoch, whole.requests, whole.timeouts, whole.mirrored) == ("r", 9, 1, (3, 1))
    assert (whole.labels_epoch, whole.labels) == ("e", (Labelled(1_800_000_000, 3, 1),))
    assert whole.predictions == Predictions({"1": 4}, {-7: 1, 0: 2})
    answers = dict(whole.answers or {})
    assert math.isnan(float(answers.pop("b")))
    assert answers == {"a": 1, "c": "x", "d": 0.5, "e": True}


def test_an_older_image_tells_labels_only_and_a_silent_server_nothing() -> None:
    older = told({"epoch": "e", "labels": LABELS})
    assert older == told({"epoch": "e", "labels": LABELS, "predictions": None, "answers": None})
    assert older == Said("e", (Labelled(1_800_000_000, 3, 1),))
    assert (older.predictions, older.answers) == (None, None)
    assert NOTHING.beside(ServerCounters("r", 9, 1, (9,))) == ServerCounters("r", 9, 1, (9,), labels_epoch=None)


def put(path: str, value: Any) -> Any:
    """A real answer in which one thing is another; `path` as `predictions.classes.1`."""
    document = json.loads(json.dumps(REAL))
    *way, last = path.split(".")
    place = document
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[int(last) if isinstance(place, list) else last] = value
    return document


#: No count: of labels, of predictions.
NO_COUNTS: list[Any] = [None, True, False, "1", "", 1.0, 1.5, math.nan, math.inf, -1, 2**53, 10**400, [], {}, [1]]
NO_LABELS: list[Any] = [None, 3, "x", {}, {"a": 1}, [[1, 2, 0]] * 4097]
NO_ROWS: list[Any] = [None, [], [1, 2], [1, 2, 0, 0], {"0": 1}, "abc", [1, 2, 3]]
NO_PREDICTIONS: list[Any] = [3, [], "x", {}, {"classes": {}}, {"scores": {}}]
NO_INDICES = ["x", "", "1_0", " 1", "01", "+1", "-0", "9999", "9" * 5000]
NO_NAMES = ["x" * 129, "\ud800"]


@pytest.mark.parametrize(
    "document",
    [
        *({}, [], 7, None, "x", [[]], {"epoch": "e"}, {"labels": []}),
        *(put("epoch", value) for value in (None, "", 5, ["e"], {"e": 1}, math.nan, *NO_NAMES)),
        *(put("labels", value) for value in NO_LABELS),
        *(put("labels.0", value) for value in NO_ROWS),
        *(put(f"labels.0.{part}", value) for part in range(3) for value in NO_COUNTS),
        *(put("predictions", value) for value in NO_PREDICTIONS),
        *(put("predictions.classes", value) for value in (None, [], [1], "x", {f"c{n}": 1 for n in range(1003)})),
        *(put("predictions.classes.1", value) for value in NO_COUNTS),
        *(put(f"predictions.classes.{name}", 1) for name in NO_NAMES),
        *(put("predictions.scores", value) for value in (None, [], [1], "x")),
        *(put("predictions.scores.-7", value) for value in NO_COUNTS),
        *(put(f"predictions.scores.{name}", 1) for name in NO_INDICES),
        *(put("answers", value) for value in ([1], "x", 3, {str(n): 1 for n in range(64 * 2048 + 1)})),
        *(put("answers.a", value) for value in ([], {}, [1], math.nan, math.inf, 10**400, -(10**309), *NO_NAMES)),
        *(put(f"answers.{name}", 1) for name in NO_NAMES),
        put("more", [[]] * 2**20),
    ],
)
def test_an_answer_with_anything_in_it_that_no_server_says_is_unreadable(document: Any) -> None:
    assert told(document) is None


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"\xff\xfe{", b"[" * 200_000, b'{"a":' * 200_000, b'{"epoch":' + b"9" * 5000, b"nul", b"\x00" * 64),
        b'{"epoch": "e", "labels": [[1e999, 1, 1]]}',
        b" " * (said.MOST_ANSWERS + 1),
    ],
    ids=range(9),
)
def test_a_body_that_is_no_such_document_is_unreadable(body: bytes) -> None:
    assert read(body) is None


def test_what_a_server_at_its_own_bounds_tells_is_read() -> None:
    labels = [[1_800_000_000 + second, LARGEST - 1, LARGEST - 1] for second in range(4096)]
    names = [f"{number:04}".ljust(64, "\N{OGHAM LETTER BEITH}") for number in range(1000)]
    classes = dict.fromkeys([*names, OTHER_CLASS, "(missing)"], LARGEST - 1)
    scores = {str(index): LARGEST - 1 for index in range(MISSING, INFINITY + 1)}
    document = {"epoch": "e" * 32, "labels": labels, "predictions": {"classes": classes, "scores": scores}}
    assert len(json.dumps(document)) < said.MOST
    found = told(document | {"uptime": 3.5})
    assert found is not None
    assert (len(found.labels), found.predictions) == (
        4096,
        Predictions(classes, {int(k): v for k, v in scores.items()}),
    )
    answers = {f"{number:016x}": "x" * 64 for number in range(64 * 2048)}
    assert len(json.dumps(document | {"answers": answers})) < said.MOST_ANSWERS
    assert getattr(told(document | {"answers": answers}), "answers", None) == answers


#: What JSON may hold, and Python's reader takes besides.
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.sampled_from(NO_COUNTS)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=9,
)


def believable(found: Said) -> bool:
    """Whether everything is of the kind and size that the judge takes for granted."""
    rows = [(one.second, one.labelled, one.wrong) for one in found.labels]
    predictions = found.predictions or Predictions()
    counts = [*(n for row in rows for n in row), *predictions.classes.values(), *predictions.scores.values()]
    values = [one for one in (found.answers or {}).values() if not isinstance(one, str)]
    return (
        all(type(n) is int and 0 <= n < LARGEST for n in counts)
        and all(wrong <= labelled for _, labelled, wrong in rows)
        and all(MISSING <= index <= INFINITY for index in predictions.scores)
        and all(
            len(name.encode()) <= 4 * 128 for name in (*predictions.classes, *(found.answers or {}), found.epoch or "")
        )
        and bool(found.epoch)
        and all(math.isnan(one) or abs(float(one)) <= 1e308 for one in values)
    )


@given(ANYTHING)
def test_any_json_is_read_whole_or_not_at_all(document: Any) -> None:
    assert (found := told(document)) is None or believable(found)


@given(st.data())
def test_a_real_answer_with_a_few_things_changed_is_read_whole_or_not_at_all(data: st.DataObject) -> None:
    document = json.loads(json.dumps(REAL))
    for _ in range(data.draw(st.integers(1, 3))):
        place = document
        while isinstance(place, dict | list) and place:
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
                place[key] = data.draw(ANYTHING)
                break
            place = place[key]
    assert (found := told(document)) is None or believable(found)


@given(st.integers(0, len(json.dumps(REAL)) - 1), st.binary(max_size=4), st.integers(0, 9))
def test_a_real_answer_with_other_bytes_in_it_is_read_whole_or_not_at_all(at: int, piece: bytes, gone: int) -> None:
    body = json.dumps(REAL).encode()
    found = read(body[:at] + piece + body[at + gone :])
    assert found is None or believable(found)
