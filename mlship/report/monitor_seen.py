"""What one pass of `mlship monitor` has seen: filled by the monitor, told by its reports (`monitor_*`). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mlship.types import Status

if TYPE_CHECKING:
    from mlship.types.monitoring import Baseline, Finding, Incident, IncidentEvent, Kind, Trouble


@dataclass(frozen=True, slots=True)
class Line:
    """One figure over time, by day or by window; drawn as it is, and broken where nothing was measured."""

    at: tuple[float, ...]
    """Unix times, ascending: the middles of the periods."""
    value: tuple[float | None, ...]
    """As long as `at`; None: not measured."""
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    """Ends of the 95 % intervals, as long as `at`, or empty."""
    rows: tuple[int, ...] = ()
    """Rows behind each value, as long as `at`, or empty."""


@dataclass(frozen=True, slots=True)
class Share:
    """One bin of a column: which part of the rows it had in the baseline, and has now."""

    name: str
    """`12.5 to 20`, `JFK`, `missing`, `unseen`."""
    then: float
    now: float


@dataclass(frozen=True, slots=True)
class ColumnSeen:
    """One feature, or the predictions: all that was measured of it, judged or not.

    The figures are of the rows since the estimated change where there is one, else of all rows that the pass looks at.
    """

    name: str
    kind: Literal["numbers", "categories"]
    rows: int
    psi: float | None = None
    wasserstein: float | None = None
    """Numbers, in standard deviations of the baseline."""
    missing: float | None = None
    """Share of the rows; `missing_then` in the baseline."""
    missing_then: float | None = None
    unseen: float | None = None
    """Share of the rows whose category the baseline lacks."""
    evidence: float = 0.0
    """Log10 of the e-value of its strongest stream; `Seen.threshold` is in the same unit."""
    since: float | None = None
    """Estimated moment of the change."""
    over: tuple[str, ...] = ()
    """Which of psi, wasserstein, missing, unseen are beyond their limits."""
    breach: bool = False
    sentence: str = ""
    """What moved, with the figures; empty when nothing has."""
    shares: tuple[Share, ...] = ()
    """In the order of the bins."""
    line: Line | None = None
    """Its PSI by day: of the week up to each, say."""


@dataclass(frozen=True, slots=True)
class FigureSeen:
    """One metric on live traffic, of all rows or of a slice; or the realised value."""

    name: str
    """`recall`, `origin=JFK recall`, `value`."""
    limit: str = ""
    """`>= 0.6`; empty: shown, not judged."""
    then: float | None = None
    """In the baseline."""
    realised: float | None = None
    low: float | None = None
    high: float | None = None
    rows: int = 0
    """Labelled rows behind it."""
    estimated: float | None = None
    """For the rows whose labels are not there; None: `why_not` says why."""
    estimated_low: float | None = None
    estimated_high: float | None = None
    why_not: str = ""
    evidence: float = 0.0
    since: float | None = None
    breach: bool = False
    sentence: str = ""
    line: Line | None = None
    """Realised, by day, with its interval."""
    estimate: Line | None = None
    """Estimated, by day, with its interval."""


@dataclass(frozen=True, slots=True)
class SourceSeen:
    """One thing that was read."""

    name: str
    """log, labels, servers."""
    where: str
    """As people know it: a path, a query's database, an endpoint; never a password."""
    rows: int = 0
    newest: float | None = None
    """Unix time of its newest row."""
    others: int = 0
    """Rows of other versions, left out."""
    late: int = 0
    """Rows that came after their window was counted, left out."""


@dataclass(frozen=True, slots=True)
class BaselineSeen:
    """What the traffic was held against."""

    made: float
    rows: int
    digest: str
    """sha256 of `baseline.json`, as the version's tags and the ledger have it."""
    model_digest: str
    policy_digest: str
    run: str = ""
    """The MLflow run that keeps it."""
    since: float | None = None
    until: float | None = None
    source: str = ""
    window: float = 3600.0
    zone: str = "UTC"
    season: tuple[str, ...] = ()
    why_not: tuple[tuple[str, str], ...] = ()
    """(what the baseline lacks, why)"""

    @classmethod
    def of(cls, baseline: Baseline, *, digest: str, run: str = "") -> BaselineSeen:
        """As the registry keeps it."""
        return cls(
            baseline.made,
            baseline.rows,
            digest,
            baseline.digest,
            baseline.policy_digest,
            run,
            baseline.since,
            baseline.until,
            baseline.source,
            baseline.window,
            baseline.zone,
            tuple(baseline.season),
            tuple(baseline.why_not.items()),
        )


