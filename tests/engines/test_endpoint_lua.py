"""SHA-256 in the router's own Lua, against hashlib: the filter's very file, run by Envoy on texts of every kind."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlship.engines.envoy.auth import lua_filter
from mlship.engines.start import envoy_binary
from tests.engines.support import free_port

pytestmark = pytest.mark.slow

#: In place of the question for credentials: the digest of the body, and whether it is one of the known keys.
TOLD = """
function envoy_on_request(handle)
    local body = handle:body(true)
    local text = body:getBytes(0, body:length())
    local digest = ""
    for _, word in ipairs({sha256(text)}) do digest = digest .. tohex(word) end
    load_digests({get = function(_, name) return handle:headers():get(name) end})
    handle:respond({[":status"] = "200"}, digest .. " " .. tostring(is_key(text)))
end
"""

Ask = Callable[..., tuple[str, bool]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Text and known keys -> what the filter makes of them."""
    directory, port = tmp_path_factory.mktemp("lua"), free_port()
    lua = lua_filter()
    lua["default_source_code"]["inline_string"] += TOLD
    kind = "type.googleapis.com/envoy.extensions.filters."
    http: dict[str, Any] = {
        "@type": kind + "network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "lua",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [_nowhere()]}]},
        "http_filters": [
            {"name": "lua", "typed_config": lua},
            {"name": "router", "typed_config": {"@type": kind + "http.router.v3.Router"}},
        ],
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": http}]}],
    }
    (directory / "lua.json").write_text(json.dumps({"static_resources": {"listeners": [listener]}}))
    argv = [str(envoy_binary()), "-c", "lua.json", "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    router = subprocess.Popen(argv, cwd=directory)
    connection = HTTPConnection("127.0.0.1", port, timeout=10)

    def told(text: bytes, known: tuple[str, ...] = ("0" * 64,)) -> tuple[str, bool]:
        digests = "".join(known)
        headers = {"digests": digests, "id": hashlib.sha256(digests.encode()).hexdigest()}
        connection.request("POST", "/", text, headers)
        answer = connection.getresponse()
        digest, _, is_key = answer.read().decode().partition(" ")
        assert answer.status == 200, digest
        return digest, is_key == "true"

    try:
        deadline = time.monotonic() + 15
        while True:
            try:
                connection.connect()
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield told
    finally:
        connection.close()
        router.terminate()
        router.wait(10)


def _nowhere() -> dict[str, Any]:
    return {"match": {"prefix": "/"}, "direct_response": {"status": 500}}


def sha(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def test_every_length_up_to_some_blocks(ask: Ask) -> None:
    """Padding begins a new block from 56 bytes on, and again every 64."""
    noise = random.Random(1)
    for length in range(300):
        text = noise.randbytes(length)
        assert ask(text)[0] == sha(text), length


@pytest.mark.parametrize(
    "text",
    [
        *(b"a", b"abc", b"\x00", b"\xff" * 64, b"\x00" * 55, b"\x80" * 56, b"\x00" * 64),
        *("schlüssel ✓ 鍵".encode(), b"a" * 1024, b"a" * 100_000, bytes(range(256)) * 64),
    ],
)
def test_texts_of_note(ask: Ask, text: bytes) -> None:
    assert ask(text)[0] == sha(text)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=2000))
def test_any_text(ask: Ask, text: bytes) -> None:
    digest, is_key = ask(text, (sha(b"other"), sha(text)))
    assert digest == sha(text)
    assert is_key is (0 < len(text) <= 1024), "what is longer is refused unread"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=20, unique=True), st.data())
def test_a_key_is_known_wherever_it_stands_and_no_other_is(ask: Ask, keys: list[bytes], data: st.DataObject) -> None:
    known = tuple(sorted(map(sha, keys)))
    assert all(ask(key, known)[1] for key in keys)
    stranger = data.draw(st.binary(min_size=1, max_size=40).filter(lambda key: key not in keys))
    assert not ask(stranger, known)[1]


def test_a_single_bit_makes_another_digest(ask: Ask) -> None:
    """The comparison looks at every bit of every word."""
    text = b"a-key-that-nobody-guesses"
    digest = int(sha(text), 16)
    assert ask(text, (f"{digest:064x}",))[1]
    for bit in range(256):
        assert not ask(text, (f"{digest ^ (1 << bit):064x}",))[1], bit
