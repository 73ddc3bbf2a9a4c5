"""Whether anybody drives a rollout: the lock on this machine, the lease on the engine's side, and what both mean."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

from mlship.engines.lease import is_dead
from mlship.rollout.lock import Holder
from mlship.types import Lease


@dataclass(frozen=True, slots=True)
class Pulse:
    """Signs of life of a rollout's controller, as somebody beside it sees them."""

    holder: Holder | None
    """Who holds the lock in this state directory."""
    lease: Lease | None = None
    """The lease on the engine's side; None when there is none, or it could not be read."""
    aged: float = 0.0
    """Seconds since the lease was read."""
    unreachable: str = ""
    """Why the engine says nothing; empty when it does."""

    @property
    def elsewhere(self) -> bool:
        """A controller of another machine (or container) holds the lease."""
        lease = self.lease
        return (
            self.holder is None
            and lease is not None
            and bool(lease.owner)
            and lease.expired_at is None
            and self.left > 0
            and not is_dead(lease.owner)
        )

    @property
    def alive(self) -> bool:
        """Somebody drives."""
        return self.holder is not None or self.elsewhere

    @property
    def left(self) -> float:
        """Seconds until the guardian acts, unless somebody gives a sign of life."""
        return max(0.0, self.lease.seconds - self.lease.silent - self.aged) if self.lease is not None else 0.0


def sentence(pulse: Pulse, *, model: str, policy: str, silent: float, exposed: bool) -> str:
    """Who drives, and until when the lease holds; for a rollout that nobody drives, what happens then and what to do.

    Parameters
    ----------
    policy
        Path of the policy; empty when it is not known.
    silent
        Seconds since the journal's last word.
    exposed
        The canary is to have traffic now.
    """
    lease = pulse.lease
    if pulse.holder is not None:
        return f"driven by {pulse.holder}{_lease(pulse)}"
    if pulse.elsewhere and lease is not None:
        return f"driven from elsewhere by {lease.owner.rpartition('#')[0]}{_lease(pulse)}"
    parts = [f"no controller runs; its last word is {span(silent)} old", fate(pulse, exposed=exposed)]
    parts.append(f"`mlship rollout {policy or 'POLICY'}` carries on, `mlship abort {model}` ends it")
    return "; ".join(filter(None, parts))


def fate(pulse: Pulse, *, exposed: bool) -> str:
    """What becomes, or became, of the canary's traffic while nobody drives; empty when there is nothing to say."""
    lease = pulse.lease
    if pulse.unreachable:
        return f"the engine does not say whether its lease holds: {pulse.unreachable}"
    if lease is not None and lease.expired_at is not None:
        when = time.strftime("%a %H:%M:%S", time.localtime(lease.expired_at))
        done = ", and the guardian has given all traffic back to stable" if exposed else ""
        return f"its lease has run out{done} ({when})"
    if lease is not None and exposed:
        return f"the guardian gives all traffic back to stable in {span(pulse.left)}"
    return ""


def _lease(pulse: Pulse) -> str:
    if pulse.lease is None:
        return f"; the engine does not answer: {pulse.unreachable}" if pulse.unreachable else ""
    return f"; without a sign of life the guardian acts in {span(pulse.left)}" if pulse.lease.owner else ""


def span(seconds: float) -> str:
    """A time span as people count it down: `42 s`, `5 min 39 s`, `1 h 5 min`."""
    left = max(0, round(seconds))
    for (unit, size), (lower, step) in pairwise((("d", 86400), ("h", 3600), ("min", 60), ("s", 1))):
        if left >= size:
            rest = left % size // step
            return f"{left // size} {unit}" + (f" {rest} {lower}" if rest else "")
    return f"{left} s"
