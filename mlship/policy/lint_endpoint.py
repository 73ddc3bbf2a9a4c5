"""Lint of the endpoint: who may call, over what, and what they get when no model answers. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import urlsplit

from mlship.policy.faults import Fault, is_named_only, plain
from mlship.policy.lint_gates import function_shape
from mlship.policy.serving import Jwt, Queue
from mlship.policy.subject import Subject
from mlship.policy.tree import Location, Scalar, find
from mlship.policy.units import format_duration

#: Characters; a shorter key can be tried out.
SHORT_KEY = 16
#: Bytes; the router refuses a longer one before it looks at it.
LONG_KEY = 1024

_HERE: Location = ("endpoint",)
_AUTH: Location = ("endpoint", "auth")
#: What a request cannot do without on its way to the server; a header that carries a key is taken off.
_NEEDED = (
    *("connection", "content-encoding", "content-length", "content-type", "expect", "host", "te"),
    *("transfer-encoding", "upgrade", "x-request-id"),
)


def lint_endpoint(subject: Subject) -> Iterable[Fault]:
    """All contradictions in the endpoint section."""
    yield from _listen(subject)
    yield from _auth(subject)
    yield from _fallback(subject)
    yield from _timeout(subject)


def weak_keys(keys: list[str]) -> str:
    """What is wrong with some keys, told without showing them; empty when nothing is."""
    short = sum(len(key) < SHORT_KEY for key in keys)
    long = sum(len(key.encode()) > LONG_KEY for key in keys)
    if long:
        return f"{long} of {len(keys)} API keys is longer than {LONG_KEY} bytes"
    return (
        f"{short} of {len(keys)} API keys has fewer than {SHORT_KEY} characters: it can be tried out" if short else ""
    )


def split_keys(text: str) -> list[str]:
    """The keys of an environment variable, separated by commas or lines."""
    return [key.strip() for line in text.splitlines() for key in line.split(",") if key.strip()]


def _listen(subject: Subject) -> Iterable[Fault]:
    here: Location = (*_HERE, "listen")
    endpoint = subject.policy.endpoint
    host, _, port = endpoint.listen.rpartition(":")
    if not 1 <= int(port) <= 65535:
        yield subject.error(here, f"there is no port {port}", "ports go from 1 to 65535")
    elif int(port) < 1024:
        yield subject.warning(here, f"port {port} needs special rights on most machines", "take one from 1024 on")
    if host == "localhost":
        return
    try:
        address = IPv6Address(host[1:-1]) if host.startswith("[") else IPv4Address(host)
    except AddressValueError:
        yield subject.error(
            here, f"there is no address {plain(host)}", "write 127.0.0.1, or another address of this machine"
        )
        return
    if address.is_loopback:
        return
    reached = f"{address} can be reached from other machines"
    if endpoint.auth is None and not subject.has_broken(_AUTH):
        yield subject.warning(here, f"{reached}, and nobody is asked who they are", "add `auth`, or take 127.0.0.1")
    elif endpoint.auth is not None and endpoint.tls is None and not subject.has_broken((*_HERE, "tls")):
        yield subject.warning(here, f"{reached}, and credentials go there in plain text", "add `tls`")


def _auth(subject: Subject) -> Iterable[Fault]:
    auth = subject.policy.endpoint.auth
    if auth is None:
        return
    if auth.api_keys is None and auth.api_keys_file is None and auth.jwt is None and not subject.has_broken(_AUTH):
        what = "no credentials are named, and nobody could call"
        yield subject.error(
            _AUTH, what, "add api_keys, api_keys_file or jwt; `auth: null` lets everybody in", at_key=True
        )
    node = find(subject.tree, (*_AUTH, "api_keys"))
    if auth.api_keys is not None and isinstance(node, Scalar):
        if not is_named_only(node.written):
            what = "a secret is named, never written: whoever reads this file has the key"
            yield subject.error((*_AUTH, "api_keys"), what, 'write "${NAME}", set the variable, and change the key')
        elif fault := weak_keys(split_keys(auth.api_keys)):
            yield subject.warning((*_AUTH, "api_keys"), fault, "32 random characters: `openssl rand -hex 16`")
    if auth.header in _NEEDED:
        what = f"'{auth.header}' has a meaning of its own, and is taken off before a server sees the request"
        yield subject.error((*_AUTH, "header"), what, "take another, such as x-api-key")
    if auth.jwt is not None:
        yield from _jwt(subject, auth.jwt)


def _jwt(subject: Subject, jwt: Jwt) -> Iterable[Fault]:
    here: Location = (*_AUTH, "jwt", "jwks")
    if not jwt.jwks.startswith(("http://", "https://")):
        if "://" in jwt.jwks:
            yield subject.error(here, "keys are fetched by http or https only", "a file, or https://...")
        return
    try:
        url = urlsplit(jwt.jwks)
        port = url.port
    except ValueError:
        yield subject.error(here, "this is no URL", "such as https://login.example.com/keys.json")
        return
    if not url.hostname or port == 0:
        yield subject.error(here, "this URL names no server", "such as https://login.example.com/keys.json")
    elif url.username is not None or url.password is not None:
        yield subject.error(here, "the router does not sign in where it fetches keys", "without user and password")
    elif url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        what = "over plain http anybody on the way can put in keys of their own"
        yield subject.warning(here, what, "https?")


def _fallback(subject: Subject) -> Iterable[Fault]:
    endpoint = subject.policy.endpoint
    here: Location = (*_HERE, "rule")
    rule = endpoint.rule
    broken = subject.has_broken(here) or subject.has_broken((*_HERE, "fallback"))
    if rule is None:
        if endpoint.fallback == "rule" and not broken:
            what, hint = "there is no rule that could answer", "add `rule: {answer: {predictions: [0]}}` below endpoint"
            yield subject.error((*_HERE, "fallback"), what, hint)
    else:
        named = (rule.answer is not None) + (rule.function is not None)
        if named != 1 and not broken:
            what = "a rule is an answer or a function, and this is " + ("both" if named else "neither")
            yield subject.error(here, what, "keep one of the two" if named else "add one of the two", at_key=True)
        if rule.function is not None:
            yield from function_shape(subject, (*here, "function"), rule.function)
        if endpoint.fallback != "rule" and not broken:
            what = f"this rule is never asked: fallback is {endpoint.fallback}"
            yield subject.warning(here, what, "write `fallback: rule`, or leave it out", at_key=True)
    if endpoint.fallback != "queue" and endpoint.queue != Queue() and not subject.has_broken((*_HERE, "fallback")):
        what = f"nothing waits in this queue: fallback is {endpoint.fallback}"
        yield subject.warning((*_HERE, "queue"), what, "write `fallback: queue`, or leave it out", at_key=True)


def _timeout(subject: Subject) -> Iterable[Fault]:
    """A budget beyond the timeout is never exceeded: callers have their 504 before."""
    gate, timeout = subject.policy.gates.latency, subject.policy.endpoint.timeout
    for name in ("p50", "p95", "p99", "p999") if gate else ():
        limit: float | None = getattr(gate, name)
        if limit is not None and limit > timeout:
            what = f"{name} {format_duration(limit)} is more than endpoint.timeout, {format_duration(timeout)}"
            hint = "callers get 504 before that; lower the limit or raise the timeout"
            yield subject.warning(("gates", "latency", name), what, hint)
