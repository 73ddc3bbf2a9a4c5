"""Joining rows of several requests changes no answer; where it would, requests are answered alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlship.errors import ModelError
from mlship.serving.load import load
from mlship.serving.protocol import JSON, Answer, Request
from mlship.serving.scorer import PROVED, Scorer, close

pytestmark = pytest.mark.slow  # loads real models


def loaded(path: Path) -> tuple[Scorer, list[int]]:
    calls: list[int] = []
    scorer, _ = load(path, calls.append)
    calls.clear()
    return scorer, calls


def rows(*values: Any, name: Any = "n", **more: Any) -> Request:
    data = [[value, name] for value in values]
    return Request(json.dumps({"dataframe_split": {"columns": ["x", "name"], "data": data}, **more}).encode(), JSON)


def answers(scorer: Scorer, requests: list[Request]) -> list[Answer]:
    got = dict(pair for group in scorer.answer(requests) for pair in group)
    assert sorted(got) == list(range(len(requests)))
    return [got[position] for position in range(len(requests))]


def test_requests_share_one_call_and_get_their_own_rows_back(picky: Path) -> None:
    scorer, calls = loaded(picky)
    got = answers(scorer, [rows(1), rows(2, 3), rows(4.5)])
    assert [json.loads(answer.body) for answer in got] == [{"predictions": p} for p in ([2.0], [4.0, 6.0], [9.0])]
    assert calls == [4]


def test_a_bad_row_fails_only_its_own_request(picky: Path) -> None:
    scorer, calls = loaded(picky)
    got = answers(scorer, [rows(number) for number in range(16)])
    assert [answer.status for answer in got] == [500 if number == 13 else 200 for number in range(16)]
    assert json.loads(got[13].body)["error_code"] == "INTERNAL_ERROR"
    assert scorer.joins
    assert len(calls) == 9, "halving finds one bad row of 16 in 2 log2(16) + 1 calls"


def test_a_row_of_the_wrong_type_fails_only_its_own_request(picky: Path) -> None:
    scorer, calls = loaded(picky)
    got = answers(scorer, [rows(1), rows("one"), rows(2), rows(3, name=None), rows(4, params={"mode": "sum"})])
    assert [answer.status for answer in got] == [200, 400, 200, 200, 200]
    assert calls == [2, 0, 0, 0]


def test_a_joined_call_is_bounded_but_one_request_is_never_cut(picky: Path) -> None:
    scorer, calls = loaded(picky)
    scorer._max_rows = 4
    got = answers(scorer, [rows(1, 2, 3), rows(4), rows(5), rows(*range(14, 24)), rows(6)])
    assert [answer.status for answer in got] == [200] * 5
    assert calls == [4, 1, 10, 1]


def test_a_model_that_does_not_answer_row_by_row_is_asked_request_by_request_for_ever(
    save_picky: Callable[..., Path], tmp_path: Path
) -> None:
    scorer, calls = loaded(save_picky(tmp_path, "sum", example=False))
    assert scorer.joins, "nothing is known yet"
    assert [json.loads(a.body)["predictions"] for a in answers(scorer, [rows(1), rows(2, 3)])] == [[2.0], [10.0]]
    assert not scorer.joins
    calls.clear()
    assert [json.loads(a.body)["predictions"] for a in answers(scorer, [rows(1), rows(2, 3)])] == [[2.0], [10.0]]
    assert calls == [1, 2]


def test_a_model_whose_answers_depend_on_the_company_is_found_out_by_its_example(
    save_picky: Callable[..., Path], tmp_path: Path
) -> None:
    scorer, _ = loaded(save_picky(tmp_path, "centred"))
    assert not scorer.joins
    assert [json.loads(a.body)["predictions"] for a in answers(scorer, [rows(5), rows(7)])] == [[0.0], [0.0]]


@pytest.mark.parametrize("example", [None, [1.5], [1.5, 2.5]])
@pytest.mark.parametrize(
    "answer",
    [
        "(x - x.mean()).tolist()",
        "(x - x.iloc[0]).tolist()",
        "x.rank().tolist()",
        "sorted(x)",
        "(x / len(x)).tolist()",
        "[float(sum(x))] * len(x)",
    ],
)
def test_no_model_gives_an_answer_that_depends_on_other_callers_rows(
    tmp_path: Path, answer: str, example: list[float] | None
) -> None:
    """Also where the example cannot tell: there is none, it has one row, or its rows are in order."""
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    source = tmp_path / "dependent.py"
    source.write_text(
        "from mlflow.models import set_model\nfrom mlflow.pyfunc import PythonModel\n\n"
        "class Dependent(PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        f"        x = model_input['x']\n        return {answer}\n\nset_model(Dependent())\n"
    )
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        python_model=str(source),
        signature=ModelSignature(Schema([ColSpec("double", "x"), ColSpec("string", "name")])),
        input_example=None if example is None else pd.DataFrame({"x": example, "name": "n"}),
        pip_requirements=["mlflow"],
    )
    scorer, _ = loaded(tmp_path / "model")
    sent = [rows(9, 2), rows(100), rows(-5, 7)]
    alone = [answers(scorer, [one])[0].body for one in sent]
    assert [one.body for one in answers(scorer, sent)] == alone
    assert not scorer.joins


def test_rows_go_on_sharing_calls_and_only_the_first_calls_are_proved(
    picky: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, calls = loaded(picky)
    asked: list[int] = []
    call = scorer._call

    def counted(frame: Any) -> Any:
        asked.append(len(frame))
        return call(frame)

    monkeypatch.setattr(scorer, "_call", counted)
    for _ in range(PROVED + 2):
        answers(scorer, [rows(1), rows(2, 3), rows(4)])
    assert scorer.joins
    assert asked == [4, 1, 1] * PROVED + [4, 4]
    assert calls == [4] * (PROVED + 2), "the proof is no call of any caller"


def test_a_frame_of_predictions_is_cut_into_records(save_picky: Callable[..., Path], tmp_path: Path) -> None:
    scorer, calls = loaded(save_picky(tmp_path, "frame"))
    got = answers(scorer, [rows(1), rows(2, 3)])
    assert json.loads(got[1].body) == {"predictions": [{"y": 4.0, "name": "n"}, {"y": 6.0, "name": "n"}]}
    assert calls == [3]


def test_a_model_that_fails_on_its_own_example_does_not_start(save_picky: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="fails on its own input example") as caught:
        load(save_picky(tmp_path, "unserialisable"), lambda _: None)
    assert caught.value.where == str(tmp_path / "model")


def test_a_model_without_a_signature_is_answered_request_by_request(
    save_picky: Callable[..., Path], tmp_path: Path
) -> None:
    scorer, calls = loaded(save_picky(tmp_path, example=False, signature=False))
    assert [a.status for a in answers(scorer, [rows(1), rows(13), rows(2)])] == [200, 500, 200]
    assert calls == [0, 0, 0]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [(1.0, 1.0 + 1e-9, True), (1.0, 1.1, False), (float("nan"), float("nan"), True), ([1, 2.0], [1, 2.0], True),
     ([1], [1, 2], False),
     (float("inf"), float("inf"), True), (float("inf"), 1.0, False),
     ({"y": 1.0}, {"y": 1.0}, True), ({"y": 1.0}, {"z": 1.0}, False), ("a", "a", True)],
)  # fmt: skip
def test_close_forgives_rounding_and_nothing_else(one: Any, other: Any, same: bool) -> None:
    assert close(one, other) is same
