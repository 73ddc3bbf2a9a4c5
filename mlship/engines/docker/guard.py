"""The guardian in a container of its own: of the router's image, on the router's volume, and without any network."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from mlship.engines.docker import containers, router, world
from mlship.engines.docker.hands import NoRouter
from mlship.errors import EngineError
from mlship.images.daemon import faults

if TYPE_CHECKING:
    from mlship.engines.docker.names import Container
    from mlship.engines.docker.site import Site

#: Seconds until it has started, and that it has to end.
SECONDS, GRACE = 15.0, 2


def ensure(site: Site, one: Container) -> None:
    """Start the guardian of this version of mlship beside a router that has its files, unless it runs."""
    code = hashlib.sha256("\0".join(router.code().values()).encode()).hexdigest()
    there = world.guardian(site.containers())
    if there is not None and there.digest != code:
        world.end(site.client, site.names, there, site.logs(), GRACE)
        there = None
    with faults("start the guardian", model=site.model):
        if there is None:
            image = str(site.client.api.inspect_container(one.id)["Image"])
            site.client.api.start(containers.create_guardian(site.client, site.names, image, code))
        elif there.state in ("created", "exited"):
            site.client.api.start(there.id)


def wait(site: Site) -> None:
    """Wait until it guards; raises ``EngineError`` with the last lines of its log when it does not."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = site.containers()
        with suppress(NoRouter):
            if site.running_router(found) and site.router.hands.lease("guarded"):
                return
        time.sleep(0.02)
    there = world.guardian(found)
    said = world.tail(site.client, there) if there else "    (its container has gone)"
    raise EngineError(f"the guardian does not start:\n{said}", where=site.model)


def end(site: Site) -> None:
    """Remove it, where there is one: nobody else may have the router's volume when that goes."""
    if (there := world.guardian(site.containers())) is not None:
        world.end(site.client, site.names, there, site.logs(), GRACE)
