"""Several workers are one server: evenly used, counted together, replaced when they die, and drained without a loss."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlship.serving.channel import Channel, Closed
from mlship.serving.handing import MAX_SENT, Hand, Taking
from mlship.serving.tally import digest

BODY = json.dumps({"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, 2.0]]}})
JSON = {"content-type": "application/json"}
Start = Callable[..., "tuple[subprocess.Popen[bytes], int]"]


# The parts, in this process


def test_both_ends_of_a_channel_ask_and_a_silent_or_dead_end_is_told() -> None:
    async def scenario() -> list[Any]:
        one, other = socket.socketpair()

        async def double(document: Any) -> Any:
            return [document, document]

        async def never(_: Any) -> None:
            await asyncio.sleep(60)

        left, right = Channel({"double": double}), Channel({"double": double, "never": never})
        with pytest.raises(Closed):
            await left.ask("double", timeout=1)
        talks = [asyncio.ensure_future(left.run(one)), asyncio.ensure_future(right.run(other))]
        await asyncio.sleep(0.01)
        big = "x" * 300_000 + "\ud800"
        answers = await asyncio.gather(*(left.ask("double", [n, big], timeout=5) for n in range(20)))
        assert answers == [[[n, big], [n, big]] for n in range(20)]
        assert await right.ask("double", 1, timeout=5) == [1, 1]
        with pytest.raises(Closed):
            await left.ask("never", timeout=0.05)
        asking = asyncio.ensure_future(left.ask("never", timeout=60))
        await asyncio.sleep(0.01)
        talks[1].cancel()
        with pytest.raises(Closed):
            await asking
        await talks[0]
        left.tell("double")  # into the void
        return []

    asyncio.run(scenario())


def test_a_connection_is_the_parents_until_the_worker_has_it() -> None:
    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        changes: list[None] = []
        hand = Hand(ours, lambda: changes.append(None))
        callers = []
        for _ in range(MAX_SENT):
            caller, connection = socket.socketpair()
            callers.append(caller)
            assert hand.free
            assert hand.give(connection)
        assert not hand.free
        assert hand.open == MAX_SENT
        taken: list[socket.socket] = []
        finished: list[None] = []
        taking = Taking(theirs, taken.append, lambda: finished.append(None))
        await asyncio.sleep(0.05)
        assert (len(taken), hand.open, hand.free) == (MAX_SENT, MAX_SENT, True)
        taken[0].sendall(b"hello")
        assert callers[0].recv(5) == b"hello"
        taking.ended()
        await asyncio.sleep(0.01)
        assert hand.open == MAX_SENT - 1
        assert changes
        asyncio.get_running_loop().remove_reader(theirs.fileno())  # the worker hangs, and then dies
        caller, connection = socket.socketpair()
        assert hand.give(connection)
        assert hand.close() == [connection]
        connection.sendall(b"from another")
        assert caller.recv(12) == b"from another"
        for one in (*callers, *taken, caller, connection, theirs):
            one.close()

    asyncio.run(scenario())


# Real processes


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server of several workers and waits until it is ready: -> (process, port)."""
    started: list[subprocess.Popen[bytes]] = []

    def run(model: Path, *arguments: str, workers: int = 2, ready: bool = True) -> tuple[subprocess.Popen[bytes], int]:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        argv = ["--model-dir", str(model), "--name", "m", "--version", "3", "--digest", "sha256:0123456789"]
        argv += ["--listen", f"127.0.0.1:{port}", "--workers", str(workers), *arguments]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "mlship.serving", *argv],
                stderr=log,
                cwd=tmp_path,
                env={name: value for name, value in os.environ.items() if name != "MLSHIP_DEBUG"}
                | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        started.append(process)
        deadline = time.monotonic() + 120
        while ready and ask(port, "/ping")[0] != 200:
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return process, port

    yield run
    for process in started:
        children = workers_of(process.pid)
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while any(map(alive, children)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(map(alive, children)), "workers end when their parent is gone"


def ask(port: int, path: str, body: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST" if body else "GET", path, body, JSON if body else {})
        response = connection.getresponse()
        return response.status, response.read()
    except ConnectionError:
        return 0, b""
    finally:
        connection.close()


def workers_of(parent: int) -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except FileNotFoundError:
        return []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def metrics(port: int) -> dict[str, float]:
    status, text = ask(port, "/metrics")
    assert status == 200
    samples = [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]
    return {"/".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}


class Caller(threading.Thread):
    """Sends requests over one kept-alive connection; opens another when the server closes it between two requests."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.ids: list[str] = []
        self.lost: list[str] = []
        self.refused = False
        self.stop = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self.stop.is_set():
            if connection.sock is None:
                try:
                    connection.connect()
                except ConnectionError:
                    self.refused = True
                    return
            try:
                connection.request("POST", "/invocations", BODY, JSON)
                response = connection.getresponse()
                response.read()
                assert response.status == 200, response.status
                self.ids.append(response.headers["x-request-id"])
            except Exception as error:  # noqa: BLE001 - every kind of loss counts
                self.lost.append(repr(error))
                connection.close()


@pytest.mark.slow
def test_workers_are_one_server_whoever_answers_and_whoever_dies(regressor: Path, start: Start, tmp_path: Path) -> None:
    process, port = start(regressor, "--log-sample", "1", "--policy-digest", "sha256:p")
    children = workers_of(process.pid)
    assert len(children) == 2
    (resident,) = [row for row in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmRSS" in row]
    assert int(resident.split()[1]) < 60_000, "kilobytes: the parent loads no model and no HTTP server"

    assert json.loads(ask(port, "/counters?answers=1")[1])["answers"] == {}, "from now on they are remembered"
    callers = [Caller(port) for _ in range(8)]
    for caller in callers:
        caller.start()
    time.sleep(1.5)
    connections = Counter(
        child for child in children for link in Path(f"/proc/{child}/fd").iterdir() if is_connection(link, port)
    )
    for caller in callers:
        caller.stop.set()
    for caller in callers:
        caller.join(timeout=30)
    assert [caller.lost for caller in callers] == [[]] * 8
    assert set(connections.values()) == {4}, "eight connections, four each"
    ids = [one for caller in callers for one in caller.ids]

    # Every answer of every worker is in the sum, whichever worker is asked; so is every label.
    for _ in range(4):
        seen = metrics(port)
        assert seen["mlship_requests_total/ok"] == len(ids)
        assert seen["mlship_workers"] == seen["mlship_workers_ready"] == 2
    for part in (ids[::2], ids[1::2]):
        status, body = ask(port, "/feedback", json.dumps([{"request_id": one, "label": 0.0} for one in part]))
        assert (status, json.loads(body)) == (202, {"accepted": len(part), "joined": len(part)})
    counters = json.loads(ask(port, "/counters?answers=4096")[1])
    assert sum(labelled for _, labelled, _ in counters["labels"]) == len(ids)
    assert list(counters["predictions"]["scores"].values()) == [len(ids)]
    latest = {digest(one) for caller in callers for one in caller.ids[-100:]}
    assert latest <= counters["answers"].keys(), "of both workers"
    assert json.loads(ask(port, "/sketches")[1])["outputs"][""]["numbers"]["count"] == len(ids)

    # One dies: nothing that was counted is lost, the other answers, and a new one comes.
    os.kill(children[0], signal.SIGKILL)
    for _ in range(20):
        assert ask(port, "/invocations", BODY)[0] == 200
    deadline = time.monotonic() + 60
    while (seen := metrics(port))["mlship_workers_ready"] < 2:
        assert seen["mlship_requests_total/ok"] >= len(ids) + 20
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert seen["mlship_worker_deaths_total"] == 1
    assert seen["mlship_requests_total/ok"] == len(ids) + 20
    later = json.loads(ask(port, "/counters")[1])
    assert (later["epoch"], later["labels"]) == (counters["epoch"], counters["labels"])
    assert list(later["predictions"]["scores"].values()) == [len(ids) + 20]

    # Drained under load, by a signal to the whole group as process managers send it.
    callers = [Caller(port) for _ in range(6)]
    for caller in callers:
        caller.start()
    time.sleep(0.5)
    for pid in (*workers_of(process.pid), process.pid):
        os.kill(pid, signal.SIGTERM)
    time.sleep(0.4)
    for caller in callers:
        caller.stop.set()
    for caller in callers:
        caller.join(timeout=30)
    assert process.wait(timeout=45) == 0
    assert [caller.lost for caller in callers] == [[]] * 6
    ids += [one for caller in callers for one in caller.ids]
    text = (tmp_path / "log").read_text()
    assert "Traceback" not in text
    assert "worker 0 ended with signal SIGKILL" in text or "worker 1 ended with signal SIGKILL" in text

    # The log has every prediction but those that the dead worker had not written.
    logged = [
        json.loads(row)
        for path in (tmp_path / "predictions" / "3-01234567").glob("*.jsonl")
        for row in path.read_text().splitlines()
    ]
    kinds = Counter(row["kind"] for row in logged)
    assert {row["request_id"] for row in logged} >= set(ids)
    assert kinds["prediction"] == len(ids) + 20
    assert ask(port, "/ping")[0] == 0


def is_connection(link: Path, port: int) -> bool:
    """Whether a descriptor of another process is an established connection to the port."""
    try:
        inode = str(link.readlink()).removeprefix("socket:[").removesuffix("]")
    except FileNotFoundError:
        return False
    end = f":{port:04X}"
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[9] == inode and row[1].endswith(end) and row[3] == "01" for row in rows)


@pytest.mark.slow
def test_connections_wait_while_no_worker_lives_and_are_answered_by_the_next(regressor: Path, start: Start) -> None:
    process, port = start(regressor)
    for child in workers_of(process.pid):
        os.kill(child, signal.SIGSTOP)  # they hold what they are given, and say nothing
    waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
    for one in waiting:
        one.sendall(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n")
    time.sleep(0.2)
    for child in workers_of(process.pid):
        os.kill(child, signal.SIGKILL)
    for one in waiting:
        one.settimeout(60)
        assert one.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 503"), "answered by a worker that came later"
        one.close()


@pytest.mark.slow
def test_a_model_that_does_not_load_is_one_line_for_all_workers_and_exit_code_3(
    classifier: Path, start: Start, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(classifier, tmp_path / "model")
    (tmp_path / "model" / "model.pkl").write_bytes(b"not a pickle")
    process, port = start(tmp_path / "model", "--log-format", "json", workers=3, ready=False)
    assert process.wait(timeout=90) == 3
    rows = [json.loads(row) for row in (tmp_path / "log").read_text().splitlines()]
    (error,) = [row for row in rows if row["level"] != "INFO"]
    assert "the model cannot be loaded" in error["message"]
    assert "(next: " in error["message"]
    assert ask(port, "/ping")[0] == 0


@pytest.mark.slow
def test_workers_end_at_once_when_stopped_while_they_load(regressor: Path, start: Start) -> None:
    process, port = start(regressor, ready=False)
    deadline = time.monotonic() + 30
    while ask(port, "/ping")[0] != 503 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 0


@pytest.mark.slow
def test_a_server_whose_parent_is_killed_leaves_no_process_and_no_port(regressor: Path, start: Start) -> None:
    process, port = start(regressor)
    children = workers_of(process.pid)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, children))
    assert ask(port, "/ping")[0] == 0
