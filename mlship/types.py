"""The values that flow down the corridor: gates -> rollout. All frozen; nothing here acts on anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from mlship.exhibits import Exhibit


class Status(StrEnum):
    """Outcome of a rule, a gate or a whole evaluation."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    SKIPPED = "skipped"


#: From best to worst; a fold takes the worst. Skipped neither helps nor harms.
SEVERITY = (Status.SKIPPED, Status.PASSED, Status.INCONCLUSIVE, Status.ERROR, Status.FAILED)


def worst(statuses: list[Status]) -> Status:
    """Fold statuses into one by taking the worst; nothing at all, or only skips, is inconclusive."""
    folded = max(statuses, key=SEVERITY.index, default=Status.INCONCLUSIVE)
    return Status.INCONCLUSIVE if folded is Status.SKIPPED else folded


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One exact version of a registered model, fetched to local disk."""

    model: str
    version: str
    digest: str
    """sha256 over the model's files: their relative paths and contents, in sorted order."""
    path: Path
    """Local directory that holds the `MLmodel` file; content-addressed, read-only by convention."""
    run_id: str | None = None
    inputs: tuple[str, ...] = ()
    """Names of the columns in the model's signature; empty when it has none."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """The exact model version under judgement in this run, and the champion it is compared with."""

    version: ModelVersion
    champion: ModelVersion | None
    """None at the first promotion."""

    @property
    def model(self) -> str:
        """Name of the registered model."""
        return self.version.model


@dataclass(frozen=True, slots=True)
class Measurement:
    """One observed value with sample size, interval and source."""

    metric: str
    value: float | None
    """None when it could not be measured; `reason` then says why."""
    low: float | None = None
    high: float | None = None
    """Ends of the two-sided 95 % interval, where there is one."""
    n: int = 0
    source: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GateResult:
    """One rule of one gate, judged."""

    gate: str
    rule: str
    status: Status
    limit: str
    """The limit as a person would write it: `>= 0.6`, `<= 1%`."""
    reason: str
    """One sentence with the figures that decided."""
    measured: Measurement | None = None
    champion: Measurement | None = None
    exhibits: tuple[Exhibit, ...] = ()
    """What a report shows beside the figures: tables, curves, heat rows."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All gates of one candidate under one policy: the evidence a promotion rests on."""

    id: str
    candidate: Candidate
    policy_digest: str
    data_digest: str
    results: tuple[GateResult, ...]
    started: float
    seconds: float
    run_id: str | None = None
    """The MLflow run that keeps it, once logged."""
    reference_digest: str | None = None
    """sha256 of the reference data, where the policy names some."""
    recent_digest: str | None = None
    """sha256 of the recent data, where the policy names some."""
    partial: str = ""
    """Why it is no full evaluation against the champion, such as `only metrics was judged`: so it lets nobody onto
    traffic. Empty for a full one."""
    who: str = ""
    """Who asked for it, as in the ledger; empty when unknown."""

    @property
    def status(self) -> Status:
        """The worst status of all rules."""
        return worst([result.status for result in self.results])


@dataclass(frozen=True, slots=True)
class Release:
    """What an engine is asked to serve."""

    model: str
    version: str
    digest: str
    path: Path
    image: str = ""
    """Id of the image that was built of it, `sha256:...`; empty where an engine needs none."""

    @property
    def server(self) -> str:
        """Name of the server that serves it; the same release always has the same name."""
        return f"v{self.version}-{self.digest.removeprefix('sha256:')[:8]}"


@dataclass(frozen=True, slots=True)
class Image:
    """A serving image, as it was built."""

    reference: str
    """Name and tag, such as `ghcr.io/acme/flight-delay:7-3f9c1a2b`."""
    id: str
    """`sha256:...` of its configuration: what an engine runs."""
    context: str
    """sha256 over everything that it was built of: the same inputs, the same context."""
    size: int
    """Bytes, as the engine counts them."""
    model: str
    """Digest of the model's files in it."""
    evaluation_id: str = ""
    """The evaluation that its label names; empty when it was built without one."""
    pushed: str = ""
    """`repository@sha256:...` in its registry; empty when it was not pushed."""


class Fault(StrEnum):
    """Ways in which a drill takes a server away."""

    KILL = "kill"
    """It dies at once, and whoever keeps it starts it again."""
    HANG = "hang"
    """It does not answer for a while, and then goes on."""


class ServerState(StrEnum):
    """What a model server is doing."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Server:
    """A model server of an engine, as found in the world."""

    name: str
    version: str
    digest: str
    state: ServerState
    detail: str = ""
    """Why it failed, with the last lines of its log; empty otherwise."""
    pid: int | None = None
    """Its process, where it is one of this machine's."""


@dataclass(frozen=True, slots=True)
class Routes:
    """Which servers play which role. Roles belong to routes, so a promotion or a rollback is a route change."""

    stable: str
    canary: str | None = None
    weight: float = 0.0
    """Share of the traffic (0 to 1) that goes to the canary."""
    mirror: float = 0.0
    """Share of the requests (0 to 1) that the canary gets a copy of; its answers are discarded."""
    testers: tuple[str, str] | None = None
    """Name and value of a header: requests that carry it go to the canary, whatever the weight."""
    sticky: str = ""
    """`header:NAME` or `cookie:NAME`: who names the same user there stays with the same arm. Empty: nobody stays."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may move an endpoint's traffic now, as found on the engine's side."""

    owner: str
    """The controller that holds it; empty when it was given up."""
    seconds: float
    """Silence after which the guardian gives all traffic back to stable."""
    silent: float
    """Seconds since its owner's last sign of life, by the engine's own clock."""
    expired_at: float | None = None
    """Unix time at which it ran out and the guardian acted (or found nothing to do); None while it holds."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labels of the requests of one second, as one server has counted them since its start."""

    second: int
    """Unix time, floored, of the requests (not of the labels)."""
    labelled: int
    wrong: int


