"""Who may call: keys and tokens at a real router. Whoever may not gets 401, and no server hears of it."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from mlship.engines.counters import Admin
from mlship.engines.front import Front
from mlship.engines.local import LocalEngine
from mlship.engines.state import load
from mlship.types import Routes
from tests.engines.issuer import ISSUER, Issuer, b64, certificate
from tests.engines.support import Callers, ask, behave, free_port, local_engine, pid_of, port_of, release, routed

pytestmark = pytest.mark.slow

KEY, OTHER = "a-key-that-nobody-guesses-1", "a-key-that-nobody-guesses-2"
ANOTHER = Issuer("two")


def digests(*keys: str) -> tuple[str, ...]:
    return tuple(sorted(hashlib.sha256(key.encode()).hexdigest() for key in keys))


@dataclass(frozen=True)
class World:
    """An engine with stable and canary, half of the traffic each."""

    engine: LocalEngine
    stable: str
    canary: str
    plain: Front
    issuer: Issuer

    def apply(self, **changes: Any) -> None:
        self.engine.apply(replace(self.plain, **changes))

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self.engine.address, method, path, body, names)

    def status(self, **headers: str) -> int:
        return self.ask("POST", "/invocations", b"{}", **headers)[0]

    def bearer(self, token: str) -> int:
        return self.status(authorization=f"Bearer {token}")

    def counted(self) -> tuple[int, int]:
        """Requests and errors of both servers."""
        servers = self.engine.scrape().servers.values()
        return sum(one.requests for one in servers), sum(one.errors for one in servers)

    def seen(self, server: str) -> dict[str, str]:
        """Headers of the latest request that the server got."""
        with urlopen(f"http://127.0.0.1:{port_of(self.engine, server)}/seen", timeout=5) as answer:
            found: dict[str, str] = json.load(answer)
        return found


@pytest.fixture(scope="module")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    plain = Front(f"127.0.0.1:{free_port()}", 2.0)
    engine = local_engine(tmp_path_factory.mktemp("endpoint"), front=plain)
    try:
        stable, canary = engine.deploy(release("1")), engine.deploy(release("2"))
        for server in (stable, canary):
            engine.wait_ready(server, 20)
        yield World(engine, stable, canary, plain, Issuer())
    finally:
        engine.down()


@pytest.fixture
def world(_world: World) -> World:
    """The same engine for every test; each begins with an endpoint that asks for nothing."""
    for server in (_world.stable, _world.canary):
        behave(_world.engine, server, "ok")
    _world.apply()
    routed(_world.engine, Routes(_world.stable, _world.canary, 0.5))
    return _world


METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE")


@pytest.mark.parametrize(
    "path",
    [
        *("/invocations", "/invocations?x=/ping", "/feedback", "/version", "/v2", "/v2/", "/v2/models/m"),
        *("/v2/models/m/infer", "/v2/models/m/versions/1/infer", "/v2/models/m/ready", "/v2/health/ready"),
        *("/", "/metrics", "/counters", "/jobs/1", "/nothing", "/PING", "/ping/", "/ping/x", "/health/../version"),
        *("/ping/../invocations", "//invocations", "/./v2", "/%69nvocations", "/ping;/invocations"),
    ],
)
def test_without_credentials_nothing_is_answered_but_401(world: World, path: str) -> None:
    """Every path but those for load balancers, every method; also with credentials that are wrong."""
    world.apply(key_digests=digests(KEY), jwt_issuer=ISSUER, jwks=world.issuer.jwks)
    before = world.counted()
    for method in METHODS:
        for given in ({}, {"x_api_key": OTHER}, {"authorization": f"Bearer {ANOTHER.token()}"}):
            status, headers, body = world.ask(method, path, b"{}" if method in ("POST", "PUT") else None, **given)
            assert status == 401, f"{method} {path} with {given}"
            error = ', error="invalid_token"' if given else ""
            assert headers["www-authenticate"] == f'Bearer realm="mlship"{error}'
            assert headers["content-type"] == "application/json"
            if method != "HEAD":
                missing = "credentials are missing: send an API key in the header x-api-key, or a token in the header"
                said = json.loads(body)["error"]
                assert said == ("the credentials are not valid" if given else f"{missing} authorization")
    assert world.counted() == before, "a refusal is no request of any server"


@pytest.mark.parametrize(("method", "path"), [("NONSENSE", "/ping"), ("GET", "/ping%00"), ("GET", "/ping%2f..%2fv2")])
def test_what_is_no_sound_request_reaches_no_server(world: World, method: str, path: str) -> None:
    status, headers, body = world.ask(method, path)
    assert (status, headers["content-type"]) == (400, "application/json")
    assert json.loads(body) == {"error": "the router cannot read this request"}


@pytest.mark.parametrize("path", ["/ping", "/health", "/ping?verbose"])
def test_load_balancers_need_no_credentials(world: World, path: str) -> None:
    world.apply(key_digests=digests(KEY), jwt_issuer=ISSUER, jwks=world.issuer.jwks, rate_limit=0.01)
    for given in ({}, {"x_api_key": OTHER}, {"authorization": "Bearer x"}):
        assert [world.ask("GET", path, **given)[0] for _ in range(3)] == [200] * 3


def test_a_key_lets_in_whatever_the_path(world: World) -> None:
    world.apply(key_digests=digests(KEY, OTHER))
    for given in ({"x_api_key": KEY}, {"x_api_key": OTHER}, {"authorization": f"Bearer {KEY}"}):
        for path in ("/invocations", "/version", "/feedback", "/v2", "/v2/models/m/infer"):
            assert world.ask("POST", path, b"{}", **given)[0] in (200, 202)
        assert world.ask("GET", "/nothing", **given)[0] == 404
    assert world.status(authorization=f"bEaReR {KEY}") == 200, "schemes of authorization know no case"


@pytest.mark.parametrize(
    "wrong",
    [
        *("", " ", KEY[:-1], KEY + "x", KEY.upper(), f"{KEY},{OTHER}", f"Bearer {KEY}", digests(KEY)[0]),
        *(KEY + "\x00", "x" * 1024, "x" * 1025, "x" * 50_000, "ключ", "0" * 64, "nil", "[[]]", '"', "%s%n"),
    ],
)
def test_a_key_that_is_nearly_right_is_wrong(world: World, wrong: str) -> None:
    world.apply(key_digests=digests(KEY, OTHER))
    value = wrong.encode().decode("latin-1")
    if "\x00" in wrong:
        assert world.ask("GET", "/version", x_api_key=value)[0] == 400, "no header holds this"
        return
    assert world.status(x_api_key=value) == 401
    assert world.status(authorization=f"Bearer {value}") == 401
    assert world.status(authorization=f"Basic {KEY}") == world.status(authorization=KEY) == 401


def test_a_key_need_not_be_ascii(world: World) -> None:
    key = "schlüssel-für-alle-türen-✓"
    world.apply(key_digests=digests(key))
    assert world.status(x_api_key=key.encode().decode("latin-1")) == 200


def test_another_header_may_carry_the_key(world: World) -> None:
    world.apply(key_digests=digests(KEY), key_header="x-flight-key")
    assert world.status(x_flight_key=KEY) == 200
    assert world.status(x_api_key=KEY) == 401


def test_servers_never_see_credentials(world: World) -> None:
    """Nor do those that get a copy of the feedback; and with a load balancer's ping they are taken off as well."""
    world.apply(key_digests=digests(KEY), jwt_issuer=ISSUER, jwks=world.issuer.jwks)
    for given in ({"x_api_key": KEY, "authorization": "Bearer x"}, {"authorization": f"Bearer {world.issuer.token()}"}):
        for server in (world.stable, world.canary):
            routed(world.engine, Routes(server))
            for path in ("/invocations", "/v2/models/m/infer", "/feedback"):
                assert world.ask("POST", path, b"{}", x_marker=path, **given)[0] in (200, 202)
                deadline = time.monotonic() + 5
                while world.seen(world.canary).get("x-marker") != path and path == "/feedback":
                    assert time.monotonic() < deadline, "the copy of the feedback does not arrive"
                    time.sleep(0.01)
                for one in (world.stable, world.canary) if path == "/feedback" else (server,):
                    seen = world.seen(one)
                    assert seen["x-marker"] == path
                    assert not seen.keys() & {"x-api-key", "authorization", "x-jwt-payload"}


