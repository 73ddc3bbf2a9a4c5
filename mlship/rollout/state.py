"""What the rollout machine works on: phases, orders, actions, the state between two looks. Values only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mlship.types import Routes, Verdict


class Phase(StrEnum):
    """Where a rollout stands."""

    PREPARING = "preparing"
    STEPPING = "stepping"
    PAUSED = "paused"
    PROMOTING = "promoting"
    ROLLING_BACK = "rolling_back"
    DONE = "done"


class Outcome(StrEnum):
    """How a rollout ends, or why it stands still."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    PAUSED = "paused"


class Order(StrEnum):
    """What a person may ask of a running rollout."""

    PROMOTE = "promote"
    PROMOTE_FULL = "promote_full"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Command:
    """A person's order."""

    order: Order
    who: str


@dataclass(frozen=True, slots=True)
class Route:
    """Action: make the router serve exactly this."""

    routes: Routes


@dataclass(frozen=True, slots=True)
class Promote:
    """Action: canary becomes stable, the alias moves last."""


@dataclass(frozen=True, slots=True)
class Retire:
    """Action: stop the canary's server and write the outcome into the ledger."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Action: ask the hooks of one point, unless that is under way; their answer comes with a later look."""

    point: str
    """`before:STEP` or `after:STEP`, steps from 0."""


Action = Route | Promote | Retire | Ask


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What the hooks of one point said."""

    agreed: bool
    said: str = ""
    """Why not, or what went wrong."""


@dataclass(frozen=True, slots=True)
class RolloutState:
    """Everything the machine remembers between two looks."""

    phase: Phase = Phase.PREPARING
    step: int = 0
    weight: float = 0.0
    """The canary's share that is wanted now."""
    baked: float = 0.0
    """Seconds observed at this step."""
    requests: int = 0
    """Canary requests observed at this step."""
    passed: tuple[tuple[float, float, int], ...] = ()
    """(weight, seconds observed, canary requests observed) of the steps before this one."""
    waited: float = 0.0
    """Seconds that somebody has watched this step, with or without counters."""
    looked_at: float = 0.0
    outcome: Outcome | None = None
    """How it will end (rolling back), has ended (done), or `paused` when it gave up waiting."""
    reason: str = ""
    verdict_at: float = 0.0
    """When the deciding verdict fell."""
    agreed: tuple[str, ...] = ()
    """Points whose hooks have agreed; they are not asked again."""
    accepted: tuple[str, ...] = ()
    """Signals that asked for a pause, and that a person let go on."""
    waived: str = ""
    """By whom this step's bake was waived, or its approval given: `promoted by alice`; empty when it was not."""
    full: bool = False
    """What was waived are all steps that are left."""
    unproved: bool = False
    """Promoted without what the policy wanted proved, as its `on_inconclusive` says."""

    @property
    def final(self) -> bool:
        """Nothing more will happen."""
        return self.phase is Phase.DONE


@dataclass(frozen=True, slots=True)
class World:
    """What the controller found beside the counters."""

    routes: Routes | None = None
    canary_down: str = ""
    """Why the canary's server is dead; empty while it lives."""
    interval: float = 1.0
    """Seconds between two looks."""
    command: Command | None = None
    frozen: str = ""
    """Until when no weight may rise, as people say it; empty when it may."""
    newer: str = ""
    """What the candidate's alias names instead of this candidate; empty while it names this one."""
    answers: Mapping[str, HookAnswer] = field(default_factory=dict)
    """What hooks said, by point."""
    moved: bool = False
    """While it is promoted: whether the champion's alias names the candidate already."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict of one look, the state after it, and what is to be done about it."""

    verdict: Verdict
    state: RolloutState
    actions: tuple[Action, ...] = ()
    note: str = ""
    """What the ledger is to say of it beside the outcome: paused | resumed | advanced; empty for nothing."""


def to_json(state: RolloutState) -> dict[str, Any]:
    """A document that `from_json` reads back as the same value."""
    return dataclasses.asdict(state)


def from_json(document: dict[str, Any]) -> RolloutState:
    """A state as `to_json` wrote it."""
    outcome = document["outcome"]
    return RolloutState(
        **{
            **document,
            "phase": Phase(document["phase"]),
            "outcome": Outcome(outcome) if outcome else None,
            "agreed": tuple(document["agreed"]),
            "accepted": tuple(document["accepted"]),
            "passed": tuple((weight, seconds, requests) for weight, seconds, requests in document["passed"]),
        }
    )
