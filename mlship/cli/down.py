"""`mlship down`: ends the rollout, stops everything, and says what it did."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from mlship.cli.answers import answer
from mlship.cli.common import AnyModelArgument, context, err
from mlship.cli.telling import Format, FormatOption, tell
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
    model: AnyModelArgument = None,
    fmt: FormatOption = Format.TEXT,
) -> None:
    """Stop router and servers; traffic ends. Registry, ledger and journals stay.

    A rollout under way is aborted first: its controller ends it, or this does when none runs.

    \b
    Examples:
      mlship down
      mlship down flight-delay --format json
    """
    home = context(ctx).home
    models = [name for name in _models(home) if model in (None, name)]
    done: dict[str, list[str]] = {}
    for name in models:
        try:
            done[name] = _end(home, name)
        except MlshipError:
            for line in itertools.chain.from_iterable(done.values()):  # those are down all the same
                err().print(line, markup=False)
            raise
    lines = [line for said in done.values() for line in said]
    if not models:
        lines = [f"nothing to stop{f' for {model}' if model else ''}: no engine in {home.path}"]
    document = {"models": [{"model": name, "done": said} for name, said in done.items()]}
    tell(answer("down", model or ", ".join(models) or "mlship", lines, document), fmt)


def _models(home: Home) -> list[str]:
    """Models with an engine, and those with a rollout that is not over."""
    return sorted({*table.running(home), *(name for name in lines.models(home) if _unfinished(home, name))})


def _unfinished(home: Home, model: str) -> bool:
    try:
        view = views.latest(home, model)
    except StateError:
        return False
    return view is not None and view.phase != "done"


def _end(home: Home, model: str) -> list[str]:
    """End it all; the sentences that say what was done."""
    try:
        views.latest(home, model)
    except StateError as error:  # what it says cannot be ended; what runs can
        err().print(f"mlship: {error}", markup=False)
    said = _tell_controller(home, model) if _unfinished(home, model) else []
    engine = _engine(home, model)
    said += [_stopped(engine, model)] if engine is not None else []

    def take_down() -> None:
        if engine is not None:
            engine.down()

    if not _unfinished(home, model):  # it may have ended by itself, or its journal cannot be read
        take_down()
    else:
        said.append(_end_rollout(home, model, take_down))
    return said


def _tell_controller(home: Home, model: str) -> list[str]:
    """Where a controller runs it gives all traffic back to stable, stops the canary and ends.

    Raises ``StateError`` when it does not: then nothing has been stopped.
    """
    directory = home.rollouts(model)
    if lock.holder(directory) is None:
        return []
    from mlship.rollout import ordering
    from mlship.rollout.state import Order

    try:
        said = ordering.send(home, model, Order.ABORT)
    except UsageError:
        said = None  # it has ended by itself this very moment
    until = time.monotonic() + ABORT_SECONDS
    while (holder := lock.holder(directory)) is not None:
        if time.monotonic() > until:
            raise StateError(
                f"the rollout's controller does not end; at work is {holder}",
                where=model,
                hint=f"end that process, then `mlship down {model}` again; nothing has been stopped",
            )
        time.sleep(0.05)
    return [f"told the controller of {model} to end: {said}"] if said is not None else []


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
