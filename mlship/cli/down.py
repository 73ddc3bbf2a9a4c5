"""`mlship down`: ends the rollout, stops everything, and says what it did."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli.common import context, err, out
from mlship.engines import state, table
from mlship.errors import MlshipError, StateError, UsageError
from mlship.home import Home
from mlship.rollout import lines, lock, views

if TYPE_CHECKING:
    from mlship.engines.base import Engine

#: Seconds that the controller of an aborted rollout gets to end.
ABORT_SECONDS = 60.0


def down(
    ctx: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(help="Only this registered model; all of them by default.", metavar="MODEL", show_default=False),
    ] = None,
) -> None:
    """Stop router and servers; traffic ends. Registry, ledger and journals stay.

    A rollout under way is aborted first: its controller ends it, or this does when none runs.
    """
    home = context(ctx).home
    models = [name for name in _models(home) if model in (None, name)]
    for name in models:
        _end(home, name)
    if not models:
        out().print(f"nothing to stop{f' for {model}' if model else ''}: no engine in {home.path}", markup=False)


def _models(home: Home) -> list[str]:
    """Models with an engine, and those with a rollout that is not over."""
    return sorted({*table.running(home), *(name for name in lines.models(home) if _unfinished(home, name))})


def _unfinished(home: Home, model: str) -> bool:
    try:
        view = views.latest(home, model)
    except StateError:
        return False
    return view is not None and view.phase != "done"


def _end(home: Home, model: str) -> None:
    try:
        views.latest(home, model)
    except StateError as error:  # what it says cannot be ended; what runs can
        err().print(f"mlship: {error}", markup=False)
    if _unfinished(home, model):
        _tell_controller(home, model)
    engine = _engine(home, model)
    said = [_stopped(engine, model)] if engine is not None else []

    def take_down() -> None:
        if engine is not None:
            engine.down()

    if not _unfinished(home, model):  # it may have ended by itself, or its journal cannot be read
        take_down()
    else:
        said.append(_end_rollout(home, model, take_down))
    for line in said:
        out().print(line, markup=False)


def _tell_controller(home: Home, model: str) -> None:
    """Where a controller runs it gives all traffic back to stable, stops the canary and ends.

    Raises ``StateError`` when it does not: then nothing has been stopped.
    """
    directory = home.rollouts(model)
    if lock.holder(directory) is None:
        return
    from mlship.cli import orders
    from mlship.rollout.state import Order

    try:
        answer = orders.send(home, model, Order.ABORT)
    except UsageError:
        answer = None  # it has ended by itself this very moment
    if answer is not None:
        out().print(f"told the controller of {model} to end: {answer}", markup=False)
    until = time.monotonic() + ABORT_SECONDS
    while (holder := lock.holder(directory)) is not None:
        if time.monotonic() > until:
            raise StateError(
                f"the rollout's controller does not end; at work is {holder}",
                where=model,
                hint=f"end that process, then `mlship down {model}` again; nothing has been stopped",
            )
        time.sleep(0.05)


def _end_rollout(home: Home, model: str, take_down: Callable[[], None]) -> str:
    from mlship.ledger import Ledger, who
    from mlship.rollout import ending

    return ending.taken_down(home, model, who(), ledger=Ledger(home.ledger), take_down=take_down)


def _engine(home: Home, model: str) -> Engine | None:
    directory = home.engine(model)
    there = any((directory / name).exists() for name in (state.FILE, state.MARK))
    return table.found(home, model) if there else None


def _stopped(engine: Engine, model: str) -> str:
    try:
        return f"stopped {model} at {engine.address}: the router and {_count(len(engine.servers()))}"
    except MlshipError:  # it cannot be read any more; all the more reason to end it
        return f"stopped {model}"


def _count(servers: int) -> str:
    return f"{servers} server" + ("" if servers == 1 else "s")
