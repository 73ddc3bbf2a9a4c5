"""What every engine refuses in the same words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mlship.errors import EngineError

if TYPE_CHECKING:
    from mlship.engines.front import Front


class Absent(EngineError):
    """Nothing is deployed."""


def absent(model: str) -> Absent:
    """Nothing is there."""
    return Absent(
        "nothing is deployed", where=model, hint="`mlship rollout POLICY` deploys it; `mlship status` lists all"
    )


def no_server(name: str, there: Iterable[str], model: str) -> EngineError:
    """There are others."""
    return EngineError(f"no server {name}; there are: {', '.join(there)}", where=model)


def no_router(model: str) -> EngineError:
    """There is nothing to be told."""
    return EngineError("the router does not run", where=model, hint="`mlship rollout POLICY` starts it")


def silent_router(error: Exception, model: str) -> EngineError:
    """It runs, and does not answer."""
    return EngineError(f"the router does not answer ({type(error).__name__})", where=model)


def elsewhere(model: str, now: Front, wanted: Front) -> EngineError:
    """The endpoint cannot move while it runs."""
    return EngineError(
        f"the endpoint of {model} is {now.url} now, and the policy says {wanted.url}",
        where=model,
        hint=f"`mlship down {model}` (callers are cut off), then run this again",
    )


def routed(server: str, model: str) -> EngineError:
    """It has traffic, or gets copies of it."""
    return EngineError(f"a route names {server}; it is not stopped", where=model)


def not_running(server: str, model: str) -> EngineError:
    """Nothing can be done to it."""
    return EngineError(f"{server} does not run", where=model, hint="`mlship status` shows why")
