"""Over many models and types, our server answers the bytes that MLflow's own app answers, and what pyfunc predicts."""

from __future__ import annotations

import asyncio
import base64
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlship.serving.app import App, Identity
from mlship.serving.exposition import Described
from mlship.serving.limits import Limits
from mlship.serving.load import load
from mlship.serving.observing import alone as observer
from mlship.serving.scorer import close

from .conftest import Reply, call

pytestmark = pytest.mark.slow  # loads real models

ECHO = '''
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Echo(PythonModel):
    """Answers what it sees: the type and the value of every cell, so that no difference can hide."""

    def predict(self, context, model_input, params=None):
        scale = (params or {}).get("scale", 1.0)
        if not isinstance(model_input, pd.DataFrame):
            return [[repr(model_input.dtype), (row * scale).tolist()] for row in model_input]
        return [
            {name: f"{model_input[name].dtype} {row[name]!r} {scale}" for name in model_input}
            for _, row in model_input.astype(object).iterrows()
        ]


set_model(Echo())
'''
TYPES = ["double", "float", "long", "integer", "boolean", "string", "datetime", "binary"]
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "double": st.floats(allow_nan=False) | st.integers(-(2**53), 2**53),
    "float": st.floats(width=32, allow_nan=False),
    "long": st.integers(-(2**63), 2**63 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "boolean": st.booleans(),
    "string": st.text(max_size=5),
    "datetime": st.datetimes().map(lambda moment: moment.replace(year=2000 + moment.year % 100).isoformat()),
    "binary": st.binary(max_size=4).map(lambda raw: base64.b64encode(raw).decode()),
}
ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just([1])


def save_echo(directory: Path, inputs: Any, *, params: bool = False) -> Path:
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec

    source = directory / "echo.py"
    source.write_text(ECHO)
    scale = ParamSchema([ParamSpec("scale", "double", 1.0)])
    signature = ModelSignature(inputs, params=scale) if params else ModelSignature(inputs)
    mlflow.pyfunc.save_model(
        directory / "model",
        python_model=str(source),
        signature=signature,
        pip_requirements=["mlflow"],
    )
    return directory / "model"


def save_lightgbm(directory: Path) -> Path:
    import mlflow.lightgbm
    import numpy as np
    import pandas as pd
    from lightgbm import LGBMClassifier
    from mlflow.models import infer_signature

    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"double": rng.normal(size=200), "long": rng.integers(0, 9, 200)})
    model = LGBMClassifier(n_estimators=5, verbose=-1).fit(rows, rows["double"] > 0)
    mlflow.lightgbm.save_model(
        model, directory / "model", signature=infer_signature(rows, model.predict(rows)), pip_requirements=["lightgbm"]
    )
    return directory / "model"


def save_scaler(directory: Path) -> Path:
    """A regressor of one tensor with four numbers a row."""
    import mlflow.sklearn
    import numpy as np
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    rows = np.random.default_rng(0).normal(size=(40, 4))
    model = LinearRegression().fit(rows, rows @ np.array([[1.0, 2.0], [0.5, 0.1], [3.0, 1.0], [0.0, 4.0]]))
    mlflow.sklearn.save_model(
        model, directory / "model", signature=infer_signature(rows, model.predict(rows)),
        pip_requirements=["scikit-learn"],
    )  # fmt: skip
    return directory / "model"


Both = Callable[[list[tuple[Any, str]]], list[tuple[Reply, Reply, Reply]]]


def pair(path: Path) -> Both:
    """Sends requests: -> for each (ours when all came at once, ours when it came alone, MLflow's)."""
    import mlflow.pyfunc
    from mlflow.pyfunc import scoring_server

    scorer, version = load(path, lambda _: None)
    theirs = scoring_server.init(mlflow.pyfunc.load_model(str(path)))

    def both(requests: list[tuple[Any, str]]) -> list[tuple[Reply, Reply, Reply]]:
        async def scenario() -> list[tuple[Reply, Reply, Reply]]:
            app = App(Identity("m", "1", "d"), observer(Described("m", "1", "d"), None), Limits(timeout=60))
            app.ready(scorer.answer, version)

            async def post(to: Any, request: tuple[Any, str]) -> Reply:
                return await call(to, "/invocations", request[0], headers={"content-type": request[1]})

            together = await asyncio.gather(*(post(app, request) for request in requests))
            alone = [await post(app, request) for request in requests]
            return list(zip(together, alone, [await post(theirs, request) for request in requests], strict=True))

        return asyncio.run(scenario())

    return both


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, classifier: Path, regressor: Path) -> Iterator[dict[str, Both]]:
    from mlflow.types import ColSpec, Schema, TensorSpec

    def new(name: str) -> Path:
        return tmp_path_factory.mktemp(name)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import numpy as np

        columns = Schema([ColSpec(kind, kind) for kind in TYPES])
        plain = Schema([ColSpec(kind, kind) for kind in TYPES[:6]])
        optional = Schema([ColSpec("double", "double"), ColSpec("string", "string", required=False)])
        tensor = Schema([TensorSpec(np.dtype("float32"), (-1, 2))])
        yield {
            "all types": pair(save_echo(new("all"), columns)),
            "lane types": pair(save_echo(new("plain"), plain)),
            "params": pair(save_echo(new("params"), plain, params=True)),
            "optional": pair(save_echo(new("optional"), optional)),
            "tensor": pair(save_echo(new("tensor"), tensor)),
            "classifier": pair(classifier),
            "regressor": pair(regressor),
            "lightgbm": pair(save_lightgbm(new("lightgbm"))),
            "scaler": pair(save_scaler(new("scaler"))),
        }


