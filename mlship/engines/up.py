"""How a release comes up on a local engine: whatever runs already is kept, and a failure leaves what was before."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from mlship.engines import down, fallback, files, refusals, state, waits
from mlship.engines.site import Site
from mlship.engines.start import Command, clear_the_way, envoy_binary, new_deployment
from mlship.engines.state import State
from mlship.engines.supervisor import ROUTER
from mlship.errors import EngineError
from mlship.types import Release

if TYPE_CHECKING:
    from mlship.engines.front import Front


def deploy(site: Site, release: Release, front: Front | None, command: Command) -> None:
    """Start router and server unless they run; what this call started is stopped again when it fails.

    Parameters
    ----------
    front
        What the policy says; None: as it was.
    command
        What serves a release.
    """
    try:
        return _deploy(site, release, front, command)
    except EngineError as error:
        if os.strerror(errno.EADDRINUSE) not in error.what:
            raise
    # A port was free when it was chosen, and taken a moment later: with others.
    return _deploy(site, release, front, command)


def _deploy(site: Site, release: Release, front: Front | None, command: Command) -> None:
    binary = envoy_binary()
    site.home.ensure(site.directory)
    with state.locked(site.directory, "engine"):
        before = site.load()
        known = _wanted(site, before, front)
        fallback.check(known.front)
        manager = site.manager(known)
        running = manager.alive()
        try:
            if not running:
                known = clear_the_way(site.directory, known)
                manager = site.manager(known)
            if release.server not in known.servers:
                known = known.with_server(new_deployment(release, command))
            files.render(site.directory, known, binary)
            if running:
                manager.reload()
                manager.revive(ROUTER)
                manager.revive(release.server)
            else:
                manager.start()
            waits.guardian_up(site.directory, known, manager)
            waits.fallback_up(site.directory, known, manager)
            waits.router_up(site.directory, known, manager)
            with state.locked(site.directory, "routes"):
                files.render_routes(site.directory, known, files.wanted_routes(site.directory))
        except BaseException:
            _undo(site, before, known, release.server, running=running)
            raise


def _undo(site: Site, before: State | None, known: State, server: str, *, running: bool) -> None:
    """Leave behind what was there before: a failed first deployment leaves nothing but its logs."""
    if not running:
        down.end_processes(site, known, grace=2.0)
        if before is None:
            files.remove(site.directory)
        else:
            state.save(site.directory, before)
    elif before is not None and server not in before.servers:
        with suppress(EngineError):
            down.remove(site, known, server)


def _wanted(site: Site, known: State | None, front: Front | None) -> State:
    """What is to be there; the endpoint of a newer policy, where it can be changed in a router that runs."""
    if known is None:
        if front is None:
            raise refusals.absent(site.model)
        return with_fallback(site, State.new(site.model, front))
    if front is None or front == known.front or front.made < known.front.made:
        return with_fallback(site, known)
    if front.url != known.front.url and site.manager(known).alive():
        raise refusals.elsewhere(site.model, known.front, front)
    return with_fallback(site, replace(known, front=front))


def with_fallback(site: Site, known: State) -> State:
    """The same state, with a port for the fallback program where one is needed."""
    return known.with_fallback() if fallback.needed(known.front, site.directory) else known
