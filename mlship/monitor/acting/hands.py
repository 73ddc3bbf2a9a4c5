"""What the monitor does to traffic by itself: back to the champion before, and a pause of a rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlship.champions import TELLING
from mlship.errors import MlshipError, UsageError
from mlship.home import Home
from mlship.ledger import Ledger, who
from mlship.monitor.acting.delivery import Delivery, Outcome
from mlship.rollout import behind, handle, journal, lock, offline, ordering, rollback
from mlship.rollout.state import Order

if TYPE_CHECKING:
    from mlship.monitor.acting.send import Begin

#: How the monitor calls itself in the ledger, before whom it runs for.
_MONITOR = "mlship monitor of "


def roll_back(home: Home, model: str, delivery: Delivery, begin: Begin) -> Outcome:
    """Go back to the champion before, if the version of the incident still is the champion.

    It may be repeated: what an attempt that was cut short has left to do is done, and nothing twice. While a rollout is
    under way it waits: its candidate may be what mends the incident.
    """
    view = journal.latest(home, model)
    if view is not None and view.phase != "done":
        return Outcome(
            "later",
            f"a rollout of version {view.candidate_version} is under way; "
            f"`mlship abort {model}` ends it, and the next pass goes back",
        )
    directory, ledger = home.ensure(home.rollouts(model)), Ledger(home.ledger)
    try:
        plan = handle.latest_plan(home, model)
        where = rollback.target(ledger, model, None, behind.read(directory))
    except UsageError as error:
        return Outcome("moot", f"nothing to go back to: {error.what}")
    if where.champion != delivery.version:
        if delivery.attempts and _ours(ledger, model, delivery):
            return Outcome("done", f"version {where.champion} serves again", facts={"to": where.champion})
        return Outcome("moot", f"version {delivery.version} is no longer the champion")
    begin()
    by = _by()
    try:
        with lock.held(directory, by, f"rollback to version {where.version}"):
            rollback.go_back(
                where,
                engine=handle.engine_of(plan, home),
                registry=handle.LazyRegistry(plan, home),
                ledger=ledger,
                directory=directory,
                alias=plan.champion_alias,
                who=by,
                keep_warm=plan.keep_warm,
                why=delivery.facts.get("reason", ""),
            )
    except MlshipError as error:
        return Outcome("refused", error.what + (f"; next: {error.hint}" if error.hint else ""))
    return Outcome("done", f"version {where.version} serves again", facts={"to": where.version})


def pause(home: Home, model: str, begin: Begin) -> Outcome:
    """Pause the model's rollout, if one is under way: by an order to its controller, or in its journal."""
    view = journal.latest(home, model)
    if view is None or view.phase == "done":
        return Outcome("moot", "no rollout is under way")
    begin()
    by = _by()
    try:
        said = ordering.send(home, model, Order.PAUSE, by) or offline.pause(home, model, by, Ledger(home.ledger))
    except UsageError as error:  # it ended meanwhile, or is past the point where it could be paused
        return Outcome("moot", error.what)
    except MlshipError as error:
        return Outcome("refused", error.what)
    return Outcome("done", f"the rollout of version {view.candidate_version}: {said}")


def _by() -> str:
    return f"{_MONITOR}{who()}"


def _ours(ledger: Ledger, model: str, delivery: Delivery) -> bool:
    """Whether an attempt that was cut short had done all of it: the ledger's last word is ours."""
    entries = ledger.some(model, TELLING)
    last = entries[-1] if entries else None
    return (
        last is not None
        and last.action == "rolled_back"
        and last.from_version == delivery.version
        and last.who.startswith(_MONITOR)
    )