@dataclass(frozen=True, slots=True)
class ServerCounters:
    """Cumulative counters of one server since `epoch`; a new epoch means they began again at zero."""

    epoch: str
    requests: int
    """Requests routed to it as stable or canary, and finished."""
    errors: int
    """Of these, the ones that it did not answer itself with something better than 5xx (a fallback may have)."""
    latency: tuple[int, ...]
    """Finished requests per bucket of `LATENCY_BOUNDS_MS`, and one more for everything slower, and for errors: nothing
    is fast because it fails."""
    labels: tuple[Labelled, ...] = ()
    labels_epoch: str | None = ""
    """Labels are counted by the server and the rest by the router, which restart apart. Empty: as `epoch`; None: the
    labels could not be read, and nothing follows from them. Predictions and answers are the server's, too."""
    timeouts: int = 0
    """Of the errors, those without an answer in time."""
    mirrored: tuple[int, int] = (0, 0)
    """Copies of requests that it answered while it was mirrored, and of these the errors."""
    predictions: Predictions | None = None
    """What it has predicted; None when it could not be read, or the server does not tell."""
    answers: Mapping[str, Prediction] | None = None
    """The latest predictions by a digest of the request id, to compare mirrored ones; bounded by the server. None when
    nobody asked for them, or they could not be read: what is there at the next look may be old."""
    users: Counts | None = None
    """With sticky routes: the first request of each user since the routes were set, counted; None without."""


#: The class of all predictions whose classes a server does not tell apart, as there are too many.
OTHER_CLASS = "(other)"
#: One row's prediction, as it can be compared: a class (text, truth value or integer) or a score.
Prediction = str | int | float


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a server has predicted since its start: counts."""

    classes: Mapping[str, int] = field(default_factory=dict)
    scores: Mapping[int, int] = field(default_factory=dict)
    """By bucket; a larger index holds larger scores."""

    @property
    def total(self) -> int:
        """All predictions counted."""
        return sum(self.classes.values()) + sum(self.scores.values())


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests (or users) counted with how they ended; the same meanings as in ``ServerCounters``."""

    requests: int = 0
    errors: int = 0
    timeouts: int = 0
    latency: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Scrape:
    """Everything the data plane has counted, at one moment."""

    at: float
    servers: dict[str, ServerCounters]
    missing: tuple[str, ...] = ()
    """Servers whose counters could not be read; their absence is no verdict."""


#: Upper bounds (ms) of the latency buckets: whole milliseconds (the clock of the router), from 12 on in steps of 10 %.
LATENCY_BOUNDS_MS: tuple[float, ...] = (
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 22, 24, 26, 29, 32, 35, 39, 43, 47, 52, 57, 63, 69,
    76, 84, 92, 101, 111, 122, 134, 147, 162, 178, 196, 216, 238, 262, 288, 317, 349, 384, 422, 464, 510, 561, 617,
    679, 747, 822, 904, 1000, 1250, 1600, 2000, 2500, 3200, 4000, 5000, 10000, 30000,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ArmWindow:
    """What one arm did between two looks."""

    requests: int = 0
    """Requests; users, where `Observation.users` says so; copies of requests on a mirrored canary."""
    errors: int = 0
    latency: tuple[int, ...] = ()
    timeouts: int = 0
    predictions: Predictions | None = None
    """What was predicted between the two looks; None when it could not be read."""
    served: int = 0
    """Requests, also where `requests` counts users: what a bake counts."""


@dataclass(frozen=True, slots=True)
class LabelWindow:
    """Labels that arrived between two looks, for requests of one second."""

    second: int
    canary: tuple[int, int]
    """(labelled, wrong)"""
    stable: tuple[int, int]
    """(labelled, wrong)"""


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at the world: everything between the previous look and this one, per arm."""

    started: float
    ended: float
    weight: float
    """The canary's share as read back from the router, constant over the window."""
    stable: ArmWindow
    canary: ArmWindow
    labels: tuple[LabelWindow, ...] = ()
    missing: tuple[str, ...] = ()
    """Arms whose counters could not be read in this look; no data is no evidence."""
    mirror: float = 0.0
    """Share of the requests that was mirrored; then the canary's counts are those of the copies, without latency."""
    testers: bool = False
    """Only chosen callers met the canary: the arms were not assigned at random."""
    users: bool = False
    """Counts are of users, each with the first request since the routes were set."""
    agreement: tuple[int, int] = (0, 0)
    """(compared, different) predictions of both arms for the same mirrored request."""


class VerdictKind(StrEnum):
    """The decisions a rollout can take at a look."""

    HOLD = "hold"
    ADVANCE = "advance"
    PROMOTE = "promote"
    PAUSE = "pause"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision of one look, in one sentence a person would say."""

    kind: VerdictKind
    reason: str
    shares: dict[str, float] = field(default_factory=dict)
    """Each signal's e-value, by its name."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of the append-only ledger: who did what, when, on which evidence."""

    at: float
    who: str
    action: str
    """evaluated | built | measured (the latency budget) | promoted | rolled_back | aborted | paused | resumed |
    advanced (a step before its bake, by hand) | lease_expired (nobody watched, and the guardian gave all traffic back
    to stable) | drilled (a server was taken away for a moment, see `mlship drill`) | applied (the policy's endpoint
    section, to a running router)"""
    model: str
    from_version: str | None
    to_version: str | None
    reason: str
    evidence: dict[str, str] = field(default_factory=dict)
    """Digests and ids: model, policy, data, evaluation, run, rollout."""