def assert_same(ours: Reply, theirs: Reply) -> None:
    """Equal but for the two deliberate differences: no stack traces, and no 400 for what the model raised."""
    if ours.status == 500:
        assert theirs.status in (400, 500)
    elif theirs.status == 500:
        assert ours.status == 400, ours
    elif ours.status == 200 or ours.headers["content-type"] != "application/json":
        assert (ours.status, ours.body) == (theirs.status, theirs.body)
    else:
        expected = theirs.json
        expected.pop("stack_trace", None)
        assert (ours.status, ours.json) == (theirs.status, expected)


def assert_rounded(together: Reply, alone: Reply) -> None:
    """Equal but for the last digits: a product of matrices is rounded otherwise when it has more rows."""
    if together.body != alone.body:
        assert (together.status, alone.status) == (200, 200)
        assert close(together.json, alone.json)


def document(draw: st.DrawFn, names: list[str], cells: dict[str, st.SearchStrategy[Any]]) -> Any:
    odd = draw(st.sampled_from([None] * 4 + names))
    row = st.fixed_dictionaries({name: (cells[name] | ODD) if name == odd else cells[name] for name in names})
    rows = draw(st.lists(row, min_size=1, max_size=3))
    ordered = draw(st.permutations(names))
    kind = draw(st.sampled_from(["split", "records", "instances", "inputs", "csv"]))
    if kind == "csv":
        lines = [",".join(ordered), *(",".join(str(row[name]) for name in ordered) for row in rows)]
        return "\n".join(lines) + "\n", "text/csv"
    if kind == "split":
        made: Any = {"dataframe_split": {"columns": ordered, "data": [[row[name] for name in ordered] for row in rows]}}
    elif kind == "inputs":
        made = {"inputs": {name: [row[name] for row in rows] for name in ordered}}
    else:
        made = {
            "dataframe_records" if kind == "records" else kind: [{name: row[name] for name in ordered} for row in rows]
        }
    if draw(st.sampled_from([False, False, True])):
        made["params"] = draw(st.sampled_from([{"scale": 2.5}, {"scale": "x"}, {"other": 1}, {}, None, 3]))
    return made, "application/json"


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, list[tuple[Any, str]]]:
    """A model's name, and some requests that its server gets at the same time."""
    name, columns = draw(
        st.sampled_from(
            [
                ("all types", TYPES),
                ("lane types", TYPES[:6]),
                ("params", TYPES[:6]),
                ("optional", ["double", "string"]),
                ("classifier", ["carrier", "hour", "delay", "night"]),
                ("regressor", ["a", "b"]),
                ("lightgbm", ["double", "long"]),
            ]
        )
    )
    finite = st.floats(-1e6, 1e6)
    cells = CELLS | {"carrier": st.sampled_from(["AA", "ZZ"]), "hour": st.integers(0, 23), "delay": finite,
                     "night": st.booleans(), "a": finite, "b": finite}  # fmt: skip
    return name, [document(draw, columns, cells) for _ in range(draw(st.integers(1, 4)))]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests())
def test_every_answer_is_mlflows_answer(models: dict[str, Both], drawn: tuple[str, list[tuple[Any, str]]]) -> None:
    name, sent = drawn
    for together, alone, theirs in models[name](sent):
        assert_same(alone, theirs)
        assert_rounded(together, alone)


NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-9, 9)
ARRAYS = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.lists(NUMBERS, min_size=width, max_size=width), min_size=1, max_size=3)
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["tensor", "scaler"]),
    st.sampled_from(["instances", "inputs"]),
    st.lists(ARRAYS | ODD, min_size=1, max_size=4),
)
def test_a_model_of_one_tensor_answers_as_mlflow(models: dict[str, Both], name: str, key: str, sent: list[Any]) -> None:
    if name == "scaler":
        sent = [
            [(row * 4)[:4] for row in one] if isinstance(one, list) and one and isinstance(one[0], list) else one
            for one in sent
        ]
    for together, alone, theirs in models[name]([({key: one}, "application/json") for one in sent]):
        assert_same(alone, theirs)
        assert_rounded(together, alone)


def test_typed_rows_of_a_tensor_share_a_call(tmp_path: Path) -> None:
    """The property above would also hold for a lane that never takes anything."""
    from mlship.serving.protocol import JSON, Request

    calls: list[int] = []
    scorer, _ = load(save_scaler(tmp_path), calls.append)
    body = json.dumps({"instances": [[1, 2, 3, 4.5]]}).encode()
    list(scorer.answer([Request(body, JSON)] * 5))
    assert calls == [5]


def test_predictions_are_those_of_pyfunc(classifier: Path) -> None:
    import mlflow.pyfunc
    import pandas as pd

    rows = pd.DataFrame({"carrier": ["AA", "UA", "B6"], "hour": [1, 12, 23], "delay": [-5.0, 20.5, 80.25],
                         "night": [True, False, False]})  # fmt: skip
    expected = mlflow.pyfunc.load_model(str(classifier)).predict(rows).tolist()
    requests = [({"dataframe_records": [row]}, "application/json") for row in rows.to_dict(orient="records")]
    assert [ours.json["predictions"][0] for ours, *_ in pair(classifier)(requests)] == expected
