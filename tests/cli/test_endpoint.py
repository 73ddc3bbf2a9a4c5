"""`mlship endpoint` as people call it: keys come and go at a running router, and no output tells one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from mlship.engines.changes import changes, credentials
from mlship.engines.front import Front
from mlship.ledger import Ledger
from mlship.types import Routes
from tests.engines.support import Callers, ask, free_port, local_engine, release, routed
from tests.schemas import conforms

POLICY = """\
version: 1
model: m
owner: {{team: flight-ops, contact: flight-ops@example.com}}
data: {{evaluation: {{path: rows.csv, target: late}}}}
gates: {{contract: {{max_duplicates: 100%, max_label_conflicts: 100%}}}}
endpoint: {{listen: "127.0.0.1:{port}", timeout: {timeout}{more}}}
"""
KEYS = ["first-key-of-some-length", "second-key-of-some-length", "third-key-of-some-length"]
FRONT = Front("127.0.0.1:8080", 5.0)


class Shop:
    """A directory with a policy, and an engine that serves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.engine = local_engine(directory, front=Front(f"127.0.0.1:{self.port}", 5.0))

    def write(self, more: str = "", *, port: int | None = None, timeout: str = "5s") -> None:
        text = POLICY.format(port=port or self.port, more=f", {more}" if more else "", timeout=timeout)
        (self.directory / "mlship.yaml").write_text(text)

    def mlship(self, *arguments: str, keys: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "MLSHIP_HOME": str(self.directory / ".mlship"), "MLSHIP_ACTOR": "tester"}
        environment |= {"KEYS": ",".join(keys)} if keys else {}
        done = subprocess.run(
            [sys.executable, "-m", "mlship", *arguments],
            cwd=self.directory,
            env=environment,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )
        for key in KEYS:
            assert key not in done.stdout + done.stderr
            assert hashlib.sha256(key.encode()).hexdigest() not in done.stdout + done.stderr
        return done

    def status(self, key: str = "") -> int:
        return ask(self.engine.address, "POST", "/invocations", b"{}", {"x-api-key": key} if key else {})[0]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    found = Shop(tmp_path)
    try:
        server = found.engine.deploy(release("1"))
        found.engine.wait_ready(server, 20)
        routed(found.engine, Routes(server))
        yield found
    finally:
        found.engine.down()


@pytest.mark.slow
def test_keys_are_given_replaced_and_withdrawn_while_callers_ask(shop: Shop) -> None:
    auth = 'auth: {api_keys: "${KEYS}"}'
    with Callers(f"{shop.engine.address}/invocations", headers={"x-api-key": KEYS[1]}) as callers:
        shop.write(auth)
        done = shop.mlship("endpoint", "mlship.yaml", keys=KEYS[:2])
        assert (done.returncode, done.stderr) == (0, "")
        head = f"m  http://127.0.0.1:{shop.port}  for"
        assert done.stdout.splitlines() == [f"{head} 2 API keys", "  API keys: asked for now, 2 API keys"]
        assert [shop.status(key) for key in ["", *KEYS]] == [401, 200, 200, 401]
        done = shop.mlship("endpoint", "mlship.yaml", keys=KEYS[1:])
        assert done.stdout.splitlines() == [f"{head} 2 API keys", "  2 API keys: +1 -1"]
        assert [shop.status(key) for key in ["", *KEYS]] == [401, 401, 200, 200]
        again = shop.mlship("endpoint", "mlship.yaml", "--format", "json", keys=KEYS[1:])
        assert conforms("endpoint", again.stdout)["changed"] == []
        shop.write("rate_limit: 100000/s, max_body: 64MB", timeout="8s")
        done = shop.mlship("endpoint", "mlship.yaml")
        assert done.stdout.splitlines() == [
            f"{head} everybody who can reach the address",
            "  API keys: not asked for any more",
            "  timeout: 5s -> 8s",
            "  largest body: 32MB -> 64MB",
            "  rate limit: none -> 100000/s",
            "  note: servers that run keep their own timeout and largest body until they are started again",
        ]
        callers.more(50)
    assert callers.lost == []
    entries = Ledger(shop.directory / ".mlship" / "ledger.jsonl").read().entries
    assert [(entry.action, entry.reason) for entry in entries][:2] == [
        ("applied", "API keys: asked for now, 2 API keys"),
        ("applied", "2 API keys: +1 -1"),
    ]
    assert {entry.who.partition("@")[0] for entry in entries} == {"tester"}
    assert len(entries) == 3, "what changes nothing is not written down"


@pytest.mark.slow
def test_another_socket_is_refused_with_the_way_there(shop: Shop) -> None:
    shop.write(port=free_port())
    done = shop.mlship("endpoint", "mlship.yaml")
    assert done.returncode == 3
    assert f"the endpoint of m is http://127.0.0.1:{shop.port} now, and the policy says http://" in done.stderr
    assert "`mlship down m`" in done.stderr
    assert shop.status() == 200


def test_where_nothing_runs_there_is_nothing_to_apply_to(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.write()
    done = shop.mlship("endpoint", "mlship.yaml")
    assert done.returncode == 3
    assert "nothing is deployed" in done.stderr


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({}, []),
        ({"made": 7.0}, []),
        ({"key_digests": ("a",)}, ["API keys: asked for now, 1 API key"]),
        ({"jwt_issuer": "https://i"}, ["tokens: none -> https://i"]),
        ({"certificate": "/c.pem"}, ["certificate: none -> /c.pem"]),
        ({"certificate_digest": "b"}, ["certificate: replaced"]),
        ({"timeout": 0.5}, ["timeout: 5s -> 500ms"]),
        ({"rate_limit": 10.0}, ["rate limit: none -> 10/s"]),
        ({"key_header": "x-key"}, ["header of the API key: x-api-key -> x-key"]),
        ({"fallback": "rule", "rule_answer": {}}, ["fallback: stable -> rule", "rule: changed"]),
        ({"queue_jobs": 5, "queue_keep": 60.0}, ["jobs that may wait: 10000 -> 5", "answers are kept for: 24h -> 1m"]),
    ],
)
def test_every_change_is_told(change: dict[str, object], lines: list[str]) -> None:
    assert changes(FRONT, replace(FRONT, **change)) == lines  # type: ignore[arg-type]  # fields of Front


def test_keys_of_tokens_and_audiences_are_told_apart() -> None:
    before = replace(FRONT, jwt_issuer="https://i", jwks="1")
    assert changes(before, replace(before, jwks="2")) == ["tokens: keys changed"]
    assert changes(before, replace(before, jwt_audiences=("a",))) == ["tokens: audiences changed"]
    assert changes(before, replace(before, jwt_audiences=("a",), jwks="2")) == ["tokens: audiences and keys changed"]
    assert changes(before, FRONT) == ["tokens: https://i -> none"]
    both = replace(before, key_digests=("a", "b"))
    assert credentials(both) == "2 API keys, or tokens of https://i"


def test_whatever_is_in_a_front_can_change_with_a_word_about_it() -> None:
    """A field that is added to Front must be told, or be told to be silent here."""
    silent = {"listen", "made", "rule_directory"}
    others = {"jwt_audiences": ("a",), "key_digests": ("a",), "rule_answer": {"a": 1}, "rate_limit": 7.0}
    for one in fields(Front):
        value = getattr(FRONT, one.name)
        other = others.get(one.name) or (f"{value}x" if isinstance(value, str) else value + 1)
        told = changes(FRONT, replace(FRONT, **{one.name: other}))  # type: ignore[arg-type]  # fields of Front
        assert bool(told) is (one.name not in silent), one.name
