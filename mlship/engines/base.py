"""What every engine can do: the Protocol, small on purpose. Engines act; they decide nothing."""

from __future__ import annotations

from typing import Protocol

from mlship.engines.front import Front
from mlship.types import Fault, Release, Routes, Scrape, Server


class Engine(Protocol):
    """Model servers behind one router, for one endpoint. Every method is idempotent and raises ``EngineError``."""

    @property
    def address(self) -> str:
        """Base URL of the endpoint, such as `http://127.0.0.1:8080`."""

    def deploy(self, release: Release) -> str:
        """Start the router and the release's server unless they run already; return the server's name at once.

        The server gets no traffic before a route names it.
        """

    def wait_ready(self, server: str, timeout: float) -> None:
        """Return when the server answers; raise with its last log lines when it died or `timeout` seconds passed."""

    def servers(self) -> dict[str, Server]:
        """Every server that the engine runs, by name, as found in the world."""

    def apply(self, front: Front) -> Front:
        """Make the running router do for callers what this front says, and return what it did before.

        No request is lost, and the router has taken it when this returns: a key that is gone lets nobody in any more.
        What needs another socket (address, TLS on or off) is refused while the router runs.
        """

    def route(self, routes: Routes) -> None:
        """Make the router serve exactly these routes, atomically; no request is lost.

        The change is under way when this returns; `routes` tells when the router has taken it.
        """

    def routes(self) -> Routes | None:
        """The routes that the router really applies now; None when nothing is routed."""

    def scrape(self) -> Scrape:
        """What router and servers have counted so far, for every server."""

    def stop(self, server: str) -> None:
        """Drain and stop one server; a server that a route names is refused."""

    def fail(self, server: str, fault: Fault, seconds: float) -> None:
        """Take a server away for a moment, as an accident would, and return at once; traffic meets it.

        Whatever becomes of the caller, the server comes back by itself: killed, as soon as it has started again (which
        `seconds` neither shortens nor lengthens); hanging, after `seconds`. Raises when it does not run.
        """

    def down(self) -> None:
        """Stop everything and leave no process, port or socket behind."""
