"""The rule as callers meet it: a fixed answer, or a function whose faults stay in its own process."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

import pytest

from tests.fallback.support import Program, ask, program
from tests.waiting import until

pytestmark = pytest.mark.slow

MODULE = """\
import os, time

print("imported")  # what a module prints must not get between its answers

def answer(document):
    print("asked")
    if isinstance(document, str):
        return {"predictions": [len(document)]}
    what = document["inputs"][0]
    if what == "sleep":
        time.sleep(30)
    if what == "exit":
        os._exit(3)
    if what == "quit":
        raise SystemExit("enough")
    if what == "raise":
        raise ValueError("no such airport")
    if what == "nan":
        return {"predictions": [float("nan")]}
    if what == "object":
        return object()
    return {"predictions": [what] * len(document["inputs"])}
"""
LIMIT = 0.4


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    directory = tmp_path_factory.mktemp("rule")
    (directory / "rules.py").write_text(MODULE)
    with program(directory, kind="rule", function="rules:answer", directory=str(directory), limit=LIMIT) as made:
        until(lambda: made.predict().status == 200, "the function answers")
        yield made


def test_a_fixed_answer_is_given_to_everybody(tmp_path: Path) -> None:
    with program(tmp_path, kind="rule", answer={"predictions": [0]}) as made:
        for body in (b'{"inputs": [1]}', b"not even JSON", b"\xff\x00"):
            answer = made.predict(body)
            assert (answer.status, answer.document) == (200, {"predictions": [0]})
            assert answer.headers["x-mlship-fallback"] == "rule"
        assert made.memory() < 60e6, "small: no mlflow, no pandas"


def test_an_answer_is_not_held_back(tmp_path: Path) -> None:
    """Two small writes on a kept connection take 40 ms where Nagle's algorithm is on."""
    with program(tmp_path, kind="rule", answer={"predictions": [0]}) as made:
        connection, times = HTTPConnection("127.0.0.1", made.port, timeout=10), []
        for _ in range(20):
            began = time.monotonic()
            connection.request("POST", "/invocations", b"{}")
            connection.getresponse().read()
            times.append(time.monotonic() - began)
        connection.close()
        assert median(times) < 0.02


def test_a_changed_answer_holds_without_a_restart_and_nobody_is_lost(tmp_path: Path) -> None:
    with program(tmp_path, kind="rule", answer={"predictions": [0]}) as made:
        made.change(answer={"predictions": [1]})
        deadline = time.monotonic() + 5
        while (answer := made.predict()).document != {"predictions": [1]}:
            assert (answer.status, time.monotonic() < deadline) == (200, True)


def test_settings_that_cannot_be_read_leave_the_old_ones(tmp_path: Path) -> None:
    with program(tmp_path, kind="rule", answer={"predictions": [0]}) as made:
        (tmp_path / "fallback.json").write_text("{")
        until(lambda: "cannot read the settings" in made.log(), "it is told")
        assert made.predict().status == 200


def test_a_function_answers_from_the_request(served: Program) -> None:
    answer = served.predict(b'{"inputs": [5, 6]}')
    assert (answer.status, answer.document) == (200, {"predictions": [5, 5]})
    assert served.predict(b"a,b\n1,2\n", content_type="text/csv").document == {"predictions": [8]}
    assert served.predict(b"{").status == 400


@pytest.mark.parametrize("what", ["exit", "quit", "raise", "nan", "object", "sleep"])
def test_a_fault_of_the_function_is_503_and_the_next_request_is_answered(served: Program, what: str) -> None:
    began = time.monotonic()
    answer = served.predict(b'{"inputs": ["%s"]}' % what.encode())
    assert (answer.status, answer.headers["x-mlship-fallback"]) == (503, "rule")
    assert time.monotonic() - began < LIMIT + 0.5
    until(lambda: served.predict().status == 200, "the function answers again", within=5)


def test_one_that_hangs_does_not_keep_others_waiting(served: Program) -> None:
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(served.predict, b'{"inputs": ["sleep"]}')
        time.sleep(0.05)
        assert served.predict().status == 200
        assert slow.result().status == 503


def test_many_at_once_are_all_answered_with_their_own(served: Program) -> None:
    with ThreadPoolExecutor(8) as pool:
        bodies = [b'{"inputs": [%d]}' % number for number in range(200)]
        answers = list(pool.map(served.predict, bodies))
    assert [answer.document["predictions"] for answer in answers] == [[number] for number in range(200)]


def test_a_function_that_cannot_be_imported_is_told_before_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text("import no_such_module\n")
    with program(tmp_path, kind="rule", function="rules:answer", directory=str(tmp_path), limit=LIMIT) as made:
        until(lambda: "no_such_module" in made.log() or ask(made.port, "GET", "/ping").status == 200, "it is told")
        ping = ask(made.port, "GET", "/ping")
        assert (ping.status, b"cannot be imported" in ping.body) == (503, True)
        assert made.predict().status == 503


def test_it_ends_with_its_function_when_it_is_asked_to(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text("def answer(document):\n    return {}\n")
    with program(tmp_path, kind="rule", function="rules:answer", directory=str(tmp_path), limit=LIMIT) as made:
        until(lambda: made.predict().status == 200, "the function answers")
        mine = [path for path in Path("/proc").glob("[0-9]*") if _is_child(path, tmp_path)]
        assert mine
        assert made.kill(signal.SIGTERM) == 0
        until(lambda: not any(_is_child(path, tmp_path) for path in mine), "the function's processes end")


def _is_child(path: Path, directory: Path) -> bool:
    try:
        return (
            str(directory).encode() in (path / "cmdline").read_bytes()
            and b"child.py" in (path / "cmdline").read_bytes()
        )
    except OSError:
        return False
