"""Answers a batch of requests with as few model calls as is safe; plain synchronous code for one worker thread."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import ModelError
from mlship.serving.protocol import JSON, Answer, Request, accepted, answer_as_mlflow, failed, jsonable
from mlship.serving.rows import Lane, Rows

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.pyfunc import PyFuncModel

#: Most rows put into one model call by joining requests. One request may hold more: it is never cut.
MAX_ROWS = 1024

Pending = tuple[int, Request, Rows]
Answered = list[tuple[int, Answer]]


class Scorer:
    """A loaded model behind the scoring protocol. Not thread-safe: one worker thread uses it.

    Parameters
    ----------
    model
        The pyfunc model.
    max_rows
        Most rows in one joined model call.
    on_call
        Told the number of rows of each model call of the fast lane, or 0 for a request that MLflow's parser handled.
    """

    def __init__(
        self, model: PyFuncModel, *, max_rows: int = MAX_ROWS, on_call: Callable[[int], None] = lambda _: None
    ) -> None:
        self._model = model
        self._schema = model.metadata.get_input_schema()  # type: ignore[no-untyped-call]  # mlflow is partly typed
        self._lane = Lane.of(model.metadata)
        self._max_rows = max_rows
        self._on_call = on_call
        self.joins = self._lane is not None
        """Whether rows of several requests share a model call; once it proved unsafe, never again."""

    def answer(self, requests: Sequence[Request]) -> Iterator[Answered]:
        """Answer all requests; yields `(position, answer)` pairs as soon as they are known, each position once."""
        group: list[Pending] = []
        rows_in_group = 0
        others: list[tuple[int, Request]] = []
        for position, request in enumerate(requests):
            rows = self._lane.read(request) if self._lane else None
            if rows is None:
                others.append((position, request))
                continue
            if group and (not self.joins or rows_in_group + rows.count > self._max_rows):
                yield self._typed(group)
                group, rows_in_group = [], 0
            group.append((position, request, rows))
            rows_in_group += rows.count
        if group:
            yield self._typed(group)
        for position, request in others:
            yield [(position, self._as_mlflow(request))]

    def warm_up(self, model_dir: Path) -> None:
        """Answer the model's own input example, if it has one, and find out whether rows may share a call.

        Raises
        ------
        ModelError
            The model fails on its own example.
        """
        info = self._model.metadata.saved_input_example_info or {}
        path = model_dir / str(info.get("serving_input_path", ""))
        if not path.is_file():
            return
        request = Request(path.read_bytes(), JSON)
        ((_, answer),) = next(self.answer([request]))
        if answer.status != 200:
            message = json.loads(answer.body)["message"] if answer.media_type == JSON else answer.body.decode()
            raise ModelError(f"the model fails on its own input example: {message}")
        rows = self._lane.read(request) if self._lane else None
        self.joins = self.joins and (rows is None or self._independent(rows))

    def _independent(self, rows: Rows) -> bool:
        """Whether the first row gets the same prediction alone and in the company of the others."""
        assert self._lane is not None, "rows come from a lane"
        first = Rows(tuple(cells[:1] for cells in rows.columns), 1)
        alone = jsonable(self._model.predict(self._lane.frame([first])))
        together = jsonable(self._model.predict(self._lane.frame([first, rows])))
        if not isinstance(alone, list) or not isinstance(together, list):
            return False
        return len(alone) == 1 and len(together) == 1 + rows.count and close(alone[0], together[0])

    def _typed(self, group: list[Pending]) -> Answered:
        assert self._lane is not None, "rows come from a lane"
        try:
            frame = self._lane.frame([rows for *_, rows in group])
        except Exception:  # noqa: BLE001 - whatever does not fit the lane is MLflow's to judge
            return [(position, self._as_mlflow(request)) for position, request, _ in group]
        self._on_call(len(frame))
        if len(group) == 1:
            return [(group[0][0], self._alone(frame, group[0][1]))]
        try:
            values = jsonable(self._model.predict(frame))
        except Exception:  # noqa: BLE001 - a model may raise anything; halving finds the request that made it
            middle = len(group) // 2
            return self._typed(group[:middle]) + self._typed(group[middle:])
        if not isinstance(values, list) or len(values) != len(frame):
            self.joins = False
            return [pair for pending in group for pair in self._typed([pending])]
        return self._split(group, values)

    def _alone(self, frame: pd.DataFrame, request: Request) -> Answer:
        from mlflow.exceptions import MlflowException

        try:
            return accepted(jsonable(self._model.predict(frame)))
        except MlflowException:
            return self._as_mlflow(request)  # for the same words
        except Exception as raised:  # noqa: BLE001 - a model may raise anything
            return failed(raised)

    def _split(self, group: list[Pending], values: list[Any]) -> Answered:
        answered: Answered = []
        start = 0
        for position, _, rows in group:
            part = values[start : start + rows.count]
            start += rows.count
            try:
                answered.append((position, accepted(part)))
            except (TypeError, ValueError) as raised:  # this request's predictions are not JSON
                answered.append((position, failed(raised)))
        return answered

    def _as_mlflow(self, request: Request) -> Answer:
        self._on_call(0)
        return answer_as_mlflow(request, self._model, self._schema)


def close(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal but for rounding, which may differ when a model gets more rows at once."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-8) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    return bool(one == other)
