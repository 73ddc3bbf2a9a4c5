"""What the data plane counts: cumulative counters, and windows between two looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
    refused: int = 0
    """Of the requests, those that it answered itself with 4xx: no errors, since a caller's mistake is none."""
    mirrored_refused: int = 0
    """Of the copies, those that it answered with 4xx."""


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
    refused: int = 0


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
    refused: int = 0
    """Answered with 4xx by the server itself; none of these is an error."""


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
