"""A server that answers as GitHub's API does for comments, pull requests and artifacts, on good days and bad ones."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

BOT = "github-actions[bot]"
TOKEN = "ghs_0123456789secret"


@dataclass
class Hub:
    """One repository, `acme/models`."""

    comments: list[dict[str, Any]] = field(default_factory=list)
    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    archives: dict[int, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """Method and path of each request."""
    bodies: list[str] = field(default_factory=list)
    trouble: list[tuple[str, int, dict[str, str], str]] = field(default_factory=list)
    """What is answered instead, once each: (beginning of "METHOD path", status, headers, message)."""
    lost: list[str] = field(default_factory=list)
    """Requests, by their beginning, that are done and then answered with 502, once each."""
    may_write: bool = True
    elsewhere: str = ""
    """Where the next page of comments is said to be."""
    strangers: list[str] = field(default_factory=list)
    """Authorization headers that came to where files are kept."""
    url: str = ""
    _next: int = 1000

    def comment(self, body: str, author: str = BOT) -> int:
        """Add a comment."""
        self._next += 1
        self.comments.append({"id": self._next, "body": body, "user": {"login": author}})
        return self._next

    def served(self) -> ThreadingHTTPServer:
        """Listen on a free port of this machine, in a thread; `shutdown` ends it."""
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PATCH(self) -> None:
        self._answer("PATCH")

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        line = f"{method} {self.path}"
        self.hub.requests.append(line)
        if self.path.startswith("/files/"):
            self.hub.strangers += self.headers.get_all("authorization") or []
            self._send(200, self.hub.archives[int(self.path.split("/")[2])], {"content-type": "application/zip"})
            return
        for each in self.hub.trouble:
            if line.startswith(each[0]):
                self.hub.trouble.remove(each)
                self._send(each[1], {"message": each[3]}, each[2])
                return
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            self._send(401, {"message": "Bad credentials"})
            return
        status, document, headers = self._done(method, body)
        for beginning in self.hub.lost:
            if line.startswith(beginning):
                self.hub.lost.remove(beginning)
                status, document = 502, {"message": "Server Error"}
                break
        self._send(status, document, headers)

    def _done(self, method: str, body: str) -> tuple[int, Any, dict[str, str]]:
        parts = urlsplit(self.path)
        names = parts.path.removeprefix("/repos/acme/models/").split("/")
        match method, names:
            case "GET", ["issues", _, "comments"]:
                return self._page(parse_qs(parts.query), parts.path)
            case ("POST" | "PATCH", ["issues", *where]):
                return self._written(body, int(where[1]) if where[0] == "comments" else None)
            case "GET", ["pulls", number]:
                if found := self.hub.pulls.get(int(number)):
                    return 200, found, {}
            case "GET", ["actions", "runs", _, "artifacts"]:
                return 200, {"total_count": len(self.hub.artifacts), "artifacts": self.hub.artifacts}, {}
            case "GET", ["actions", "artifacts", number, "zip"]:
                return 302, None, {"location": f"{self.hub.url}/files/{number}"}
        return 404, {"message": "Not Found"}, {}

    def _page(self, query: dict[str, list[str]], path: str) -> tuple[int, Any, dict[str, str]]:
        size, page = int(query["per_page"][0]), int(query.get("page", ["1"])[0])
        shown = self.hub.comments[(page - 1) * size : page * size]
        headers = {}
        if len(self.hub.comments) > page * size:
            base = f"{self.hub.elsewhere or self.hub.url}{path}?per_page={size}"
            first = f'<{base}&page=1>; rel="first", ' if page > 1 else ""
            headers["link"] = f'{first}<{base}&page={page + 1}>; rel="next", <{base}&page=99>; rel="last"'
        return 200, shown, headers

    def _written(self, body: str, number: int | None) -> tuple[int, Any, dict[str, str]]:
        if not self.hub.may_write:
            return 403, {"message": "Resource not accessible by integration"}, {}
        text = json.loads(body)["body"]
        if not text or len(text) > 65_536:
            return 422, {"message": "Validation Failed: body is too long (maximum is 65536 characters)"}, {}
        self.hub.bodies.append(text)
        if number is None:
            return 201, {"id": self.hub.comment(text)}, {}
        for comment in self.hub.comments:
            if comment["id"] == number:
                comment["body"] = text
                return 200, comment, {}
        return 404, {"message": "Not Found"}, {}

    def _send(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
