"""The table of engines, and which engines there are on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlship.engines import state
from mlship.engines.base import Engine
from mlship.engines.guard import Guarded
from mlship.engines.local import LocalEngine
from mlship.errors import EngineError
from mlship.home import Home

if TYPE_CHECKING:
    from mlship.engines.options import Setup
    from mlship.policy.gates import SecurityGate


def _docker(home: Home, model: str, setup: Setup | None) -> Engine:
    from mlship.engines.docker import DockerEngine

    return DockerEngine(home, model, setup)


#: Name in the policy -> how to make it.
ENGINES: dict[str, Callable[[Home, str, Setup | None], Engine]] = {"local": LocalEngine, "docker": _docker}


def engine(
    name: str,
    home: Home,
    model: str,
    setup: Setup | None = None,
    *,
    security: SecurityGate | None = None,
) -> Engine:
    """The engine of that name for one model; it serves nothing that was not scanned.

    Parameters
    ----------
    setup
        What the policy says about serving; None to find an engine that was deployed before.
    security
        What the policy trusts; None where no policy is at hand (see ``Guarded``).

    Raises
    ------
    EngineError
        There is no engine of that name.
    """
    if name not in ENGINES:
        raise EngineError(f"no engine is called {name!r}; there are: {', '.join(ENGINES)}")
    return Guarded(ENGINES[name](home, model, setup), home, security)


def found(home: Home, model: str) -> Engine:
    """The engine that serves a model in this state directory, to look at it or to end it."""
    return engine(state.kind(home.engine(model)), home, model)


def running(home: Home) -> list[str]:
    """Models that have an engine in this state directory, running or to be started again; sorted.

    An engine whose state cannot be read is listed by the name of its directory.
    """
    directories = {
        path.parent for name in (state.FILE, state.MARK) for path in (home.path / "engines").glob(f"*/{name}")
    }
    return sorted(state.model(directory) or directory.name for directory in directories)
