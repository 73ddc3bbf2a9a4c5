"""What containers have seen: the sketches that their servers export, and their prediction logs, copied home."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlship.engines.docker import look, world
from mlship.engines.docker.containers import WRITABLE
from mlship.engines.docker.site import Site, servers
from mlship.engines.exported import MOST, PATH, PREDICTIONS, SECONDS

if TYPE_CHECKING:
    from mlship.home import Home


def sketches(home: Home, model: str) -> dict[str, bytes | None]:
    """What each server answers, by cluster; None where it does not."""
    site = Site(home, model)
    found = site.containers()
    up = servers(found)
    answers = look.asked(site.hands(found), up, PATH, (SECONDS, MOST))
    return {one.cluster: None if (said := answers[one.name]) is None else said.encode("latin-1") for one in up}


def logs(home: Home, model: str, version: str, into: Path) -> None:
    """Copy the prediction logs of a version's servers below `into`, one directory a cluster; of those without one none.

    Raises ``EngineError``.
    """
    site = Site(home, model)
    for one in servers(site.containers()):
        if one.version == version:
            target = into / one.cluster
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
            world.fetch(site.client, one, f"{WRITABLE}/{PREDICTIONS}", target)
