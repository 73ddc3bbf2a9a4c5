"""The queue as callers meet it: what was acknowledged is answered once a model is back, whatever was killed."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from mlship.engines import state
from mlship.errors import StateError
from mlship.fallback.jobs import Asked, Given, Gone, Jobs, Pending
from mlship.fallback.worker import THREADS
from tests.fallback.support import Answer, Program, ask, model, program
from tests.waiting import until

ASKED = Asked("/invocations", "application/json", "r", b'{"inputs": [1]}')
GIVEN = Given(200, "application/json", "7", b'{"predictions": [1]}')


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_job_waits_is_taken_once_and_is_done(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "jobs.db")
    every_byte = Asked("/v2/models/m/infer?a=%20", "application/octet-stream", "id", bytes(range(256)))
    (one,) = jobs.add([every_byte], 10)
    assert one is not None
    assert isinstance(jobs.look(one, 60), Pending)
    taken = jobs.take()
    assert taken is not None
    assert (taken.id, taken.asked) == (one, every_byte)
    assert jobs.take() is None
    jobs.finish(one, GIVEN)
    assert jobs.look(one, 60) == GIVEN
    assert jobs.pending == 0
    jobs.sweep(60)
    assert jobs.look(one, 60) == GIVEN
    assert jobs.look("nobody's", 60) is None


def test_beyond_the_limit_nothing_is_kept_and_what_is_done_makes_room(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "jobs.db")
    ids = jobs.add([ASKED] * 5, 3)
    assert [one is not None for one in ids] == [True, True, True, False, False]
    jobs.take()
    assert jobs.add([ASKED], 3) == [None], "one that is being asked for still waits"
    jobs.finish(str(ids[0]), GIVEN)
    assert jobs.add([ASKED], 3) != [None]


def test_an_answer_is_kept_then_gone_then_unknown(tmp_path: Path) -> None:
    clock = Clock()
    jobs = Jobs(tmp_path / "jobs.db", clock)
    (one,) = jobs.add([ASKED], 10)
    assert one is not None
    jobs.take()
    jobs.finish(one, GIVEN)
    clock.now += 59
    jobs.sweep(60)
    assert jobs.look(one, 60) == GIVEN
    clock.now += 1
    assert isinstance(jobs.look(one, 60), Gone)
    jobs.sweep(60)
    assert isinstance(jobs.look(one, 60), Gone)
    clock.now += 61
    jobs.sweep(60)
    assert jobs.look(one, 60) is None


def test_what_was_taken_when_the_process_died_is_taken_again(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "jobs.db")
    ids = jobs.add([ASKED] * 3, 10)
    jobs.take()
    jobs.take()
    jobs.close()
    again = Jobs(tmp_path / "jobs.db")
    assert again.pending == 3
    assert {job.id for job in (again.take(), again.take(), again.take()) if job} == set(ids)


def test_a_file_that_is_no_queue_is_said(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StateError, match="cannot use the queue"):
        Jobs(tmp_path / "jobs.db")
    with pytest.raises(StateError, match="cannot use the queue"):
        Jobs(tmp_path / "nowhere" / "jobs.db")


@pytest.mark.slow
def test_a_job_is_answered_when_a_model_is_back(tmp_path: Path) -> None:
    (port,) = state.free_ports(1)
    with program(tmp_path, kind="queue", models=f"http://127.0.0.1:{port}") as made:
        kept = made.predict()
        assert (kept.status, kept.headers["x-mlship-fallback"]) == (202, "queue")
        assert kept.document["poll"] == f"/jobs/{kept.document['job']}" == kept.headers["location"]
        waiting = ask(made.port, "GET", kept.document["poll"])
        assert (waiting.status, waiting.document) == (202, kept.document)
        with model(port):
            done = answered(made, kept.document["poll"])
        assert (done.status, done.document) == (200, {"predictions": [1]})
        assert (done.headers["x-mlship-version"], done.headers["x-mlship-job"]) == ("7", "done")
        assert "x-mlship-fallback" not in done.headers
        assert ask(made.port, "GET", "/jobs/nobodys").status == 404
        assert ask(made.port, "DELETE", kept.document["poll"]).status == 405
        made.change(keep=0.5)
        until(lambda: ask(made.port, "GET", kept.document["poll"]).status == 410, "it is gone")
        assert made.memory() < 60e6


@pytest.mark.slow
def test_jobs_that_cannot_be_read_keep_nobody_from_the_others(tmp_path: Path) -> None:
    """As a damaged file may have them: one for each thread that works the queue off, and one more."""
    (port,) = state.free_ports(1)
    with program(tmp_path, kind="queue", models=f"http://127.0.0.1:{port}") as made:
        damaged = [made.predict().document["poll"] for _ in range(THREADS + 1)]
        with closing(sqlite3.connect(tmp_path / "jobs.db")) as connection, connection:
            connection.execute("UPDATE Queue SET data = 'no JSON'")
        kept = made.predict().document["poll"]
        with model(port):
            assert answered(made, kept).document == {"predictions": [1]}
        assert [ask(made.port, "GET", poll).status for poll in damaged] == [202] * len(damaged)


@pytest.mark.slow
def test_a_request_that_the_model_refuses_has_that_as_its_answer(tmp_path: Path) -> None:
    (port,) = state.free_ports(1)
    with program(tmp_path, kind="queue", models=f"http://127.0.0.1:{port}") as made, model(port):
        ask(port, "GET", "/mode/400")
        done = answered(made, made.predict().document["poll"])
        assert (done.status, done.document) == (400, {"error": "as told"})


@pytest.mark.slow
def test_a_busy_or_failing_model_costs_no_job(tmp_path: Path) -> None:
    (port,) = state.free_ports(1)
    with program(tmp_path, kind="queue", models=f"http://127.0.0.1:{port}", timeout=1) as made, model(port):
        polls = []
        for mode in ("503", "500", "hang", "cut"):
            ask(port, "GET", f"/mode/{mode}")
            polls.append(made.predict().document["poll"])
            time.sleep(0.8)
        assert {ask(made.port, "GET", poll).status for poll in polls} == {202}
        ask(port, "GET", "/mode/ok")
        assert {answered(made, poll).status for poll in polls} == {200}


@pytest.mark.slow
def test_beyond_max_jobs_callers_get_503(tmp_path: Path) -> None:
    with program(tmp_path, kind="queue", models="http://127.0.0.1:1", max_jobs=2) as made:
        assert [made.predict().status for _ in range(4)] == [202, 202, 503, 503]
        full = made.predict()
        assert full.headers["retry-after"] == "1"
        assert b"2 requests wait already" in full.body


@pytest.mark.slow
def test_killed_again_and_again_it_loses_and_doubles_nothing_acknowledged(tmp_path: Path) -> None:
    """Callers put jobs while the program is killed and the model comes and goes; each acknowledged one is answered."""
    (port,) = state.free_ports(1)
    acknowledged: list[str] = []
    end = threading.Event()

    def call(made: Program) -> None:
        while not end.is_set():
            try:
                answer = made.predict()
            except OSError:
                time.sleep(0.01)
                continue
            if answer.status == 202:
                acknowledged.append(answer.document["job"])
            time.sleep(0.003)

    with program(tmp_path, kind="queue", models=f"http://127.0.0.1:{port}") as made:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(call, made)
            for number in range(4):
                time.sleep(0.5)
                if number % 2:
                    with model(port):
                        time.sleep(0.7)
                made.kill()
                made.start()
            end.set()
        assert len(acknowledged) > 100
        assert len(set(acknowledged)) == len(acknowledged)
        with model(port):
            for job in acknowledged:
                assert answered(made, f"/jobs/{job}").status == 200
        made.kill()
    kept = Jobs(tmp_path / "jobs.db")
    assert kept.pending == 0
    assert {kept.look(job, 3600) for job in acknowledged} == {GIVEN}


@pytest.mark.slow
def test_jobs_of_before_are_worked_off_when_the_policy_asks_for_another_fallback(tmp_path: Path) -> None:
    (port,) = state.free_ports(1)
    with program(tmp_path, kind="queue", models=f"http://127.0.0.1:{port}") as made:
        poll = made.predict().document["poll"]
        made.change(kind="stable")
        until(lambda: made.predict().status == 503, "no new jobs")
        with model(port):
            assert answered(made, poll).status == 200


def answered(made: Program, poll: str) -> Answer:
    deadline = time.monotonic() + 20
    while (found := ask(made.port, "GET", poll)).status == 202:
        assert time.monotonic() < deadline, f"{poll} is not answered"
        time.sleep(0.02)
    return found
