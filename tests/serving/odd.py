"""Odd requests for both protocols, and the model that answers everything its signature allows; for fuzzers."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

MODEL = '''
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Calm(PythonModel):
    """Answers every row that the signature lets in: a model's own failure would be a 500, rightly."""

    def predict(self, context, model_input, params=None):
        return [float(len(str(row))) for row in model_input.itertuples(index=False)]


set_model(Calm())
'''
NAME, VERSION = "calm", "1"
COLUMNS = {"x": 1.5, "n": 3, "flag": True, "text": "a", "short": 0.5}
DATATYPES = {"x": "FP64", "n": "INT64", "flag": "BOOL", "text": "BYTES", "short": "FP32"}
PATHS = ("/invocations", f"/v2/models/{NAME}/infer", f"/v2/models/{NAME}/versions/{VERSION}/infer")
CONTENT_TYPES = (
    "application/json", "application/json", "application/json; charset=utf-8", "application/json; charset=latin-1",
    "application/json; x=1", "text/csv", "text/csv; charset=utf-8", "application/vnd.apache.parquet",
    "application/octet-stream", "text/html", "", ";", "\u00fc", "application/json;;;=", "multipart/form-data",
)  # fmt: skip


def save_model(directory: Path) -> Path:
    """Save the model below a directory; return where."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    types = {"x": "double", "n": "long", "flag": "boolean", "text": "string", "short": "float"}
    source = directory / "calm.py"
    source.write_text(MODEL)
    signature = ModelSignature(
        Schema([ColSpec(kind, name) for name, kind in types.items()]),
        params=ParamSchema([ParamSpec("scale", "double", 1.0)]),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            directory / "model", python_model=str(source), signature=signature, pip_requirements=["mlflow"]
        )
    return directory / "model"


def split() -> dict[str, Any]:
    """A valid body of `/invocations`."""
    return {"dataframe_split": {"columns": list(COLUMNS), "data": [list(COLUMNS.values())] * 2}}


def infer() -> dict[str, Any]:
    """A valid body of the Open Inference Protocol."""
    inputs = [
        {"name": name, "datatype": DATATYPES[name], "shape": [2], "data": [value] * 2}
        for name, value in COLUMNS.items()
    ]
    return {"id": "a", "inputs": inputs, "outputs": [{"name": "predictions"}]}


def valid() -> list[dict[str, Any]]:
    """One valid body of each shape."""
    rows = [dict(COLUMNS)] * 2
    columns = {name: [value] * 2 for name, value in COLUMNS.items()}
    return [split(), {"dataframe_records": rows}, {"instances": rows}, {"inputs": columns}, infer(),
            split() | {"params": {"scale": 2.0}}]  # fmt: skip


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**40, 1e308, -0.0, float("nan"), float("inf")])
    | st.sampled_from(["\ud800", "\x00", ""])
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["dataframe_split", "dataframe_records", "instances", "inputs", "outputs", "params", "parameters", "columns",
     "data", "index", "name", "datatype", "shape", "id", "x", "n", "text", "signature_name", "messages", "prompt"]
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document, from the outside in."""
    found = [path]
    if isinstance(value, dict):
        for key in value:
            found += places(value[key], (*path, key))
    elif isinstance(value, list):
        for position in range(len(value)):
            found += places(value[position], (*path, position))
    return found


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A valid document with up to three places replaced, removed, doubled or renamed."""
    document = json.loads(json.dumps(draw(st.sampled_from(valid()))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from(places(document)))
        if not at:
            continue
        holder = document
        for step in at[:-1]:
            holder = holder[step]
        kind = draw(st.sampled_from(["replace", "replace", "remove", "double", "rename"]))
        if kind == "remove":
            del holder[at[-1]]
        elif kind == "double" and isinstance(holder, list):
            holder.insert(at[-1], holder[at[-1]])
        elif kind == "rename" and isinstance(holder, dict):
            holder[draw(KEYS)] = holder.pop(at[-1])
        else:
            holder[at[-1]] = draw(ANYTHING)
    return document


def dumped(document: Any) -> bytes:
    """JSON as careless clients write it: with NaN, and with lone surrogates."""
    return json.dumps(document).encode()


RAW = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([b"[" * 200_000, b'{"inputs":' * 50_000, b"9" * 10_000, b'{"instances":[' + b"9" * 5000 + b"]}",
                     b'{"dataframe_split":{"columns":["x","x"],"data":[[1,2]]}}', b"PAR1" + b"\x00" * 20 + b"PAR1",
                     b'{"instances":' + b"[" * 500 + b"]" * 500 + b"}", b'{"inputs":1,"inputs":2}', b"\xef\xbb\xbf{}",
                     '{"dataframe_records":[]}'.encode("utf-16"), b"x,n\n1,2,3\n\"", b"x,x,n\n1,2,3\n", b"\xff\xfe"]),
)  # fmt: skip


@st.composite
def cut(draw: st.DrawFn) -> bytes:
    """A valid body that ends too early, or with a few bytes changed."""
    body = bytearray(dumped(draw(st.sampled_from(valid()))))
    for _ in range(draw(st.integers(0, 3))):
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body[: draw(st.integers(0, len(body)))])


BODIES: st.SearchStrategy[bytes] = st.one_of(
    mutated().map(dumped),
    mutated().map(dumped),
    ANYTHING.map(dumped),
    st.dictionaries(KEYS, ANYTHING).map(dumped),
    cut(),
    RAW,
)
#: (path, content type, body)
REQUESTS = st.tuples(st.sampled_from(PATHS), st.sampled_from(CONTENT_TYPES), BODIES)
