"""The registry is away, slow, answers 500, or its answer is lost on the way: at every single question."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mlship.errors import RegistryError
from mlship.types import Routes
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, PLAN, Stage
from tests.faults.audit import credited_no_more_than_sent
from tests.faults.story import SHORT, found, over, staged, until_over

STABLE, CANARY = "v1-11111111", "v2-22222222"


class Line:
    """Between the controller and its registry: at one question, or from it on, something happens."""

    def __init__(self, stage: Stage, *, at: int = -1, times: int = 1, lost: bool = False, slow: float = 0.0) -> None:
        self.count, self.at, self.times, self.lost, self.slow = 0, at, times, lost, slow
        self.stage = stage
        for name in ("alias", "version", "move_alias"):
            setattr(stage.registry, name, partial(self._ask, getattr(stage.registry, name)))

    def _ask(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.count += 1
        away = 0 < self.at <= self.count < self.at + self.times
        if away and not self.lost:
            self.stage.clock.sleep(self.slow)
            raise RegistryError("the registry does not answer", where="http://registry", hint="is it up?")
        answer = call(*args, **kwargs)
        if away:
            raise RegistryError("the registry has not answered in time", where="http://registry", hint="is it up?")
        return answer


@pytest.mark.parametrize("lost", [False, True], ids=["asked in vain", "the answer is lost"])
def test_a_question_that_fails_changes_nothing_about_the_end(tmp_path: Path, lost: bool) -> None:
    calm = staged(tmp_path / "calm")
    line = Line(calm)
    calm.run()
    expected, questions = found(calm), line.count
    assert questions >= 6
    for number in range(1, questions + 1):
        stage = staged(tmp_path / str(number))
        Line(stage, at=number, lost=lost)
        until_over(stage, stage.run)
        assert found(stage) == expected, f"question {number} of {questions}"
        credited_no_more_than_sent(stage)


@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
def test_a_registry_that_stays_away_holds_up_promotions_and_no_rollback(tmp_path: Path, bad: bool) -> None:
    """Given it goes away during the rollout, then a bad canary goes back, and a good one waits for it."""
    stage = staged(tmp_path, v2=Behaviour(errors=0.6) if bad else Behaviour())
    line = Line(stage, times=10**9)

    def away(number: int) -> None:
        line.at = 1 if number == 1 else line.at

    stage.audience.at_look = away
    if bad:
        assert stage.run().verdict == "rolled_back"
        assert stage.engine.routes() == Routes(STABLE)
        return
    with pytest.raises(RegistryError):
        stage.run()
    assert not over(stage)
    assert stage.registry.aliases["champion"] == "1"
    line.at = -1
    until_over(stage, stage.run)
    assert stage.engine.routes() == Routes(CANARY)
    assert stage.registry.aliases["champion"] == "2"


def test_a_slow_registry_delays_no_look(tmp_path: Path) -> None:
    """A question takes a minute: it is asked beside the loop, and the canary is looked at all the while."""
    from mlship.rollout.errands import Threads

    stage = staged(tmp_path)
    gate, threads = threading.Event(), Threads()
    answer = stage.registry.alias

    def slow(model: str, alias: str) -> str | None:
        if len(stage.audience.looks) < 4 and threading.current_thread() is not threading.main_thread():
            gate.wait(20)
        return answer(model, alias)

    stage.registry.alias = slow  # type: ignore[method-assign]  # it answers when the rollout is well under way
    stage.errands = threads
    stage.audience.at_look = lambda number: gate.set() if number == 5 else None
    began = time.monotonic()
    assert stage.run().verdict == "promoted"
    assert time.monotonic() - began < 15


class Server:
    """As much of MLflow's REST interface as a rollout asks, in a mood that may change."""

    def __init__(self, files: Path) -> None:
        self.aliases = {"champion": "1", "challenger": "2"}
        self.mood = "well"
        """well | 500 | slow | lost (it does as told, and the answer never comes)"""
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self, {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()})

            def do_POST(self) -> None:
                outer.answer(self, json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}"))

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.files = files
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True, kwargs={"poll_interval": 0.05}).start()
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def answer(self, handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        path = urlsplit(handler.path).path.rpartition("/2.0/mlflow/")[2]
        self.asked.append(f"{handler.command} {path}")
        if self.mood == "500":
            handler.send_error(500)
            return
        if self.mood == "slow":
            time.sleep(3)
        if path == "registered-models/alias" and handler.command == "POST":
            self.aliases[asked["alias"]] = str(asked["version"])
            document: dict[str, Any] = {}
        elif path == "registered-models/get":
            aliases = [{"alias": alias, "version": version} for alias, version in self.aliases.items()]
            document = {"registered_model": {"name": MODEL, "aliases": aliases}}
        elif path == "model-versions/get":
            document = {"model_version": self._version(asked["version"])}
        elif path == "model-versions/get-download-uri":
            document = {"artifact_uri": (self.files / asked["version"]).as_uri()}
        else:
            document = {"registered_models": [], "model_versions": []}
        if self.mood == "lost":
            time.sleep(3)
        body = json.dumps(document).encode()
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _version(self, number: str) -> dict[str, Any]:
        return {"name": MODEL, "version": number, "status": "READY", "source": (self.files / number).as_uri()}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    for version in ("1", "2"):
        directory = tmp_path / "files" / version
        directory.mkdir(parents=True)
        (directory / "MLmodel").write_text(f"flavors: {{}}\nmodel_uuid: {version}\n")
    one = Server(tmp_path / "files")
    yield one
    one.http.shutdown()
    one.http.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("mood", ["500", "slow", "lost", "away"])
def test_a_real_client_of_a_server_that_is_ill_at_the_promotion(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, mood: str
) -> None:
    """Over HTTP: one clear error within seconds, no half promotion that the same command does not heal."""
    from mlship.registry import Registry

    for name, value in (("MAX_RETRIES", "1"), ("TIMEOUT", "1"), ("BACKOFF_FACTOR", "0")):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    stage = staged(tmp_path)
    stage.registry = Registry.connect(server.url, stage.home)  # type: ignore[assignment]  # the real client
    two = stage.registry.version(MODEL, "2")
    stage.plan = replace(SHORT, canary=replace(PLAN.canary, digest=two.digest))

    def fall_ill(number: int) -> None:
        if number == 3:
            server.mood = mood
            if mood == "away":
                server.http.shutdown()
                server.http.server_close()

    stage.audience.at_look = fall_ill
    with pytest.raises(RegistryError) as caught:
        stage.run()
    assert caught.value.hint
    assert not over(stage)
    stage.audience.at_look = lambda _number: None
    if mood == "away":
        again = Server(server.files)
        again.aliases = server.aliases
        server.http, server.url = again.http, again.url
        stage.registry = Registry.connect(server.url, stage.home)  # type: ignore[assignment]  # the real client
    server.mood = "well"
    until_over(stage, stage.run)
    assert stage.engine.routes() == Routes(stage.plan.canary.server)
    assert server.aliases["champion"] == "2"
    assert stage.actions() == [("promoted", "1", "2")]
