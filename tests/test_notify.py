"""Notifications through apprise against a real server: they arrive, hold nothing up, and give nothing away."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mlship import outbox
from mlship.errors import Exit, PolicyError
from mlship.notify import Event, Kind, Nobody, body, notifier, title
from mlship.outbox import Outbox
from mlship.policy.urls import shown_host, split_urls

EVENT = Event(
    "rolled_back", "flight-delay", "8", "errors 4.1x stable's, 12 of 300 against 30 of 3,000", 1_795_262_400.0
)


class Receiver(ThreadingHTTPServer):
    """Takes what is posted; answers with the statuses that it was given, and with 200 when they are used up."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.statuses: list[int] = []
        self.open = threading.Event()
        self.open.set()

    def url(self, path: str = "") -> str:
        return f"json://127.0.0.1:{self.server_port}/{path}"

    def titles(self) -> list[str]:
        return [document["title"] for _, document in self.got]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        document = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self.server.open.is_set():
            self._drip()
            return
        self.server.got.append((self.path, document))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.end_headers()

    def _drip(self) -> None:
        """One header after the other, so that no timeout of a socket ever comes."""
        line = b"HTTP/1.0 200 OK\r\n"
        while not self.server.open.wait(0.05):
            try:
                self.wfile.write(line)
            except OSError:
                return
            line = b"x: y\r\n"

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.open.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "WAITS", (0.01, 0.03))


def test_an_event_arrives_with_its_reason_and_where_to_go_next(receiver: Receiver) -> None:
    told = notifier([receiver.url("hook")], contact="flight-ops@example.com", runbook="docs/runbook.md")
    told.tell(EVENT)
    told.close(5)
    [(path, document)] = receiver.got
    assert path == "/hook"
    assert document["title"] == "flight-delay: version 8 rolled back"
    assert document["type"] == "failure"
    assert document["message"].splitlines() == [
        EVENT.text,
        "",
        "at 2026-11-21 12:00:00 UTC",
        "owner: flight-ops@example.com",
        "runbook: docs/runbook.md",
    ]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("started", "m: rollout of version 8 has started"),
        ("approval", "m: version 8 waits for approval"),
        ("promoted", "m: version 8 promoted"),
        ("rolled_back", "m: version 8 rolled back"),
        ("aborted", "m: rollout of version 8 aborted"),
        ("paused", "m: rollout of version 8 paused"),
        ("halted", "m: rollout of version 8 halted"),
        ("lease_expired", "m: nobody watched version 8; traffic went back to stable"),
        ("incident_opened", "m: incident: feature dep_delay of version 8"),
        ("incident_worsened", "m: incident has worsened: feature dep_delay of version 8"),
        ("incident_resolved", "m: incident is over: feature dep_delay of version 8"),
        ("retraining", "m: training asked for, instead of version 8"),
    ],
)
def test_a_title_says_it_all(kind: Kind, said: str) -> None:
    assert title(Event(kind, "m", "8", "why", 0.0, "feature dep_delay")) == said


def test_a_text_of_any_length_becomes_a_message() -> None:
    assert len(body(Event("paused", "m", "8", "x" * 100_000, 0.0))) < 2100


def test_several_services_may_stand_in_one_text_and_each_is_told_once(receiver: Receiver) -> None:
    text = f" {receiver.url('a')}, {receiver.url('b')}\n{receiver.url('c')};{receiver.url('a')},"
    told = notifier([text, receiver.url("b")])
    for kind in ("started", "promoted"):
        told.tell(Event(kind, "m", "8", "why", 0.0))
    told.close(5)
    assert sorted(path for path, _ in receiver.got) == ["/a", "/a", "/b", "/b", "/c", "/c"]
    for name in ("/a", "/b", "/c"):
        assert [document["title"][:10] for path, document in receiver.got if path == name] == [
            "m: rollout",
            "m: version",
        ]


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("", []),
        (" , ;\n", []),
        ("slack://a/b/c", ["slack://a/b/c"]),
        ("mailto://u:p@h?to=a@b,c@d,json://h", ["mailto://u:p@h?to=a@b,c@d", "json://h"]),
        ("slack://a discord://b", ["slack://a", "discord://b"]),
        ("nothing at all", ["nothing", "at", "all"]),
    ],
)
def test_urls_are_told_apart(text: str, urls: list[str]) -> None:
    assert split_urls(text) == urls


def test_without_a_url_nobody_is_told() -> None:
    assert isinstance(notifier([]), Nobody)
    assert isinstance(notifier(["  "]), Nobody)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("slak://s3cr3t/b/c", "apprise knows no service 'slak://'"),
        ("slack://s3cr3t", "the slack:// URL is not complete"),
        ("s3cr3t", "this is no URL of a service"),
        ("//s3cr3t", "this is no URL of a service"),
    ],
)
def test_a_url_that_cannot_work_is_refused_before_the_rollout_and_not_shown(url: str, what: str) -> None:
    with pytest.raises(PolicyError, match=what) as caught:
        notifier(["json://127.0.0.1/x", url])
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.exit_code is Exit.USAGE


