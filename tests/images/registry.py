"""An image registry in this process: as much of the OCI distribution protocol as `docker push` speaks."""

from __future__ import annotations

import hashlib
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Shelf:
    """What was pushed."""

    authorization: str = ""
    """The header that opens the door; empty: it stands open."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Media type and text by `name:reference`."""
    uploads: dict[str, bytes] = field(default_factory=dict)
    address: str = ""


@contextmanager
def registry(authorization: str = "") -> Iterator[Shelf]:
    """A registry on a free port of this machine, which Docker trusts without TLS."""
    shelf = Shelf(authorization)

    class Handler(_Handler):
        pass

    Handler.shelf = shelf
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shelf.address = f"127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield shelf
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    shelf: Shelf

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        del format, args

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _any(self) -> None:
        body = self._body()
        url = urlsplit(self.path)
        if self.shelf.authorization and self.headers.get("Authorization") != self.shelf.authorization:
            error = b'{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}'
            self._answer(401, error, WWW_Authenticate='Basic realm="test"', Content_Type="application/json")
        elif url.path == "/v2/":
            self._answer(200, b"{}")
        elif match := re.fullmatch(r"/v2/(.+)/blobs/uploads/([0-9a-f-]*)", url.path):
            self._upload(match[1], match[2], parse_qs(url.query), body)
        elif match := re.fullmatch(r"/v2/.+/blobs/(sha256:[0-9a-f]{64})", url.path):
            found = self.shelf.blobs.get(match[1])
            self._answer(404) if found is None else self._answer(200, found, Docker_Content_Digest=match[1])
        elif match := re.fullmatch(r"/v2/(.+)/manifests/(.+)", url.path):
            self._manifest(f"{match[1]}:{match[2]}", body)
        else:
            self._answer(404)

    def _upload(self, name: str, identity: str, query: dict[str, list[str]], body: bytes) -> None:
        identity = identity or str(uuid.uuid4())
        self.shelf.uploads[identity] = content = self.shelf.uploads.get(identity, b"") + body
        location = f"/v2/{name}/blobs/uploads/{identity}"
        if self.command != "PUT":
            self._answer(202, Location=location, Range=f"0-{max(len(content) - 1, 0)}", Docker_Upload_UUID=identity)
            return
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if query.get("digest") != [digest]:
            self._answer(400, b'{"errors": [{"code": "DIGEST_INVALID"}]}')
            return
        self.shelf.blobs[digest] = content
        self._answer(201, Location=f"/v2/{name}/blobs/{digest}", Docker_Content_Digest=digest)

    def _manifest(self, key: str, body: bytes) -> None:
        if self.command == "PUT":
            self.shelf.manifests[key] = (self.headers.get("Content-Type", ""), body)
            self._answer(201, Docker_Content_Digest=f"sha256:{hashlib.sha256(body).hexdigest()}")
        elif key in self.shelf.manifests:
            kind, text = self.shelf.manifests[key]
            digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
            self._answer(200, text, Content_Type=kind, Docker_Content_Digest=digest)
        else:
            self._answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')


for _method in ("GET", "HEAD", "POST", "PATCH", "PUT"):
    setattr(_Handler, f"do_{_method}", _Handler._any)
