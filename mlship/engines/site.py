"""One endpoint of a local engine: its directory, its state as found on disk, and its process manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlship.engines import refusals, state
from mlship.engines.state import Deployment, State
from mlship.engines.supervisor import Supervisor
from mlship.errors import EngineError

if TYPE_CHECKING:
    from mlship.home import Home


class Site:
    """Where an endpoint is. It keeps nothing: every question is answered from the disk."""

    def __init__(self, home: Home, model: str) -> None:
        self.home = home
        self.model = model
        self.directory = home.engine(model)

    def load(self) -> State | None:
        """What was deployed; None when nothing was. Raises ``StateError`` when it cannot be read."""
        return state.load(self.directory)

    def known(self) -> State:
        """What was deployed; raises ``EngineError`` when nothing was."""
        known = self.load()
        if known is None:
            raise refusals.absent(self.model)
        return known

    def one(self, known: State, server: str) -> Deployment:
        """The server of that name; raises ``EngineError`` when there is none."""
        if server not in known.servers:
            raise refusals.no_server(server, known.servers, self.model)
        return known.servers[server]

    def manager(self, known: State) -> Supervisor:
        """Whoever keeps the processes."""
        return Supervisor(self.directory, known.supervisor_port, known.password)

    def processes(self, known: State) -> dict[str, dict[str, Any]]:
        """What the process manager says of each program; empty when it does not answer."""
        try:
            return self.manager(known).processes()
        except EngineError:
            return {}
