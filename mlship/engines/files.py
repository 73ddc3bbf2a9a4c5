"""The files of a local engine's directory: what its processes read, written so that a crash in between can be repeated.

engine.json       servers, ports, password (the only thing that commands read)
supervisord.conf  run/*.sh  logs/*.log
envoy/{bootstrap,clusters,routes,jobs}.json  envoy/{jwt,rate,tls}.json
envoy/back-VERSION.json (the way back of those routes)  lease.json (who may change them)
fallback/settings.json  fallback/jobs.db (the queue: it outlives all the rest)
"""

from __future__ import annotations

import json
import os
import ssl
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlship.engines import envoy, fallback, state, supervisor, users
from mlship.engines.state import State
from mlship.engines.supervisor import GUARDIAN, ROUTER
from mlship.guardian import lease as guardian
from mlship.types import Routes

#: Folder of the files that Envoy reads.
ROUTER_FILES = "envoy"


def render(directory: Path, known: State, binary: Path) -> None:
    """Write everything. The state comes first, so that what is started by the rest can be found.

    Parameters
    ----------
    binary
        Path of Envoy.
    """
    for name in ("run", "logs", "envoy"):
        (directory / name).mkdir(mode=0o700, exist_ok=True)
    state.save(directory, known)
    for one in known.servers.values():
        state.write(directory / "run" / f"{one.name}.sh", supervisor.script(one.argv, supervisor.ENVIRONMENT))
    boot = envoy.bootstrap(known.front, known.admin_port, "envoy", ("127.0.0.1", known.jobs_port))
    state.write(directory / "envoy" / "bootstrap.json", json.dumps(boot, indent=1))
    state.write(directory / "run" / f"{ROUTER}.sh", router_script(binary))
    guard = [sys.executable, "-m", "mlship.guardian", ".", ROUTER_FILES]
    state.write(directory / "run" / f"{GUARDIAN}.sh", supervisor.script(guard, {"PYTHONUNBUFFERED": "1"}))
    render_fallback(directory, known)
    render_clusters(directory, known)
    render_extensions(directory, known)
    if not _routes(directory).exists():
        render_routes(directory, known, None)
    render_programs(directory, known)


def render_programs(directory: Path, known: State) -> None:
    """Write what the process manager runs."""
    programs = [ROUTER, GUARDIAN, *([fallback.PROGRAM] if known.fallback_port else []), *known.servers]
    supervisor.render(directory, known.supervisor_port, known.password, programs)


def render_fallback(directory: Path, known: State) -> None:
    """Write what the fallback program is told, where it is needed; it takes changed settings up by itself."""
    if not known.fallback_port:
        return
    (directory / fallback.PROGRAM).mkdir(mode=0o700, exist_ok=True)
    settings = fallback.settings(known.front, f"http://127.0.0.1:{known.jobs_port}")
    state.write(directory / fallback.PROGRAM / fallback.SETTINGS, settings)
    argv = fallback.arguments(f"127.0.0.1:{known.fallback_port}")
    state.write(directory / "run" / f"{fallback.PROGRAM}.sh", supervisor.script(argv, {"PYTHONUNBUFFERED": "1"}))


def render_clusters(directory: Path, known: State) -> None:
    """Write the file of clusters; Envoy takes it at once."""
    ports = {one.cluster: ("127.0.0.1", one.port) for one in known.servers.values()}
    _write(directory, "clusters.json", envoy.clusters(ports, "", known.front, authorities(), _fallback(known)))


def render_extensions(directory: Path, known: State) -> None:
    """Write the files of filters and of the certificate; Envoy takes them at once, and what is the same stays."""
    for name, document in envoy.extensions(known.front, "").items():
        _write(directory, name, document)


