"""The Open Inference Protocol: by its specification in this process, and with Triton's own client over HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlship.serving.app import App, Identity
from mlship.serving.exposition import Described
from mlship.serving.limits import Limits
from mlship.serving.load import load
from mlship.serving.observing import alone
from mlship.serving.protocol import JSON, Asked, Request

from .conftest import call

pytestmark = pytest.mark.slow  # loads real models

INFER = "/v2/models/late/infer"


def tensor(name: str, datatype: str, data: list[Any], shape: list[int] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data, **more}


def row(**changed: Any) -> dict[str, Any]:
    tensors = {
        "carrier": tensor("carrier", "BYTES", ["AA", "ZZ"]),
        "hour": tensor("hour", "INT64", [7, 23]),
        "delay": tensor("delay", "FP64", [33.5, -4]),
        "night": tensor("night", "BOOL", [False, True]),
    } | changed
    return {"inputs": [one for one in tensors.values() if one is not None]}


def run(path: Path, scenario: Callable[[App], Awaitable[None]]) -> None:
    scorer, version = load(path, lambda _: None)

    async def main() -> None:
        app = App(Identity("late", "7", "sha256:abc"), alone(Described("late", "7", "sha256:abc"), None), Limits())
        app.ready(scorer.answer, version)
        await scenario(app)

    asyncio.run(main())


def test_the_server_the_model_and_their_health(classifier: Path) -> None:
    async def scenario(app: App) -> None:
        expected = {
            "/v2": {"name": "mlship", "version": "7", "extensions": []},
            "/v2/health/live": {"live": True},
            "/v2/health/ready": {"ready": True},
            "/v2/models/late/ready": {"name": "late", "ready": True},
            "/v2/models/late/versions/7/ready": {"name": "late", "ready": True},
        }
        for path, document in expected.items():
            reply = await call(app, path, method="GET")
            assert (reply.status, reply.json) == (200, document), path
        for path in ("/v2/models/late", "/v2/models/late/versions/7"):
            assert (await call(app, path, method="GET")).json == {
                "name": "late",
                "versions": ["7"],
                "platform": "mlflow_pyfunc",
                "inputs": [
                    {"name": "carrier", "datatype": "BYTES", "shape": [-1]},
                    {"name": "hour", "datatype": "INT64", "shape": [-1]},
                    {"name": "delay", "datatype": "FP64", "shape": [-1]},
                    {"name": "night", "datatype": "BOOL", "shape": [-1]},
                ],
                "outputs": [{"name": "predictions", "datatype": "INT64", "shape": [-1]}],
            }
        app.drain()
        assert (await call(app, "/v2/health/live", method="GET")).status == 200
        for path in ("/v2/health/ready", "/v2/models/late/ready"):
            reply = await call(app, path, method="GET")
            assert (reply.status, set(reply.json)) == (503, {"error"})

    run(classifier, scenario)


def test_named_tensors_are_answered_like_rows(classifier: Path) -> None:
    async def scenario(app: App) -> None:
        records = [
            {"carrier": "AA", "hour": 7, "delay": 33.5, "night": False},
            {"carrier": "ZZ", "hour": 23, "delay": -4.0, "night": True},
        ]
        expected = (await call(app, "/invocations", {"dataframe_records": records})).json["predictions"]
        for path in (INFER, "/v2/models/late/versions/7/infer"):
            reply = await call(app, path, row() | {"id": "mine"})
            assert (reply.status, reply.headers["x-mlship-version"]) == (200, "7")
            assert reply.json == {
                "model_name": "late",
                "model_version": "7",
                "id": "mine",
                "outputs": [{"name": "predictions", "datatype": "INT64", "shape": [2], "data": expected}],
            }
        carriers = [["AA"], ["ZZ"]]
        nested = row(
            carrier=tensor("carrier", "BYTES", carriers, [2, 1]),
            hour=tensor("hour", "INT64", [7, 23], [2, 1]),
        )
        assert (await call(app, INFER, nested)).json["outputs"][0]["data"] == expected
        narrow = row(hour=tensor("hour", "INT32", [7, 23]), delay=tensor("delay", "FP32", [33.5, -4]))
        assert (await call(app, INFER, narrow)).json["outputs"][0]["data"] == expected, "MLflow widens them"
        missing = row(delay=tensor("delay", "FP64", [None, -4]))
        assert (await call(app, INFER, missing)).status == 200

    run(classifier, scenario)


WRONG: dict[str, tuple[Any, str]] = {
    "not json": ("{", "not JSON"),
    "empty": ("", "empty"),
    "a list": ([1], "JSON object"),
    "no inputs": ({}, "`inputs`"),
    "inputs of numbers": ({"inputs": [1]}, "inputs[0]"),
    "no name": ({"inputs": [{"shape": [1]}]}, "`name`"),
    "no such datatype": (row(hour=tensor("hour", "INT65", [1, 2])), "`datatype` must be one of BOOL"),
    "no shape": (row(hour={"name": "hour", "datatype": "INT64", "data": [1, 2]}), "`shape`"),
    "a negative shape": (row(hour=tensor("hour", "INT64", [1, 2], [-1])), "`shape`"),
    "a shape of words": (row(hour=tensor("hour", "INT64", [1, 2], ["two"])), "`shape`"),  # type: ignore[list-item]  # on purpose
    "too little data": (row(hour=tensor("hour", "INT64", [1], [2])), "has 1 elements"),
    "a fraction in integers": (row(hour=tensor("hour", "INT64", [1.5, 2])), "not of datatype INT64"),
    "text in numbers": (row(delay=tensor("delay", "FP64", ["a", 2])), "not of datatype FP64"),
    "an integer out of range": (row(hour=tensor("hour", "INT64", [2**63, 2])), "hour"),
    "a byte out of range": (row(hour=tensor("hour", "UINT8", [256, 2])), "hour"),
    "twice the same": ({"inputs": [tensor("hour", "INT64", [1])] * 2}, "same name"),
    "an unknown input": (row(gate=tensor("gate", "BYTES", ["A", "B"])), "no input 'gate'"),
    "an input missing": (row(hour=None), "'hour' is missing"),
    "rows that differ": (row(hour=tensor("hour", "INT64", [1, 2, 3])), "same number of rows"),
    "no rows": (
        {"inputs": [tensor(n, "INT64", [], [0]) for n in ("carrier", "hour", "delay", "night")]},
        "one at least",
    ),
    "a type that does not fit": (row(carrier=tensor("carrier", "INT64", [1, 2])), "carrier"),
    "binary data": (row(hour=tensor("hour", "INT64", [1, 2], parameters={"binary_data_size": 16})), "binary"),
    "an unknown output": (row() | {"outputs": [{"name": "score"}]}, "no output 'score', only predictions"),
    "outputs of numbers": (row() | {"outputs": [1]}, "`outputs`"),
    "an id of numbers": (row() | {"id": 3}, "`id`"),
    "a matrix": ({"inputs": [tensor("x", "FP64", [1.0] * 4, [1, 4])]}, "columns of one type"),
}


def test_what_is_wrong_is_a_400_in_the_protocols_shape(classifier: Path) -> None:
    async def scenario(app: App) -> None:
        for name, (body, expected) in WRONG.items():
            reply = await call(app, INFER, body)
            assert (reply.status, set(reply.json)) == (400, {"error"}), (name, reply)
            assert expected in reply.json["error"], (name, reply.json)
        binary = {"content-type": "application/octet-stream", "inference-header-content-length": "3"}
        reply = await call(app, INFER, "{}\x00", headers=binary)
        assert (reply.status, "binary_data=False" in reply.json["error"]) == (415, True)
        for path in ("/v2/models/other", "/v2/models/late/versions/8", "/v2/models/late/versions", "/v2/nothing",
                     "/v2/", "/v2/models", "/v2/models/late/explain"):  # fmt: skip
            reply = await call(app, path, method="GET")
            assert (reply.status, set(reply.json)) == (404, {"error"}), path
        assert (await call(app, INFER, method="GET")).status == 405
        assert (await call(app, "/v2/models/late", method="DELETE")).status == 405

    run(classifier, scenario)


def test_a_model_that_raises_is_a_500_and_its_neighbours_are_answered(picky: Path) -> None:
    async def scenario(app: App) -> None:
        def body(value: float) -> dict[str, Any]:
            return {"inputs": [tensor("x", "FP64", [value]), tensor("name", "BYTES", ["n"])]}

        replies = await asyncio.gather(*(call(app, INFER, body(value)) for value in (1.0, 13.0, 2.0)))
        assert [reply.status for reply in replies] == [200, 500, 200]
        assert "thirteen" in replies[1].json["error"]
        parameters = body(3.0) | {"parameters": {"mode": "frame", "binary_data_output": True}}
        assert (await call(app, INFER, parameters)).json["outputs"] == [
            {"name": "y", "datatype": "FP64", "shape": [1], "data": [6.0]},
            {"name": "name", "datatype": "BYTES", "shape": [1], "data": ["n"]},
        ]
        only = parameters | {"outputs": [{"name": "name", "parameters": {"binary_data": True}}]}
        assert [output["name"] for output in (await call(app, INFER, only)).json["outputs"]] == ["name"]

    run(picky, scenario)


def test_both_protocols_share_a_model_call(regressor: Path) -> None:
    calls: list[int] = []
    scorer, _ = load(regressor, calls.append)
    asked = Asked("late", "7")
    matrix = json.dumps({"inputs": [tensor("x", "FP64", [1, 2, 3.5, 4], [2, 2])]}).encode()
    named = json.dumps({"inputs": [tensor("b", "FP64", [2]), tensor("a", "FP64", [1])]}).encode()
    rows = json.dumps({"dataframe_split": {"columns": ["a", "b"], "data": [[3.5, 4]]}}).encode()
    requests = [Request(matrix, None, v2=asked), Request(named, None, v2=asked), Request(rows, JSON)]
    answers = dict(pair for group in scorer.answer(requests) for pair in group)
    assert calls == [4]
    first, second, third = (json.loads(answers[position].body) for position in range(3))
    assert first["outputs"][0]["data"] == [*second["outputs"][0]["data"], *third["predictions"]]
    assert answers[0].features == {"a": [1, 3.5], "b": [2, 4]}


def test_models_of_tensors_and_without_a_signature(tmp_path: Path) -> None:
    import mlflow.sklearn
    import numpy as np
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    rows = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    model = LinearRegression().fit(rows, rows @ np.array([[1.0, 2.0], [0.5, 0.1], [3.0, 1.0]], "float32"))
    requirements = ["scikit-learn"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(rows, model.predict(rows))
        mlflow.sklearn.save_model(model, tmp_path / "tensor", signature=signature, pip_requirements=requirements)
        mlflow.sklearn.save_model(model, tmp_path / "bare", pip_requirements=requirements)
    expected = model.predict(rows[:2])

    for name, described in (("tensor", [{"name": "input", "datatype": "FP32", "shape": [-1, 3]}]), ("bare", [])):

        async def scenario(app: App, described: list[Any] = described) -> None:
            sent = {"inputs": [tensor("anything", "FP32", rows[:2].ravel().tolist(), [2, 3])]}
            output = (await call(app, INFER, sent)).json["outputs"][0]
            assert output["shape"] == [2, 2]
            assert np.allclose(np.reshape(output["data"], (2, 2)), expected, rtol=1e-4)
            assert (await call(app, "/v2/models/late", method="GET")).json["inputs"] == described
            wide = {"inputs": [tensor("anything", "FP32", [1.0] * 4, [1, 4])]}
            assert (await call(app, INFER, wide)).status == (400 if described else 500)

        run(tmp_path / name, scenario)


@pytest.fixture(scope="module")
def port(regressor: Path) -> Iterator[int]:
    """A real server of the regressor under the name `late`."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        chosen = int(probe.getsockname()[1])
    named = ["--name", "late", "--version", "7", "--digest", "sha256:0", "--listen", f"127.0.0.1:{chosen}"]
    command = [sys.executable, "-m", "mlship.serving", "--model-dir", str(regressor), *named]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield chosen
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_tritons_client_finds_everything(port: int) -> None:
    client_library = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
    import numpy as np

    client = client_library.InferenceServerClient(f"127.0.0.1:{port}")
    deadline = time.monotonic() + 60
    while True:
        try:
            if client.is_server_ready():
                break
        except ConnectionError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert client.is_server_live()
    assert client.is_model_ready("late")
    assert client.is_model_ready("late", "7")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["name"] == "mlship"
    assert [one["name"] for one in client.get_model_metadata("late")["inputs"]] == ["a", "b"]

    inputs = []
    for name, values in (("a", [1.0, 2.0]), ("b", [0.5, 0.0])):
        one = client_library.InferInput(name, [2], "FP64")
        one.set_data_from_numpy(np.array(values), binary_data=False)
        inputs.append(one)
    wanted = client_library.InferRequestedOutput("predictions", binary_data=False)
    for outputs in (None, [wanted]):
        result = client.infer("late", inputs, outputs=outputs, request_id="mine")
        assert np.allclose(result.as_numpy("predictions"), [1.5, 4.0])
        assert result.get_response()["id"] == "mine"
    matrix = client_library.InferInput("x", [2, 2], "FP64")
    matrix.set_data_from_numpy(np.array([[1.0, 0.5], [2.0, 0.0]]), binary_data=False)
    assert np.allclose(client.infer("late", [matrix]).as_numpy("predictions"), [1.5, 4.0])

    inputs[0].set_data_from_numpy(np.array([1.0, 2.0]), binary_data=True)
    with pytest.raises(client_library.InferenceServerException, match="binary_data=False"):
        client.infer("late", inputs)
    client.close()
