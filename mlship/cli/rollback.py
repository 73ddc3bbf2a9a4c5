"""`mlship rollback`: the previous champion, now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli import handle, orders
from mlship.cli.answers import answer
from mlship.cli.common import ModelArgument, context, err
from mlship.cli.completion import champions
from mlship.cli.telling import Format, FormatOption, tell
from mlship.errors import StateError, UsageError
from mlship.ledger import Ledger, who
from mlship.rollout import journal, lock, offline, rollback
from mlship.rollout.state import Order

if TYPE_CHECKING:
    from mlship.home import Home
    from mlship.rollout.plan import Plan

#: Seconds that an aborted rollout's controller gets to end.
ABORT_SECONDS = 30.0


def command(
    ctx: typer.Context,
    model: ModelArgument,
    to: Annotated[
        str | None,
        typer.Option(
            help="An earlier champion; default: the one before the present.",
            metavar="VERSION",
            autocompletion=champions,
        ),
    ] = None,
    fmt: FormatOption = Format.TEXT,
) -> None:
    """Go back to the previous champion, now.

    A route change, if its server is still warm. A rollout under way is aborted first.

    \b
    Examples:
      mlship rollback flight-delay
      mlship rollback flight-delay --to 1 --format json
    """
    home, ledger = context(ctx).home, Ledger(context(ctx).home.ledger)
    where = rollback.target(ledger, model, to)
    plan = handle.latest_plan(home, model)
    registry = handle.LazyRegistry(plan, home)
    _abort_first(home, model, plan, registry)
    directory = home.ensure(home.rollouts(model))
    with lock.held(directory, who(), f"rollback to version {where.version}"):
        done = rollback.go_back(
            where,
            engine=handle.engine_of(plan, home),
            registry=registry,
            ledger=ledger,
            directory=directory,
            alias=plan.champion_alias,
            who=who(),
            keep_warm=plan.keep_warm,
        )
    route_ms = round(done.seconds * 1000, 1)
    document = {
        "model": model,
        "from_version": where.champion,
        "to_version": where.version,
        "verdict": "rolled_back",
        "exit_code": 0,
        "reason": done.reason,
        "verdict_at": done.verdict_at,
        "route_ms": route_ms,
        "warm": done.warm,
    }
    how = "its server was still warm" if done.warm else "its server was started again from the registry"
    said = f"version {where.version} serves again instead of {where.champion}, {route_ms:g} ms after the decision"
    outputs = {"verdict": "rolled_back", "champion-version": where.version}
    tell(answer("rollback", model, [f"{model}: {said}; {how}"], document, outputs=outputs), fmt)
    _check(ledger)


def _check(ledger: Ledger) -> None:
    """Warn when the ledger is damaged: traffic did not wait for all of it to be checked."""
    try:
        damage = ledger.read().damage
    except StateError as error:
        damage = error
    if damage is not None:
        err().print(f"mlship: warning: {damage}", markup=False)


def _abort_first(home: Home, model: str, plan: Plan, registry: handle.LazyRegistry) -> None:
    """A rollout that is under way would route again: it ends first."""
    view = journal.latest(home, model)
    if view is None or view.phase == "done":
        return
    try:
        answer = orders.send(home, model, Order.ABORT)
        if answer is None:
            engine = handle.engine_of(plan, home)
            offline.abort(home, model, who(), engine=engine, registry=registry, ledger=Ledger(home.ledger))
    except UsageError:
        now = journal.latest(home, model)
        if now is not None and now.phase != "done":
            raise  # otherwise it ended by itself this very moment
    until = time.monotonic() + ABORT_SECONDS
    while lock.holder(home.rollouts(model)) is not None and time.monotonic() < until:
        time.sleep(0.05)
