"""Servers started to be measured: a real process of a real model, ready, weighed, and gone without a trace."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from mlship.engines.options import ServerOptions
from mlship.errors import ModelFault
from mlship.gates.latency.agree import compare
from mlship.gates.latency.ask import ask
from mlship.gates.latency.bodies import sender
from mlship.gates.latency.process import Process, family
from mlship.gates.latency.target import last_lines
from mlship.registry import Registry
from mlship.scoring.session import predict
from mlship.types import ModelVersion
from tests.conftest import RegistryHome

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def version(registry_home: RegistryHome) -> ModelVersion:
    """A small real model."""
    return Registry.connect(None, registry_home.home).version("flight-delay", "2")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_starts_answers_as_the_registry_and_leaves_nothing(
    version: ModelVersion, registry_home: RegistryHome, flights: pd.DataFrame
) -> None:
    """Seconds until ready, memory above zero; a thousand rows agree with the scoring session; then nothing is left."""
    rows = flights[flights["month"] == 7].iloc[:1000].drop(columns="late")
    target = Process(version, ServerOptions())
    try:
        ready = target.start(60)
        assert 0.1 < ready.seconds < 60
        assert target._process is not None
        pids = family(target._process.pid)
        seen: list[int] = []
        sent = sender(rows, [version.path], 1000)
        answered = ask(ready.address, sent, patience=30, timeout=5, tick=lambda done, _: seen.append(done))
        assert answered.refused == ""
        assert seen[-1] == 1000
        assert len(seen) < 30, "requests grow as they are answered swiftly"
        registered = predict(
            version, rows, data_digest="agree", home=registry_home.home, progress=lambda _: None, section=None
        )
        found = compare(answered.predictions, registered, 1e-9)
        assert (found.rows, found.different) == (1000, 0)
        memory = target.memory()
        assert memory is not None
        assert 30e6 < memory.peak < 2e9
        assert target.ended() == ""
        directory = target._directory
    finally:
        target.close()
    assert not any(_alive(pid) for pid in pids)
    assert directory is not None
    assert not directory.exists()
    target.close()


def test_a_row_that_the_server_refuses_is_named_with_its_words(version: ModelVersion, flights: pd.DataFrame) -> None:
    """Requests shrink to the one row that is at fault; those before it have their answers."""
    rows = flights.iloc[:40].drop(columns="late")
    sent = sender(rows, [version.path], 40)
    broken = list(sent.cells)
    at = sent.names.index("distance")
    broken[20] = (*broken[20][:at], "far", *broken[20][at + 1 :])
    target = Process(version, ServerOptions())
    try:
        ready = target.start(60)
        answered = ask(
            ready.address, type(sent)(sent.names, tuple(broken)), patience=30, timeout=5, tick=lambda *_: None
        )
    finally:
        target.close()
    assert len(answered.predictions) == 20
    assert answered.refused.startswith("400: ")


def test_a_server_that_cannot_start_says_its_last_words(version: ModelVersion, tmp_path: Path) -> None:
    """No model there: the server's own message, and no process or directory is left."""
    nothing = ModelVersion(version.model, "9", "sha256:9", tmp_path)
    target = Process(nothing, ServerOptions())
    try:
        with pytest.raises(ModelFault, match=r"ended with exit code 3: .*there is no MLmodel file"):
            target.start(60)
    finally:
        target.close()
    late = Process(version, ServerOptions())
    try:
        with pytest.raises(ModelFault, match="not ready after"):
            late.start(0.05)
    finally:
        late.close()


def test_the_last_lines_of_a_log_fit_into_a_sentence() -> None:
    """The last eight, blank ones left out, long ones cut."""
    text = "\n\n".join(f"line {number}" for number in range(20)) + "\n" + "x" * 1000
    said = last_lines(text)
    assert said.startswith("line 13 | line 14")
    assert said.endswith("...")
    assert len(said) < 420
