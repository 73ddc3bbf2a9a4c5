"""`mlship resume`: a paused rollout goes on."""

from __future__ import annotations

import typer

from mlship.cli import orders
from mlship.cli.answers import order
from mlship.cli.common import ModelArgument, context
from mlship.cli.telling import Format, FormatOption, tell
from mlship.rollout import ordering
from mlship.rollout.state import Order


def resume(ctx: typer.Context, model: ModelArgument, fmt: FormatOption = Format.TEXT) -> None:
    """Let a paused rollout go on; its bake goes on from where it stood.

    \b
    Examples:
      mlship resume flight-delay
      mlship resume flight-delay --format json
    """
    home = context(ctx).home
    answer = ordering.send(home, model, Order.RESUME)
    if answer is None:
        raise orders.nobody_home(home, model)
    tell(order("resume", model, answer), fmt)
