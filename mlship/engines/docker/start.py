"""How a release comes up: network, server, router's image, router; whatever is there already is kept."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass, replace

from mlship.engines import refusals, state
from mlship.engines.docker import containers, guard, image, kept, last, network, router, world
from mlship.engines.docker.kept import Kept
from mlship.engines.docker.names import Container
from mlship.engines.docker.site import Site, servers
from mlship.engines.front import Front
from mlship.engines.options import ServerOptions
from mlship.errors import EngineError
from mlship.images.daemon import faults, where
from mlship.types import Release

#: Seconds until the router has started and knows every server.
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to come up, besides the release."""

    front: Front | None
    """None: as it was."""
    options: ServerOptions
    router_image: str = ""
    """Empty: built."""


def deploy(site: Site, release: Release, wanted: Wanted) -> bool:
    """Start router and server unless they run; what this call started is removed again when it fails.

    Callers hold the lock `engine`. Returns whether the server is one that this call has started.
    """
    before, found = kept.load(site.directory), site.containers()
    try:
        known = _known(site, before, found, wanted.front)
        last.check(known.front)
        kept.save(site.directory, known)
        started = _start_server(site, release, wanted.options, found)
        _start_router(site, release, known.front, wanted.router_image)
    except BaseException:
        with suppress(EngineError):
            _undo(site, before, found, release.server)
        raise
    return started


def end(site: Site, server: Container, grace: int = world.DRAIN) -> None:
    """End a server that no route names: out of the mirrors first, then drained and removed, and last forgotten.

    A crash in between can be repeated, or leaves clusters of a server that is gone to the next deployment, which
    writes them anew.
    """
    found = site.containers()
    one, rest = world.router(found), [each for each in found if each.name != server.name]
    if one is None:
        world.end(site.client, site.names, server, site.logs(), grace)
        return
    front = site.known(found).front
    with state.locked(site.directory, "routes"):
        site.router.reroute(one, front, rest)
    world.end(site.client, site.names, server, site.logs(), grace)
    site.router.quiet(server.cluster, front.timeout)
    with state.locked(site.directory, "routes"):
        site.router.put(one, router.cluster_file(front, rest))


def _known(site: Site, known: Kept | None, found: list[Container], front: Front | None) -> Kept:
    if known is None or not found:  # the first time, on another engine than before, or everything was removed by hand
        now = site.front(found) if known is None else known.front
        chosen = now or front
        if chosen is None:
            raise refusals.absent(site.model)
        known = Kept(site.model, site.names.home, where(), chosen)
    if front is None or front == known.front or front.made < known.front.made:
        return known
    if front.url != known.front.url and site.running_router(found):
        raise refusals.elsewhere(site.model, known.front, front)
    return replace(known, front=front)


def _start_server(site: Site, release: Release, options: ServerOptions, found: list[Container]) -> bool:
    """Returns whether it had to be started."""
    there = next((one for one in found if one.name == release.server), None)
    with faults(f"start the server of version {release.version}", model=site.model):
        subnet = network.ensure(site.client, site.names)
        if there is None:
            address = network.free_address(subnet, (one.address for one in found))
            nonce = secrets.token_hex(3)
            made = containers.create_server(site.client, site.names, release, options, nonce=nonce, address=address)
            site.client.api.start(made)
            return True
        if there.state in ("created", "exited"):
            site.client.api.start(there.id)
            return True
    return False


def _start_router(site: Site, release: Release, front: Front, given: str) -> None:
    """Give the router its files, and start it unless it runs; the fallback program behind it alike."""
    with faults("start the fallback program", model=site.model):
        last.ensure(site, front, site.containers(), release.image)
    with state.locked(site.directory, "routes"):
        found = site.containers()
        one, before = world.router(found), site.front(found)
        wanted = site.router.wanted(one) if one else None
        since = site.router.time_of(one, wanted) if one else ""
        if one is not None and one.state != "running" and before is not None and before.url != front.url:
            guard.end(site)
            world.end(site.client, site.names, one, site.logs(), 0)  # it would publish the old port
            one = None
        if one is None:
            one = _new_router(site, release, front, given)
        if one.state != "running":
            files = router.static_files(front) | router.route_files(front, found, wanted, since)
            site.router.put(one, files | router.front_files(front, found))
        else:
            site.router.renew(one)
            site.router.put(one, router.front_files(front, found))
        if one.state in ("created", "exited"):
            with faults("start the router", model=site.model):
                site.client.api.start(one.id)
    guard.ensure(site, one)  # a rollback does not wait for it
    settle(site, front)
    guard.wait(site)


def settle(site: Site, front: Front) -> None:
    """Wait until the router knows everything that is there, and only then let its routes name it."""
    found = site.containers()
    site.router.wait(found, _SECONDS)
    last.wait(site, found)
    with state.locked(site.directory, "routes"):
        one = site.running_router(found)
        if one is not None:
            site.router.reroute(one, front, found)


def _new_router(site: Site, release: Release, front: Front, given: str) -> Container:
    built = given or image.ensure(site.client, release.image, site.logs() / "router-image.log")
    with faults("start the router", model=site.model):
        address = network.router_address(network.ensure(site.client, site.names))
        containers.create_router(site.client, site.names, built, front.listen, address)
    one = world.router(site.containers())
    if one is None:
        raise EngineError("the router's container has gone the moment it was made", where=site.model)
    return one


def _undo(site: Site, before: Kept | None, found: list[Container], server: str) -> None:
    """Leave behind what was there before: a failed first deployment leaves nothing but its logs."""
    if not found:
        last.bring_home(site)
        world.end_all(site.client, site.names, site.logs(), 2)
    elif all(one.name != server for one in found):
        for one in servers(site.containers()):
            if one.name == server:
                try:
                    end(site, one, 2)
                except EngineError:  # whatever is the matter with the router: what does not come up does not stay
                    world.end(site.client, site.names, one, site.logs(), 2)
    if before is not None:
        kept.save(site.directory, before)
    else:
        kept.forget(site.directory)
