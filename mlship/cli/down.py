"""`mlship down`: stops everything, and says what it stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from mlship.cli.common import context, out
from mlship.engines import table
from mlship.errors import MlshipError


def down(
    ctx: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(help="Only this registered model; all of them by default.", metavar="MODEL", show_default=False),
    ] = None,
) -> None:
    """Stop router and servers; traffic ends. Registry, ledger and journals stay."""
    home = context(ctx).home
    models = [name for name in table.running(home) if model in (None, name)]
    for name in models:
        engine = table.found(home, name)
        try:
            what = f" at {engine.address}: the router and {_count(len(engine.servers()))}"
        except MlshipError:  # it cannot be read any more; all the more reason to end it
            what = ""
        engine.down()
        out().print(f"stopped {name}{what}", markup=False)
    if not models:
        out().print(f"nothing to stop{f' for {model}' if model else ''}: no engine in {home.path}", markup=False)


def _count(servers: int) -> str:
    return f"{servers} server" + ("" if servers == 1 else "s")