@dataclass(frozen=True, slots=True)
class Example:
    """Requests that show a breach."""

    kind: Kind
    subject: str
    requests: tuple[str, ...]
    """Keys, or rows as `name=value, ...`."""


@dataclass(frozen=True, slots=True)
class Done:
    """Something that followed a breach: asked for, or not, in this pass."""

    what: Literal["notify", "retrain", "rollback", "pause"]
    at: float
    state: Literal["done", "waiting", "failed", "skipped"]
    """waiting: it is tried again; skipped: not asked for, such as within the cool-down."""
    text: str
    """One sentence: what, to whom, or why not."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One pass: what was looked at, what was found, what is open, and what followed."""

    model: str
    version: str
    """The champion's."""
    policy: str
    """Path, as it was given."""
    at: float
    """Unix time of the pass."""
    threshold: float
    """Log10 of the e-value from which on evidence is an alarm."""
    findings: tuple[Finding, ...] = ()
    incidents: tuple[Incident, ...] = ()
    """Those that are open, and those that were resolved of late."""
    events: tuple[IncidentEvent, ...] = ()
    """Of this pass: what people are told."""
    troubles: tuple[Trouble, ...] = ()
    since: float | None = None
    until: float | None = None
    """First and last moment of the windows that the figures are of; None: no window was there."""
    windows: int = 0
    """Windows counted in this pass."""
    rows: int = 0
    """Predictions in this pass."""
    judged: int = 0
    """Windows of this pass with rows enough to decide something."""
    features: tuple[ColumnSeen, ...] = ()
    predictions: ColumnSeen | None = None
    scores: ColumnSeen | None = None
    figures: tuple[FigureSeen, ...] = ()
    """Performance by metric, and `value`."""
    slices: tuple[FigureSeen, ...] = ()
    coverage: float | None = None
    """Share of the predictions, of windows whose labels are due, that have a label; None: nothing was due."""
    covered: Line | None = None
    """Coverage by day."""
    traffic: Line | None = None
    """Predictions by day."""
    sources: tuple[SourceSeen, ...] = ()
    baseline: BaselineSeen | None = None
    """None: the version has none; a trouble says so."""
    examples: tuple[Example, ...] = ()
    done: tuple[Done, ...] = ()
    false_alarms: float = 1.0
    """A year, as the policy allows them."""
    age: float | None = None
    """Seconds since the version was registered or promoted."""
    before: float | None = None
    """Unix time of the pass before; None: this is the first."""
    facts: tuple[tuple[str, str], ...] = field(default=())
    """More that a reader may follow: owner, team, runbook."""

    @property
    def open(self) -> tuple[Incident, ...]:
        """Incidents that are not resolved: the worst first, then the longest open."""
        found = [one for one in self.incidents if one.resolved is None]
        return tuple(sorted(found, key=lambda one: (-one.worst, one.opened, one.kind, one.subject)))

    @property
    def breaches(self) -> tuple[Finding, ...]:
        """What is real and matters, the most severe first."""
        found = [one for one in self.findings if one.breach]
        return tuple(sorted(found, key=lambda one: (-one.severity, -one.evidence, one.kind, one.subject)))

    @property
    def status(self) -> Status:
        """Failed while an incident is open or something is in breach; error when something could not be asked;
        inconclusive when nothing was judged: no data is never a pass.
        """
        if self.breaches or self.open:
            return Status.FAILED
        if self.troubles:
            return Status.ERROR
        # Without a window each limit has a finding all the same, without a value; a clock alone says little.
        clock = bool(self.findings) and all(one.kind in ("age", "silence") for one in self.findings)
        return Status.PASSED if self.judged or clock else Status.INCONCLUSIVE
