"""What is known of every model that somebody answers for, or that serves: for `mlship status --all` and its reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlship.types.monitoring import Finding, Incident, Trouble

#: Why something waits for a person.
Due = Literal["review", "age", "monitor", "approval", "paused", "retraining"]


@dataclass(frozen=True, slots=True)
class Overdue:
    """Something that should have happened, and whose it is."""

    model: str
    kind: Due
    sentence: str
    since: float | None
    """Unix time at which it was due; None when that is not known."""
    team: str = ""
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A model or a policy that lacks the other, or nobody answers for."""

    kind: Literal["unregistered", "no policy", "no model"]
    """unregistered: it serves, and the registry does not know it; no policy: it is champion or serves, and no policy
    was found for it; no model: the policy's model is in no registry."""
    model: str
    sentence: str
    policy: str = ""


@dataclass(frozen=True, slots=True)
class LastVerdict:
    """The last decision about the model that the ledger has."""

    action: str
    """evaluated, promoted, rolled_back, aborted, paused."""
    status: str
    """passed, failed, inconclusive, error."""
    version: str
    at: float
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class Trace:
    """One figure over the last weeks."""

    name: str
    at: tuple[float, ...]
    value: tuple[float | None, ...]
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class ModelSeen:
    """One model: one row."""

    model: str
    policy: str = ""
    """Path of its policy; empty when none was found."""
    others: tuple[str, ...] = ()
    """More policies of the same model."""
    team: str = ""
    contact: str = ""
    runbook: str = ""
    review_by: str = ""
    """ISO date."""
    registry: str = ""
    """Where it is registered, without anything secret."""
    registered: bool | None = None
    """None: the registry could not be asked."""
    champion: str | None = None
    """The version that the alias names; as the ledger has it while the registry cannot be asked."""
    told_by: Literal["registry", "ledger", "monitor", ""] = ""
    made: float | None = None
    """Unix time at which the champion was registered; None when unknown."""
    promoted: float | None = None
    """Unix time at which it became champion, as the ledger has it."""
    serving: str | None = None
    """The version that has the traffic here; None: nothing serves here."""
    endpoint: str = ""
    rollout: str = ""
    """Where a rollout under way stands."""
    verdict: LastVerdict | None = None
    monitored: bool = False
    """The policy has a section `monitor`."""
    looked: float | None = None
    """Unix time of the last pass of the monitor; None: there was none here."""
    looked_verdict: str = ""
    looked_summary: str = ""
    worst: Finding | None = None
    """Of the last pass: what is nearest to its limit, or furthest beyond it."""
    strain: float | None = None
    """Its value as a share of the limit: 1 is at the limit."""
    incidents: tuple[Incident, ...] = ()
    """Open ones."""
    past: tuple[Incident, ...] = ()
    """Resolved of late."""
    drift: Trace | None = None
    performance: Trace | None = None
    overdue: tuple[Overdue, ...] = ()
    orphan: Orphan | None = None
    troubles: tuple[Trouble, ...] = ()
    """What the last pass of the monitor could not ask."""
    fault: str = ""
    """What could not be read of it now."""

    @property
    def age(self) -> float | None:
        """Unix time from which its age counts: when the champion was registered, else when it was promoted."""
        return self.promoted if self.made is None else self.made


@dataclass(frozen=True, slots=True)
class RegistrySeen:
    """One registry that was asked."""

    uri: str
    """Without anything secret."""
    models: int
    fault: str = ""
    """Why it could not be asked."""


@dataclass(frozen=True, slots=True)
class BrokenPolicy:
    """A policy that cannot be read: what it would say is not known."""

    path: str
    fault: str
    named: bool
    """It was given, or a rollout ran by it; not only found by the search."""


@dataclass(frozen=True, slots=True)
class Estate:
    """Every model."""

    at: float
    """Unix time."""
    models: tuple[ModelSeen, ...]
    without: tuple[str, ...] = ()
    """Registered models that no policy was found for, and that are nobody's champion and serve nowhere here."""
    orphans: tuple[Orphan, ...] = ()
    registries: tuple[RegistrySeen, ...] = ()
    broken: tuple[BrokenPolicy, ...] = ()
    unread: tuple[str, ...] = ()
    """What else could not be read: the ledger, a journal; one sentence each."""
    searched: str = ""
    """Where policies were looked for."""

    @property
    def overdue(self) -> tuple[Overdue, ...]:
        """Of all models, by team, what is due longest first."""
        found = [one for model in self.models for one in model.overdue]
        return tuple(sorted(found, key=lambda one: (one.team, one.since or 0.0, one.model, one.kind)))

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """Open ones of all models, the worst first."""
        found = [one for model in self.models for one in model.incidents]
        return tuple(sorted(found, key=lambda one: (-one.worst, one.opened, one.model, one.id)))

    @property
    def faults(self) -> tuple[str, ...]:
        """Everything that could not be read, one sentence each: then this is not the whole picture."""
        found = [f"registry {one.uri}: {one.fault}" for one in self.registries if one.fault]
        found += [f"{one.path}: {one.fault}" for one in self.broken if one.named]
        found += [f"{one.model}: {one.fault}" for one in self.models if one.fault]
        return (*found, *self.unread)

    @property
    def waits(self) -> bool:
        """Whether anything asks for a person: an incident, something overdue, an orphan, a policy that is broken."""
        return bool(self.overdue or self.incidents or self.orphans or self.broken)
