"""One endpoint on its Docker engine: the client, the names, the router, and what is there now."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from mlship.engines import refusals
from mlship.engines.docker import kept, world
from mlship.engines.docker.hands import Hands
from mlship.engines.docker.kept import Kept
from mlship.engines.docker.names import Container, Names, home_id
from mlship.engines.docker.router import FRONT, Router
from mlship.engines.front import Front
from mlship.errors import EngineError, StateError
from mlship.images.daemon import connect, where

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient

    from mlship.home import Home


class Site:
    """Where an endpoint is. The engine is reached at the first question."""

    def __init__(self, home: Home, model: str) -> None:
        self.home = home
        self.model = model
        self.directory = home.engine(model)

    @cached_property
    def client(self) -> DockerClient:
        """Of the engine that `docker` would use."""
        return connect()

    @cached_property
    def names(self) -> Names:
        """What everything is called and labelled with; also when the state is lost or damaged."""
        try:
            known = kept.load(self.directory)
        except StateError:
            known = None
        return Names(known.home if known else home_id(self.home.path), self.model)

    @cached_property
    def router(self) -> Router:
        """The router's files and admin port."""
        return Router(self.client, self.names)

    def logs(self) -> Path:
        """Where logs are kept when their containers end."""
        return self.home.ensure(self.directory / "logs")

    def containers(self) -> list[Container]:
        """Everything that is there."""
        return world.containers(self.client, self.names)

    def running_router(self, found: Iterable[Container]) -> Container | None:
        """The router among them if it runs; from then on it is the one that is asked."""
        one = world.router(found)
        if one is None or one.state != "running":
            return None
        self.router.hands.use(one.id)
        return one

    def hands(self, found: Iterable[Container]) -> Hands | None:
        """What can ask the servers; None when the router does not run."""
        return self.router.hands if self.running_router(found) else None

    def known(self, found: Iterable[Container]) -> Kept:
        """What was deployed, read back from the router where the state directory has lost it.

        Raises ``EngineError`` when nothing was.
        """
        known = kept.load(self.directory)
        if known is not None and (found or known.at == where()):
            return known
        if known is not None:
            raise EngineError(
                f"it was deployed on {known.at}, and nothing of it is on {where()}",
                where=self.model,
                hint=f"export DOCKER_HOST={known.at}, or `docker context use` the one that it was deployed with",
            )
        if (front := self.front(found)) is not None:
            return Kept(self.model, self.names.home, where(), front)
        raise refusals.absent(self.model)

    def front(self, found: Iterable[Container]) -> Front | None:
        """What the router that is there does for callers; None when there is none, or it was never finished."""
        one = world.router(found)
        text = self.router.read(one, FRONT) if one else None
        if text is None:
            return None
        import json

        return Front.from_json(json.loads(text))


def servers(found: Iterable[Container]) -> list[Container]:
    """The servers among containers."""
    return [one for one in found if one.name]


def one_server(found: Iterable[Container], name: str, model: str) -> Container:
    """The server of that name; raises ``EngineError`` when there is none."""
    there = {one.name: one for one in servers(found)}
    if name not in there:
        raise refusals.no_server(name, there, model)
    return there[name]
