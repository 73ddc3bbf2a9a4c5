"""A controller's hold on its endpoint: who it is, its signs of life, and its end."""

from __future__ import annotations

from contextlib import suppress

from mlship.engines.base import Engine
from mlship.engines.lease import owner
from mlship.errors import EngineError, LeaseLost


class Tenancy:
    """Holds one endpoint for one controller, by a lease on the engine's side.

    Parameters
    ----------
    seconds
        Silence after which the guardian gives all traffic back to stable.
    """

    def __init__(self, engine: Engine, who: str, seconds: float) -> None:
        self.owner = owner(who)
        self._engine, self._seconds = engine, seconds
        self._held = self._lost = False

    def beat(self, extra: float = 0.0) -> float | None:
        """Take the endpoint, or give a sign of life; when the lease had run out before, Unix time at which it did.

        `extra` seconds are added to the lease, for a wait without signs of life.

        Raises ``LeaseLost`` when another controller holds it, or has held it since the last sign of life;
        ``EngineError`` when the engine does not answer.
        """
        try:
            found = self._engine.hold(self.owner, self._seconds + extra)
        except LeaseLost:
            self._lost = True
            raise
        if self._held and found is not None and found.owner != self.owner:
            self.give_up()
            self._lost = True
            raise LeaseLost(
                "another controller has held this endpoint meanwhile, so what this one knows of it is out of date",
                where=self._engine.address,
                hint="`mlship status` shows where it stands; the same command again begins from there",
            )
        self._held = True
        return found.expired_at if found is not None else None

    def give_up(self) -> None:
        """Somebody else may take it at once; the guardian's clock goes on."""
        if not self._lost:
            with suppress(EngineError, LeaseLost):
                self._engine.release(self.owner)
