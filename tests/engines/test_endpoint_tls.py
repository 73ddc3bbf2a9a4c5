"""TLS at a real router: only TLS, and certificates that are replaced while callers ask."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.client import RemoteDisconnected
from pathlib import Path

import pytest

from mlship.engines.envoy.tls import certificates, to_server
from mlship.engines.front import Front
from mlship.engines.local import LocalEngine
from mlship.errors import EngineError
from mlship.policy.certificates import certificate_fault
from mlship.types import Routes
from tests.engines.issuer import certificate
from tests.engines.support import Callers, ask, free_port, local_engine, pid_of, release, routed


@dataclass
class World:
    engine: LocalEngine
    front: Front
    directory: Path
    """Where certificate and key are."""

    def trusting(self, *names: str) -> ssl.SSLContext:
        """A caller that trusts these certificates, as `issue` wrote them."""
        context = ssl.create_default_context()
        for name in names:
            context.load_verify_locations(self.directory / f"{name}.pem")
        return context

    def issue(self, name: str) -> tuple[Path, Path]:
        return certificate(self.directory, name)

    def serves(self, name: str) -> bool:
        """Whether the router shows this certificate."""
        try:
            return ask(self.engine.address, "GET", "/ping", context=self.trusting(name))[0] == 200
        except ssl.SSLCertVerificationError:
            return False

    def wait_serves(self, name: str) -> None:
        deadline = time.monotonic() + 5
        while not self.serves(name):
            assert time.monotonic() < deadline, f"{name} is not taken up"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("tls")
    for path in certificate(directory, "first"):
        path.rename(directory / f"tls{path.suffix}")
    certificate(directory, "first")
    pair = directory / "tls.pem", directory / "tls.key"
    front = Front(f"127.0.0.1:{free_port()}", 2.0, certificate=str(pair[0]), private_key=str(pair[1]))
    engine = local_engine(tmp_path_factory.mktemp("engine"), front=front)
    try:
        server = engine.deploy(release("1"))
        engine.wait_ready(server, 20)
        routed(engine, Routes(server))
        yield World(engine, front, directory)
    finally:
        engine.down()


def replaced(world: World, name: str) -> None:
    """Put that certificate where the router reads it, each file by a rename, as a careful tool does."""
    for path in world.issue(name):
        copy = path.with_name(f".{path.name}")
        copy.write_bytes(path.read_bytes())
        copy.rename(world.directory / f"tls{path.suffix}")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")  # which is why it must not work
def test_the_endpoint_speaks_tls_and_nothing_else(world: World) -> None:
    replaced(world, "only")
    world.wait_serves("only")
    assert world.engine.address == f"https://{world.front.listen}"
    with pytest.raises((ConnectionError, RemoteDisconnected)):
        ask(f"http://{world.front.listen}", "GET", "/ping")
    old = world.trusting("only")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        ask(world.engine.address, "GET", "/ping", context=old)
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(world.engine.address, "GET", "/ping", context=ssl.create_default_context())
    for protocol in ("h2", "http/1.1"):
        context = world.trusting("only")
        context.set_alpn_protocols([protocol])
        host, port = world.front.listen.split(":")
        plain = socket.create_connection((host, int(port)), 5)
        with context.wrap_socket(plain, server_hostname=host) as secure:
            assert secure.selected_alpn_protocol() == protocol


@pytest.mark.slow
def test_a_replaced_certificate_is_taken_up_while_callers_ask(world: World) -> None:
    replaced(world, "before")
    world.wait_serves("before")
    router = pid_of(world.engine, "envoy")
    world.issue("after")
    trust = world.trusting("before", "after")
    with Callers(f"{world.engine.address}/invocations", trust=trust) as callers:
        callers.more(100)
        for path in ("after.pem", "after.key"):
            (world.directory / path).rename(world.directory / f"tls{Path(path).suffix}")
            callers.more(50)  # between the two, certificate and key do not match
        (world.directory / "after.pem").write_bytes((world.directory / "tls.pem").read_bytes())
        world.wait_serves("after")
        callers.more(100)
    assert callers.lost == []
    assert not world.serves("before")
    assert pid_of(world.engine, "envoy") == router


@pytest.mark.slow
def test_a_pair_that_does_not_match_leaves_the_one_in_use(world: World) -> None:
    replaced(world, "good")
    world.wait_serves("good")
    world.issue("bad")
    (world.directory / "bad.key").rename(world.directory / "tls.key")
    time.sleep(0.3)
    assert world.serves("good")
    (world.directory / "tls.pem").unlink()
    time.sleep(0.2)
    assert world.serves("good")
    replaced(world, "better")
    world.wait_serves("better")


@pytest.mark.slow
def test_files_that_were_written_over_are_taken_up_by_apply(world: World) -> None:
    """Writing in place is no event to Envoy; what `front` reads of them is."""
    replaced(world, "old")
    world.wait_serves("old")
    pem, key = world.issue("new")
    (world.directory / "tls.pem").write_bytes(pem.read_bytes())
    (world.directory / "tls.key").write_bytes(key.read_bytes())
    time.sleep(0.2)
    world.engine.apply(replace(world.front, certificate_digest="2"))
    world.wait_serves("new")


@pytest.mark.slow
def test_other_paths_are_taken_up_too_and_no_tls_is_another_socket(world: World) -> None:
    pem, key = world.issue("elsewhere")
    moved = replace(world.front, certificate=str(pem), private_key=str(key), certificate_digest="3")
    world.engine.apply(moved)
    world.wait_serves("elsewhere")
    with pytest.raises(EngineError, match=r"is https://.* now, and the policy says http://"):
        world.engine.apply(replace(world.front, certificate="", private_key=""))
    assert world.serves("elsewhere")
    world.engine.apply(world.front)


@pytest.mark.slow
def test_a_certificate_that_is_gone_at_the_start_is_said(tmp_path: Path) -> None:
    front = Front(f"127.0.0.1:{free_port()}", 2.0, certificate=str(tmp_path / "c.pem"), private_key=str(tmp_path / "k"))
    engine = local_engine(tmp_path, front=front)
    try:
        with pytest.raises(EngineError, match="certificate"):
            engine.deploy(release("1"))
        assert engine.servers() == {}
    finally:
        engine.down()


def test_certificate_and_key_are_checked_before_they_are_used(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path, "a")
    _, other = certificate(tmp_path, "b")
    text = tmp_path / "text"
    text.write_text("no PEM")
    assert certificate_fault(pem, key) == ""
    assert "b.key does not belong to the certificate a.pem" in certificate_fault(pem, other)
    assert "the certificate x cannot be read: No such file" in certificate_fault(tmp_path / "x", key)
    assert "the private key x cannot be read: No such file" in certificate_fault(pem, tmp_path / "x")
    for pair in ((text, key), (pem, text), (key, pem)):
        assert "are not a certificate and its key in PEM" in certificate_fault(*pair)


def test_an_encrypted_key_is_refused_without_a_question(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    pem, key = certificate(tmp_path, "a")
    secret = serialization.load_pem_private_key(key.read_bytes(), None)
    form, how = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    key.write_bytes(secret.private_bytes(serialization.Encoding.PEM, form, how))
    assert "is encrypted" in certificate_fault(pem, key)


def test_servers_are_asked_for_by_name_or_address() -> None:
    name = to_server("login.example.com", "/ca.pem")["typed_config"]
    address = to_server("10.0.0.1", "/ca.pem")["typed_config"]
    assert (name["sni"], "sni" in address) == ("login.example.com", False)
    (document,) = certificates(Front("127.0.0.1:1", 1.0, certificate="/c", private_key="/k"), "1")["resources"]
    assert document["tls_certificate"]["private_key"] == {"filename": "/k"}
