"""The endpoint of the Docker engine: who may call, TLS, and who answers when no model does."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from mlship.engines import state
from mlship.engines.docker import DockerEngine, kept, router, world
from mlship.engines.front import Front
from mlship.errors import EngineError
from mlship.types import Fault, Routes
from tests.engines.docker_support import docker_engine, ended, release
from tests.engines.support import Callers, free_port
from tests.waiting import until

pytestmark = pytest.mark.slow

#: Longer than the stand-in takes to come back.
AWAY = 3.0


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def queueing(directory: Path, port: int) -> Iterator[DockerEngine]:
    front = Front(f"127.0.0.1:{port}", 1.0, fallback="queue", made=1.0)
    with ended(docker_engine(directory, front=front)) as engine:
        yield engine


def up(engine: DockerEngine) -> str:
    server = engine.deploy(release("1", packages=True))
    engine.wait_ready(server, 20)
    engine.route(Routes(server))
    until(lambda: engine.routes() == Routes(server))
    return server


def ask(url: str, body: bytes | None = b"{}", context: ssl.SSLContext | None = None, **headers: str) -> tuple[int, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request(url, body, {"content-type": "application/json", **named})
    try:
        with urlopen(request, timeout=10, context=context) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def test_a_rule_answers_when_no_model_does_and_is_changed_as_it_runs(directory: Path, port: int) -> None:
    front = Front(f"127.0.0.1:{port}", 1.0)
    with ended(docker_engine(directory, front=front)) as engine:
        server, url = up(engine), f"{engine.address}/invocations"
        ruled = replace(front, fallback="rule", rule_answer={"predictions": [7]}, made=2.0)
        assert engine.apply(ruled) == front
        assert ask(url) == (200, {"predictions": [1]})
        engine.fail(server, Fault.HANG, AWAY)
        assert ask(url) == (200, {"predictions": [7]})
        until(lambda: ask(url) == (200, {"predictions": [1]}))
        engine.apply(replace(ruled, rule_answer={"predictions": [8]}, made=3.0))
        engine.fail(server, Fault.HANG, AWAY)
        until(lambda: ask(url) == (200, {"predictions": [8]}), within=AWAY)


def test_a_rules_function_is_taken_along(directory: Path, port: int) -> None:
    (directory / "rules.py").write_text("def answer(document):\n    return {'predictions': [len(document)]}\n")
    rule = {"rule_function": "rules:answer", "rule_directory": str(directory)}
    front = Front(f"127.0.0.1:{port}", 1.0, fallback="rule", **rule)  # type: ignore[arg-type]  # as in Front
    with ended(docker_engine(directory, front=front)) as engine:
        server = up(engine)
        engine.fail(server, Fault.HANG, AWAY)
        assert ask(f"{engine.address}/invocations", b'{"a": 1, "b": 2}') == (200, {"predictions": [2]})


def test_a_rule_that_cannot_be_taken_along_leaves_nothing(directory: Path, port: int) -> None:
    front = Front(f"127.0.0.1:{port}", 1.0, fallback="rule", rule_function="nowhere:f", rule_directory=str(directory))
    with ended(docker_engine(directory, front=front)) as engine:
        with pytest.raises(EngineError, match="nowhere"):
            engine.deploy(release("1", packages=True))
        assert world.left(engine.site.client, engine.site.names) == []


def test_a_request_that_was_queued_has_its_answer_later(queueing: DockerEngine) -> None:
    server = up(queueing)
    queueing.fail(server, Fault.HANG, AWAY)
    status, answer = ask(f"{queueing.address}/invocations")
    assert status == 202
    until(lambda: ask(queueing.address + answer["poll"], None) == (200, {"predictions": [1]}))


def test_what_was_queued_outlives_down(queueing: DockerEngine, directory: Path) -> None:
    server = up(queueing)
    queueing.fail(server, Fault.HANG, 60)
    status, answer = ask(f"{queueing.address}/invocations")
    assert status == 202
    queueing.down()
    assert world.left(queueing.site.client, queueing.site.names) == []
    assert (queueing.directory / "fallback" / "jobs.db").exists(), "somebody waits for an answer"
    up(queueing)
    assert not (queueing.directory / "fallback" / "jobs.db").exists(), "it is where it is worked off"
    until(lambda: ask(queueing.address + answer["poll"], None) == (200, {"predictions": [1]}))


def test_keys_are_asked_for_and_exchanged_as_it_runs(directory: Path, port: int) -> None:
    def digests(*keys: str) -> tuple[str, ...]:
        return tuple(sorted(hashlib.sha256(key.encode()).hexdigest() for key in keys))

    front = Front(f"127.0.0.1:{port}", 1.0, key_digests=digests("old"))
    with ended(docker_engine(directory, front=front)) as engine:
        up(engine)
        url = f"{engine.address}/invocations"
        assert ask(url)[0] == 401
        assert ask(url, x_api_key="old")[0] == 200
        engine.apply(replace(front, key_digests=digests("new"), made=2.0))
        assert ask(url, x_api_key="old")[0] == 401
        assert ask(url, x_api_key="new")[0] == 200


def test_weights_that_move_meanwhile_do_not_bring_a_key_back(directory: Path, port: int) -> None:
    """A rollout that is about to write routes waits, and in between a key is withdrawn."""
    before, after = ((hashlib.sha256(key).hexdigest(),) for key in (b"before", b"after"))
    front = Front(f"127.0.0.1:{port}", 1.0, key_digests=before)
    with ended(docker_engine(directory, front=front)) as engine:
        server = up(engine)
        known = kept.load(engine.directory)
        assert known is not None
        with state.locked(engine.directory, "routes"):
            moving = threading.Thread(target=engine.route, args=(Routes(server),))
            moving.start()
            time.sleep(1.0)
            kept.save(engine.directory, replace(known, front=replace(front, key_digests=after)))
        moving.join(20)
        one = world.router(engine.site.containers())
        assert one is not None
        written = engine.site.router.read(one, router.ROUTES) or ""
        assert after[0] in written
        assert before[0] not in written


def test_weights_that_move_while_a_fallback_starts_lose_nobody(directory: Path, port: int) -> None:
    front = Front(f"127.0.0.1:{port}", 1.0)
    with ended(docker_engine(directory, front=front)) as engine:
        server = up(engine)
        rule = replace(front, fallback="rule", rule_answer={"predictions": [0]})
        applying = threading.Thread(target=engine.apply, args=(rule,))
        with Callers(f"{engine.address}/invocations") as callers:
            applying.start()
            while applying.is_alive():
                engine.route(Routes(server))
                time.sleep(0.05)
            callers.more(50)
        assert callers.lost == []


def test_tls_files_are_copied_and_taken_up_again(directory: Path, port: int) -> None:
    certificate, key = issue(directory, "one")
    front = Front(f"127.0.0.1:{port}", 1.0, certificate=str(certificate), private_key=str(key))
    with ended(docker_engine(directory, front=front)) as engine:
        up(engine)
        assert engine.address == f"https://127.0.0.1:{port}"
        url = f"{engine.address}/invocations"
        assert ask(url, context=ssl.create_default_context(cafile=str(certificate)))[0] == 200
        issue(directory, "one")  # renewed, at the same path
        engine.apply(replace(front, made=2.0))
        trusting = ssl.create_default_context(cafile=str(certificate))
        until(lambda: _works(url, trusting), within=5)
        certificate.unlink()
        with pytest.raises(EngineError, match="certificate"):
            engine.apply(replace(front, made=3.0))


def _works(url: str, context: ssl.SSLContext) -> bool:
    try:
        return ask(url, context=context)[0] == 200
    except OSError:
        return False


def issue(directory: Path, name: str) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that is its own authority, and its key."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = directory / f"{name}.pem", directory / f"{name}.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