def test_keys_are_rotated_under_load_and_nobody_is_lost(world: World) -> None:
    world.apply(key_digests=digests(KEY))
    router = pid_of(world.engine, "envoy")
    with Callers(f"{world.engine.address}/invocations", headers={"x-api-key": KEY}) as callers:
        callers.more(100)
        world.apply(key_digests=digests(KEY, OTHER))
        assert world.status(x_api_key=OTHER) == 200
        callers.more(100)
        callers.headers = {"x-api-key": OTHER}
        callers.more(100)
        world.apply(key_digests=digests(OTHER))
        refused = [world.status(x_api_key=KEY) for _ in range(20)]
        assert refused == [401] * 20, "a key that is gone lets nobody in once apply has returned"
        callers.more(100)
    assert callers.lost == []
    assert pid_of(world.engine, "envoy") == router


def test_asking_for_credentials_begins_and_ends_without_a_restart(world: World) -> None:
    router = pid_of(world.engine, "envoy")
    for _ in range(3):
        assert world.status() == 200
        world.apply(key_digests=digests(KEY))
        assert (world.status(), world.status(x_api_key=KEY)) == (401, 200)
        world.apply(jwt_issuer=ISSUER, jwks=world.issuer.jwks)
        token = world.issuer.token()
        assert (world.status(), world.status(x_api_key=KEY), world.bearer(token)) == (401, 401, 200)
        world.apply()
    assert pid_of(world.engine, "envoy") == router


