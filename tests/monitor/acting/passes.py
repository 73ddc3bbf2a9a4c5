"""One pass with nothing but its end: incidents that are given, what follows from them, and its sending."""

from __future__ import annotations

from collections.abc import Sequence

from mlship.home import Home
from mlship.monitor import store
from mlship.monitor.acting.deliver import deliver
from mlship.monitor.acting.plan import Known, plan
from mlship.monitor.kept import Changes
from mlship.policy.load import LoadedPolicy
from mlship.types.monitoring import IncidentEvent, Trouble
from tests.monitor.made import MODEL


def run(
    home: Home, loaded: LoadedPolicy, events: Sequence[IncidentEvent], now: float, patience: float = 60.0
) -> tuple[Trouble, ...]:
    """Decide on what follows, keep it in one transaction, and deliver."""
    with store.writing(home, MODEL, "tester") as found:
        of = {one.incident.id: one.incident for one in events}
        open_ = {one.id: one for one in found.open()} | of
        known = Known(found.acts("retrain"), found.acts("rollback"))
        still = [one for one in open_.values() if one.resolved is None]
        follows = plan(loaded.policy, loaded.digest, events, still, known, now=now, until=now)
        found.commit(Changes(incidents=list(of.values()), events=events, deliveries=follows.deliveries))
        return deliver(home, loaded, found, now, patience=patience)
