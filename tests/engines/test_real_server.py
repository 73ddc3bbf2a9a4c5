"""The local engine with mlship's own model server: real model, real labels, real counters."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

from mlship.engines import processes
from mlship.engines.front import Front
from mlship.engines.local import LocalEngine
from mlship.engines.options import ServerOptions, Setup
from mlship.engines.start import serving
from mlship.errors import EngineError
from mlship.home import Home
from mlship.telemetry.windows import observe
from mlship.types import Release, Routes
from tests.conftest import FEATURES
from tests.engines.support import free_port

if TYPE_CHECKING:
    import pandas as pd

pytestmark = pytest.mark.slow


def test_predictions_and_their_labels_come_round(
    tmp_path: Path, flights: pd.DataFrame, train: Callable[..., Any]
) -> None:
    """A real model serves flights through the router; a label sent to stable is joined by whoever made the prediction;
    a model that cannot be loaded says why and changes nothing."""
    import mlflow

    rows = flights.iloc[:2000]
    model = tmp_path / "model"
    mlflow.sklearn.save_model(train(rows), model, serialization_format="cloudpickle")
    releases = [Release("flight-delay", version, f"sha256:{version * 64}", model) for version in ("1", "2")]
    setup = Setup(Front(f"127.0.0.1:{free_port()}", 5.0))
    engine = LocalEngine(
        Home(tmp_path / ".mlship"), "flight-delay", setup, command=serving(ServerOptions(log_sample=1.0))
    )
    try:
        stable, canary = [engine.deploy(release) for release in releases]
        for server in (stable, canary):
            engine.wait_ready(server, 90)
        broken = engine.deploy(Release("flight-delay", "3", "sha256:" + "3" * 64, tmp_path / "nowhere"))
        with pytest.raises(EngineError, match=r"(?s)version 3 ended while it started.*nowhere"):
            engine.wait_ready(broken, 90)
        engine.stop(broken)
        routes = Routes(stable, canary, 0.5)
        engine.route(routes)
        while engine.routes() != routes:
            time.sleep(0.01)
        before = engine.scrape()
        versions = [_predict(engine.address, rows.iloc[[number]], f"flight-{number}") for number in range(30)]
        labels = [{"request_id": f"flight-{number}", "label": 1} for number in range(30)]
        _post(f"{engine.address}/feedback", labels)
        time.sleep(0.3)
        seen = observe(before, engine.scrape(), routes)
        assert set(versions) == {"1", "2"}
        assert (seen.stable.requests, seen.canary.requests) == (versions.count("1"), versions.count("2"))
        assert seen.stable.errors == seen.canary.errors == 0
        assert sum(window.stable[0] for window in seen.labels) == versions.count("1")
        assert sum(window.canary[0] for window in seen.labels) == versions.count("2")
    finally:
        engine.down()
    directory = Home(tmp_path / ".mlship").engine("flight-delay")
    assert processes.marked(directory) == []
    files = (directory / "predictions").glob("*-????????/predictions-0-*.jsonl")
    logged = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    of = {row["request_id"]: row["version"] for row in logged if row["kind"] == "prediction"}
    assert of == {f"flight-{number}": version for number, version in enumerate(versions)}, (
        "the log outlives the servers"
    )


def _predict(address: str, row: pd.DataFrame, request_id: str) -> str:
    body = {"dataframe_split": json.loads(row[FEATURES].to_json(orient="split"))}
    headers = _post(f"{address}/invocations", body, {"x-request-id": request_id})
    assert headers["x-request-id"] == request_id
    return headers["x-mlship-version"]


def _post(url: str, body: Any, headers: dict[str, str] | None = None) -> dict[str, str]:
    request = Request(url, json.dumps(body).encode(), {"content-type": "application/json", **(headers or {})})
    with urlopen(request, timeout=30) as answer:
        assert answer.status < 300
        return {name.lower(): value for name, value in answer.getheaders()}
