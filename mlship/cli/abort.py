"""`mlship abort`: an unfinished rollout ends now, and stable has all traffic again."""

from __future__ import annotations

import typer

from mlship.cli.answers import order
from mlship.cli.common import ModelArgument, context
from mlship.cli.telling import Format, FormatOption, tell
from mlship.ledger import Ledger, who
from mlship.rollout import handle, offline, ordering
from mlship.rollout.state import Order


def abort(ctx: typer.Context, model: ModelArgument, fmt: FormatOption = Format.TEXT) -> None:
    """End a rollout before its promotion: all traffic back to stable.

    It does so itself when no controller runs.

    \b
    Examples:
      mlship abort flight-delay
      mlship abort flight-delay --format json
    """
    home = context(ctx).home
    answer = ordering.send(home, model, Order.ABORT)
    if answer is None:
        plan = handle.latest_plan(home, model)
        answer = offline.abort(
            home,
            model,
            who(),
            engine=handle.engine_of(plan, home),
            registry=handle.LazyRegistry(plan, home),
            ledger=Ledger(home.ledger),
            notifier=handle.LateNotifier(plan),
        ).reason
    tell(order("abort", model, answer), fmt)
