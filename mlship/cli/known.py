"""Which models this state directory knows, and what is said of a name that is none of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mlship.errors import UsageError

if TYPE_CHECKING:
    from mlship.home import Home
    from mlship.types import LedgerEntry


def known(home: Home, entries: Iterable[LedgerEntry]) -> list[str]:
    """Models that the ledger tells of, that had a rollout, or that serve; sorted."""
    from mlship.engines import table
    from mlship.rollout import lines

    return sorted({one.model for one in entries} | set(lines.models(home)) | set(table.running(home)))


def unknown(home: Home, model: str, names: list[str]) -> UsageError:
    """There is no such model among these: a name that was mistyped, or another state directory."""
    from mlship.report.figures import listed, nearest

    return UsageError(
        f"nothing is recorded of a model '{model}'{nearest(model, names)}",
        where=str(home.path),
        hint=f"recorded here: {listed(names, 20)}; --home or MLSHIP_HOME names another state directory",
    )


def must_know(home: Home, model: str) -> None:
    """Raise ``UsageError`` for a model that nothing here knows, where others are known and the ledger is sound."""
    from mlship.ledger import Ledger

    reading = Ledger(home.ledger).read()
    names = known(home, reading.entries)
    if names and model not in names and reading.damage is None:
        raise unknown(home, model, names)
