"""What a server says of its counts is read whole, or not at all; older images tell less."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from mlship.engines import said
from mlship.engines.said import NOTHING, Said, path, read
from mlship.types import Labelled, Predictions, Routes, ServerCounters

LABELS = [[1_800_000_000, 3, 1]]
TOLD = {"epoch": "e", "labels": LABELS, "predictions": {"classes": {"1": 4}, "scores": {"-7": 1, "0": 2}}}


def test_answers_are_asked_for_only_while_a_canary_gets_copies() -> None:
    assert path(Routes("s", "c", 0.0, mirror=0.5)) == "/counters?answers=2048"
    for routes in (None, Routes("s"), Routes("s", "c", 0.5), Routes("s", None, 0.0, mirror=0.5)):
        assert path(routes) == "/counters"


def test_everything_a_server_tells_stands_beside_what_the_router_counted() -> None:
    found = read(json.dumps(TOLD | {"answers": {"a": 1, "b": None, "c": "x"}}))
    routed = ServerCounters("r", 9, 1, (9,), timeouts=1, mirrored=(3, 1))
    whole = found.beside(routed)
    assert (whole.epoch, whole.requests, whole.timeouts, whole.mirrored) == ("r", 9, 1, (3, 1))
    assert (whole.labels_epoch, whole.labels) == ("e", (Labelled(1_800_000_000, 3, 1),))
    assert whole.predictions == Predictions({"1": 4}, {-7: 1, 0: 2})
    answers = dict(whole.answers or {})
    assert math.isnan(float(answers.pop("b")))
    assert answers == {"a": 1, "c": "x"}


def test_an_older_image_tells_labels_only_and_a_silent_server_nothing() -> None:
    older = read(json.dumps({"epoch": "e", "labels": LABELS}))
    assert older == Said("e", (Labelled(1_800_000_000, 3, 1),))
    assert (older.predictions, older.answers) == (None, None)
    assert NOTHING.beside(ServerCounters("r", 9, 1, (9,))) == ServerCounters("r", 9, 1, (9,), labels_epoch=None)


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        7,
        {"epoch": "e"},
        TOLD | {"labels": 3},
        TOLD | {"predictions": 3},
        TOLD | {"predictions": {"classes": {}}},
        TOLD | {"predictions": {"classes": {}, "scores": {"x": 1}}},
        TOLD | {"answers": [1]},
    ],
)
def test_what_is_no_such_document_is_unreadable(document: Any) -> None:
    with pytest.raises(said.UNREADABLE):
        read(json.dumps(document))
