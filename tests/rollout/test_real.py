"""The loop on the real engine: Envoy, real processes, real callers, and a real kill -9."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlship.engines import state
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.rollout import lock, rollback
from mlship.rollout.mailbox import Mailbox
from mlship.rollout.plan import PlanStep
from mlship.rollout.state import Order
from mlship.types import Release, Routes
from tests.rollout import worker

pytestmark = pytest.mark.slow


class Callers(threading.Thread):
    """Some hundred requests a second over kept connections; every answer is kept with its time and its version."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.answers: list[tuple[float, str]] = []
        self.failures: list[str] = []
        self._end = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self._end.is_set():
            try:
                connection.request("POST", "/invocations", b"{}", {"content-type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failures.append(str(answer.status))
                self.answers.append((time.time(), answer.headers["x-mlship-version"]))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            time.sleep(0.003)
        connection.close()

    def stop(self) -> None:
        self._end.set()
        self.join()


class Place:
    """A directory with an engine that serves version 1, and callers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = Home(directory / ".mlship")
        (self.port,) = state.free_ports(1)
        self.engine = worker.local_engine(directory, self.port)
        server = self.engine.deploy(self.release("1"))
        self.engine.wait_ready(server, 20)
        self.engine.route(Routes(server))
        while self.engine.routes() != Routes(server):
            time.sleep(0.01)
        self.callers = Callers(self.port)
        self.callers.start()

    def release(self, version: str) -> Release:
        return Release(worker.MODEL, version, worker.digest(version), self.directory)

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(Path(worker.__file__)), str(self.directory), str(self.port)],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def mode(self, version: str, mode: str) -> None:
        """Tell the stand-in of this version how to behave from now on."""
        known = state.load(self.engine.directory)
        assert known is not None
        connection = http.client.HTTPConnection("127.0.0.1", known.servers[self.release(version).server].port)
        connection.request("GET", f"/mode/{mode}")
        connection.getresponse().read()
        connection.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    here = Place(tmp_path)
    try:
        yield here
    finally:
        here.callers.stop()
        here.engine.down()


def test_kill_9_at_any_moment_loses_no_request_and_the_same_command_carries_on(place: Place) -> None:
    kills = 0
    for seconds in (0.35, 0.6, 0.9, 1.2, 1.5):
        process = place.start()
        time.sleep(seconds)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
        assert lock.holder(place.home.rollouts(worker.MODEL)) is None, "the kernel has dropped the lock"
    out, _ = place.start().communicate(timeout=60)
    time.sleep(0.2)
    place.callers.stop()
    assert kills >= 3
    if out:  # else one of those that were to be killed has brought it to its end, and there was nothing left to do
        assert json.loads(out)["verdict"] == "promoted"
    assert [entry.action for entry in Ledger(place.home.ledger).entries()].count("promoted") == 1
    assert place.engine.routes() == Routes(place.release("2").server)
    assert json.loads((place.directory / "registry.json").read_text())["champion"] == "2"
    assert place.callers.failures == []
    assert place.callers.answers[-1][1] == "2"


def test_a_canary_that_begins_to_fail_goes_back_and_no_caller_notices(place: Place) -> None:
    controller = worker.controller(place.directory, place.port, (PlanStep(0.5, 60, 10_000),))
    place.engine.wait_ready(place.engine.deploy(place.release("2")), 20)
    spoil = threading.Timer(0.5, place.mode, ("2", "500"))
    spoil.start()
    result = controller.run()
    assert result.verdict == "rolled_back"
    assert result.reason.startswith(("errors ", "latency"))
    assert place.engine.routes() == Routes(place.release("1").server)
    assert place.callers.failures == []


def test_no_answer_of_the_canary_comes_once_its_requests_under_way_are_answered(place: Place) -> None:
    """How soon that is, is measured by tests/benchmarks/rollback.py."""
    mailbox = Mailbox(place.home.rollouts(worker.MODEL) / "mailbox")
    for _ in range(3):
        known = len(place.callers.answers)
        controller = worker.controller(place.directory, place.port, (PlanStep(0.5, 60, 10_000),))
        order = threading.Thread(target=abort_once_busy, args=(place, known, mailbox))
        order.start()
        result = controller.run()
        order.join()
        assert result.verdict == "aborted"
        time.sleep(0.1)
        assert 0 <= lag(place, "2", result.verdict_at) < 1.0
    assert place.callers.failures == []


def abort_once_busy(place: Place, known: int, mailbox: Mailbox) -> None:
    """Give the order when the canary has answered somebody since so many answers."""
    until = time.monotonic() + 30
    while all(by != "2" for _, by in place.callers.answers[known:]) and time.monotonic() < until:
        time.sleep(0.02)
    mailbox.post(Order.ABORT, "alice")


def test_the_previous_champion_is_back_at_once_and_its_server_was_kept_warm(place: Place) -> None:
    process = place.start()
    out, _ = process.communicate(timeout=60)
    assert json.loads(out)["verdict"] == "promoted"
    ledger = Ledger(place.home.ledger)
    where = rollback.target(ledger, worker.MODEL, None)
    returned = rollback.go_back(
        where,
        engine=place.engine,
        registry=worker.FileRegistry(place.directory / "registry.json"),
        ledger=ledger,
        directory=place.home.rollouts(worker.MODEL),
        alias="champion",
        who="tester",
    )
    time.sleep(0.2)
    assert returned.warm
    assert returned.seconds < 2.0
    assert lag(place, "2", returned.verdict_at) < 1.0
    assert json.loads((place.directory / "registry.json").read_text())["champion"] == "1"
    assert place.callers.failures == []


def test_an_order_reaches_a_controller_in_another_process(place: Place) -> None:
    process = place.start()
    mailbox = Mailbox(place.home.rollouts(worker.MODEL) / "mailbox")
    until = time.monotonic() + 20
    while (place.engine.routes() or Routes("")).canary is None and time.monotonic() < until:
        time.sleep(0.02)
    answer = mailbox.wait(mailbox.post(Order.ABORT, "alice"), 10)
    assert answer == "aborted by alice at 20 %"
    out, _ = process.communicate(timeout=30)
    assert (json.loads(out)["verdict"], json.loads(out)["exit_code"]) == ("aborted", 4)
    assert place.engine.routes() == Routes(place.release("1").server)
    assert place.callers.failures == []


def lag(place: Place, version: str, verdict_at: float) -> float:
    """Seconds from a verdict to the last answer of a version."""
    return max(0.0, max(at for at, by in place.callers.answers if by == version) - verdict_at)
