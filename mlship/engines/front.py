"""What the router does for callers: who they may be, how much, how long, and who answers when no model does."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import PolicyError
from mlship.policy.certificates import certificate_fault

if TYPE_CHECKING:  # pydantic is not needed to read one back
    from mlship.policy.serving import Endpoint


@dataclass(frozen=True, slots=True)
class Front:
    """The endpoint of a policy, resolved: paths are absolute, and of keys there are only digests.

    It is written to disk beside the engine's state and into a rollout's journal, so that a later command, which has no
    policy at hand, can render the router's files again.
    """

    listen: str
    timeout: float
    """Seconds."""
    max_body: int = 32 * 10**6
    rate_limit: float | None = None
    """Requests per second."""
    key_header: str = "x-api-key"
    key_digests: tuple[str, ...] | None = None
    """sha256 (hex) of every key that is let in; None: no keys are asked for."""
    jwt_issuer: str = ""
    """Empty: no tokens are asked for."""
    jwt_audiences: tuple[str, ...] = ()
    jwks: str = ""
    """The issuer's public keys (JWKS) as a document, or the URL that the router fetches them from."""
    certificate: str = ""
    """Absolute path; empty: plain HTTP."""
    private_key: str = ""
    certificate_digest: str = ""
    """sha256 of both files as they were read: replaced files are another certificate."""
    fallback: str = "stable"
    """stable | rule | queue | fail"""
    rule_answer: dict[str, Any] | None = None
    rule_function: str = ""
    rule_directory: str = ""
    """Where the function's module is found."""
    queue_jobs: int = 10_000
    queue_keep: float = 86400.0
    """Seconds."""
    made: float = field(default=0.0, compare=False)
    """When it was made of a policy (Unix time). An engine keeps the newest: a rollout that began before a key was
    withdrawn, and is carried on after it, does not bring the key back."""

    @property
    def scheme(self) -> str:
        """`https` with a certificate, else `http`."""
        return "https" if self.certificate else "http"

    @property
    def url(self) -> str:
        """Base URL of the endpoint."""
        return f"{self.scheme}://{self.listen}"

    def to_json(self) -> dict[str, Any]:
        """A document that `from_json` reads back as the same value."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Front:
        """A front as `to_json` wrote it."""
        known = {one.name for one in fields(cls)}
        values = {name: value for name, value in document.items() if name in known}
        for name in ("key_digests", "jwt_audiences"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        return cls(**values)


def front(endpoint: Endpoint, resolve: Callable[[str], Path]) -> Front:
    """The front of a policy's endpoint section; reads the files that it names.

    Parameters
    ----------
    resolve
        A path of the policy, made absolute.

    Raises ``PolicyError`` when a file that it names cannot be read, or does not hold what it should.
    """
    auth, tls, rule = endpoint.auth, endpoint.tls, endpoint.rule
    jwt = auth.jwt if auth else None
    return Front(
        listen=endpoint.listen,
        timeout=endpoint.timeout,
        max_body=endpoint.max_body,
        rate_limit=endpoint.rate_limit,
        key_header=auth.header if auth else "x-api-key",
        key_digests=_digests(endpoint, resolve),
        jwt_issuer=jwt.issuer if jwt else "",
        jwt_audiences=jwt.audiences if jwt else (),
        jwks=_jwks(jwt.jwks, resolve) if jwt else "",
        certificate=str(resolve(tls.certificate)) if tls else "",
        private_key=str(resolve(tls.key)) if tls else "",
        certificate_digest=_certificate(resolve(tls.certificate), resolve(tls.key)) if tls else "",
        fallback=endpoint.fallback,
        rule_answer=rule.answer if rule else None,
        rule_function=(rule.function or "") if rule else "",
        rule_directory=str(resolve(".")) if rule and rule.function else "",
        queue_jobs=endpoint.queue.max_jobs,
        queue_keep=endpoint.queue.keep,
        made=time.time(),
    )


def _digests(endpoint: Endpoint, resolve: Callable[[str], Path]) -> tuple[str, ...] | None:
    from mlship.policy.lint_endpoint import LONG_KEY, split_keys
    from mlship.policy.references_endpoint import split_lines

    auth = endpoint.auth
    if auth is None or (auth.api_keys is None and auth.api_keys_file is None):
        return None
    keys = split_keys(auth.api_keys or "")
    if auth.api_keys_file is not None:
        hint = "one key a line; see `endpoint: {auth: {api_keys_file: ...}}` in the policy"
        keys += split_lines(_text(resolve(auth.api_keys_file), "the file of API keys", hint))
    if not keys:
        raise PolicyError(
            "the endpoint asks for API keys, and there is none", hint="set the variable, or fill the file"
        )
    if any(len(key.encode()) > LONG_KEY for key in keys):
        raise PolicyError(f"an API key is longer than {LONG_KEY} bytes", hint="32 random characters are plenty")
    return tuple(sorted({hashlib.sha256(key.encode()).hexdigest() for key in keys}))


def _jwks(jwks: str, resolve: Callable[[str], Path]) -> str:
    """The URL, or what stands in the file: an engine may run where the file is not."""
    if jwks.startswith(("http://", "https://")):
        return jwks
    path = resolve(jwks)
    hint = 'a JSON document such as {"keys": [{"kty": "RSA", ...}]}, as the issuer publishes it'
    text = _text(path, "the file of the issuer's keys", hint)
    try:
        keys = json.loads(text)["keys"]
    except (ValueError, TypeError, KeyError):
        keys = None
    if not isinstance(keys, list) or not keys:
        raise PolicyError("this is no set of keys (JWKS)", where=str(path), hint=hint)
    return text


def _certificate(certificate: Path, key: Path) -> str:
    if fault := certificate_fault(certificate, key):
        raise PolicyError(fault, where=str(certificate), hint="see `endpoint: {tls: ...}` in the policy")
    return hashlib.sha256(certificate.read_bytes() + key.read_bytes()).hexdigest()


def _text(path: Path, what: str, hint: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise PolicyError(f"{what} cannot be read: {reason}", where=str(path), hint=hint) from None
