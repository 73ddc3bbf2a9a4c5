"""An engine that serves nothing unscanned: whatever asks for a release, its files are looked through first."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from mlship.engines.base import Engine
from mlship.engines.front import Front
from mlship.errors import ModelRefused
from mlship.home import Home
from mlship.types import Fault, Lease, Release, Routes, Scrape, Server

if TYPE_CHECKING:  # pydantic is not needed to find an engine
    from mlship.policy.gates import SecurityGate


class Guarded:
    """An engine, with a scan before each deployment.

    Parameters
    ----------
    engine
        Does everything else.
    home
        Where scans are kept, and the digests of releases that were let through.
    section
        What the policy trusts. None where no policy is at hand, such as for a rollback: then what a policy has let
        through before is trusted, and everything else is scanned with nothing allowed.
    """

    def __init__(self, engine: Engine, home: Home, section: SecurityGate | None) -> None:
        self._engine = engine
        self._home = home
        self._section = section

    @property
    def address(self) -> str:
        """See ``Engine.address``."""
        return self._engine.address

    def deploy(self, release: Release) -> str:
        """See ``Engine.deploy``; raises ``ModelRefused`` when the scan finds what the policy does not trust."""
        self._check(release)
        return self._engine.deploy(release)

    def wait_ready(self, server: str, timeout: float) -> None:
        """See ``Engine.wait_ready``."""
        self._engine.wait_ready(server, timeout)

    def servers(self) -> dict[str, Server]:
        """See ``Engine.servers``."""
        return self._engine.servers()

    def programs(self) -> dict[str, bool]:
        """See ``Engine.programs``."""
        return self._engine.programs()

    def apply(self, front: Front) -> Front:
        """See ``Engine.apply``."""
        return self._engine.apply(front)

    def route(self, routes: Routes, owner: str = "") -> None:
        """See ``Engine.route``."""
        self._engine.route(routes, owner)

    def routes(self) -> Routes | None:
        """See ``Engine.routes``."""
        return self._engine.routes()

    def hold(self, owner: str, seconds: float) -> Lease | None:
        """See ``Engine.hold``."""
        return self._engine.hold(owner, seconds)

    def release(self, owner: str) -> None:
        """See ``Engine.release``."""
        self._engine.release(owner)

    def lease(self) -> Lease | None:
        """See ``Engine.lease``."""
        return self._engine.lease()

    def scrape(self) -> Scrape:
        """See ``Engine.scrape``."""
        return self._engine.scrape()

    def stop(self, server: str) -> None:
        """See ``Engine.stop``."""
        self._engine.stop(server)

    def fail(self, server: str, fault: Fault, seconds: float) -> None:
        """See ``Engine.fail``."""
        self._engine.fail(server, fault, seconds)

    def down(self) -> None:
        """See ``Engine.down``."""
        self._engine.down()

    def _check(self, release: Release) -> None:
        from mlship.policy.gates import SecurityGate
        from mlship.registry.files import digest_of
        from mlship.scan.scan import require

        passed = self._home.scanned / release.digest.removeprefix("sha256:")
        if self._section is None and passed.exists() and digest_of(release.path) == release.digest:
            return
        try:
            require(release, self._section or SecurityGate(), self._home)
        except ModelRefused as error:
            what = error.what.replace("is not loaded", "gets no server")
            raise ModelRefused(what, where=error.where, hint=error.hint) from None
        self._home.ensure(passed.parent)
        with suppress(OSError):  # then it is scanned once more, when no policy is at hand
            passed.touch()
