"""Whatever keeps a Docker engine from answering is told in one message, with what to do about it, and no password."""

from __future__ import annotations

import errno
import socket

import pytest

from mlship.errors import EngineError
from mlship.images import daemon


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("host", "what", "hint"),
    [
        ("unix:///nonexistent.sock", "no Docker engine answers", "systemctl start docker"),
        ("tcp://127.0.0.1:9", "no Docker engine answers", "DOCKER_HOST"),
        ("tcp://nowhere.invalid:2375", "host is not known", "docker context ls"),
        ("bogus://x", "DOCKER_HOST is not understood", "ssh://USER@HOST"),
        ("tcp://me:secret@nowhere.invalid:2375", "DOCKER_HOST is not understood", "tcp://HOST:PORT"),
    ],
)
def test_an_engine_out_of_reach(monkeypatch: pytest.MonkeyPatch, host: str, what: str, hint: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(EngineError) as caught:
        daemon.connect(timeout=5)
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert host.rpartition("@")[2] in caught.value.where
    assert "secret" not in str(caught.value)


def test_an_engine_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    from docker import DockerClient

    class Old:
        api = type("Api", (), {"api_version": "1.30"})

        def close(self) -> None:
            pass

    monkeypatch.setattr(DockerClient, "from_env", lambda **_: Old())
    with pytest.raises(EngineError, match=r"speaks API 1\.30, and 1\.41 is needed"):
        daemon.connect()


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "may not use the Docker engine"),
        (TimeoutError("timed out"), "does not answer in time"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "out of reach"),
        (socket.gaierror(-2, "Name or service not known"), "not known"),
    ],
)
def test_a_fault_is_found_behind_what_the_sdk_raises(fault: OSError, what: str) -> None:
    from docker.errors import DockerException

    def call() -> None:
        try:
            raise fault
        except OSError as error:
            raise DockerException(f"Error while fetching server API version: {error}") from error

    with pytest.raises(EngineError, match=what), daemon.faults("do it"):
        call()


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("write /x: no space left on device", "disk is full"),
        ("Bind for 127.0.0.1:80 failed: port is already allocated", "another container publishes the same port"),
        ("listen tcp4 127.0.0.1:80: bind: address already in use", "another program listens"),
        ("something new", "something new"),
    ],
)
def test_the_engines_words_are_translated_or_repeated(said: str, what: str) -> None:
    from docker.errors import APIError

    with pytest.raises(EngineError, match=what) as caught, daemon.faults("start it", model="flights"):
        raise APIError("500 Server Error", explanation=said)
    assert caught.value.what.startswith("cannot start it: ")
    assert caught.value.where == "flights"


def test_where_ports_are_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    for host, remote in (
        ("unix:///var/run/docker.sock", None),
        ("tcp://127.0.0.1:2375", None),
        ("ssh://me@gpu.example.com:22", "gpu.example.com"),
        ("tcp://10.0.0.7:2376", "10.0.0.7"),
    ):
        monkeypatch.setenv("DOCKER_HOST", host)
        assert daemon.remote_host() == remote
