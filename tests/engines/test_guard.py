"""No server loads what a scan refuses, whoever asks for it."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from mlship.engines.base import Engine
from mlship.engines.guard import Guarded
from mlship.errors import ModelRefused
from mlship.home import Home
from mlship.policy.gates import SecurityGate
from mlship.registry.files import digest_of
from mlship.types import Release
from tests.fakes.engine import FakeClock, FakeEngine


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


@pytest.fixture
def release(tmp_path: Path) -> Release:
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "MLmodel").write_text("flavors: {python_function: {loader_module: mlflow.sklearn}}")
    (directory / "model.pkl").write_bytes(pickle.dumps(Evil()))
    return Release("m", "7", digest_of(directory), directory)


def test_a_release_that_the_scan_refuses_gets_no_server(release: Release, tmp_path: Path) -> None:
    real = FakeEngine(FakeClock())
    engine: Engine = Guarded(real, Home(tmp_path / ".mlship"), SecurityGate())
    with pytest.raises(ModelRefused, match=r"gets no server: model\.pkl needs posix\.system") as caught:
        engine.deploy(release)
    assert caught.value.where == "m version 7"
    assert real.servers() == {}


def test_what_a_policy_let_through_may_come_back_without_one(release: Release, tmp_path: Path) -> None:
    """A rollback has no policy at hand; it trusts what served before, as long as the bytes are the same."""
    home = Home(tmp_path / ".mlship")
    with pytest.raises(ModelRefused):
        Guarded(FakeEngine(FakeClock()), home, None).deploy(release)
    trusting = SecurityGate(allow_types=("posix.system",))
    assert Guarded(FakeEngine(FakeClock()), home, trusting).deploy(release) == release.server
    assert Guarded(FakeEngine(FakeClock()), home, None).deploy(release) == release.server
    with pytest.raises(ModelRefused):
        Guarded(FakeEngine(FakeClock()), home, SecurityGate()).deploy(release)
    (release.path / "model.pkl").write_bytes(b"N.")
    with pytest.raises(ModelRefused, match="files have changed"):
        Guarded(FakeEngine(FakeClock()), home, None).deploy(release)


def test_every_engine_of_the_table_is_guarded(tmp_path: Path) -> None:
    from mlship.engines import table

    assert isinstance(table.engine("local", Home(tmp_path / ".mlship"), "m"), Guarded)
