"""What is known of a model's life on traffic: counts by window, the baseline they are held against, what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: What a finding, a breach and an incident can be about; the policy's `monitor.on_breach` names them so.
Kind = Literal["features", "predictions", "performance", "estimate", "value", "age", "silence"]

#: Counts of a column's cells by position: its bins in order, then `unseen`, `missing`, `unlike` (see `Bins`).
Counts = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bins:
    """How the cells of one column are counted.

    Positions of a count: the bins in order (`size` of them), then three more: values of a kind that the baseline does
    not know (categories without a bin of their own, after the bin for the baseline's own rest), missing cells, and
    cells of another kind than the column's (text among numbers, lists).
    """

    kind: Literal["numbers", "categories"]
    bounds: tuple[int, ...] = ()
    """Numbers: the highest `stats.buckets.bucket` of every bin but the last, ascending: a bin ends where buckets do, so
    that rows and exported sketches are counted alike."""
    names: tuple[str, ...] = ()
    """Categories: those with a bin of their own."""

    @property
    def size(self) -> int:
        """How many bins there are."""
        return len(self.bounds) + 1 if self.kind == "numbers" else len(self.names)

    @property
    def width(self) -> int:
        """How many positions a count has."""
        return self.size + 3

    @property
    def unseen(self) -> int:
        """Position of the values that the baseline does not know."""
        return self.size

    @property
    def missing(self) -> int:
        """Position of the missing cells."""
        return self.size + 1

    @property
    def unlike(self) -> int:
        """Position of the cells of another kind."""
        return self.size + 2


@dataclass(frozen=True, slots=True)
class Labelled:
    """The labelled rows of a window, as far as their labels are known."""

    rows: int = 0
    scored: tuple[tuple[int, ...], ...] = ()
    """By position of the score (`Baseline.scores`), counts by label (`Baseline.labels`, then one for any other)."""
    answered: tuple[tuple[int, ...], ...] = ()
    """By position of the answer (`Baseline.answers`), counts by label; empty when the answers are numbers."""
    errors: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Numbers: rows, and the sums of (answer - label), of its absolute value and of its square."""


@dataclass(frozen=True, slots=True)
class Tally:
    """One window of traffic, or one slice of it."""

    start: float
    """Unix time of its first moment."""
    seconds: float
    rows: int
    features: Mapping[str, Counts] = field(default_factory=dict)
    answers: Counts | None = None
    """What the model answered: classes, or numbers."""
    scores: Counts | None = None
    """Its probabilities of the positive class, where they are told."""
    labelled: Labelled | None = None
    """None: nobody has told a label yet."""
    slice: str = ""
    """`column=value`; empty for the whole window."""
    sampled: int | None = None
    """Rows whose features were looked at, where they are not all."""

    @property
    def end(self) -> float:
        """Unix time of its end."""
        return self.start + self.seconds


@dataclass(frozen=True, slots=True)
class Steady:
    """How one figure of a window behaves while nothing has moved: learned from the baseline's own windows.

    A figure's value x becomes a score z of about the standard normal distribution: the residual x - expected(time), put
    through the baseline's own quantiles (`knots` at `scores`), beyond them linearly (one score each `spread`, or more
    where the tail is long), and cut at +-8.
    """

    expected: tuple[float, ...]
    """Mean by cell of the season (`Baseline.cell`)."""
    knots: tuple[float, ...]
    """Residuals, ascending; together with `scores` the map from residuals to normal scores."""
    scores: tuple[float, ...]
    spread: float
    """Standard deviation of the residuals."""
    inflation: float
    """At least 1: the largest variance of a sum of n windows' scores, divided by n, over n up to a week, and one
    standard error more. What is correlated from window to window says less than independent windows would."""
    margin: float
    """In scores: the standard error of the baseline itself, below which nothing counts as moved."""
    rows: float
    """Rows of a typical window: of a window with fewer, the score is taken as less sure."""
    noise: float
    """Variance of one row's share in the figure, so that noise/rows is the variance of sampling."""
    windows: int
    """Windows that this was learned from."""
    boldest: float = 1.0
    """The largest bet (lambda of `stats.detector`) that the baseline's own windows, days and weeks do not win."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the baseline."""

    bins: Bins
    counts: Counts
    deviation: float | None = None
    """Numbers: the standard deviation, as a unit of Wasserstein distances."""
    middles: tuple[float, ...] = ()
    """Numbers: the mean of the rows in each bin."""
    example: Mapping[str, float] = field(default_factory=dict)
    """Figures that people know it by: mean, median."""
    streams: Mapping[str, Steady] = field(default_factory=dict)
    """By name of the stream (`stats.streams`): level, spread, missing, unseen, or `=CATEGORY`."""


@dataclass(frozen=True, slots=True)
class Wander:
    """How far one metric strays from what the scores let expect, beyond the chance of single rows."""

    day: float
    """Root mean square over days of (realised - expected), without what the sampling of labels explains."""
    week: float
    """The same over weeks: what lasts longer than a day does not cancel out in one."""
    periods: int
    """Weeks behind `week`; days, where there were too few weeks, and then `week` is `day`."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How often the positive class came, by position of the score, and how far whole windows strayed from that."""

    rates: tuple[float, ...]
    counts: Counts
    strays: float
    """Standard deviation over days of (labels - expected) / sqrt(expected variance); 1 when rows are independent."""
    wanders: Mapping[str, Wander] = field(default_factory=dict)
    """By metric that can be estimated."""


@dataclass(frozen=True, slots=True)
class Reached:
    """One metric on the evaluation data, and how it varies from day to day there."""

    value: float
    low: float | None = None
    high: float | None = None
    steady: Steady | None = None
    """Of the metric's values by day; None when the evaluation data has too few days, or no times."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the model was when it was proved: kept with the evaluation as `baseline.json`."""

    model: str
    version: str
    digest: str
    """Of the model's files."""
    made: float
    """Unix time."""
    policy_digest: str
    task: Literal["binary", "classes", "numbers"]
    window: float
    """Seconds."""
    zone: str
    season: tuple[str, ...]
    rows: int
    """Of the reference; of the evaluation data, where the policy names no reference."""
    since: float | None
    until: float | None
    """First and last moment of these rows, Unix time; None when they have no times."""
    features: Mapping[str, Column]
    answers: Column | None
    scores: Column | None
    """Binary classifiers that give probabilities."""
    labels: tuple[str, ...] = ()
    """Classes as text, in order; the last of two is the positive one."""
    threshold: float | None = None
    """Binary: from this score on, the positive class is predicted."""
    calibration: Calibration | None = None
    performance: Mapping[str, Reached] = field(default_factory=dict)
    slices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By column, the values that are slices."""
    payoff: Mapping[str, float] = field(default_factory=dict)
    """tp, fp, fn, tn of `gates.value`; empty: none."""
    why_not: Mapping[str, str] = field(default_factory=dict)
    """What the baseline lacks, and why: `scores`, `calibration`, `streams`, `performance`."""
    source: str = ""
    """Where the rows came from, as people know it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at in one pass: how far it is from what it should be, and whether that is more than chance."""

    kind: Kind
    subject: str
    """What: a feature, `predictions`, a metric, a slice's metric (`origin=JFK recall`), `model`, `traffic`."""
    what: str
    """Which figure: psi, missing, unseen, wasserstein, a metric's name, days."""
    value: float | None
    limit: str
    """As a person would write it: `psi <= 0.2`."""
    over: bool
    """Whether the value is beyond the limit."""
    evidence: float
    """Log10 of the e-value of the strongest stream; the alarm's threshold is `log10(threshold)` in the same unit."""
    alarm: bool
    """Whether the evidence has reached the threshold. A breach needs both `alarm` and `over`."""
    since: float | None
    """Estimated moment of the change, Unix time."""
    sentence: str
    """What a person should know, with the figures."""
    low: float | None = None
    high: float | None = None
    expected: float | None = None
    """The same figure in the baseline."""
    n: int = 0
    """Rows behind it."""
    severity: int = 0
    """0: none; 1: beyond the limit; one more for each time that the excess doubles."""

    @property
    def breach(self) -> bool:
        """Whether it is real, and matters."""
        return self.alarm and self.over


@dataclass(frozen=True, slots=True)
class Incident:
    """A breach from its opening to its end."""

    id: str
    model: str
    version: str
    kind: Kind
    subject: str
    opened: float
    """Unix time of the window at whose end it was opened."""
    since: float | None
    """Estimated moment of the change."""
    worst: int
    """The highest severity so far."""
    sentence: str
    """Of its last event."""
    resolved: float | None = None
    quiet: float | None = None
    """Since when all has been within limits; None while it is not."""
    detail: str = ""
    """What moved most, what it means, which requests show it."""


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """Something that people are told of an incident, once."""

    incident: Incident
    what: Literal["opened", "worsened", "resolved"]
    at: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that could not be asked: it is reported as such, and is no drift."""

    source: str
    """registry, engine, log, labels, notify, retrain, disk."""
    what: str
    since: float
    """Unix time of the first pass that met it."""
