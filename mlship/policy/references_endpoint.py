"""Do the files exist that the endpoint names, and do they hold what they should? Nothing of a key is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from mlship.policy.certificates import certificate_fault
from mlship.policy.faults import Fault
from mlship.policy.lint_endpoint import weak_keys
from mlship.policy.lint_gates import function_shape
from mlship.policy.references_gates import check_function
from mlship.policy.subject import Subject
from mlship.policy.tree import Location

Resolve = Callable[[str], Path]


def check_endpoint_references(subject: Subject, resolve: Resolve) -> Iterable[Fault]:
    """Faults of the files of keys and certificates, and of the rule's function."""
    endpoint = subject.policy.endpoint
    auth, tls, rule = endpoint.auth, endpoint.tls, endpoint.rule
    if auth is not None and auth.api_keys_file is not None:
        yield from _keys(subject, ("endpoint", "auth", "api_keys_file"), auth.api_keys_file, resolve)
    if auth is not None and auth.jwt is not None and "://" not in auth.jwt.jwks:
        yield from _jwks(subject, ("endpoint", "auth", "jwt", "jwks"), auth.jwt.jwks, resolve)
    if tls is not None:
        here: Location = ("endpoint", "tls")
        missing = [
            fault
            for name, written in (("certificate", tls.certificate), ("key", tls.key))
            for fault in _missing(subject, (*here, name), written, resolve)
        ]
        yield from missing
        if not missing and (what := certificate_fault(resolve(tls.certificate), resolve(tls.key))):
            yield subject.error((*here, "key"), what, "certificate chain and private key in PEM, not encrypted")
    if rule is not None and rule.function is not None:
        location: Location = ("endpoint", "rule", "function")
        if not any(True for _ in function_shape(subject, location, rule.function)):
            yield from check_function(subject, location, rule.function, resolve("."))


def split_lines(text: str) -> list[str]:
    """The keys of a file: one a line; empty lines and those that begin with # say nothing."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _keys(subject: Subject, here: Location, written: str, resolve: Resolve) -> Iterable[Fault]:
    if missing := list(_missing(subject, here, written, resolve)):
        yield from missing
        return
    keys = split_lines(resolve(written).read_text(encoding="utf-8", errors="replace"))
    if not keys:
        yield subject.error(here, "there is no key in this file", "one key a line")
    elif what := weak_keys(keys):
        yield subject.warning(here, what, "32 random characters: `openssl rand -hex 16`")
    if resolve(written).stat().st_mode & 0o004:
        yield subject.warning(here, "everybody on this machine can read this file", f"chmod o-r {written}")


def _jwks(subject: Subject, here: Location, written: str, resolve: Resolve) -> Iterable[Fault]:
    if missing := list(_missing(subject, here, written, resolve)):
        yield from missing
        return
    try:
        keys = json.loads(resolve(written).read_bytes())["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        keys = None
    if not isinstance(keys, list) or not keys:
        yield subject.error(here, "this is no set of keys (JWKS)", '{"keys": [...]}, as the issuer publishes it')
    elif any(isinstance(key, dict) and key.keys() & {"d", "k", "p", "q"} for key in keys):
        yield subject.error(here, "there is a secret in this file: a private or symmetric key", "public keys only")


def _missing(subject: Subject, here: Location, written: str, resolve: Resolve) -> Iterable[Fault]:
    """An absolute path may exist on the machine that serves, and only there: no more than a warning."""
    say = subject.warning if Path(written).expanduser().is_absolute() else subject.error
    path = resolve(written)
    try:
        with path.open("rb"):
            return
    except FileNotFoundError:
        yield say(here, "there is no such file", f"looked for {path}" if written != str(path) else "")
    except (OSError, ValueError) as error:
        yield say(here, f"this file cannot be read: {getattr(error, 'strerror', None) or 'not a path'}", "check it")
