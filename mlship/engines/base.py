"""What every engine can do: the Protocol, small on purpose. Engines act; they decide nothing."""

from __future__ import annotations

from typing import Protocol

from mlship.engines.front import Front
from mlship.types import Fault, Lease, Release, Routes, Scrape, Server


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

    def programs(self) -> dict[str, bool]:
        """What belongs beside the servers (`router`, `guardian`, `fallback`), and whether it runs.

        Empty when nothing is deployed; `fallback` is there where the endpoint needs it.
        """

    def apply(self, front: Front) -> Front:
        """Make the running router do for callers what this front says, and return what it did before.

        No request is lost, and the router has taken it when this returns: a key that is gone lets nobody in any more.
        What needs another socket (address, TLS on or off) is refused while the router runs.
        """

    def route(self, routes: Routes, owner: str = "") -> None:
        """Make the router serve exactly these routes, atomically; no request is lost.

        The change is under way when this returns; `routes` tells when the router has taken it.

        Parameters
        ----------
        owner
            Who asks: done only while this owner holds the lease, which is looked at under the lock that guards the
            change. Empty: a person, who is always obeyed.

        Raises ``LeaseLost`` when the owner does not hold the lease.
        """

    def routes(self) -> Routes | None:
        """The routes that the router really applies now; None when nothing is routed."""

    def hold(self, owner: str, seconds: float) -> Lease | None:
        """Take the endpoint for this controller, or renew: nobody else may until `seconds` after the latest call.

        When they have passed in silence, the engine's side gives all traffic back to stable by itself, whatever has
        become of the controller and its machine.

        Parameters
        ----------
        owner
            A name from ``engines.lease.owner``.

        Returns
        -------
        Lease or None
            As it was found; None when there was none. `expired_at` tells that traffic was taken back before.

        Raises ``LeaseLost`` naming the holder while another holds it whose lease has not run out. A holder on this host
        whose process has ended holds nothing. Raises ``EngineError`` when nothing is deployed.
        """

    def release(self, owner: str) -> None:
        """Give the lease up; its clock goes on, for a canary with traffic is not left alone. Not held is no error."""

    def lease(self) -> Lease | None:
        """The lease as it is; None when there is none, or nothing is deployed."""

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
