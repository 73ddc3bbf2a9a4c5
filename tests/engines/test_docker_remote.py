"""A Docker engine far away: reached by TCP, plain and with TLS, through a relay to the real one."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from mlship.engines.docker import world
from mlship.types import Fault, Routes, ServerState
from tests.docker import docker_client
from tests.engines.docker_support import docker_engine, ended, release
from tests.engines.test_docker_fallback import issue
from tests.waiting import until

pytestmark = pytest.mark.slow

SOCKET = "/var/run/docker.sock"


@contextmanager
def relay(context: ssl.SSLContext | None) -> Iterator[int]:
    """A port of 127.0.0.1 that leads to the engine's socket."""
    if not Path(SOCKET).exists():
        pytest.skip(f"needs a Docker engine on this machine, at {SOCKET}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, context), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=10)


def _accept(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        while True:
            caller = listener.accept()[0]
            threading.Thread(target=_serve, args=(caller, context), daemon=True).start()


def _serve(caller: socket.socket, context: ssl.SSLContext | None) -> None:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as far:
        near = context.wrap_socket(caller, server_side=True) if context else caller
        with near:
            far.connect(SOCKET)
            back = threading.Thread(target=_pipe, args=(far, near), daemon=True)
            back.start()
            _pipe(near, far)
            back.join()


def _pipe(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while piece := one.recv(1 << 16):
            other.sendall(piece)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR if other.family == socket.AF_UNIX else socket.SHUT_RDWR)


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_a_remote_engine_serves_like_a_local_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: bool) -> None:
    docker_client()  # or skip
    context = None
    release("1")  # its image is built before DOCKER_HOST is another
    if tls:
        certificate, key = issue(tmp_path, "engine")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        for name, file in (("ca.pem", certificate), ("cert.pem", certificate), ("key.pem", key)):
            (tmp_path / name).write_bytes(file.read_bytes())
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # they would win over ca.pem
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with relay(context) as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        with ended(docker_engine(tmp_path)) as engine:
            assert engine.site.client.api.base_url.startswith("https://" if tls else "http://")
            server = engine.deploy(release("1"))
            engine.wait_ready(server, 20)
            engine.route(Routes(server))
            until(lambda: engine.routes() == Routes(server))
            with urlopen(Request(f"{engine.address}/invocations", b"{}"), timeout=10) as answer:
                assert answer.status == 200
            assert engine.scrape().servers[server].requests == 1
            engine.fail(server, Fault.KILL, 0)
            until(lambda: engine.servers()[server].state is ServerState.READY)
            engine.site.router.hands.close()  # as when the network broke
            assert engine.routes() == Routes(server)
            engine.down()
            assert world.left(engine.site.client, engine.site.names) == []
