"""`mlship drill` as people call it: real router, real processes, live traffic."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlship.engines import state
from mlship.engines.front import Front
from mlship.engines.local import LocalEngine
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.rollout import journal
from mlship.rollout.plan import PlanStep
from mlship.types import Routes, ServerState
from tests.engines.support import behave, local_engine, pid_of, release, routed
from tests.rollout.worker import make_plan
from tests.schemas import conforms

pytestmark = pytest.mark.slow

POLICY = """\
version: 1
model: m
owner: {{team: flight-ops, contact: flight-ops@example.com}}
data: {{evaluation: {{path: rows.csv, target: late}}}}
gates: {{contract: {{max_duplicates: 100%, max_label_conflicts: 100%}}}}
endpoint: {{listen: "127.0.0.1:{port}", timeout: 2s, {endpoint}}}
"""
RULE = "fallback: rule, rule: {answer: {predictions: [0]}}"


class Place:
    """A directory with a policy and an engine of stand-in servers that serves it."""

    def __init__(self, directory: Path, endpoint: str, served: dict[str, Any]) -> None:
        self.directory = directory
        (port,) = state.free_ports(1)
        (directory / "mlship.yaml").write_text(POLICY.format(port=port, endpoint=endpoint))
        (directory / "rows.csv").write_text("hour,carrier,late\n1,UA,0\n2,AA,1\n3,B6,0\n")
        self.home = Home(directory / ".mlship")
        self.engine: LocalEngine = local_engine(directory, front=Front(f"127.0.0.1:{port}", 2.0, **served))
        self.stable, self.canary = (self.engine.deploy(release(version)) for version in ("1", "2"))
        for server in (self.stable, self.canary):
            self.engine.wait_ready(server, 20)
        routed(self.engine, Routes(self.stable))

    def start(self, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
        environment = {**os.environ, "MLSHIP_HOME": str(self.home.path), "MLSHIP_ACTOR": "tester", "KEY": "secret-key"}
        argv = [sys.executable, "-m", "mlship", "drill", "mlship.yaml", *arguments]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
        return subprocess.Popen(argv, cwd=self.directory, env=environment, text=True, **pipes)

    def drill(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        text, errors = process.communicate(timeout=120)
        assert "Traceback" not in errors
        return process.returncode, text, errors

    def document(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        status, text, errors = self.drill("--yes", "--format", "json", *arguments)
        assert status == code, text + errors
        found = conforms("drill", text)
        assert found["exit_code"] == code
        return found

    def drilled(self) -> list[str]:
        """Statuses of the drills in the ledger."""
        entries = Ledger(self.home.ledger).entries("m")
        return [entry.evidence["status"] for entry in entries if entry.action == "drilled"]

    def ready(self) -> bool:
        return all(one.state is ServerState.READY for one in self.engine.servers().values())


Make = Callable[..., Place]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Make]:
    places: list[Place] = []

    def make(endpoint: str = "fallback: stable", **served: Any) -> Place:
        places.append(Place(tmp_path, endpoint, served))
        return places[-1]

    yield make
    for place in places:
        place.engine.down()


def test_a_rule_keeps_every_caller_from_an_error(made: Make) -> None:
    place = made(RULE, fallback="rule", rule_answer={"predictions": [0]})
    for how in ("kill", "hang"):
        found = place.document("--how", how)
        assert (found["verdict"], found["as_before"]) == ("passed", True)
        assert found["servers"] == {place.stable: "1"}
        assert found["hit"] > 0
        during = found["phases"]["during"]
        assert (during["failed"], set(during["statuses"])) == (0, {"200"})
        assert during["by"]["rule"] > 0
        assert found["phases"]["before"]["by"].keys() == found["phases"]["after"]["by"].keys() == {"version 1"}
        if how == "hang":
            assert 5.0 <= found["recovered_seconds"] < 20, "twice the timeout and a second"
    assert place.drilled() == ["passed", "passed"]
    assert place.ready()


def test_a_queue_keeps_every_request_and_its_jobs_are_answered(made: Make) -> None:
    place = made("fallback: queue", fallback="queue")
    found = place.document()
    assert (found["verdict"], found["phases"]["during"]["failed"]) == ("passed", 0)
    assert found["jobs"]["kept"] == found["jobs"]["answered"] > 0


def test_where_nobody_stands_behind_stable_the_drill_says_so_plainly(made: Make) -> None:
    place = made()
    status, text, _ = place.drill("--yes")
    assert status == 0
    assert text.startswith("m: drill passed: as the policy says, ")
    assert "promised: nobody stands behind stable: callers get 5xx, within the timeout (fallback: stable)" in text
    assert "version 1 was killed, back after" in text
    assert "the router" in text


def test_a_canary_may_die_or_hang_and_stable_answers(made: Make) -> None:
    place = made()
    routed(place.engine, Routes(place.stable, place.canary, 0.5))
    for how in ("kill", "hang"):
        found = place.document("--arm", "canary", "--how", how)
        assert (found["verdict"], found["phases"]["during"]["failed"]) == ("passed", 0)
        assert found["servers"] == {place.canary: "2"}
        assert found["promise"] == "what the canary cannot answer, stable answers"


def test_a_promise_that_is_not_kept_is_a_failed_drill(made: Make) -> None:
    place = made(RULE)  # the policy says so, and nobody has applied it
    found = place.document(code=1)
    assert found["verdict"] == "failed"
    assert found["reason"].endswith("got an error, but what no model answers is answered by the rule")
    assert place.drilled() == ["failed"]


def test_it_calls_with_the_policys_key(made: Make) -> None:
    import hashlib

    digests = (hashlib.sha256(b"secret-key").hexdigest(),)
    place = made("auth: {api_keys: '${KEY}'}", key_digests=digests)
    assert place.document()["verdict"] == "passed"
    other = place.directory / "mlship.yaml"
    other.write_text(other.read_text().replace("auth: {api_keys: '${KEY}'}", "auth: null"))
    pid = pid_of(place.engine, place.stable)
    status, _, errors = place.drill("--yes")
    assert (status, "callers need credentials" in errors) == (2, True)
    assert pid_of(place.engine, place.stable) == pid, "nothing was touched"
    assert "secret-key" not in place.home.ledger.read_text()


def test_without_rows_the_models_own_example_is_sent(made: Make) -> None:
    place = made()
    policy = place.directory / "mlship.yaml"
    policy.write_text(policy.read_text().replace("path: rows.csv", "mlflow: {name: flights}"))
    status, _, errors = place.drill("--yes")
    assert (status, "neither evaluation rows in a file or a database, nor an input example" in errors) == (3, True)
    model = place.home.models / release("1").digest.removeprefix("sha256:")
    model.mkdir(parents=True)
    (model / "serving_input_example.json").write_text('{"inputs": [1]}')
    assert place.document()["verdict"] == "passed"


def test_a_rollout_under_way_is_not_disturbed_but_by_its_canarys_own_drill(made: Make) -> None:
    place = made()
    routed(place.engine, Routes(place.stable, place.canary, 0.5))
    plan = make_plan(place.directory, 1, (PlanStep(0.5, 60, 1000),))
    plan = replace(plan, model="m")
    journal.begin(place.home, plan, time.time())
    status, _, errors = place.drill("--yes")
    assert (status, "a rollout of version 2 is under way" in errors) == (2, True)
    assert place.document("--arm", "canary")["verdict"] == "passed"


def test_an_endpoint_that_is_not_well_is_not_drilled(made: Make) -> None:
    place = made()
    behave(place.engine, place.stable, "500")
    pid = pid_of(place.engine, place.stable)
    status, _, errors = place.drill("--yes")
    assert (status, "had no good answer before anything was done, such as 500" in errors) == (4, True)
    assert pid_of(place.engine, place.stable) == pid
    assert place.drilled() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a drill touches live traffic, and nobody is there to be asked"),
        (("--yes", "--arm", "canary"), "there is no canary"),
        (("--yes", "--rate", "20"), "--rate: "),
        (("--yes", "--rate", "0.1/s"), "is not between 1/s and 500/s"),
        (("--yes", "--for", "2"), "--for: "),
        (("--yes", "--for", "1h"), "is not between 0 and 300 s"),
        (("--yes", "--token-env", "NO_SUCH_NAME"), "the environment has no NO_SUCH_NAME"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_touched(made: Make, arguments: tuple[str, ...], said: str) -> None:
    place = made()
    pid = pid_of(place.engine, place.stable)
    status, text, errors = place.drill(*arguments)
    assert (status, text) == (2, "")
    assert said in errors
    assert pid_of(place.engine, place.stable) == pid
    assert place.drilled() == []


def test_a_person_is_asked_and_may_say_no(made: Make) -> None:
    place = made()
    pid = pid_of(place.engine, place.stable)
    ours, theirs = pty.openpty()
    process = place.start(stdin=theirs, stderr=theirs)
    os.write(ours, b"n\n")
    assert process.wait(60) == 2
    os.close(theirs)
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "Kill version 1 of m at http://127.0.0.1:" in said
    assert "nobody stands behind stable" in " ".join(said.split())
    assert "not confirmed; nothing was done" in said
    assert pid_of(place.engine, place.stable) == pid


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_drill_the_server_comes_back_by_itself(made: Make, number: signal.Signals) -> None:
    place = made()
    process = place.start("--yes", "--how", "hang", "--for", "3s")
    assert process.stderr is not None
    while "hanging for 3 s" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(0.5)
    assert not place.ready()
    process.send_signal(number)
    process.communicate(timeout=60)
    if number is not signal.SIGKILL:
        assert process.returncode == 130
        assert place.drilled() == ["interrupted"]
    deadline = time.monotonic() + 10
    while not place.ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)
