"""What the monitor does to traffic by itself: back to the champion before, and a pause of a rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlship.champions import TELLING, champions
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
    left = behind.read(directory)
    told = ledger.some(model, TELLING)
    now = next(reversed(champions(told)), "")
    if now != delivery.version and (left is None or (left.expected, left.to) != (delivery.version, now)):
        last = told[-1] if told else None
        ours = last is not None and last.from_version == delivery.version and last.who.startswith(_MONITOR)
        if delivery.attempts and ours:  # an attempt that was cut short had done all of it
            return _returned(now)
        return Outcome("moot", f"version {delivery.version} is not the champion")
    try:
        plan = handle.latest_plan(home, model)
        where = rollback.target(ledger, model, None, left)
    except UsageError as error:
        return Outcome("moot", f"nothing to go back to: {error.what}")
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
    return _returned(where.version)


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


def _returned(version: str) -> Outcome:
    return Outcome("done", f"version {version} serves again", facts={"to": version})
