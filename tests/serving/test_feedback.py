"""Late labels are joined once, counted in the second of their request, and never let memory grow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.serving.feedback import Feedback, Label, read_labels, scalar


def test_a_label_is_counted_in_the_second_of_its_request() -> None:
    feedback = Feedback()
    feedback.record("a", 100, [1])
    feedback.record("b", 100, [0])
    feedback.record("c", 101, ["late"])
    assert feedback.label(Label("a", (1,))) == (1, 0)
    assert feedback.label(Label("b", (1,))) == (1, 1)
    assert feedback.label(Label("c", ("early",))) == (1, 1)
    assert feedback.seconds() == [(100, 2, 1), (101, 1, 1)]


def test_a_second_label_for_the_same_request_is_ignored_even_if_the_request_is_sent_again() -> None:
    feedback = Feedback()
    feedback.record("a", 100, [1])
    assert feedback.label(Label("a", (1,))) == (1, 0)
    assert feedback.label(Label("a", (0,))) is None
    feedback.record("a", 105, [1])
    assert feedback.label(Label("a", (0,))) is None
    assert feedback.seconds() == [(100, 1, 0)]


def test_a_request_of_many_rows_takes_a_label_for_each() -> None:
    feedback = Feedback()
    feedback.record("a", 7, [1, 0, 1])
    assert feedback.label(Label("a", (1, 1))) is None
    assert feedback.label(Label("a", (1, 1, 0))) == (3, 2)


@pytest.mark.parametrize(
    ("prediction", "label", "tolerance", "wrong"),
    [
        (1, 1.0, None, 0),
        (1, True, None, 0),
        (0.9, 1, None, 1),
        (0.9, 1, 0.2, 0),
        (0.9, 2, 0.2, 1),
        (float("nan"), 1, 0.2, 1),
        (3, 4, 5.0, 1),
    ],
)
def test_wrong_means_another_class_or_further_than_the_tolerance(
    prediction: Any, label: Any, tolerance: float | None, wrong: int
) -> None:
    feedback = Feedback(tolerance)
    feedback.record("a", 7, [prediction])
    assert feedback.label(Label("a", (label,))) == (1, wrong)


def test_text_against_a_number_is_not_joined_rather_than_called_wrong() -> None:
    feedback = Feedback()
    feedback.record("a", 7, [1])
    assert feedback.label(Label("a", ("1",))) is None
    assert feedback.label(Label("a", (1,))) == (1, 0)


def test_predictions_with_several_values_a_row_cannot_be_labelled() -> None:
    feedback = Feedback()
    feedback.record("a", 7, [[0.1, 0.9]])
    assert feedback.label(Label("a", (1,))) is None
    assert scalar({"y": [3]}) == 3


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 9), st.integers(1, 4), st.booleans()), max_size=60)
)
def test_memory_is_bounded_whatever_is_asked(steps: list[tuple[str, int, int, bool]]) -> None:
    feedback = Feedback(max_predictions=6, max_seconds=3)
    for name, second, rows, label in steps:
        if label:
            feedback.label(Label(name, (1,) * rows))
        else:
            feedback.record(name, second, [1] * rows)
        assert feedback._size == sum(max(1, len(values)) for _, values in feedback._known.values()) <= 6
        assert len(feedback.seconds()) <= 3


def test_the_oldest_prediction_is_forgotten_first() -> None:
    feedback = Feedback(max_predictions=2)
    for name in "abc":
        feedback.record(name, 1, [1])
    assert feedback.label(Label("a", (1,))) is None
    assert feedback.label(Label("b", (1,))) == (1, 0)


@pytest.mark.parametrize(
    "document",
    [
        3,
        {},
        {"request_id": "a"},
        {"request_id": "", "label": 1},
        {"request_id": 4, "label": 1},
        {"request_id": "a", "label": []},
        {"request_id": "a", "label": [None]},
        [{"request_id": "a", "label": {}}],
    ],
)
def test_feedback_of_another_shape_is_refused_with_its_place(document: Any) -> None:
    with pytest.raises(ValueError, match="entry 0: "):
        read_labels(document)


def test_long_texts_are_told_apart_and_not_kept() -> None:
    feedback = Feedback()
    text = "a" * 10**6
    for number in range(100):
        feedback.record(str(number), 7, [f"{text}{number}"])
    assert sum(len(str(known)) for known in feedback._known.values()) < 100_000
    assert feedback.label(Label("1", (f"{text}1",))) == (1, 0)
    assert feedback.label(Label("2", (f"{text}1",))) == (1, 1)
    assert feedback.label(Label("3", ("a",))) == (1, 1)
    assert feedback.label(Label("4", (f"{text}4\ud800",))) == (1, 1)
