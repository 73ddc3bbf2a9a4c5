"""`mlship promote`: a person moves a running rollout on, ahead of its bake."""

from __future__ import annotations

from typing import Annotated

import typer

from mlship.cli import orders
from mlship.cli.answers import order
from mlship.cli.common import ModelArgument, context, leave
from mlship.cli.telling import Format, FormatOption, tell
from mlship.errors import Exit
from mlship.rollout import ordering
from mlship.rollout.state import Order


def promote(
    ctx: typer.Context,
    model: ModelArgument,
    full: Annotated[bool, typer.Option("--full", help="Skip the steps that are left, and promote now.")] = False,
    fmt: FormatOption = Format.TEXT,
) -> None:
    """Move a running rollout to its next step; with --full, promote the candidate now.

    Exits with 4 when it does not: evidence is against the candidate, or a freeze holds.

    \b
    Examples:
      mlship promote flight-delay
      mlship promote flight-delay --full --format json
    """
    home = context(ctx).home
    answer = ordering.send(home, model, Order.PROMOTE_FULL if full else Order.PROMOTE)
    if answer is None:
        raise orders.nobody_home(home, model)
    code = Exit.INCONCLUSIVE if answer.startswith(orders.REFUSED) else Exit.PASSED
    tell(order("promote", model, answer, code), fmt)
    leave(code)