def test_a_rollout_that_began_before_does_not_bring_a_key_back(world: World) -> None:
    old = replace(world.plain, key_digests=digests(KEY), made=100.0)
    engine = local_engine(world.engine.directory.parents[2], front=old)
    assert engine.directory == world.engine.directory
    world.apply(key_digests=digests(OTHER), made=200.0)
    engine.deploy(release("1"))
    assert (world.status(x_api_key=KEY), world.status(x_api_key=OTHER)) == (401, 200)
    newer = local_engine(world.engine.directory.parents[2], front=replace(old, made=300.0))
    newer.deploy(release("1"))
    deadline = time.monotonic() + 5
    while world.status(x_api_key=KEY) != 200:
        assert time.monotonic() < deadline
    assert world.status(x_api_key=OTHER) == 401


def test_no_key_is_written_down_or_shown(world: World) -> None:
    world.apply(key_digests=digests(KEY))
    assert world.status(x_api_key=KEY) == 200
    assert world.status(x_api_key=OTHER) == 401
    known = load(world.engine.directory)
    assert known is not None
    dump, stats = Admin(known.admin_port).get("/config_dump?include_eds", "/stats")
    written = [path.read_bytes() for path in world.engine.directory.rglob("*") if path.is_file()]
    assert any(digests(KEY)[0].encode() in content for content in written)
    for content in (dump, stats, *written):
        assert KEY.encode() not in content
        assert OTHER.encode() not in content


def test_many_keys(world: World) -> None:
    keys = [f"key-number-{number:05d}-of-many" for number in range(2000)]
    world.apply(key_digests=digests(*keys))
    assert [world.status(x_api_key=keys[at]) for at in (0, 1, 999, -1)] == [200] * 4
    assert world.status(x_api_key="key-number-02000-of-many") == 401


WRONG_TOKENS: dict[str, dict[str, Any]] = {
    "expired": {"exp": 1_700_000_000},
    "never expires": {"exp": None},
    "expires in words": {"exp": "tomorrow"},
    "not yet valid": {"nbf": 4_000_000_000},
    "another issuer": {"iss": "https://elsewhere.example.com/"},
    "no issuer": {"iss": None},
    "for somebody else": {"aud": ["other"]},
    "for nobody": {"aud": None},
    "not signed": {"signed": False},
    "signed by nothing": {"signed": False, "alg": "none"},
    "another algorithm": {"alg": "HS256"},
}


@pytest.mark.parametrize("fault", WRONG_TOKENS)
def test_a_token_with_a_fault_is_refused(world: World, fault: str) -> None:
    world.apply(jwt_issuer=ISSUER, jwks=world.issuer.jwks, jwt_audiences=("flights", "tests"))
    assert world.bearer(world.issuer.token(aud=["x", "tests"])) == 200
    assert world.bearer(world.issuer.token(**{"aud": "flights", **WRONG_TOKENS[fault]})) == 401


def test_a_token_that_was_meddled_with_is_refused(world: World) -> None:
    world.apply(jwt_issuer=ISSUER, jwks=world.issuer.jwks)
    head, payload, signature = world.issuer.token().split(".")
    more = b64(json.dumps({"iss": ISSUER, "sub": "root", "exp": int(time.time()) + 3600}))
    stranger = Issuer(world.issuer.kid)
    for token in (
        *("", "x", "..", "...", f"{head}.{payload}", f"{head}.{payload}.", f"{head}.{more}.{signature}"),
        *(f"{head}.{payload}.{signature[:-8]}AAAAAAAA", stranger.token(), ANOTHER.token(), "a" * 20_000),
    ):
        assert world.bearer(token) == 401, token[:80]
    assert world.ask("POST", f"/invocations?access_token={world.issuer.token()}", b"{}")[0] == 401, "urls are logged"
    assert world.bearer(world.issuer.token()) == 200


