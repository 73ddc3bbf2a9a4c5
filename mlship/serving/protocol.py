"""The scoring protocol: what comes in, what goes out, and MLflow's own parser for every request off the fast lane.

Status codes, bodies and error shape are those of `mlflow models serve`, because its own function reads the request. Two
differences are deliberate: an exception inside the model is a 500 (MLflow says 400, so a router could neither fall back
nor count it), and answers never carry a stack trace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import PyFuncModel

JSON = "application/json"
#: Content types that need no parsing of parameters; others are left to MLflow.
PLAIN_JSON = frozenset({JSON, "application/json; charset=utf-8", "application/json;charset=utf-8"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request of the Open Inference Protocol asks of a model, under the name that its answer bears."""

    model: str
    version: str
    describes: bool = False
    """It asks for the model's inputs and outputs, not for predictions."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request for predictions, as it came."""

    body: bytes
    content_type: str | None
    id: str = ""
    v2: Asked | None = None
    """None: a call of `/invocations`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: int
    body: bytes
    media_type: str = JSON
    predictions: list[Any] | None = None
    """One JSON value a row, where the model gave a list; late labels are joined with them."""
    problem: str = ""
    """One line for the log when the model failed; the caller's own faults are not logged."""
    features: Mapping[str, Sequence[Any]] | None = None
    """Columns of the rows by name, where they are known."""


def error(status: int, code: str, message: str, problem: str = "") -> Answer:
    """Answer in MLflow's error shape."""
    return Answer(status, json.dumps({"error_code": code, "message": message}).encode(), problem=problem)


def unavailable(message: str) -> Answer:
    """Answer a request that was not put to the model; it may be sent again."""
    return error(503, "TEMPORARILY_UNAVAILABLE", message)


def too_late() -> Answer:
    """Answer a request whose time ran out while the model worked on it."""
    problem = "the model has not answered within the timeout"
    return error(504, "DEADLINE_EXCEEDED", problem, problem)


def failed(raised: BaseException) -> Answer:
    """Answer for an exception that the model itself raised."""
    problem = f"{type(raised).__name__}: {raised}"
    return error(500, "INTERNAL_ERROR", f"The model failed on this input. {problem}", problem)


def rejected(raised: MlflowException) -> Answer:
    """Answer for what MLflow found wrong with a request; the code and the status are MLflow's."""
    shape = json.loads(raised.serialize_as_json())  # type: ignore[no-untyped-call]  # mlflow is partly typed
    shape.pop("stack_trace", None)
    status = int(raised.get_http_status_code())  # type: ignore[no-untyped-call]  # the same
    return Answer(status, json.dumps(shape).encode(), problem=raised.message if status >= 500 else "")


def jsonable(raw: Any) -> Any:
    """Predictions as MLflow serialises them: arrays as lists, frames and series as records."""
    from mlflow.utils.proto_json_utils import _get_jsonable_obj

    return _get_jsonable_obj(raw, pandas_orient="records")  # type: ignore[no-untyped-call]  # mlflow is partly typed


def columns_of(data: Any) -> dict[str, Sequence[Any]] | None:
    """Columns of a model's input by name, where it has any."""
    import pandas as pd

    if isinstance(data, pd.DataFrame) and data.columns.is_unique:
        return {str(name): data[name].tolist() for name in data}
    if isinstance(data, dict):
        return {str(name): cells.tolist() for name, cells in data.items() if getattr(cells, "ndim", 0) == 1}
    return None


def accepted(values: Any, features: Mapping[str, Sequence[Any]] | None = None) -> Answer:
    """Answer `{"predictions": ...}`, byte for byte as MLflow writes it."""
    from mlflow.utils.proto_json_utils import NumpyEncoder

    body = json.dumps({"predictions": values}, cls=NumpyEncoder).encode()
    return Answer(200, body, predictions=values if isinstance(values, list) else None, features=features)


class Watched:
    """A model that remembers what it got and returned or raised, handed to MLflow's scoring function in its place."""

    def __init__(self, model: PyFuncModel) -> None:
        self._model = model
        self.metadata = model.metadata
        self.called = False
        self.data: Any = None
        self.raised: Exception | None = None
        self.raw: Any = None

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """Predict as the model does."""
        self.called, self.data = True, data
        try:
            self.raw = self._model.predict(data, params=params)
        except Exception as raised:
            self.raised = raised
            raise
        return self.raw


def answer_as_mlflow(request: Request, model: PyFuncModel, schema: Any) -> Answer:
    """Answer one request by MLflow's own scoring function: any content type, any shape, parameters, language models."""
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc.scoring_server import invocations

    if request.content_type is None:  # MLflow fails on this with a bare 500
        return Answer(415, b"The request has no content-type header.", "text/plain")
    watched = Watched(model)
    try:
        response = invocations(  # type: ignore[no-untyped-call]  # mlflow is partly typed
            request.body, request.content_type, watched, schema
        )
    except MlflowException as raised:
        if watched.raised is not None and not isinstance(watched.raised, MlflowException):
            return failed(watched.raised)
        return rejected(raised)
    except Exception as raised:  # noqa: BLE001 - an output that is not JSON, an unhashable key: anything may come
        # Before the model was asked, the request is at fault: numbers of 5,000 digits, lists in lists in lists.
        return failed(raised) if watched.called else error(400, "BAD_REQUEST", f"{type(raised).__name__}: {raised}")
    if response.status != 200:
        return Answer(response.status, response.response.encode(), response.mimetype)
    values = jsonable(watched.raw)
    predictions = values if isinstance(values, list) else None
    features = columns_of(watched.data)
    return Answer(200, response.response.encode(), response.mimetype, predictions, features=features)
