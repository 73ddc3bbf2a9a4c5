"""The real process: it listens at once, is ready when the model is, loses nothing on SIGTERM, and fails in one line."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BODY = json.dumps({"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, 2.0]]}})
Start = Callable[..., "tuple[subprocess.Popen[str], int]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server for a model directory: -> (process, port). Its stderr goes to `tmp_path/log`."""
    started: list[subprocess.Popen[str]] = []

    def run(model: Path, port: int | None = None, *more: str) -> tuple[subprocess.Popen[str], int]:
        chosen = port or free_port()
        arguments = ["--model-dir", str(model), "--name", "m", "--version", "3", "--digest", "sha256:0", *more]
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "mlship.serving", *arguments, "--listen", f"127.0.0.1:{chosen}"],
                stderr=log,
                text=True,
                env={name: value for name, value in os.environ.items() if name != "MLSHIP_DEBUG"},
            )
        started.append(process)
        return process, chosen

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def ping(port: int) -> int | None:
    """Status of /ping, None when the connection is refused."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status
    except ConnectionError:
        return None
    finally:
        connection.close()


def wait_ready(process: subprocess.Popen[str], port: int) -> list[int | None]:
    """Statuses of /ping, each once, until it is 200."""
    seen: list[int | None] = []
    deadline = time.monotonic() + 60
    while not seen or seen[-1] != 200:
        assert process.poll() is None
        assert time.monotonic() < deadline
        status = ping(port)
        if not seen or status != seen[-1]:
            seen.append(status)
        time.sleep(0.02)
    return seen


class Caller(threading.Thread):
    """Sends requests over a kept-alive connection until the server refuses new connections."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.answered = 0
        self.lost: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self.stop.is_set():
            if connection.sock is None:
                try:
                    connection.connect()
                except ConnectionError:
                    return
            try:
                connection.request("POST", "/invocations", BODY, {"content-type": "application/json"})
                response = connection.getresponse()
                response.read()
                assert response.status == 200
                self.answered += 1
            except Exception as error:  # noqa: BLE001 - every kind of loss counts
                self.lost.append(repr(error))
                return


def test_sigterm_under_load_loses_no_request_and_exits_with_0(regressor: Path, start: Start, tmp_path: Path) -> None:
    process, port = start(regressor)
    assert [status for status in wait_ready(process, port) if status is not None] == [503, 200]
    callers = [Caller(port) for _ in range(8)]
    idle = socket.create_connection(("127.0.0.1", port))
    for caller in callers:
        caller.start()
    time.sleep(0.7)
    before = time.monotonic()
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    for caller in callers:  # new connections are still welcome; the callers leave one by one, as behind a router
        caller.stop.set()
    for caller in callers:
        caller.join(timeout=30)
    assert process.wait(timeout=30) == 0
    assert time.monotonic() - before < 10, "an idle connection does not hold it up"
    idle.close()
    assert [caller.lost for caller in callers] == [[]] * 8
    assert sum(caller.answered for caller in callers) > 50
    assert ping(port) is None
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_sigterm_while_loading_exits_at_once_with_0(regressor: Path, start: Start) -> None:
    process, port = start(regressor)
    deadline = time.monotonic() + 20
    while ping(port) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 0


def test_what_waits_for_the_prediction_log_is_written_before_the_process_ends(
    picky: Path, start: Start, tmp_path: Path
) -> None:
    more = ("--log-sample", "1", "--log-directory", str(tmp_path / "predictions"), "--redact", "name")
    process, port = start(picky, None, *more, "--log-format", "json")
    wait_ready(process, port)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for value in (1.5, 13):
        row = {"dataframe_records": [{"x": value, "name": "Ann"}]}
        headers = {"content-type": "application/json", "x-request-id": f"request-{value}"}
        connection.request("POST", "/invocations", json.dumps(row), headers)
        connection.getresponse().read()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    (file,) = (tmp_path / "predictions").iterdir()
    (logged,) = map(json.loads, file.read_text().splitlines())
    assert (logged["request_id"], logged["predictions"]) == ("request-1.5", [3.0])
    assert logged["features"] == {"x": [1.5], "name": ["[redacted]"]}
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    (error,) = [line for line in lines if line["level"] == "ERROR"]
    assert error["request_id"] == "request-13"
    assert "thirteen is not a number" in error["message"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--workers", "0"), "--workers 0: expected 1 to 64"),
        (("--log-sample", "2"), "--log-sample 2.0: expected 0 to 1"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_with_exit_code_2(
    arguments: tuple[str, ...], expected: str, tmp_path: Path, start: Start
) -> None:
    process, _ = start(tmp_path, None, *arguments)
    assert process.wait(timeout=30) == 2
    assert expected in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("absent", "there is no MLmodel file"),
        ("garbage", "the model cannot be loaded"),
        ("unpickle", "the model cannot be loaded"),
        ("module", "No module named 'nowhere'"),
    ],
)
def test_a_model_that_does_not_load_is_one_clear_line_and_exit_code_3(
    damage: str, expected: str, classifier: Path, start: Start, tmp_path: Path
) -> None:
    import shutil

    model = tmp_path / "model"
    shutil.copytree(classifier, model)
    description = model / "MLmodel"
    if damage == "absent":
        description.unlink()
    elif damage == "garbage":
        description.write_bytes(b"\x00\x01")
    elif damage == "unpickle":
        (model / "model.pkl").write_bytes(b"not a pickle")
    else:
        description.write_text(description.read_text().replace("mlflow.sklearn", "nowhere"))
    process, port = start(model)
    assert process.wait(timeout=60) == 3
    lines = [line for line in (tmp_path / "log").read_text().splitlines() if "INFO" not in line]
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"mlship.serving: {model}: ")
    assert expected in lines[0]
    assert "(next: " in lines[0]
    assert ping(port) is None


def test_a_port_that_is_taken_is_one_clear_line_and_exit_code_2(regressor: Path, start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        process, _ = start(regressor, port)
        assert process.wait(timeout=30) == 2
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.startswith(f"mlship.serving: 127.0.0.1:{port}: cannot listen here")
