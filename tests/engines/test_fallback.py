"""The real router, real processes: whatever dies, callers get what the policy's `fallback` promises."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlship.engines import fallback, processes, state
from mlship.engines.envoy import patience
from mlship.engines.front import Front
from mlship.engines.local import LocalEngine
from mlship.errors import EngineError
from mlship.telemetry.windows import observe
from mlship.types import Fault, Routes, ServerState
from tests.engines.support import Callers, ask, behave, local_engine, pid_of, release, routed
from tests.waiting import until

pytestmark = pytest.mark.slow

TIMEOUT = 1.0
RULE = {"fallback": "rule", "rule_answer": {"predictions": [0]}}
JSON = {"content-type": "application/json"}


class World:
    """An engine with two servers and some fallback."""

    def __init__(self, directory: Path, **front: Any) -> None:
        self.front = Front(f"127.0.0.1:{state.free_ports(1)[0]}", TIMEOUT, **front)
        self.engine: LocalEngine = local_engine(directory, front=self.front)

    def up(self) -> World:
        self.stable, self.canary = (self.engine.deploy(release(version)) for version in ("1", "2"))
        for server in (self.stable, self.canary):
            self.engine.wait_ready(server, 20)
        self.only_stable = Routes(self.stable)
        self.both = Routes(self.stable, self.canary, 0.5)
        self.only_canary = Routes(self.stable, self.canary, 1.0)
        routed(self.engine, self.only_stable)
        return self

    def predict(self, path: str = "/invocations", body: bytes = b'{"inputs": [1]}') -> tuple[int, dict[str, str], Any]:
        status, headers, content = ask(self.engine.address, "POST", path, body, JSON)
        return status, headers, json.loads(content)

    def who(self) -> tuple[int, str]:
        status, headers, _ = self.predict()
        return status, headers.get("x-mlship-fallback") or headers.get("x-mlship-version", "")

    def poll(self, path: str) -> tuple[int, dict[str, str], Any]:
        status, headers, content = ask(self.engine.address, "GET", path)
        return status, headers, json.loads(content)

    def answered(self, path: str, within: float = 30.0) -> tuple[int, dict[str, str], Any]:
        deadline = time.monotonic() + within
        while (found := self.poll(path))[0] == 202:
            assert time.monotonic() < deadline, f"{path} is not answered"
            time.sleep(0.05)
        return found

    def behave(self, stable: str, canary: str) -> None:
        behave(self.engine, self.stable, stable)
        behave(self.engine, self.canary, canary)

    def kill(self, server: str) -> None:
        os.kill(pid_of(self.engine, server), signal.SIGKILL)

    def ready(self) -> None:
        until(lambda: all(one.state is ServerState.READY for one in self.engine.servers().values()))


Make = Callable[..., World]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Make]:
    worlds: list[World] = []

    def make(**front: Any) -> World:
        worlds.append(World(tmp_path, **front))
        return worlds[-1].up()

    yield make
    for world in worlds:
        world.engine.down()
        assert processes.marked(world.engine.directory) == []


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("rule"), **RULE)
    try:
        yield world.up()
    finally:
        world.engine.down()


@pytest.fixture
def world(ruled: World) -> World:
    """One engine with a fixed rule for many tests: both servers well, all traffic on stable."""
    ruled.ready()
    ruled.behave("ok", "ok")
    routed(ruled.engine, ruled.only_stable)
    return ruled


# stable, canary, which share -> who answers, and how long that takes at least and at most (in parts of the deadline)
FAILURES = [
    ("ok", "500", "canary", "1", 0.0, 0.4),
    ("ok", "hang", "canary", "1", 0.3, 0.6),
    ("500", "500", "canary", "rule", 0.0, 0.4),
    ("503", "503", "stable", "rule", 0.0, 0.4),
    ("500", "hang", "canary", "rule", 0.3, 0.6),
    ("hang", "500", "canary", "rule", 0.3, 0.6),
    ("hang", "hang", "canary", "rule", 0.8, 1.0),
    ("hang", "hang", "stable", "rule", 0.8, 1.0),
    (f"sleep {0.7 * TIMEOUT}", f"sleep {0.7 * TIMEOUT}", "canary", "2", 0.7, 0.9),
    (f"sleep {0.7 * TIMEOUT}", f"sleep {0.7 * TIMEOUT}", "stable", "1", 0.7, 0.9),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: " ".join(failure[:3]))
def test_a_rule_answers_when_stable_cannot_either(
    world: World, failure: tuple[str, str, str, str, float, float]
) -> None:
    stable, canary, share, who, least, most = failure
    routes = world.only_stable if share == "stable" else world.only_canary
    routed(world.engine, routes)
    world.behave(stable, canary)
    before = world.engine.scrape()
    began = time.monotonic()
    assert world.who() == (200, who)
    assert least <= (time.monotonic() - began) / TIMEOUT <= most
    seen = observe(before, world.engine.scrape(), routes)
    arm, other = (seen.stable, seen.canary) if share == "stable" else (seen.canary, seen.stable)
    assert (arm.requests, arm.errors) == (1, 1), "whoever answers, it is the error of the server that was to answer"
    assert (other.requests, other.errors) == (0, 0)


def test_well_servers_are_asked_once_and_nobody_else(world: World) -> None:
    routed(world.engine, world.both)
    before = world.engine.scrape()
    assert {world.who() for _ in range(30)} == {(200, "1"), (200, "2")}
    seen = observe(before, world.engine.scrape(), world.both)
    assert seen.stable.requests + seen.canary.requests == 30
    assert seen.stable.errors == seen.canary.errors == 0


def test_bad_input_is_no_matter_for_a_rule(world: World) -> None:
    world.behave("400", "400")
    assert world.who() == (400, "1")


def test_only_predictions_are_answered_by_rule(world: World) -> None:
    world.behave("500", "500")
    assert world.predict("/v2/models/m/infer")[1]["x-mlship-fallback"] == "rule"
    world.kill(world.stable)
    for path in ("/ping", "/health", "/version", "/v2/models/m", "/v2/health/ready"):
        status, headers, _ = ask(world.engine.address, "GET", path)
        assert (status >= 500, "x-mlship-fallback" in headers) == (True, False), path


def test_both_servers_die_under_load_and_nobody_gets_an_error(world: World) -> None:
    routed(world.engine, world.both)
    with Callers(f"{world.engine.address}/invocations", callers=8) as callers:
        for server in (world.canary, world.stable):
            world.kill(server)
            callers.more(200)
        world.ready()
        callers.more(100)
    assert callers.lost == []
    assert {answer.version for answer in callers.answers} == {"1", "2", ""}, "servers, and the rule in between"


def test_a_server_that_hangs_for_a_moment_costs_nobody_an_answer(world: World) -> None:
    with Callers(f"{world.engine.address}/invocations", callers=4) as callers:
        world.engine.fail(world.stable, Fault.HANG, 1.5)
        callers.more(10)
        world.ready()
        callers.more(50)
    assert callers.lost == []


def test_the_fallback_dies_and_is_there_again(world: World) -> None:
    world.behave("500", "500")
    assert world.who() == (200, "rule")
    world.kill(fallback.PROGRAM)
    until(lambda: world.who() == (200, "rule"))


def test_a_changed_rule_holds_at_once_and_without_a_restart(world: World) -> None:
    world.behave("500", "500")
    before = [pid_of(world.engine, program) for program in (fallback.PROGRAM, "envoy")]
    with Callers(f"{world.engine.address}/invocations") as callers:
        world.engine.apply(replace(world.front, rule_answer={"predictions": [7]}))
        until(lambda: world.predict()[2] == {"predictions": [7]})
        world.engine.apply(world.front)
        until(lambda: world.predict()[2] == {"predictions": [0]})
        callers.more(50)
    assert callers.lost == []
    assert [pid_of(world.engine, program) for program in (fallback.PROGRAM, "envoy")] == before


def test_any_fallback_follows_any_other_under_load_and_nobody_is_lost(made: Make, tmp_path: Path) -> None:
    world = made()
    (tmp_path / "rules.py").write_text("def answer(document):\n    return {'predictions': document['inputs']}\n")
    function = {"fallback": "rule", "rule_function": "rules:answer", "rule_directory": str(tmp_path)}
    router = pid_of(world.engine, "envoy")
    with Callers(f"{world.engine.address}/invocations") as callers:
        for change in (RULE, {}, {"fallback": "queue"}, function, {"fallback": "fail"}, {"fallback": "queue"}, {}):
            world.engine.apply(replace(world.front, **change))
            callers.more(60)
    assert callers.lost == []
    assert {answer.version for answer in callers.answers} == {"1"}
    assert pid_of(world.engine, "envoy") == router


def test_a_function_answers_from_what_was_asked(made: Make, tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text(
        "import os, time\n"
        "def answer(document):\n"
        "    what = document['inputs'][0]\n"
        "    if what == 'exit': os._exit(1)\n"
        "    if what == 'sleep': time.sleep(60)\n"
        "    return {'predictions': [what * 2]}\n"
    )
    world = made(fallback="rule", rule_function="rules:answer", rule_directory=str(tmp_path))
    program = pid_of(world.engine, fallback.PROGRAM)
    world.behave("500", "500")
    assert world.predict(body=b'{"inputs": [21]}')[2] == {"predictions": [42]}
    for what in (b"exit", b"sleep"):
        began = time.monotonic()
        status, headers, _ = world.predict(body=b'{"inputs": ["%s"]}' % what)
        assert (status, headers["x-mlship-fallback"]) == (503, "rule")
        assert time.monotonic() - began < TIMEOUT + 0.2
        until(lambda: world.predict(body=b'{"inputs": [1]}')[2] == {"predictions": [2]})
    assert pid_of(world.engine, fallback.PROGRAM) == program


def test_a_function_that_cannot_be_imported_changes_nothing(made: Make, tmp_path: Path) -> None:
    world = made()
    (tmp_path / "rules.py").write_text("import no_such_module\n")
    bad = replace(world.front, fallback="rule", rule_function="rules:answer", rule_directory=str(tmp_path))
    with pytest.raises(EngineError, match="cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"):
        world.engine.apply(bad)
    with pytest.raises(EngineError, match=r"rules:answer cannot be imported"):
        local_engine(tmp_path, front=bad).deploy(release("3"))
    assert set(world.engine.servers()) == {world.stable, world.canary}
    assert world.who() == (200, "1")


def test_fail_gives_the_canarys_failures_to_the_caller(made: Make) -> None:
    world = made(fallback="fail")
    routed(world.engine, world.only_canary)
    world.behave("ok", "500")
    before = world.engine.scrape()
    status, headers, _ = world.predict()
    assert (status, headers["x-mlship-version"]) == (500, "2")
    assert observe(before, world.engine.scrape(), world.only_canary).canary.errors == 1
    world.behave("ok", "hang")
    began = time.monotonic()
    assert world.predict()[0] == 504
    assert time.monotonic() - began < TIMEOUT + 0.2
    world.behave("ok", "ok")
    assert world.who() == (200, "2")
    assert ask(world.engine.address, "GET", "/jobs/x")[0] == 404
    assert fallback.PROGRAM not in world.engine.site.manager(world.engine.site.known()).processes(), "nobody needs it"


def test_a_queue_keeps_what_no_model_answers_until_one_does(made: Make) -> None:
    world = made(fallback="queue")
    routed(world.engine, world.both)
    world.behave("500", "500")
    before = world.engine.scrape()
    kept = [world.predict() for _ in range(20)]
    assert {(status, headers["x-mlship-fallback"]) for status, headers, _ in kept} == {(202, "queue")}
    assert len({document["job"] for _, _, document in kept}) == 20
    assert world.poll(kept[0][2]["poll"])[0] == 202
    time.sleep(2.0)
    seen = observe(before, world.engine.scrape(), world.both)
    total = seen.stable.requests + seen.canary.requests
    assert (total, seen.stable.errors + seen.canary.errors) == (20, 20), "what the queue asks is nobody's request"
    world.behave("ok", "ok")
    for _, _, document in kept:
        status, headers, answer = world.answered(document["poll"])
        assert (status, headers["x-mlship-job"], headers["x-mlship-version"]) == (200, "done", "1")
        assert answer == {"predictions": [1]}


def test_a_queue_survives_the_death_of_everything(made: Make, tmp_path: Path) -> None:
    world = made(fallback="queue")
    world.behave("500", "500")
    polls = [world.predict()[2]["poll"] for _ in range(10)]
    world.kill(fallback.PROGRAM)
    until(lambda: world.predict()[0] == 202)
    for pid in processes.marked(world.engine.directory):
        os.kill(pid, signal.SIGKILL)
    until(lambda: processes.marked(world.engine.directory) == [])
    world.up()
    assert {world.answered(poll)[0] for poll in polls} == {200}


def test_a_queue_survives_down_and_is_removed_once_nobody_waits(made: Make) -> None:
    world = made(fallback="queue", queue_keep=1.0)
    queue = world.engine.directory / fallback.PROGRAM / fallback.QUEUE
    world.behave("500", "500")
    poll = world.predict()[2]["poll"]
    world.engine.down()
    assert queue.exists(), "somebody waits"
    world.engine = local_engine(world.engine.directory.parents[2], front=replace(world.front, fallback="stable"))
    world.up()
    assert world.answered(poll)[0] == 200, "whatever the policy says by now"
    until(lambda: world.poll(poll)[0] == 410)
    until(lambda: world.poll(poll)[0] == 404, within=40)
    world.engine.down()
    assert not queue.parent.exists()


def test_a_full_queue_is_503_and_says_when_to_come_again(made: Make) -> None:
    world = made(fallback="queue", queue_jobs=2)
    world.behave("500", "500")
    assert [world.predict()[0] for _ in range(2)] == [202, 202]
    status, headers, document = world.predict()
    assert (status, headers["retry-after"]) == (503, "1")
    assert "2 requests wait already" in document["message"]
    world.behave("ok", "ok")
    until(lambda: world.who() == (200, "1"))


def test_the_last_one_has_time_to_answer_whatever_the_deadline() -> None:
    for timeout in (0.01, 0.05, 0.1, 0.3, 0.5, 1.0, 5.0, 60.0):
        wait, left = patience(timeout)
        assert 2 * wait + left == pytest.approx(timeout)
        assert left <= timeout / 3 + 1e-9
        assert left >= min(0.1, timeout / 3) - 1e-9


def test_weights_that_move_while_a_fallback_starts_lose_nobody(made: Make, tmp_path: Path) -> None:
    (tmp_path / "slow_rule.py").write_text("import time\ntime.sleep(1.5)\ndef rule(_): return {'predictions': [0]}\n")
    rule: dict[str, Any] = {"fallback": "rule", "rule_function": "slow_rule:rule", "rule_directory": str(tmp_path)}
    world = made()
    applying = threading.Thread(target=world.engine.apply, args=(replace(world.front, **rule),))
    weights = iter(range(1, 1000))
    with Callers(f"{world.engine.address}/invocations") as callers:
        applying.start()
        while applying.is_alive():
            world.engine.route(Routes(world.stable, world.canary, next(weights) / 1000))
            time.sleep(0.1)
        callers.more(50)
    assert callers.lost == []
    world.behave("500", "500")
    assert world.who() == (200, "rule")


def test_a_fallback_that_does_not_start_takes_nobody_with_it(made: Make, tmp_path: Path) -> None:
    """It could be imported a moment before; and weights move on."""
    once = "import pathlib\nseen = pathlib.Path(__file__).with_name('seen')\nassert not seen.exists()\nseen.touch()\n"
    (tmp_path / "once.py").write_text(once + "def rule(_): return {'predictions': [0]}\n")
    rule: dict[str, Any] = {"fallback": "rule", "rule_function": "once:rule", "rule_directory": str(tmp_path)}
    world = made()
    fallback.IMPORT_SECONDS, before = 2.0, fallback.IMPORT_SECONDS
    try:
        with pytest.raises(EngineError, match="the fallback does not start"):
            world.engine.apply(replace(world.front, **rule))
    finally:
        fallback.IMPORT_SECONDS = before
    routed(world.engine, world.both)
    assert {world.who()[0] for _ in range(20)} == {200}
