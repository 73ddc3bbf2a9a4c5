"""What is to be sent or done for an incident, once: its values, and what may come of an attempt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mlship.types.monitoring import Kind

Action = Literal["notify", "retrain", "rollback", "pause"]
#: What people are told of, in the words of `mlship.notify`.
Told = Literal["incident_opened", "incident_worsened", "incident_resolved", "retraining", "rolled_back", "paused"]
#: How a delivery stands: to be sent (again); taken; given up after a day of attempts; no longer called for.
State = Literal["pending", "done", "failed", "dropped"]

#: Seconds; what could not be delivered for so long is given up.
GIVEN_UP = 86400.0
#: Seconds until the next attempt: after the first that failed, the second, and so on; the last holds for all others.
WAITS = (60.0, 300.0, 900.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one service, or one thing to be done."""

    id: str
    """What a receiver knows it by, however often it is tried: `mlship-` and 16 hexadecimal digits."""
    action: Action
    place: str
    """Where it goes, without anything secret: `slack#0` is the policy's first service of that kind, `retrain#0` its
    first item `retrain`; `rollback`, `pause`."""
    incident: str
    kind: Kind
    subject: str
    version: str
    what: Told | Literal["retrain", "rollback", "pause"]
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the receiver is told; for a message `text` and `at`, for a training its inputs."""
    covers: Mapping[str, int] = field(default_factory=dict)
    """For a training: the incidents that it is for, with their severity then."""
    made: float = 0.0
    """Unix time of the pass that decided on it."""
    state: State = "pending"
    attempts: int = 0
    due: float = 0.0
    """Unix time before which it is not tried again."""
    maybe: bool = False
    """An attempt was cut short, and nobody knows whether it arrived."""
    blocking: bool = False
    """Its place was out of reach: what is behind it waits, so that messages keep their order."""
    first: float | None = None
    """Unix time of the first attempt that failed."""
    tried: float | None = None
    """Unix time of the last attempt."""
    said: str = ""
    """What came of the last attempt."""
    ended: float | None = None

    @property
    def over(self) -> bool:
        """Nothing more will be tried."""
        return self.state != "pending"


#: What came of one attempt:
#:
#: - done: the receiver has taken it;
#: - refused: it was there, and did not take it;
#: - away: it could not be reached, so nothing has arrived;
#: - maybe: it may have arrived, for there was no answer;
#: - later: nothing was tried, it is not the time for it;
#: - moot: there is nothing to do any more.
Result = Literal["done", "refused", "away", "maybe", "later", "moot"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt, in a sentence without secrets."""

    result: Result
    said: str
    at: float = 0.0
    """Unix time."""
    cleared: bool = False
    """It is known now that no attempt before this one has arrived."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What is worth knowing of it later, such as the version that a rollback went to."""


def name(*parts: str) -> str:
    """The id of a delivery, from what it is for and where it goes: the same for whoever decides on it."""
    return f"mlship-{hashlib.sha256(chr(0).join(parts).encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
