"""Waits until router and fallback of a local engine have started, and have taken what was written for them."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from mlship.engines import envoy, fallback, files, supervisor
from mlship.engines.counters import Admin
from mlship.engines.looks import FAILED, UNREACHABLE, ready
from mlship.engines.state import State
from mlship.engines.supervisor import GUARDIAN, ROUTER, Supervisor
from mlship.errors import EngineError
from mlship.guardian import lease as guardian

#: Seconds until the router has started, or has taken new files.
ROUTER_SECONDS, APPLY_SECONDS = 15.0, 10.0


def fallback_up(directory: Path, known: State, manager: Supervisor) -> None:
    """Start the fallback program where it is needed, and wait until it answers."""
    if not known.fallback_port:
        return
    manager.revive(fallback.PROGRAM)
    deadline = time.monotonic() + fallback.IMPORT_SECONDS
    while not ready(known.fallback_port):
        failed = manager.processes()[fallback.PROGRAM]["statename"] in FAILED
        if failed or time.monotonic() > deadline:
            raise EngineError(
                "the fallback does not start:\n" + supervisor.tail(directory, fallback.PROGRAM),
                where=known.model,
                hint=f"its whole log is {directory / 'logs' / fallback.PROGRAM}.log",
            )
        time.sleep(0.02)


def guardian_up(directory: Path, known: State, manager: Supervisor) -> None:
    """Start the guardian unless it runs, and wait until it guards."""
    manager.revive(GUARDIAN)
    deadline = time.monotonic() + ROUTER_SECONDS
    while not guardian.guarded(str(directory)):
        if time.monotonic() > deadline:
            raise EngineError(
                "the guardian does not start:\n" + supervisor.tail(directory, GUARDIAN),
                where=known.model,
                hint=f"its whole log is {directory / 'logs' / GUARDIAN}.log",
            )
        time.sleep(0.01)


def router_up(directory: Path, known: State, manager: Supervisor) -> None:
    """Wait until Envoy serves and knows every server."""
    admin, wanted = Admin(known.admin_port), {one.cluster for one in known.servers.values()}
    wanted |= {envoy.FALLBACK} if known.fallback_port else set()
    deadline = time.monotonic() + ROUTER_SECONDS
    while time.monotonic() < deadline:
        with suppress(*UNREACHABLE):
            if admin.ready() and wanted <= admin.clusters():
                return
        if manager.processes()[ROUTER]["statename"] in FAILED:
            break
        time.sleep(0.01)
    raise EngineError(
        "the router (Envoy) does not start, or does not take its configuration:\n" + supervisor.tail(directory, ROUTER),
        where=known.model,
    )


def applied(directory: Path, known: State) -> None:
    """Wait until Envoy has taken every file as it is now; the routes may change meanwhile."""
    admin, deadline = Admin(known.admin_port), time.monotonic() + APPLY_SECONDS
    missing = ["files"]
    while time.monotonic() < deadline:
        with suppress(*UNREACHABLE):
            taken = admin.applied()
            wanted = files.versions(directory, known)
            missing = sorted(name for name, version in wanted.items() if taken.get(name) != version)
            if not missing:
                return
        time.sleep(0.01)
    raise EngineError(
        f"the router does not take the endpoint's new {', '.join(missing)}:\n" + supervisor.tail(directory, ROUTER),
        where=known.model,
    )