def render_routes(directory: Path, known: State, wanted: Routes | None) -> None:
    """Write the file of routes; Envoy takes it at once. Callers hold the lock `routes`."""
    names = {name: one.cluster for name, one in known.servers.items()}
    stable = names[wanted.stable] if wanted else None
    log, since = users_log(directory), ""
    if wanted is not None and wanted.sticky:
        before = _read_routes(directory)
        since = users.time_of(before, wanted)
        if since != users.since(before):
            users.empty(log)  # before anybody of the new time can stand in it

    def rendered(routes: Routes | None) -> dict[str, Any]:
        last = known.fallback_port != 0
        return envoy.versioned(envoy.routes(routes, names, known.front, "", fallback=last, since=since))

    document = rendered(wanted)
    if wanted is not None and wanted != Routes(wanted.stable):  # first: whoever sees the routes finds their way back
        _write(directory, guardian.BACK.format(document["version_info"]), rendered(Routes(wanted.stable)))
    _write(directory, guardian.ROUTES, document)
    # After the routes, and only when it is another one: to replace a file takes milliseconds on some disks.
    jobs = envoy.versioned(envoy.jobs_routes(stable, known.front.timeout, ""))
    if _version(directory, "jobs.json") != jobs["version_info"]:
        _write(directory, "jobs.json", jobs)
    guardian.prune(str(directory / ROUTER_FILES))
    if not since:
        users.empty(log)  # who was counted is nobody's business any more


def _fallback(known: State) -> envoy.Address | None:
    return ("127.0.0.1", known.fallback_port) if known.fallback_port else None


def _write(directory: Path, name: str, document: dict[str, Any]) -> None:
    state.write(directory / "envoy" / name, json.dumps(envoy.versioned(document)))


def versions(directory: Path, known: State) -> dict[str, str]:
    """Version of each file that Envoy reads, by name without its ending, as `Admin.applied` tells what it has taken."""
    names = ("clusters", "routes", *(name.removesuffix(".json") for name in envoy.extensions(known.front, "")))
    return {name: _version(directory, f"{name}.json") for name in names}


def _version(directory: Path, name: str) -> str:
    """Version of a file that Envoy reads; empty when it is not there."""
    try:
        return str(json.loads((directory / ROUTER_FILES / name).read_text())["version_info"])
    except FileNotFoundError:
        return ""


def wanted_routes(directory: Path) -> Routes | None:
    """The routes in the file, whether or not a router has taken them; None when it names none."""
    document = _read_routes(directory)
    return None if document is None else envoy.applied(users.dump(document))


def since(directory: Path) -> str:
    """The name of the time since sticky routes were set; empty where they are not sticky."""
    return users.since(_read_routes(directory))


def users_log(directory: Path) -> Path:
    """Where the router writes down the first request of each user."""
    return directory / ROUTER_FILES / envoy.USERS_LOG


def _read_routes(directory: Path) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(_routes(directory).read_text())
    except FileNotFoundError:
        return None
    return document


def authorities() -> str:
    """The file of certificates that this machine trusts; empty when there is none."""
    paths = ssl.get_default_verify_paths()
    places = (
        paths.cafile,
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/cert.pem",
    )
    return next((place for place in places if place and Path(place).is_file()), "")


def remove(directory: Path) -> None:
    """Remove all but logs and locks. The state goes last: while it is there, somebody can find the rest."""
    for folder in ("envoy", "run"):
        for path in (directory / folder).glob("*"):
            path.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            (directory / folder).rmdir()
    fallback.forget(directory)
    for name in (supervisor.CONFIG, "supervisord.pid", guardian.LEASE, guardian.ALIVE, state.FILE):
        (directory / name).unlink(missing_ok=True)


def router_script(binary: Path) -> str:
    """The script that becomes Envoy. Its node's name is new at each start: counters of another node began at zero."""
    workers = max(1, min(4, (os.cpu_count() or 1) // 2))
    argv = [str(binary), "-c", "envoy/bootstrap.json", "--concurrency", str(workers), "--log-level", "warning"]
    argv += ["--file-flush-interval-msec", str(envoy.FLUSH_MS)]
    argv += ["--disable-hot-restart", "--service-cluster", envoy.KEY, "--service-node"]
    # The log of users begins with the counters, and nobody else reads it.
    before = f"ulimit -n $(ulimit -Hn) 2>/dev/null || true\n(umask 077; : > envoy/{envoy.USERS_LOG})"
    text = supervisor.script(argv, {}, before=before)
    return text.rstrip() + ' "$$-$(date +%s%N)"\n'


def _routes(directory: Path) -> Path:
    return directory / "envoy" / "routes.json"
