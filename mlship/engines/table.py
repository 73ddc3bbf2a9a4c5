"""The table of engines, and which engines there are on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlship.engines import state
from mlship.engines.base import Engine
from mlship.engines.guard import Guarded
from mlship.engines.local import LocalEngine
from mlship.engines.start import serving
from mlship.errors import EngineError, StateError
from mlship.home import Home

if TYPE_CHECKING:
    from mlship.policy.gates import SecurityGate
    from mlship.policy.schema import Endpoint


def _local(home: Home, model: str, endpoint: Endpoint | None, label_tolerance: float | None) -> Engine:
    return LocalEngine(home, model, endpoint, command=serving(label_tolerance))


#: Name in the policy -> how to make it.
ENGINES: dict[str, Callable[[Home, str, Endpoint | None, float | None], Engine]] = {"local": _local}


def engine(
    name: str,
    home: Home,
    model: str,
    endpoint: Endpoint | None = None,
    label_tolerance: float | None = None,
    *,
    security: SecurityGate | None = None,
) -> Engine:
    """The engine of that name for one model; it serves nothing that was not scanned.

    Parameters
    ----------
    endpoint
        As in the policy; None to find an engine that was deployed before.
    label_tolerance
        Numeric predictions: a label further away than this is an error.
    security
        What the policy trusts; None where no policy is at hand (see ``Guarded``).

    Raises
    ------
    EngineError
        There is no engine of that name.
    """
    if name not in ENGINES:
        raise EngineError(f"no engine is called {name!r}; there are: {', '.join(ENGINES)}")
    return Guarded(ENGINES[name](home, model, endpoint, label_tolerance), home, security)


def running(home: Home) -> list[str]:
    """Models that have an engine in this state directory, running or to be started again; sorted.

    An engine whose state cannot be read is listed by the name of its directory.
    """
    models = []
    for path in (home.path / "engines").glob(f"*/{state.FILE}"):
        try:
            found = state.load(path.parent)
        except StateError:
            models.append(path.parent.name)
            continue
        if found is not None:
            models.append(found.model)
    return sorted(models)
