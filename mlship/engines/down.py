"""How servers of a local engine end, and how all of it does."""

from __future__ import annotations

import time
from contextlib import suppress

from mlship.engines import files, processes, state
from mlship.engines.site import Site
from mlship.engines.state import State
from mlship.errors import EngineError, StateError

#: Seconds until an engine has gone.
SECONDS = 12.0


def remove(site: Site, known: State, server: str) -> None:
    """Out of the mirrors first, then drained and ended, and last forgotten: a crash in between can be repeated.

    Callers hold the lock `engine`.
    """
    rest = known.without_server(server)
    with state.locked(site.directory, "routes"):
        files.render_routes(site.directory, rest, files.wanted_routes(site.directory))
    files.render_programs(site.directory, rest)
    manager = site.manager(known)
    if manager.alive():
        manager.remove(server)
    _forget(site, known, server)


def _forget(site: Site, known: State, server: str) -> None:
    rest = known.without_server(server)
    files.render_clusters(site.directory, rest)
    state.save(site.directory, rest)
    (site.directory / "run" / f"{server}.sh").unlink(missing_ok=True)


def everything(site: Site) -> None:
    """End every process and remove every file but the logs; raise when something is left.

    A damaged state does not stop it where processes can be found by their mark (Linux). Callers hold the lock `engine`.
    """
    marked = processes.marked(site.directory)
    try:
        known = site.load()
    except StateError:
        if not marked:
            raise
        known = None
    if known is not None:
        end_processes(site, known, SECONDS)
    elif left := processes.end(marked, site.directory, SECONDS):
        raise EngineError(f"processes do not end: {left}", where=site.model)
    files.remove(site.directory)


def end_processes(site: Site, known: State, grace: float) -> None:
    """End the process manager and all that it keeps, within so many seconds; raise when something is left."""
    manager = site.manager(known)
    if manager.alive():
        with suppress(EngineError):
            manager.shutdown()
        deadline = time.monotonic() + grace
        while (manager.alive() or processes.marked(site.directory)) and time.monotonic() < deadline:
            time.sleep(0.02)
    if left := processes.end(processes.marked(site.directory), site.directory, grace=2.0):
        raise EngineError(f"processes do not end: {left}", where=site.model, hint="end them with `kill -9`")