def test_a_failure_is_told_once_and_later_messages_still_arrive(receiver: Receiver) -> None:
    receiver.statuses = [500] * 3 + [404] * 3
    said: list[str] = []
    told = notifier([receiver.url("s3cr3t")], say=said.append)
    for version in "123":
        told.tell(Event("started", "m", version, "why", 0.0))
    told.close(5)
    assert said == ["a notification by JSON did not get through: it answered 500"]
    assert receiver.titles()[-1] == "m: rollout of version 3 has started"
    assert len(receiver.got) == 7


def test_a_short_failure_is_made_good(receiver: Receiver) -> None:
    receiver.statuses = [503, 503]
    said: list[str] = []
    told = notifier([receiver.url()], say=said.append)
    told.tell(EVENT)
    told.close(5)
    assert said == []
    assert len(receiver.got) == 3


def test_a_service_that_is_away_harms_nobody(receiver: Receiver, capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    told = notifier(["json://user:s3cr3t@127.0.0.1:9/s3cr3t", receiver.url("there")], say=said.append)
    told.tell(EVENT)
    told.close(5)
    assert said == ["a notification by JSON did not get through: no connection"]
    assert [path for path, _ in receiver.got] == ["/there"]
    assert capfd.readouterr() == ("", "")  # apprise's own log goes nowhere


def test_nothing_of_a_url_reaches_a_log(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    told = notifier(["json://user:s3cr3t@127.0.0.1:9/s3cr3t"])
    with caplog.at_level(logging.INFO):
        told.tell(EVENT)
        told.close(5)
    assert "s3cr3t" not in caplog.text


def test_a_service_that_never_ends_its_answer_delays_nothing_but_itself(receiver: Receiver) -> None:
    receiver.open.clear()
    said: list[str] = []
    begun = time.monotonic()
    told = notifier([receiver.url()], say=said.append, limit=0.1)
    for _ in range(1000):
        told.tell(EVENT)
    assert time.monotonic() - begun < 0.5
    told.close(0.3)
    assert time.monotonic() - begun < 1.5
    assert said == [
        "a notification by JSON did not get through: no answer within 0.1 s",
        "1000 notifications by JSON did not get through in time",
    ]
    told.tell(EVENT)
    told.close(0)
    assert receiver.got == []


def test_the_command_ends_although_a_service_hangs(receiver: Receiver) -> None:
    receiver.open.clear()
    script = (
        "import sys; from mlship.notify import *\n"
        "told = notifier([sys.argv[1]], say=print)\n"
        "told.tell(Event('paused', 'm', '8', 'why', 0.0)); told.close(0.2)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, receiver.url()], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "1 notification by JSON did not get through in time\n"
    assert done.stderr == ""


def test_what_listens_may_fail_too(receiver: Receiver) -> None:
    def say(_sentence: str) -> None:
        raise RuntimeError

    receiver.statuses = [500] * 3
    told = notifier([receiver.url()], say=say)
    told.tell(EVENT)
    told.tell(EVENT)
    told.close(5)
    assert len(receiver.got) == 4


def test_an_exception_while_sending_is_told_without_its_text() -> None:
    def send(_message: str) -> str:
        raise ValueError("s3cr3t")

    said: list[str] = []
    box = Outbox("Slack", send, said.append, 1.0)
    box.put("x")
    box.close(time.monotonic() + 5)
    assert said == ["a notification by Slack did not get through: ValueError"]


def test_the_oldest_gives_way_when_too_many_wait() -> None:
    go, got = threading.Event(), list[int]()

    def send(number: int) -> str:
        go.wait(5)
        got.append(number)
        return ""

    box = Outbox("Slack", send, lambda _sentence: None, 5.0, kept=3)
    box.put(0)
    while box._waiting:  # until the first is under way
        time.sleep(0.001)
    for number in range(1, 7):
        box.put(number)
    go.set()
    box.close(time.monotonic() + 5)
    assert got == [0, 4, 5, 6]


def test_without_apprise_the_extra_is_named() -> None:
    script = (
        "import sys; sys.modules['apprise'] = None\n"
        "from mlship.notify import notifier; from mlship.errors import PolicyError\n"
        "try: notifier(['json://h/s3cr3t'])\n"
        "except PolicyError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [
        "notify: notifications need apprise, which is not installed",
        "  next: pip install 'mlship[notify]'",
    ]


def test_nothing_heavy_is_loaded_until_somebody_is_to_be_told() -> None:
    script = "import sys, mlship.notify as n; n.notifier([]); assert not {'apprise', 'requests'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], timeout=60, check=True)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:s3cr3t@example.com:8443/s3cr3t?t=s3cr3t", "https://example.com:8443"),
        ("http://[::1]:80/x", "http://[::1]:80"),
        ("https:///s3cr3t", ""),
        ("https://h:s3cr3t/", ""),
        ("s3cr3t", ""),
    ],
)
def test_of_a_url_only_the_host_is_shown(url: str, shown: str) -> None:
    assert shown_host(url) == shown
