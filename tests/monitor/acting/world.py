"""A receiver of all that the monitor sends (apprise's JSON, webhooks, GitHub's API), and a policy that names it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mlship.policy.load import LoadedPolicy, load_policy

#: Stands where a policy's secrets stand; nothing may ever show it.
SECRET = "s3cr3t-0f-n0b0dy"
POLICY = """version: 1
model: flight-delay
owner: {{team: flights, contact: ops@example.com, review_by: 2099-01-01}}
data: {{evaluation: {{path: x.csv, target: late}}}}
gates: {{leakage: {{}}}}
monitor:
  predictions: {{psi: 0.1}}
  on_breach: {on_breach}
notify: {notify}
"""


@dataclass(frozen=True)
class Asked:
    """One request that was received."""

    method: str
    path: str
    headers: Mapping[str, str]
    document: Any = None


@dataclass
class Answers:
    """How the receiver answers, by a part of the path."""

    statuses: dict[str, list[int]] = field(default_factory=dict)
    """Taken one after the other; then the usual one."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    """Of answers that are not the usual one."""
    hold: threading.Event = field(default_factory=threading.Event)
    """Clear: answers wait."""
    hang_up: set[str] = field(default_factory=set)
    """Paths at which the next request is received, and not answered."""
    named: bool = True
    """Whether runs carry the request's id in their names."""


class Receiver(ThreadingHTTPServer):
    """Takes what is sent, and remembers it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[Asked] = []
        self.runs: list[dict[str, Any]] = []
        self.answers = Answers()
        self.answers.hold.set()
        self.at_request: Callable[[Asked], None] = lambda _asked: None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def url(self, path: str = "hook") -> str:
        """A webhook, with a secret in its path."""
        return f"{self.base}/{path}/{SECRET}"

    def notify(self, path: str = "n") -> str:
        """An apprise URL, with a secret in its path."""
        return f"json://127.0.0.1:{self.server_port}/{path}/{SECRET}"

    def posts(self, part: str) -> list[Asked]:
        return [one for one in self.got if one.method == "POST" and part in one.path]

    def messages(self, part: str = "/n/") -> list[tuple[str, str]]:
        """Titles, and first lines of what followed."""
        return [(one.document["title"], one.document["message"].split("\n\n")[0]) for one in self.posts(part)]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        document = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self._received(Asked("POST", self.path, dict(self.headers.items()), document))

    def do_GET(self) -> None:
        self._received(Asked("GET", self.path, dict(self.headers.items())))

    def _received(self, asked: Asked) -> None:
        server, answers = self.server, self.server.answers
        server.got.append(asked)
        server.at_request(asked)
        answers.hold.wait(30)
        for part in answers.hang_up:
            if part in asked.path:
                answers.hang_up.discard(part)
                self._run(asked)
                self.close_connection = True
                return
        for part, statuses in answers.statuses.items():
            if part in asked.path and statuses:
                self._answer(statuses.pop(0), answers.bodies.get(part, b""))
                return
        self._usual(asked)

    def _usual(self, asked: Asked) -> None:
        if asked.path.endswith("/dispatches"):
            self._run(asked)
            self._answer(204, b"")
        elif "/runs?" in asked.path:
            query = parse_qs(urlsplit(asked.path).query)
            since = query["created"][0].removeprefix(">=")
            found = [run for run in self.server.runs if run["created_at"] >= since]
            self._answer(200, json.dumps({"total_count": len(found), "workflow_runs": found}).encode())
        else:
            self._answer(200, b"")

    def _run(self, asked: Asked) -> None:
        """A workflow runs: what GitHub does with a dispatch."""
        if not asked.path.endswith("/dispatches"):
            return
        request = asked.document["inputs"]["request"]
        name = f"retrain {request}" if self.server.answers.named else "retrain"
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        address = f"https://github.example/runs/{len(self.server.runs)}"
        run = {"name": "mlship-retrain", "display_title": name, "created_at": now, "html_url": address}
        self.server.runs.append(run)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def policy(directory: Path, *on_breach: Mapping[str, Any] | str) -> LoadedPolicy:
    """A policy file of these items, loaded; its services are those of TEST_NOTIFY, where `notify` is among them."""
    directory.mkdir(exist_ok=True)
    path = directory / "mlship.yaml"
    services = ["${TEST_NOTIFY}"] if '"notify"' in json.dumps(on_breach) else []
    path.write_text(POLICY.format(on_breach=json.dumps(on_breach), notify=json.dumps(services)))
    return load_policy(path)


def github(receiver: Receiver, **more: Any) -> dict[str, Any]:
    """A training by GitHub."""
    return {
        "retrain": {
            "github": "acme/flights",
            "workflow": "retrain.yml",
            "api": receiver.base,
            "token": "${TEST_TOKEN}",
            "timeout": "5s",
            **more,
        }
    }


def webhook(**more: Any) -> dict[str, Any]:
    """A training by webhook."""
    return {"retrain": {"webhook": "${TEST_HOOK}", "timeout": "5s", **more}}
