"""The Docker engine: what a controller asks of it. It remembers next to nothing: every call looks at the engine."""

from __future__ import annotations

import json
import secrets
import time
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlship.engines import envoy, lease, refusals, said, state
from mlship.engines.docker import kept, last, look, router, start, world
from mlship.engines.docker.hands import NoRouter
from mlship.engines.docker.names import GUARDIAN, MODEL_SERVER, ROUTER, Container
from mlship.engines.docker.site import Site, one_server, servers
from mlship.engines.docker.start import Wanted
from mlship.engines.front import Front
from mlship.engines.options import ServerOptions
from mlship.engines.said import Said
from mlship.errors import EngineError
from mlship.guardian.lease import Refused
from mlship.images.daemon import faults, remote_host
from mlship.types import Fault, Lease, Release, Routes, Scrape, Server

if TYPE_CHECKING:
    from mlship.engines.options import Setup
    from mlship.home import Home

#: Seconds: until the router has taken a change, and until a server has ended when everything ends.
APPLY_SECONDS, DOWN_SECONDS = 10.0, 10
#: Addresses of a machine's own, or all that it has: from elsewhere they are reached by the machine's name.
_OWN = ("0.0.0.0", "127.0.0.1", "localhost", "::", "::1")
_UNREACHABLE = (OSError, HTTPException, ValueError)


