"""A kill -9 of the controller at one chosen point: before or after each thing that it does to the world or the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mlship.ledger import Ledger
from mlship.rollout import warm
from mlship.rollout.journal import Journal
from mlship.rollout.mailbox import Mailbox
from tests.fakes.rollout import Stage

#: Everything of the engine and the registry that a controller calls.
ENGINE = ("deploy", "wait_ready", "servers", "route", "routes", "scrape", "stop", "down", "hold", "release", "lease")
REGISTRY = ("alias", "move_alias", "version")


class Killed(BaseException):
    """kill -9: nothing in the controller gets a chance to tidy up."""


class Fuse:
    """Counts what the controller does, before and after each; at `blows_at` the controller is dead.

    A dead controller does nothing more: what `finally` and `except BaseException` would still do is refused, as a
    process that is gone does not do it either.
    """

    def __init__(self) -> None:
        self.count = 0
        self.blows_at = -1
        self.dead = False
        self.names: list[str] = []
        """What was done at each count, as `after engine.route`."""
        self.on_death: Callable[[], None] = lambda: None
        self.opened: list[Journal] = []
        """Every journal that was; a dead controller closes none, and here no kernel does."""

    def guard(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def touched(*args: Any, **kwargs: Any) -> Any:
            self._touch(f"before {name}")
            result = call(*args, **kwargs)
            self._touch(f"after {name}")
            return result

        return touched

    def arm(self, at: int = -1) -> None:
        """Begin to count again, and blow there."""
        self.count, self.blows_at, self.dead, self.names = 0, at, False, []

    def _touch(self, name: str) -> None:
        if self.dead:
            raise Killed
        self.count += 1
        self.names.append(name)
        if self.count == self.blows_at:
            self.dead = True
            self.on_death()
            raise Killed


def guard_files(fuse: Fuse, patch: pytest.MonkeyPatch) -> None:
    """Everything that goes to disk goes through the fuse."""
    open_it = Journal._open

    def opened(journal: Journal) -> int:
        fuse.opened.append(journal)
        return open_it(journal)

    patch.setattr(Journal, "_open", opened)
    patch.setattr(Journal, "append", fuse.guard("journal.append", Journal.append))
    patch.setattr(Ledger, "append", fuse.guard("ledger.append", Ledger.append))
    patch.setattr(Mailbox, "take", fuse.guard("mailbox.take", Mailbox.take))
    patch.setattr(Mailbox, "answer", fuse.guard("mailbox.answer", Mailbox.answer))
    patch.setattr(warm, "_write", fuse.guard("warm.write", warm._write))


def guard_world(fuse: Fuse, stage: Stage) -> None:
    """Every call of this stage's engine and registry goes through the fuse; whoever dies is known to be dead."""
    held = stage.engine.lease

    def died() -> None:
        lease = held()
        stage.engine.gone |= {lease.owner} if lease is not None else set()

    fuse.on_death = died
    for target, kind, names in ((stage.engine, "engine", ENGINE), (stage.registry, "registry", REGISTRY)):
        for name in names:
            if hasattr(target, name):
                setattr(target, name, fuse.guard(f"{kind}.{name}", getattr(target, name)))
