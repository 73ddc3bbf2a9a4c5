"""Real MLflow models in a directory each, and a client that talks ASGI to an app in this process."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PICKY = '''
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Picky(PythonModel):
    """Doubles x, counts nothing, and cannot stand 13; its output follows `mode`."""

    def predict(self, context, model_input, params=None):
        if (model_input["x"] == 13).any():
            raise ValueError("thirteen\\nis not\\na number")
        doubled = (model_input["x"] * 2).tolist()
        mode = (params or {}).get("mode", "MODE")
        if mode == "sum":
            return [sum(doubled)]
        if mode == "frame":
            return pd.DataFrame({"y": doubled, "name": model_input["name"]})
        if mode == "centred":
            return (model_input["x"] - model_input["x"].mean()).tolist()
        if mode == "unserialisable":
            return [object() for _ in doubled]
        return doubled


set_model(Picky())
'''


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def call(
    app: Any, path: str, body: bytes | str | Any = b"", *, method: str = "POST", headers: dict[str, str] | None = None
) -> Reply:
    """Send one request to an ASGI app; what is neither text nor bytes goes as JSON."""
    sent = headers if headers is not None else {"content-type": "application/json"}
    data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    messages: list[dict[str, Any]] = []
    incoming = [{"type": "http.request", "body": data, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop(0)
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # never comes

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
    }
    await app(scope, receive, send)
    start = next(message for message in messages if message["type"] == "http.response.start")
    replied = {name.decode(): value.decode() for name, value in start["headers"]}
    return Reply(start["status"], replied, b"".join(message.get("body", b"") for message in messages))


@pytest.fixture(scope="session")
def save_picky() -> Callable[..., Path]:
    """Saves the Python model above: (directory, mode="", example=True) -> model directory."""

    def save(directory: Path, mode: str = "", *, example: bool = True, signature: bool = True) -> Path:
        import mlflow.pyfunc
        import pandas as pd
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

        source = directory / "picky.py"
        source.write_text(PICKY.replace("MODE", mode))
        schema = Schema([ColSpec("double", "x"), ColSpec("string", "name")])
        params = ParamSchema([ParamSpec("mode", "string", mode)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.pyfunc.save_model(
                directory / "model",
                python_model=str(source),
                signature=ModelSignature(schema, params=params) if signature else None,
                input_example=pd.DataFrame({"x": [1.5, 2.5], "name": ["a", "b"]}) if example else None,
                pip_requirements=["mlflow"],
            )
        return directory / "model"

    return save


@pytest.fixture(scope="session")
def picky(save_picky: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that cannot stand 13."""
    return save_picky(tmp_path_factory.mktemp("picky"))


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with a string, a long, a double and a boolean column."""
    import mlflow.sklearn
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "carrier": rng.choice(["AA", "B6", "UA"], 300),
            "hour": rng.integers(0, 24, 300),
            "delay": rng.normal(10, 30, 300),
            "night": rng.random(300) < 0.2,
        }
    )
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = make_pipeline(
        make_column_transformer((encoder, ["carrier"]), remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=10, random_state=0),
    ).fit(rows, (rows["delay"] + rows["hour"] > 25).astype("int64"))
    path = tmp_path_factory.mktemp("classifier") / "model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            model,
            path,
            signature=infer_signature(rows, model.predict(rows)),
            input_example=rows.head(2),
            serialization_format="cloudpickle",
            pip_requirements=["scikit-learn"],
        )
    return path


@pytest.fixture(scope="session")
def regressor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear regressor on two doubles, without an input example, in MLflow's default format."""
    import mlflow.sklearn
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"a": rng.normal(size=50), "b": rng.normal(size=50)})
    model = LinearRegression().fit(rows, rows["a"] * 2 - rows["b"])
    path = tmp_path_factory.mktemp("regressor") / "model"
    mlflow.sklearn.save_model(
        model, path, signature=infer_signature(rows, model.predict(rows)), pip_requirements=["scikit-learn"]
    )
    return path


@pytest.fixture(autouse=True)
def _same_collector() -> Iterator[None]:
    """Loading freezes the garbage collector's view, which is right for a server and odd for a test run."""
    import gc

    yield
    gc.unfreeze()