def test_key_or_token_either_suffices_where_both_are_asked_for(world: World) -> None:
    world.apply(key_digests=digests(KEY), jwt_issuer=ISSUER, jwks=world.issuer.jwks)
    good, bad = world.issuer.token(), world.issuer.token(exp=1)
    assert world.status(x_api_key=KEY) == world.bearer(KEY) == world.bearer(good) == 200
    assert world.status(x_api_key=KEY, authorization=f"Bearer {bad}") == 200
    assert world.status(x_api_key=OTHER, authorization=f"Bearer {good}") == 200
    assert world.status(x_api_key=OTHER, authorization=f"Bearer {bad}") == 401
    world.apply(key_digests=digests(KEY))
    assert world.bearer(good) == 401, "nobody asked for tokens"


def test_the_issuers_keys_are_replaced_without_a_restart(world: World) -> None:
    for issuer, other in ((world.issuer, ANOTHER), (ANOTHER, world.issuer)):
        world.apply(jwt_issuer=ISSUER, jwks=issuer.jwks)
        assert (world.bearer(issuer.token()), world.bearer(other.token())) == (200, 401)
    both = {"keys": [key for issuer in (world.issuer, ANOTHER) for key in json.loads(issuer.jwks)["keys"]]}
    world.apply(jwt_issuer=ISSUER, jwks=json.dumps(both))
    assert world.bearer(world.issuer.token()) == world.bearer(ANOTHER.token()) == 200


class Login(ThreadingHTTPServer):
    """Where an issuer publishes its keys."""

    def __init__(self, issuer: Issuer, certificate: tuple[Path, Path] | None = None) -> None:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.path == "/keys.json"
                self.send_response(200 if known else 404)
                self.end_headers()
                self.wfile.write(issuer.jwks.encode() if known else b"")

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Answer)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


def eventually(status: int, world: World, token: str, within: float = 10) -> None:
    """Keys from a URL come a moment after they were asked for."""
    deadline = time.monotonic() + within
    while (found := world.bearer(token)) != status:
        assert time.monotonic() < deadline, f"{found} instead of {status}"
        time.sleep(0.05)


def test_the_issuers_keys_come_from_a_url(world: World) -> None:
    with Login(world.issuer) as login:
        world.apply(jwt_issuer=ISSUER, jwks=f"http://127.0.0.1:{login.server_port}/keys.json")
        eventually(200, world, world.issuer.token())
        assert world.bearer(ANOTHER.token()) == world.status() == 401
        for url in (f"http://127.0.0.1:{login.server_port}/nothing", f"http://127.0.0.1:{free_port()}/keys.json"):
            world.apply(jwt_issuer=ISSUER, jwks=url)
            eventually(401, world, world.issuer.token())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_issuers_certificate_must_be_trusted(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    pair = certificate(tmp_path)
    with Login(world.issuer, pair) as login:
        url = f"https://{host}:{login.server_port}/keys.json"
        world.apply(jwt_issuer=ISSUER, jwks=url)
        time.sleep(1)
        assert world.bearer(world.issuer.token()) == 401, "nobody has signed this certificate"
        monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
        world.apply(jwt_issuer=ISSUER, jwks=url)
        eventually(200, world, world.issuer.token())


def test_a_check_that_fails_refuses(world: World) -> None:
    """Envoy itself would let a request pass when a script breaks; a digest that is none breaks this one."""
    world.apply(key_digests=("this is no digest at all",))
    assert world.status() == world.status(x_api_key=KEY) == world.bearer(KEY) == 401
    assert world.ask("GET", "/ping")[0] == 200
    world.apply(key_digests=digests(KEY))
    assert world.status(x_api_key=KEY) == 200


def test_callers_cannot_change_deadline_or_attempts(world: World) -> None:
    """Envoy has headers for that, which it takes from whom it trusts: here from nobody."""
    behave(world.engine, world.stable, "sleep 0.3")
    routed(world.engine, Routes(world.stable))
    for name in ("x_envoy_upstream_rq_timeout_ms", "x_envoy_upstream_rq_per_try_timeout_ms"):
        assert world.status(**{name: "50"}) == 200
    world.apply(timeout=0.2)
    assert world.status(x_envoy_upstream_rq_timeout_ms="5000") == 504