class DockerEngine:
    """Implements ``engines.base.Engine`` on the engine that `docker` would use, here or elsewhere (DOCKER_HOST).

    Parameters
    ----------
    setup
        What the policy says about serving; None for an engine that was deployed before.
    """

    def __init__(self, home: Home, model: str, setup: Setup | None = None) -> None:
        self.site = Site(home, model)
        self.directory = self.site.directory
        self._model = model
        self._wanted = Wanted(setup.front, setup.servers, setup.router) if setup else Wanted(None, ServerOptions())
        self._told: dict[str, Said] = {}
        self._begun: set[str] = set()  # servers that this object has started, and not yet seen ready

    @property
    def address(self) -> str:
        """Base URL of the endpoint; raises ``EngineError`` when the engine has never run and no setup is given."""
        known = kept.load(self.directory)
        front = known.front if known else self._wanted.front or self.site.known(self.site.containers()).front
        url, host = urlsplit(front.url), remote_host()
        return front.url if host is None or url.hostname not in _OWN else f"{url.scheme}://{host}:{url.port}"

    # Starting

    def deploy(self, release: Release) -> str:
        """Start router and server unless they run; what this call started is removed again when it fails."""
        if not release.image:
            raise EngineError(
                f"there is no image of version {release.version}, and the Docker engine runs nothing else",
                where=self._model,
                hint="`mlship build POLICY` builds it",
            )
        self.site.home.ensure(self.directory)
        with state.locked(self.directory, "engine"):
            if start.deploy(self.site, release, self._wanted):
                self._begun.add(release.server)
        return release.server

    # Looking

    def wait_ready(self, server: str, timeout: float) -> None:
        """Return when the server answers `/ping` with 200; its first death while it starts is final.

        A server that was there before may have been killed, and begun again: that it did so earlier is no death now.
        """
        deadline = time.monotonic() + timeout
        first = 0 if server in self._begun else None
        while True:
            found = self.site.containers()
            one = one_server(found, server, self._model)
            if look.ready(self.site.hands(found), [one])[server]:
                self._begun.discard(server)
                return
            inspected = world.inspect(self.site.client, one)
            restarts = int(inspected.get("RestartCount", 0))
            first = restarts if first is None else first
            died = look.is_over(inspected) or restarts > first
            if died or time.monotonic() > deadline:
                what = f"{look.cause(inspected)} while it started" if died else f"is not ready after {timeout:g} s"
                raise EngineError(
                    f"the server of version {one.version} {what}:\n" + world.tail(self.site.client, one),
                    where=self._model,
                    hint=f"its whole log: docker logs {self.site.names.server(server)}",
                )
            time.sleep(0.05)

    def servers(self) -> dict[str, Server]:
        """Every server, with what the engine and its own `/ping` say of it."""
        found = self.site.containers()
        answers = look.ready(self.site.hands(found), servers(found))
        return {one.name: look.server(self.site.client, one, ready=answers[one.name]) for one in servers(found)}

    def programs(self) -> dict[str, bool]:
        """The containers that are no servers."""
        found = self.site.containers()
        wanted = dict.fromkeys((ROUTER, GUARDIAN), False) if found else {}
        return wanted | {one.role: one.state == "running" for one in found if one.role != MODEL_SERVER}

    # Routing

    def apply(self, front: Front) -> Front:
        """Replace the files of filters, certificate and routes, and wait until Envoy has taken them."""
        before = self.site.known(self.site.containers()).front
        self.site.home.ensure(self.directory)
        with state.locked(self.directory, "engine"):
            found = self.site.containers()
            known = self.site.known(found)
            one = self.site.running_router(found)
            if one is None:
                raise refusals.no_router(self._model)
            before = known.front
            if front.url != before.url:
                raise refusals.elsewhere(self._model, before, front)
            last.check(front)
            if up := servers(found):
                image = str(world.inspect(self.site.client, up[0]).get("Image", ""))
                with faults("start the fallback program", model=self._model):
                    last.ensure(self.site, front, found, image)
            files = router.front_files(front, self.site.containers())
            self.site.router.put(one, files)
            # A rollout may move weights at any moment: what it writes must not name clusters that are not there yet.
            kept.save(self.directory, replace(known, front=front))
            start.settle(self.site, front)
            self._wait_applied(one, files)
        return before

    def _wait_applied(self, one: Container, files: dict[str, str]) -> None:
        """Wait until Envoy has taken every file as it is now; the routes may change meanwhile."""
        deadline, missing = time.monotonic() + APPLY_SECONDS, ["files"]
        while time.monotonic() < deadline:
            with suppress(*_UNREACHABLE):
                taken = self.site.router.admin.applied()
                now = {router.ROUTES: self.site.router.read(one, router.ROUTES) or "{}"}
                wanted = router.versions(files | now)
                missing = sorted(name for name, version in wanted.items() if taken.get(name) != version)
                if not missing:
                    return
            time.sleep(0.01)
        raise self.site.router.broken(f"the router does not take the endpoint's new {', '.join(missing)}")

    def route(self, routes: Routes, owner: str = "") -> None:
        """Replace the route file; Envoy sees the rename at once. Nothing slow comes before it."""
        self.site.known(self.site.containers())  # or else there is nothing to lock
        self.site.home.ensure(self.directory)
        with state.locked(self.directory, "routes"):
            found = self.site.containers()
            known = self.site.known(found)  # not sooner: `apply` may just have withdrawn a key
            for name in (routes.stable, routes.canary):
                if name is not None:
                    one_server(found, name, self._model)
            one = world.router(found)
            if one is None:
                raise refusals.absent(self._model)
            try:
                since = self.site.router.time_of(one, routes)
                self.site.router.put_routes(one, router.route_files(known.front, found, routes, since), owner)
            except Refused as refused:
                raise lease.lost(refused.found, self._model, owner) from None

    def routes(self) -> Routes | None:
        """What Envoy says it applies."""
        if self.site.running_router(self.site.containers()) is None:
            return None  # no router, no routes
        try:
            (dump,) = self.site.router.admin.get("/config_dump?resource=dynamic_route_configs")
            return envoy.applied(json.loads(dump))
        except (NoRouter, ConnectionRefusedError):
            return None
        except _UNREACHABLE as error:
            raise refusals.silent_router(error, self._model) from error

    # Holding

    def hold(self, owner: str, seconds: float) -> Lease | None:
        """Replace the file of the lease, in the router's volume."""
        call = secrets.token_hex(4)  # an answer may be lost, and the question asked again
        return lease.take(lambda gone: self._lease("hold", owner, seconds, gone, call), self._model, owner)

    def release(self, owner: str) -> None:
        """Replace the file of the lease, where this owner has it."""
        with suppress(refusals.Absent):
            self._lease("release", owner)

    def lease(self) -> Lease | None:
        """What the file says."""
        with suppress(refusals.Absent):
            return lease.to_lease(self._lease("look"))
        return None

    def _lease(self, what: str, *arguments: Any) -> Any:
        """Ask the agent; which container it is in is looked up only where nobody answers, for that takes longer."""
        hands = self.site.router.hands
        with suppress(NoRouter):
            if hands.connected:
                return hands.lease(what, *arguments)
        found = self.site.containers()
        if world.router(found) is None:
            raise refusals.absent(self._model)
        if self.site.running_router(found) is None:
            raise NoRouter("the router does not run", where=self._model, hint="`mlship rollout POLICY` starts it")
        return hands.lease(what, *arguments)

    # Counting

    def scrape(self) -> Scrape:
        """Envoy's counts by assigned server, and what each server says: labels, predictions, answers while mirroring.

        A server that is dead still has Envoy's counts, for they tell how dead it is. What cannot be read of the rest is
        repeated from the last time (see ``ServerCounters.labels_epoch``).
        """
        found = self.site.containers()
        if not found:
            raise refusals.absent(self._model)
        up = servers(found)
        try:
            if (hands := self.site.hands(found)) is not None and (one := world.router(found)) is not None:
                run, counted = self.site.router.admin.counted()
                at = time.time()
                routes, since = self.site.router.written(one)
                known = self.site.router.first_requests(run, since, counted)
                self._told |= look.told(hands, up, said.path(routes))
                return Scrape(at, said.counters(run, counted, up, self._told, known))
        except (*_UNREACHABLE, NoRouter):
            pass
        return Scrape(time.time(), {}, tuple(one.name for one in up))

    # Stopping

    def stop(self, server: str) -> None:
        """Drain and stop a server that no route names; one that is not there is no error."""
        if all(one.name != server for one in self.site.containers()):
            return
        self.site.home.ensure(self.directory)
        with state.locked(self.directory, "engine"):
            found = self.site.containers()
            one, running = next((each for each in found if each.name == server), None), world.router(found)
            if one is None:
                return
            for routes in (self.site.router.wanted(running) if running else None, self.routes()):
                if routes is not None and server in (routes.stable, routes.canary):
                    raise refusals.routed(server, self._model)
            start.end(self.site, one)

    def fail(self, server: str, fault: Fault, seconds: float) -> None:
        """Kill a server (the engine starts it again) or stop it for some seconds, its workers with it."""
        one = one_server(self.site.containers(), server, self._model)
        if one.state != "running":
            raise refusals.not_running(server, self._model)
        with faults(f"take {server} away", model=self._model):
            made = self.site.client.api.exec_create(one.id, look.accident(fault, seconds))
            self.site.client.api.exec_start(made["Id"])

    def down(self) -> None:
        """End every container and remove network and volumes, found by their labels; images stay, logs are kept."""
        if not self.directory.is_dir() and not world.left(self.site.client, self.site.names):
            return
        self.site.home.ensure(self.directory)
        with state.locked(self.directory, "engine"):
            self.site.router.hands.close()
            last.bring_home(self.site)
            world.end_all(self.site.client, self.site.names, self.site.logs(), DOWN_SECONDS)
            kept.forget(self.directory)
