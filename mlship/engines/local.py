"""The local engine: Envoy and model servers as processes of one machine, kept by supervisord, found again from disk."""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from mlship.engines import envoy, fallback, files, looks, processes, said, state, supervisor, users, waits
from mlship.engines.counters import Admin, Counted
from mlship.engines.lease import LeaseFile
from mlship.engines.start import Command, clear_the_way, envoy_binary, new_deployment, serving
from mlship.engines.state import Deployment, State
from mlship.engines.supervisor import GUARDIAN, ROUTER, Supervisor
from mlship.errors import EngineError, StateError
from mlship.types import Fault, Lease, Release, Routes, Scrape, Server, ServerCounters

if TYPE_CHECKING:
    from mlship.engines.front import Front
    from mlship.engines.options import Setup
    from mlship.home import Home

#: Seconds until an engine has gone.
DOWN_SECONDS = 12.0
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
        self.directory = home.engine(model)
        self._home = home
        self._model = model
        self._lease = LeaseFile(self.directory, self.directory / files.ROUTER_FILES, model)
        self._front = setup.front if setup else None
        self._command = command or (serving(setup.servers) if setup else serving())
        self._told = looks.Told()
        self._users = users.Users()

    @property
    def address(self) -> str:
        """Base URL of the endpoint; raises ``EngineError`` when the engine has never run and no setup is given."""
        found = state.load(self.directory)
        if found is not None:
            return found.front.url
        if self._front is not None:
            return self._front.url
        raise self._absent()

    # Starting

    def deploy(self, release: Release) -> str:
        """Start router and server unless they run; what this call started is stopped again when it fails."""
        try:
            return self._deploy(release)
        except EngineError as error:
            if os.strerror(errno.EADDRINUSE) not in error.what:
                raise
        return self._deploy(release)  # a port was free when it was chosen, and taken a moment later: with others

    def _deploy(self, release: Release) -> str:
        binary = envoy_binary()
        self._home.ensure(self.directory)
        with state.locked(self.directory, "engine"):
            before = state.load(self.directory)
            known = self._state_for_deploy(before)
            fallback.check(known.front)
            manager = self._manager(known)
            running = manager.alive()
            try:
                if not running:
                    known = clear_the_way(self.directory, known)
                    manager = self._manager(known)
                if release.server not in known.servers:
                    known = known.with_server(new_deployment(release, self._command))
                files.render(self.directory, known, binary)
                if running:
                    manager.reload()
                    manager.revive(ROUTER)
                    manager.revive(release.server)
                else:
                    manager.start()
                waits.guardian_up(self.directory, known, manager)
                waits.fallback_up(self.directory, known, manager)
                waits.router_up(self.directory, known, manager)
                with state.locked(self.directory, "routes"):
                    files.render_routes(self.directory, known, files.wanted_routes(self.directory))
            except BaseException:
                self._undo(before, known, release.server, running=running)
                raise
        return release.server

    def _undo(self, before: State | None, known: State, server: str, *, running: bool) -> None:
        """Leave behind what was there before: a failed first deployment leaves nothing but its logs."""
        if not running:
            self._end_processes(known, grace=2.0)
            if before is None:
                files.remove(self.directory)
            else:
                state.save(self.directory, before)
        elif before is not None and server not in before.servers:
            with suppress(EngineError):
                self._remove(known, server)

    def _state_for_deploy(self, known: State | None) -> State:
        if known is None:
            if self._front is None:
                raise self._absent()
            return self._with_fallback(State.new(self._model, self._front))
        wanted = self._front
        if wanted is None or wanted == known.front or wanted.made < known.front.made:
            return self._with_fallback(known)
        if wanted.url != known.front.url and self._manager(known).alive():
            raise self._elsewhere(known, wanted)
        return self._with_fallback(replace(known, front=wanted))

    def _with_fallback(self, known: State) -> State:
        return known.with_fallback() if fallback.needed(known.front, self.directory) else known

    # Looking

    def wait_ready(self, server: str, timeout: float) -> None:
        """Return when the server answers `/ping` with 200; its first death while it starts is final."""
        deadline = time.monotonic() + timeout
        first_pid = 0
        while True:
            known = self._known()
            one = self._one(known, server)
            if looks.ready(one.port):
                return
            process = self._manager(known).processes().get(server, {})
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
        known = state.load(self.directory)
        if known is None:
            return {}
        try:
            found = self._manager(known).processes()
        except EngineError:
            found = {}
        return {name: looks.look(self.directory, one, found.get(name, {})) for name, one in known.servers.items()}

    def programs(self) -> dict[str, bool]:
        """What the process manager says of the programs that are no servers."""
        known = state.load(self.directory)
        if known is None:
            return {}
        try:
            found = self._manager(known).processes()
        except EngineError:
            found = {}
        named = {"router": ROUTER, "guardian": GUARDIAN} | (
            {"fallback": fallback.PROGRAM} if known.fallback_port else {}
        )
        return {told: found.get(name, {}).get("statename") in RUNNING for told, name in named.items()}

    # Routing

    def apply(self, front: Front) -> Front:
        """Replace the files of filters, certificate and routes, and wait until Envoy has taken them."""
        self._known()  # or else there is no directory to lock
        with state.locked(self.directory, "engine"):
            known = self._known()
            before, manager = known.front, self._manager(known)
            if not manager.alive():
                raise EngineError(
                    "the router does not run", where=self._model, hint="`mlship rollout POLICY` starts it"
                )
            if front.url != before.url:
                raise self._elsewhere(known, front)
            fallback.check(front)
            known = self._with_fallback(replace(known, front=front))
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
            known = self._known()
            for name in (routes.stable, routes.canary):
                if name is not None:
                    self._one(known, name)
            self._lease.fenced(owner, lambda: files.render_routes(self.directory, known, routes))

    def routes(self) -> Routes | None:
        """What Envoy says it applies."""
        known = state.load(self.directory)
        if known is None:
            return None
        try:
            (dump,) = Admin(known.admin_port).get("/config_dump?resource=dynamic_route_configs")
            return envoy.applied(json.loads(dump))
        except ConnectionRefusedError:
            return None  # no router, no routes
        except looks.UNREACHABLE as error:
            raise self._silent(error) from error

    # Holding

    def hold(self, owner: str, seconds: float) -> Lease | None:
        """Replace the file of the lease."""
        self._known()  # or else there is nothing to hold
        return self._lease.hold(owner, seconds)

    def release(self, owner: str) -> None:
        """Replace the file of the lease, where this owner has it."""
        if state.load(self.directory) is not None:
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
        known = self._known()
        try:
            run, counted = Admin(known.admin_port).counted()
        except looks.UNREACHABLE:
            return Scrape(time.time(), {}, tuple(known.servers))
        at = time.time()
        read = users.reader(files.users_log(self.directory))
        known_users = self._users.follow(run, files.since(self.directory), counted, read)
        servers, path = {}, said.path(files.wanted_routes(self.directory))
        for name, one in known.servers.items():
            count = counted.get(one.cluster, Counted())
            routed = ServerCounters(
                f"{run}/{one.nonce}",
                count.requests,
                count.errors,
                count.latency,
                timeouts=count.timeouts,
                mirrored=count.mirrored,
                users=users.of_cluster(known_users, one.cluster),
            )
            servers[name] = self._told.read(one, path).beside(routed)
        return Scrape(at, servers)

    # Stopping

    def stop(self, server: str) -> None:
        """Drain and stop a server that no route names; one that is not there is no error."""
        known = state.load(self.directory)
        if known is None:
            return
        with state.locked(self.directory, "engine"):
            known = self._known()
            if server not in known.servers:
                return
            for routes in (files.wanted_routes(self.directory), self.routes()):
                if routes is not None and server in (routes.stable, routes.canary):
                    raise EngineError(f"a route names {server}; it is not stopped", where=self._model)
            self._remove(known, server)

    def _remove(self, known: State, server: str) -> None:
        """Out of the mirrors first, then drained and ended, and last forgotten: a crash in between can be repeated."""
        rest = known.without_server(server)
        with state.locked(self.directory, "routes"):
            files.render_routes(self.directory, rest, files.wanted_routes(self.directory))
        files.render_programs(self.directory, rest)
        manager = self._manager(known)
        if manager.alive():
            manager.remove(server)
        self._forget(known, server)

    def _forget(self, known: State, server: str) -> None:
        rest = known.without_server(server)
        files.render_clusters(self.directory, rest)
        state.save(self.directory, rest)
        (self.directory / "run" / f"{server}.sh").unlink(missing_ok=True)

    def fail(self, server: str, fault: Fault, seconds: float) -> None:
        """Kill a server (the process manager starts it again) or stop it for some seconds, its workers with it."""
        known = self._known()
        self._one(known, server)
        pid = self._manager(known).processes().get(server, {}).get("pid", 0)
        if not pid:
            raise EngineError(f"{server} does not run", where=self._model, hint="`mlship status` shows why")
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
            marked = processes.marked(self.directory)
            try:
                known = state.load(self.directory)
            except StateError:
                if not marked:
                    raise
                known = None
            if known is not None:
                self._end_processes(known, DOWN_SECONDS)
            elif left := processes.end(marked, self.directory, DOWN_SECONDS):
                raise EngineError(f"processes do not end: {left}", where=self._model)
            files.remove(self.directory)

    def _end_processes(self, known: State, grace: float) -> None:
        manager = self._manager(known)
        if manager.alive():
            with suppress(EngineError):
                manager.shutdown()
            deadline = time.monotonic() + grace
            while (manager.alive() or processes.marked(self.directory)) and time.monotonic() < deadline:
                time.sleep(0.02)
        if left := processes.end(processes.marked(self.directory), self.directory, grace=2.0):
            raise EngineError(f"processes do not end: {left}", where=self._model, hint="end them with `kill -9`")

    # Small things

    def _known(self) -> State:
        known = state.load(self.directory)
        if known is None:
            raise self._absent()
        return known

    def _one(self, known: State, server: str) -> Deployment:
        if server not in known.servers:
            raise EngineError(f"no server {server}; there are: {', '.join(known.servers)}", where=self._model)
        return known.servers[server]

    def _manager(self, known: State) -> Supervisor:
        return Supervisor(self.directory, known.supervisor_port, known.password)

    def _elsewhere(self, known: State, wanted: Front) -> EngineError:
        return EngineError(
            f"the endpoint of {self._model} is {known.front.url} now, and the policy says {wanted.url}",
            where=str(self.directory),
            hint=f"`mlship down {self._model}` (callers are cut off), then run this again",
        )

    def _absent(self) -> EngineError:
        return EngineError(
            "nothing is deployed",
            where=self._model,
            hint="`mlship rollout POLICY` deploys it; `mlship status` lists all",
        )

    def _silent(self, error: Exception) -> EngineError:
        return EngineError(f"the router does not answer ({type(error).__name__})", where=self._model)
