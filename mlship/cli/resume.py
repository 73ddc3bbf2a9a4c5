"""`mlship resume`: a paused rollout goes on."""

from __future__ import annotations

import typer

from mlship.cli import orders
from mlship.cli.common import ModelArgument, context, out
from mlship.rollout.state import Order


def resume(ctx: typer.Context, model: ModelArgument) -> None:
    """Let a paused rollout go on; its bake goes on from where it stood."""
    home = context(ctx).home
    answer = orders.send(home, model, Order.RESUME)
    if answer is None:
        raise orders.nobody_home(home, model)
    out().print(answer, markup=False)
