"""Answers a batch of requests with as few model calls as is safe; plain synchronous code for one worker thread."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import ModelError
from mlship.serving.blocks import lane_of
from mlship.serving.calling import caller
from mlship.serving.inference import Direct, Reader
from mlship.serving.protocol import (
    JSON,
    Answer,
    Asked,
    Request,
    accepted,
    answer_as_mlflow,
    columns_of,
    error,
    failed,
    jsonable,
    rejected,
)
from mlship.serving.rows import Rows
from mlship.serving.tensors import Inference, Refused

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

#: Most rows put into one model call by joining requests. One request may hold more: it is never cut.
MAX_ROWS = 1024
#: Joined calls whose answers are proved before anybody gets one: the first so many, then every so many-th.
PROVED, SELDOM = 16, 256

Answered = list[tuple[int, Answer]]

log = logging.getLogger("mlship.serving")


class Pending:
    """A request whose rows may share a call."""

    __slots__ = ("inference", "position", "request", "rows")

    def __init__(self, position: int, request: Request, rows: Rows, inference: Inference | None = None) -> None:
        self.position = position
        self.request = request
        self.rows = rows
        self.inference = inference


class Scorer:
    """A loaded model behind the protocols. Not thread-safe: one worker thread uses it.

    Parameters
    ----------
    model
        The pyfunc model.
    max_rows
        Most rows in one joined model call.
    on_call
        Told the number of rows of each model call of the fast lane, or 0 for a request that has a call of its own.
    """

    def __init__(
        self, model: PyFuncModel, *, max_rows: int = MAX_ROWS, on_call: Callable[[int], None] = lambda _: None
    ) -> None:
        self._model = model
        self._schema = model.metadata.get_input_schema()  # type: ignore[no-untyped-call]  # mlflow is partly typed
        self._lane = lane_of(model.metadata)
        self._reader = Reader(model.metadata, self._lane)
        self._call = caller(model)
        self._max_rows = max_rows
        self._on_call = on_call
        self._joined = 0
        self.joins = self._lane is not None
        """Whether rows of several requests share a model call; once it proved unsafe, never again."""

    def answer(self, requests: Sequence[Request]) -> Iterator[Answered]:
        """Answer all requests; yields `(position, answer)` pairs as soon as they are known, each position once."""
        group: list[Pending] = []
        rows_in_group = 0
        alone: list[Callable[[], tuple[int, Answer]]] = []
        for position, request in enumerate(requests):
            read = self._read(position, request)
            if not isinstance(read, Pending):
                alone.append(read)
                continue
            if group and (not self.joins or rows_in_group + read.rows.count > self._max_rows):
                yield self._typed(group)
                group, rows_in_group = [], 0
            group.append(read)
            rows_in_group += read.rows.count
        if group:
            yield self._typed(group)
        for answer in alone:
            yield [answer()]

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
        first = replace(rows, columns=tuple(cells[:1] for cells in rows.columns), count=1)
        alone = jsonable(self._call(self._lane.frame([first])))
        together = jsonable(self._call(self._lane.frame([first, rows])))
        if not isinstance(alone, list) or not isinstance(together, list):
            return False
        return len(alone) == 1 and len(together) == 1 + rows.count and close(alone[0], together[0])

    def _read(self, position: int, request: Request) -> Pending | Callable[[], tuple[int, Answer]]:
        """The rows of a request that may share a call; else what answers it."""
        asked = request.v2
        if asked is None:
            rows = self._lane.read(request) if self._lane else None
            return Pending(position, request, rows) if rows else lambda: (position, self._as_mlflow(request))
        if asked.describes:
            return lambda: (position, self._reader.describe(asked))
        try:
            read, inference = self._reader.read(request)
        except Refused as refused:
            answer = error(400, "BAD_REQUEST", str(refused))
            return lambda: (position, answer)
        if isinstance(read, Direct):
            return lambda: (position, self._direct(read, asked))
        return Pending(position, request, read, inference)

    def _typed(self, group: list[Pending]) -> Answered:
        assert self._lane is not None, "rows come from a lane"
        try:
            frame = self._lane.frame([pending.rows for pending in group])
        except Exception:  # noqa: BLE001 - whatever does not fit the lane is for the slower ways to judge
            return [(pending.position, self._slowly(pending)) for pending in group]
        self._on_call(len(frame))
        if len(group) == 1:
            return [(group[0].position, self._alone(frame, group[0]))]
        try:
            values = jsonable(self._call(frame))
        except Exception:  # noqa: BLE001 - a model may raise anything; halving finds the request that made it
            middle = len(group) // 2
            return self._typed(group[:middle]) + self._typed(group[middle:])
        if not isinstance(values, list) or len(values) != len(frame) or not self._proved(group, values):
            log.warning("answers depend on the rows beside them: from now on every request has a model call of its own")
            self.joins = False
            return [pair for pending in group for pair in self._typed([pending])]
        return self._split(group, values)

    def _proved(self, group: list[Pending], values: list[Any]) -> bool:
        """Whether the first and the last request of a joined call would have got the same answers alone.

        The model's own example tells less: there may be none, or one row that is its own mean, or rows in order.
        """
        assert self._lane is not None, "rows come from a lane"
        self._joined += 1
        if self._joined > PROVED and self._joined % SELDOM:
            return True
        first, last = group[0].rows, group[-1].rows
        for rows, together in ((first, values[: first.count]), (last, values[-last.count :])):
            try:
                alone = jsonable(self._call(self._lane.frame([rows])))
            except Exception:  # noqa: BLE001 - it needs company, whatever it says
                return False
            if not isinstance(alone, list) or not close(alone, together, slack=_SLACK * _largest(values)):
                return False
        return True

    def _alone(self, frame: Any, pending: Pending) -> Answer:
        from mlflow.exceptions import MlflowException

        try:
            return self._accepted(pending, jsonable(self._call(frame)))
        except MlflowException:
            return self._slowly(pending)  # for the same words
        except Exception as raised:  # noqa: BLE001 - a model may raise anything
            return failed(raised)

    def _split(self, group: list[Pending], values: list[Any]) -> Answered:
        answered: Answered = []
        start = 0
        for pending in group:
            part = values[start : start + pending.rows.count]
            start += pending.rows.count
            try:
                answered.append((pending.position, self._accepted(pending, part)))
            except (TypeError, ValueError) as raised:  # this request's predictions are not JSON
                answered.append((pending.position, failed(raised)))
        return answered

    def _accepted(self, pending: Pending, values: Any) -> Answer:
        assert self._lane is not None, "rows come from a lane"
        features = self._lane.features(pending.rows)
        if pending.inference is None:
            return accepted(values, features)
        assert pending.request.v2 is not None, "read as such"
        try:
            return self._reader.accepted(pending.inference, pending.request.v2, values, features)
        except Refused as refused:
            return error(400, "BAD_REQUEST", str(refused))

    def _slowly(self, pending: Pending) -> Answer:
        if pending.inference is None:
            return self._as_mlflow(pending.request)
        assert pending.request.v2 is not None, "read as such"
        try:
            direct = self._reader.direct(pending.inference)
        except Refused as refused:
            return error(400, "BAD_REQUEST", str(refused))
        return self._direct(direct, pending.request.v2)

    def _direct(self, direct: Direct, asked: Asked) -> Answer:
        from mlflow.exceptions import MlflowException

        self._on_call(0)
        try:
            raw = self._model.predict(direct.data, params=direct.params)
            values = json.loads(accepted(jsonable(raw)).body)["predictions"]
            return self._reader.accepted(direct.inference, asked, values, columns_of(direct.data))
        except Refused as refused:
            return error(400, "BAD_REQUEST", str(refused))
        except MlflowException as raised:
            return rejected(raised)
        except Exception as raised:  # noqa: BLE001 - a model may raise anything
            return failed(raised)

    def _as_mlflow(self, request: Request) -> Answer:
        self._on_call(0)
        return answer_as_mlflow(request, self._model, self._schema)


#: What rounding in 32 bits may change, as a share of the largest number of a call: small ones are differences of large.
_SLACK = 1e-5


def close(one: Any, other: Any, slack: float = 1e-8) -> bool:
    """Whether two JSON values are equal but for rounding, which may differ when a model gets more rows at once."""
    if isinstance(one, float) and isinstance(other, float):
        equal = one == other or (math.isnan(one) and math.isnan(other))
        return equal or math.isclose(one, other, rel_tol=1e-5, abs_tol=slack)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(close(*pair, slack) for pair in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key], slack) for key in one)
    return bool(one == other)


def _largest(value: Any) -> float:
    """The largest finite float in a JSON value, without its sign."""
    if isinstance(value, float):
        return abs(value) if math.isfinite(value) else 0.0
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max(map(_largest, parts), default=0.0)
