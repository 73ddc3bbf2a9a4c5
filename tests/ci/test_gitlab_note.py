"""GitLab's note: one for each policy, our own only, through an outage, and never a failed pipeline's second failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.ci.driver import ROOT

SCRIPT = ROOT / "templates" / "ci" / "gitlab" / "note.py"
TOKEN = "glpat-0123456789secret"


class _GitLab(BaseHTTPRequestHandler):
    notes: list[dict[str, Any]]
    trouble: list[int]
    endless = False
    mute = False
    where = "/api/v4/projects/5/merge_requests/3/notes"

    def _send(self, status: int, document: Any, following: str = "") -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("x-next-page", following)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _done(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        path = self.path.partition("?")[0]
        if self.headers["private-token"] != TOKEN:
            self._send(401, {"message": "401 Unauthorized"})
        elif self.trouble:
            self._send(self.trouble.pop(), {})
        elif path == "/api/v4/user":
            self._send(200, {"id": 42})
        elif self.command == "GET" and path == self.where:
            page = int(self.path.rpartition("page=")[2])
            rest = len(self.notes) > page * 100
            found: Any = None if self.mute else self.notes[(page - 1) * 100 : page * 100]
            self._send(200, found, "1" if self.endless else str(page + 1) if rest else "")
        elif self.command == "POST" and path == self.where:
            self.notes.append({"id": len(self.notes), "author": {"id": 42}, **body})
            self._send(201, self.notes[-1])
        elif self.command == "PUT":
            self.notes[int(path.rpartition("/")[2])].update(body)
            self._send(200, {})
        else:
            self._send(404, {})

    do_GET = do_POST = do_PUT = _done  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def gitlab() -> Generator[tuple[str, type[_GitLab]]]:
    """A GitLab of this test alone: its address, and what it holds."""

    class Handler(_GitLab):
        notes: list[dict[str, Any]] = []  # noqa: RUF012 - a class of this test alone
        trouble: list[int] = []  # noqa: RUF012 - as above

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/v4", Handler
    finally:
        server.shutdown()
        server.server_close()


def _note(url: str, report: Path, **more: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": os.environ["PATH"],
        "CI_API_V4_URL": url,
        "CI_PROJECT_ID": "5",
        "CI_MERGE_REQUEST_IID": "3",
        "CI_JOB_URL": "https://gitlab.example/job/1",
        "CI_COMMIT_SHORT_SHA": "c0ffee00",
        "MLSHIP_NOTE_TOKEN": TOKEN,
        "MLSHIP_NOTE_WAIT": "0",
        **more,
    }
    words = [sys.executable, str(SCRIPT), str(report)]
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_one_note_for_each_policy_is_renewed(gitlab: tuple[str, type[_GitLab]], tmp_path: Path) -> None:
    """On the second page, after two outages; a copy by somebody else and another policy's note stay as they are."""
    url, hub = gitlab
    hub.notes += [{"id": number, "author": {"id": 1}, "body": "<!-- mlship mlship.yaml -->"} for number in range(120)]
    report = tmp_path / "report.md"
    for text, policy in (("### failed", "mlship.yaml"), ("### other", "b.yaml"), ("### passed", "mlship.yaml")):
        report.write_text(text)
        hub.trouble += [502, 503]
        done = _note(url, report, MLSHIP_POLICY=policy)
        assert done.returncode == 0, done.stderr
    assert [note["body"].splitlines()[:2] for note in hub.notes[120:]] == [
        ["<!-- mlship mlship.yaml -->", "### passed"],
        ["<!-- mlship b.yaml -->", "### other"],
    ]
    assert all(note["body"] == "<!-- mlship mlship.yaml -->" for note in hub.notes[:120])


def test_what_cannot_be_written_is_said_without_the_token(gitlab: tuple[str, type[_GitLab]], tmp_path: Path) -> None:
    """A refusal once, an outage to the end; a pipeline of a branch has nothing to write."""
    url, hub = gitlab
    report = tmp_path / "report.md"
    refused = _note(url, report, MLSHIP_NOTE_TOKEN="glpat-wrong")
    assert (refused.returncode, refused.stderr) == (1, "mlship: no note on merge request 3: HTTP 401 Unauthorized\n")
    hub.trouble += [502] * 4
    out = _note(url, report)
    assert (out.returncode, out.stderr) == (1, "mlship: no note on merge request 3: HTTP 502 Bad Gateway\n")
    assert _note("http://127.0.0.1:9", report, CI_MERGE_REQUEST_IID="").returncode == 0
    assert not hub.notes


def test_an_api_that_lies_is_no_endless_loop_and_no_traceback(
    gitlab: tuple[str, type[_GitLab]], tmp_path: Path
) -> None:
    """Pages that never end are looked through a hundred times; what is no list is said."""
    url, hub = gitlab
    report = tmp_path / "report.md"
    hub.endless = True
    assert _note(url, report).returncode == 0
    assert len(hub.notes) == 1
    hub.mute = True
    said = _note(url, report)
    assert said.returncode == 1
    assert said.stderr.startswith("mlship: no note on merge request 3: ValueError: the API does not answer as GitLab's")
