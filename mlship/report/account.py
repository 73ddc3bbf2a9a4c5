"""One rollout, and the chain of evidence behind a decision, as plain values that any report can draw. Nothing acts."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlship.types import Status

#: (bad, counted)
Count = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Arm:
    """What one arm did in a stretch of time."""

    requests: int = 0
    errors: int = 0
    timeouts: int = 0
    refused: int = 0
    latency: tuple[tuple[int, int], ...] = ()
    """(bucket, requests), sorted; only buckets with requests. Empty where no latency was counted."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was observed in a stretch of time, and what the evidence was at its end."""

    start: float
    """Seconds since the rollout began."""
    end: float
    seconds: float
    """Observed; less than `end - start` where nobody looked."""
    stable: Arm
    canary: Arm
    evidence: tuple[tuple[str, float], ...] = ()
    """Each signal's e-value."""
    total: float = 1.0
    """The e-value of the whole rollout."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what was asked, and what was observed."""

    number: int
    """From 1."""
    kind: str
    """weight | mirror | testers | approve | pause"""
    traffic: str
    """`10 %`, `mirror 20 %`."""
    asked: str
    """`10 min, 1,000 requests`"""
    state: str
    """done | now | left (the rollout ended here) | to come | not reached | skipped (promoted without it)"""
    seconds: float | None = None
    requests: int | None = None
    entered: float | None = None
    """Seconds since the rollout began."""


@dataclass(frozen=True, slots=True)
class SignalSeen:
    """One signal at the end of what is told."""

    name: str
    e_value: float
    budget: float
    """Its share of the error budget; 0 when it only pauses or warns."""
    action: str
    canary: Count
    stable: Count
    """(0, 0) where the canary is compared with a limit."""
    sentence: str
    accused: bool = False
    """It weighs most in the evidence that decided."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was decided or happened."""

    at: float
    """Unix time."""
    what: str
    """advance, pause, promote, rollback, abort, resume, note, guardian"""
    text: str


@dataclass(frozen=True, slots=True)
class Account:
    """One rollout over time."""

    model: str
    rollout_id: str
    candidate: str
    champion: str | None
    began: float
    """Unix time."""
    ended: float
    """Unix time of the last record."""
    outcome: str
    """promoted | rolled_back | aborted | paused | running | unattended (unfinished, and nobody drives it)"""
    sentence: str
    limit: float
    """Evidence that rolls the canary back."""
    total: float
    weights: tuple[tuple[float, float], ...]
    """(seconds since it began, the canary's share from then on), as the router took it."""
    steps: tuple[Step, ...]
    stretches: tuple[Stretch, ...]
    signals: tuple[SignalSeen, ...]
    events: tuple[Event, ...]
    ids: tuple[tuple[str, str], ...]
    """Name and value of every id and digest of its plan."""
    users: bool = False
    """Counted are users, not requests."""
    damaged: int = 0
    """Lines of the journal that cannot be read."""

    @property
    def over(self) -> bool:
        """Nothing more will happen."""
        return self.outcome in ("promoted", "rolled_back", "aborted")

    @property
    def status(self) -> Status:
        """The outcome as a status: promoted is passed, rolled back is failed, everything else is open."""
        return {"promoted": Status.PASSED, "rolled_back": Status.FAILED}.get(self.outcome, Status.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of an evaluation, with the figures that decided, as a person would write them."""

    gate: str
    name: str
    status: Status
    measured: str
    limit: str
    reason: str


@dataclass(frozen=True, slots=True)
class Link:
    """One link of the chain: what was recorded, and whether it fits the others."""

    kind: str
    """evaluation | image | latency | rollout | hand | champion | registry"""
    title: str
    status: Status
    """What it said: an evaluation may have failed, and the chain be whole all the same."""
    text: str
    at: float | None = None
    """Unix time."""
    who: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    """Ids and digests, by name."""
    rules: tuple[Rule, ...] = ()
    signals: tuple[SignalSeen, ...] = ()
    breaks: tuple[str, ...] = ()
    """What of it contradicts the rest of the chain."""
    lacking: tuple[str, ...] = ()
    """What is not recorded here, or could not be fetched."""


@dataclass(frozen=True, slots=True)
class Why:
    """Why a version serves, or does not: the decision and the chain of evidence behind it."""

    model: str
    version: str
    champion: str | None
    """The champion of that moment, as the ledger knows it."""
    status: Status
    """Of the decision: passed serves, failed does not, inconclusive is open."""
    headline: str
    """`version 2 serves`"""
    reason: str
    """The sentence that decided."""
    at: float | None
    """Unix time of the decision."""
    who: str
    links: tuple[Link, ...]
    accounts: tuple[Account, ...] = ()
    """Its rollouts, the one that decided last."""
    asked: str = ""
    """What was asked for: `rollout 2026...`; empty for the latest decision."""
    beside: str = ""
    """What serves instead."""
    general: tuple[str, ...] = field(default=())
    """Breaks that belong to no link."""

    @property
    def breaks(self) -> tuple[str, ...]:
        """Everything that does not fit."""
        return (*self.general, *(found for link in self.links for found in link.breaks))

    @property
    def lacking(self) -> tuple[str, ...]:
        """Everything that is not recorded here."""
        return tuple(found for link in self.links for found in link.lacking)
