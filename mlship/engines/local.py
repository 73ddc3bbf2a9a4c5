"""The local engine: Envoy and model servers as processes of one machine, kept by supervisord, found again from disk."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from mlship.engines import (
    down,
    envoy,
    fallback,
    files,
    looks,
    processes,
    refusals,
    said,
    state,
    supervisor,
    up,
    users,
    waits,
)
from mlship.engines.counters import Admin
from mlship.engines.lease import LeaseFile
from mlship.engines.site import Site
from mlship.engines.start import Command, serving
from mlship.engines.supervisor import GUARDIAN, ROUTER
from mlship.errors import EngineError
from mlship.types import Fault, Lease, Release, Routes, Scrape, Server

if TYPE_CHECKING:
    from mlship.engines.front import Front
    from mlship.engines.options import Setup
    from mlship.home import Home

#: How the process manager calls a program that runs.
RUNNING = ("STARTING", "RUNNING")


class LocalEngine:
    """Implements ``engines.base.Engine``. An instance keeps nothing that matters: every call looks at disk and world.

    Parameters
    ----------
    setup
        What the policy says about serving; None for an engine that was deployed before.
    command
        What serves a release; by default ``mlship.serving``.
    """

    def __init__(self, home: Home, model: str, setup: Setup | None = None, *, command: Command | None = None) -> None:
        self.site = Site(home, model)
        self.directory = self.site.directory
        self._model = model
        self._lease = LeaseFile(self.directory, self.directory / files.ROUTER_FILES, model)
        self._front = setup.front if setup else None
        self._command = command or (serving(setup.servers) if setup else serving())
        self._told = looks.Told()
        self._users = users.Users()

    @property
    def address(self) -> str:
        """Base URL of the endpoint; raises ``EngineError`` when the engine has never run and no setup is given."""
        found = self.site.load()
        if found is not None:
            return found.front.url
        if self._front is not None:
            return self._front.url
        raise refusals.absent(self._model)

    # Starting

    def deploy(self, release: Release) -> str:
        """Start router and server unless they run; what this call started is stopped again when it fails."""
        up.deploy(self.site, release, self._front, self._command)
        return release.server

    # Looking

    def wait_ready(self, server: str, timeout: float) -> None:
        """Return when the server answers `/ping` with 200; its first death while it starts is final."""
        deadline = time.monotonic() + timeout
        first_pid = 0
        while True:
            known = self.site.known()
            one = self.site.one(known, server)
            if looks.ready(one.port):
                return
            process = self.site.manager(known).processes().get(server, {})
            first_pid = first_pid or process.get("pid", 0)
            died = process.get("statename") in looks.FAILED or (process.get("pid", 0) not in (0, first_pid))
            if died or time.monotonic() > deadline:
                what = "ended while it started" if died else f"is not ready after {timeout:g} s"
                raise EngineError(
                    f"the server of version {one.version} {what}:\n" + supervisor.tail(self.directory, server),
                    where=self._model,
                    hint=f"its whole log is {self.directory / 'logs' / server}.log",
                )
            time.sleep(0.05)

    def servers(self) -> dict[str, Server]:
        """Every server, with what the process manager and its own `/ping` say of it."""
        known = self.site.load()
        if known is None:
            return {}
        found = self.site.processes(known)
        return {name: looks.look(self.directory, one, found.get(name, {})) for name, one in known.servers.items()}

    def programs(self) -> dict[str, bool]:
        """What the process manager says of the programs that are no servers."""
        known = self.site.load()
        if known is None:
            return {}
        found = self.site.processes(known)
        named = {"router": ROUTER, "guardian": GUARDIAN} | (
            {"fallback": fallback.PROGRAM} if known.fallback_port else {}
        )
        return {told: found.get(name, {}).get("statename") in RUNNING for told, name in named.items()}

    # Routing

    def apply(self, front: Front) -> Front:
        """Replace the files of filters, certificate and routes, and wait until Envoy has taken them."""
        self.site.known()  # or else there is no directory to lock
        with state.locked(self.directory, "engine"):
            known = self.site.known()
            before, manager = known.front, self.site.manager(known)
            if not manager.alive():
                raise refusals.no_router(self._model)
            if front.url != before.url:
                raise refusals.elsewhere(self._model, before, front)
            fallback.check(front)
            known = up.with_fallback(self.site, replace(known, front=front))
            # A rollout may move weights at any moment: what it writes must not name clusters that are not there yet.
            state.save(self.directory, replace(known, front=before))
            files.render_fallback(self.directory, known)
            files.render_programs(self.directory, known)
            manager.reload()
            waits.fallback_up(self.directory, known, manager)
            files.render_clusters(self.directory, known)
            waits.router_up(self.directory, known, manager)  # routes may name clusters that are new
            with state.locked(self.directory, "routes"):
                state.save(self.directory, known)
                files.render_extensions(self.directory, known)
                files.render_routes(self.directory, known, files.wanted_routes(self.directory))
            waits.applied(self.directory, known)
        return before

    def route(self, routes: Routes, owner: str = "") -> None:
        """Replace the route file; Envoy sees the rename at once. Nothing slow comes before it."""
        with state.locked(self.directory, "routes"):
            known = self.site.known()
            for name in (routes.stable, routes.canary):
                if name is not None:
                    self.site.one(known, name)
            self._lease.fenced(owner, lambda: files.render_routes(self.directory, known, routes))

    def routes(self) -> Routes | None:
        """What Envoy says it applies."""
        known = self.site.load()
        if known is None:
            return None
        try:
            (dump,) = Admin(known.admin_port).get("/config_dump?resource=dynamic_route_configs")
            return envoy.applied(json.loads(dump))
        except ConnectionRefusedError:
            return None  # no router, no routes
        except looks.UNREACHABLE as error:
            raise refusals.silent_router(error, self._model) from error

    # Holding

    def hold(self, owner: str, seconds: float) -> Lease | None:
        """Replace the file of the lease."""
        self.site.known()  # or else there is nothing to hold
        return self._lease.hold(owner, seconds)

    def release(self, owner: str) -> None:
        """Replace the file of the lease, where this owner has it."""
        if self.site.load() is not None:
            self._lease.release(owner)

    def lease(self) -> Lease | None:
        """What the file says."""
        return self._lease.look()

    # Counting

    def scrape(self) -> Scrape:
        """Envoy's counts by assigned server, and what each server says: labels, predictions, answers while mirroring.

        A server that is dead still has Envoy's counts, for they tell how dead it is. What cannot be read of the rest is
        repeated from the last time (see ``ServerCounters.labels_epoch``).
        """
        known = self.site.known()
        try:
            run, counted = Admin(known.admin_port).counted()
        except looks.UNREACHABLE:
            return Scrape(time.time(), {}, tuple(known.servers))
        at = time.time()
        read = users.reader(files.users_log(self.directory))
        known_users = self._users.follow(run, files.since(self.directory), counted, read)
        path = said.path(files.wanted_routes(self.directory))
        told = {one.cluster: self._told.read(one, path) for one in known.servers.values()}
        return Scrape(at, said.counters(run, counted, known.servers.values(), told, known_users))

    # Stopping

    def stop(self, server: str) -> None:
        """Drain and stop a server that no route names; one that is not there is no error."""
        known = self.site.load()
        if known is None:
            return
        with state.locked(self.directory, "engine"):
            known = self.site.known()
            if server not in known.servers:
                return
            for routes in (files.wanted_routes(self.directory), self.routes()):
                if routes is not None and server in (routes.stable, routes.canary):
                    raise refusals.routed(server, self._model)
            down.remove(self.site, known, server)

    def fail(self, server: str, fault: Fault, seconds: float) -> None:
        """Kill a server (the process manager starts it again) or stop it for some seconds, its workers with it."""
        known = self.site.known()
        self.site.one(known, server)
        pid = self.site.manager(known).processes().get(server, {}).get("pid", 0)
        if not pid:
            raise refusals.not_running(server, self._model)
        if fault is Fault.KILL:
            processes.kill_group(pid)
        else:
            processes.hang_group(pid, self.directory, seconds)

    def down(self) -> None:
        """End every process and remove every file but the logs; raise when something is left.

        A damaged state does not stop it where processes can be found by their mark (Linux).
        """
        if not self.directory.is_dir():
            return
        with state.locked(self.directory, "engine"):
            down.everything(self.site)
