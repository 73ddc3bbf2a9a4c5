"""The Docker engine's client: found as the `docker` command finds it, and its faults told in our words."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlship.errors import EngineError

if TYPE_CHECKING:
    from docker import DockerClient

#: The oldest API that mlship is tested with: Docker 20.10.
OLDEST = (1, 41)
#: Seconds without a byte from the engine, then it counts as gone. Long builds send their progress.
SILENCE = 120

_START = "start it (`systemctl start docker`, Docker Desktop, colima ...), or name another one in DOCKER_HOST"


def connect(timeout: float = SILENCE) -> DockerClient:
    """Return a client of the engine that `docker` would use: DOCKER_HOST, else the current context, else the socket.

    Parameters
    ----------
    timeout
        Seconds that one answer may take.

    Raises
    ------
    EngineError
        There is none, it may not be used, it is out of reach, or it is too old.
    """
    try:
        import docker
    except ImportError:
        raise EngineError("the package docker is not installed", hint="pip install 'docker>=7.2'") from None
    with faults("connect to the Docker engine"):
        client = docker.DockerClient.from_env(timeout=timeout)
        version = client.api.api_version
    if tuple(int(part) for part in version.split(".")) < OLDEST:
        client.close()
        raise EngineError(
            f"the Docker engine is too old: it speaks API {version}, and {'.'.join(map(str, OLDEST))} is needed",
            where=where(),
            hint="Docker 20.10 or later",
        )
    return client


def where() -> str:
    """Address of the engine, for messages: without a password."""
    address = _address()
    if "@" in address:
        scheme, _, rest = address.partition("://")
        user, _, host = rest.rpartition("@")
        return f"{scheme}://{user.partition(':')[0]}@{host}"
    return address or "the local Docker engine"


def remote_host() -> str | None:
    """Host on which the engine's published ports are reached; None when it is this machine."""
    address = _address()
    if not address.startswith(("tcp://", "http://", "https://", "ssh://")):
        return None
    host = urlsplit(address).hostname
    return None if host in (None, "localhost", "127.0.0.1", "::1") else host


@contextmanager
def faults(doing: str, *, model: str = "") -> Iterator[None]:
    """Turn what the Docker SDK raises into ``EngineError``.

    Parameters
    ----------
    doing
        What is being done, to follow `cannot`: `start the server of version 3`.
    model
        Named in the message where it is not empty, else the engine's address is.
    """
    import requests
    from docker.errors import DockerException

    try:
        yield
    except (DockerException, requests.exceptions.RequestException, OSError) as error:
        what, hint = explain(error)
        raise EngineError(f"cannot {doing}: {what}", where=model or where(), hint=hint) from error


def explain(error: BaseException) -> tuple[str, str]:
    """What is wrong, and what to do about it, for anything that the Docker SDK raises."""
    text = str(getattr(error, "explanation", None) or error)
    for cause in _causes(error):
        if (known := _by_cause(cause)) is not None:
            return known
    lowered = text.lower()
    for fragment, what, hint in _KNOWN:
        if fragment in lowered:
            return what.format(text=text), hint
    return text, ""


def _by_cause(cause: BaseException) -> tuple[str, str] | None:
    import requests

    number = cause.errno if isinstance(cause, OSError) else None
    known = (
        (
            isinstance(cause, PermissionError),
            "this user may not use the Docker engine",
            "sudo usermod -aG docker $USER, and log in again; or run Docker rootless",
        ),
        (isinstance(cause, FileNotFoundError | ConnectionRefusedError), "no Docker engine answers", _START),
        (
            isinstance(cause, socket.gaierror),
            "the name of the Docker engine's host is not known",
            "look at DOCKER_HOST, or `docker context ls`",
        ),
        (
            isinstance(cause, requests.exceptions.Timeout | TimeoutError),
            "the Docker engine does not answer in time",
            "look at its load with `docker info`, then run this again",
        ),
        (
            number in (errno.EHOSTUNREACH, errno.ENETUNREACH),
            "the Docker engine's host is out of reach",
            "look at DOCKER_HOST and the network",
        ),
        (number == errno.ENOSPC, "no space is left on this machine", "free some, then run this again"),
        (
            isinstance(cause, requests.exceptions.SSLError),
            f"the Docker engine's certificate is not accepted: {cause}",
            "look at DOCKER_CERT_PATH, and unset REQUESTS_CA_BUNDLE, which would win over it",
        ),
    )
    return next(((what, hint) for holds, what, hint in known if holds), None)


#: Fragment of the engine's words, in lower case -> what is said, and what to do.
_KNOWN = (
    (
        "no space left on device",
        "the Docker engine's disk is full",
        "`docker system df` shows what takes it, `docker system prune` frees what nothing uses",
    ),
    (
        "port is already allocated",
        "another container publishes the same port",
        "`docker ps` shows which; or choose another address under `endpoint: {listen: ...}` in the policy",
    ),
    (
        "address already in use",
        "another program listens on the same port of the engine's host",
        "stop it, or choose another address under `endpoint: {listen: ...}` in the policy",
    ),
    (
        "cannot assign requested address",
        "the engine's host has no such address",
        "name one of that host's under `endpoint: {listen: ...}` in the policy, or 0.0.0.0",
    ),
    ("no such image", "{text}", "`mlship build POLICY` builds it"),
    ("install paramiko", "ssh:// needs the package paramiko", "pip install 'docker[ssh]'"),
    ("invalid bind address", "DOCKER_HOST is not understood", "unix://..., tcp://HOST:PORT or ssh://USER@HOST"),
    ("path to a certificate", "TLS is asked for without certificates", "look at DOCKER_CERT_PATH"),
    ("no longer supported", "the Docker engine is too old", "Docker 20.10 or later"),
    ("too old", "the Docker engine is too old for this client", "Docker 20.10 or later"),
    ("pool overlaps", "{text}", "a network of the host has the same addresses; see default-address-pools of dockerd"),
    (
        "could not find an available",
        "the Docker engine has no addresses left for another network",
        "`docker network prune` removes networks that nothing uses",
    ),
    ("cannot allocate memory", "the Docker engine's host has no memory left", "stop something there"),
    ("connection aborted", "the connection to the Docker engine broke off", "run this again"),
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it, also what urllib3 keeps in `reason` or in arguments; the innermost first."""
    chain: list[BaseException] = []
    pending: list[BaseException] = [error]
    while pending and len(chain) < 32:
        one = pending.pop()
        if one in chain:
            continue
        chain.append(one)
        inner = [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
        pending += [entry for entry in inner if isinstance(entry, BaseException)]
    return reversed(chain)


def _address() -> str:
    """DOCKER_HOST, else the current context's address, else nothing."""
    if address := os.environ.get("DOCKER_HOST"):
        return address
    from docker.context import ContextAPI
    from docker.errors import DockerException

    try:
        return str(ContextAPI.kwargs_from_context().get("base_url") or "")
    except (DockerException, OSError, ValueError):
        return ""
