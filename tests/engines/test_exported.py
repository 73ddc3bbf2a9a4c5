"""What servers export, asked on a local engine with mlship's own server: sketches, and where the logs are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlship.engines import exported
from mlship.engines.front import Front
from mlship.engines.local import LocalEngine
from mlship.engines.options import ServerOptions, Setup
from mlship.engines.start import serving
from mlship.home import Home
from mlship.types import Release, Routes
from tests.conftest import FEATURES
from tests.engines.docker_support import MODEL, docker_engine, ended
from tests.engines.docker_support import release as docker_release
from tests.engines.support import ask, behave, free_port, local_engine, release, routed

if TYPE_CHECKING:
    import pandas as pd


def test_where_nothing_runs_nobody_is_asked(tmp_path: Path) -> None:
    home = Home(tmp_path / ".mlship")
    assert exported.ask(home, "m") == exported.Asked({}, ())
    assert exported.logs(home, "m", "1", tmp_path / "copies") == ()


@pytest.mark.slow
def test_a_server_that_exports_nothing_is_named(tmp_path: Path) -> None:
    engine = local_engine(tmp_path)
    try:
        server = engine.deploy(release("1"))
        engine.wait_ready(server, 20)
        assert [one.version for one in exported.ask(Home(tmp_path / ".mlship"), "m").told.values()] == ["1"]
        behave(engine, server, "no sketches")
        said = exported.ask(Home(tmp_path / ".mlship"), "m")
        assert said.told == {}
        assert [name.rpartition("-")[0] for name in said.silent] == [server]
    finally:
        engine.down()


@pytest.mark.slow
def test_sketches_and_logs_of_a_real_server(tmp_path: Path, flights: pd.DataFrame, train: Callable[..., Any]) -> None:
    """They are of what callers sent; the log stays where it is when the server has ended."""
    import mlflow

    rows = flights.iloc[:300]
    mlflow.sklearn.save_model(train(rows), tmp_path / "model", serialization_format="cloudpickle")
    home = Home(tmp_path / ".mlship")
    setup = Setup(Front(f"127.0.0.1:{free_port()}", 5.0))
    engine = LocalEngine(home, "flight-delay", setup, command=serving(ServerOptions(log_sample=1.0)))
    try:
        server = engine.deploy(Release("flight-delay", "7", "sha256:" + "7" * 64, tmp_path / "model"))
        engine.wait_ready(server, 90)
        routed(engine, Routes(server))
        body = json.dumps({"dataframe_split": json.loads(rows[FEATURES].to_json(orient="split"))})
        assert ask(engine.address, "POST", "/invocations", body, {"content-type": "application/json"})[0] == 200
        said = exported.ask(home, "flight-delay")
        (one,) = said.told.values()
        assert said.silent == ()
        assert (one.version, one.outputs[""].count, set(one.features)) == ("7", 300, set(FEATURES))
        assert one.features["carrier"].categories.counts == rows["carrier"].value_counts().to_dict()
    finally:
        engine.down()
    assert [path.name for path in exported.logs(home, "flight-delay", "7", tmp_path / "copies")] == ["7-77777777"]
    assert exported.logs(home, "flight-delay", "77", tmp_path / "copies") == ()


@pytest.mark.slow
def test_sketches_and_logs_of_a_container(tmp_path: Path) -> None:
    """Asked through the router's agent; the log is copied while it runs, brought home when it ends, and found once."""
    engine = docker_engine(tmp_path, servers=ServerOptions(log_sample=1.0))
    home, copies = Home(tmp_path / ".mlship"), tmp_path / "copies"
    with ended(engine):
        server = engine.deploy(docker_release("5"))
        engine.wait_ready(server, 20)
        said = exported.ask(home, MODEL)
        assert ([one.version for one in said.told.values()], said.silent) == (["5"], ())
        assert exported.logs(home, MODEL, "5", copies) == ()
        (container,) = [one for one in engine.site.containers() if one.name == server]
        folder = "/var/lib/mlship/predictions/5-00000005"
        script = f"mkdir -p {folder} && echo {{}} > {folder}/predictions-0-000001.jsonl"
        api = engine.site.client.api
        api.exec_start(api.exec_create(container.id, ["sh", "-c", script], user="0")["Id"])
        for _ in range(2):
            (found,) = exported.logs(home, MODEL, "5", copies)
            assert found.is_relative_to(copies)
            assert (found / "predictions-0-000001.jsonl").read_text() == "{}\n"
        assert exported.logs(home, MODEL, "6", copies) == ()
        engine.stop(server)
        (found,) = exported.logs(home, MODEL, "5", copies)
        assert found.is_relative_to(home.engine(MODEL))
