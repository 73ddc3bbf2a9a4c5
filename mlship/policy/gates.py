"""The policy's sections about gates: every limit, its default and what it means."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from mlship.policy.data import PathOrDataset
from mlship.policy.section import Section
from mlship.policy.units import Duration, Factor, Percent, Rate, Share, Size


class ColumnRule(Section):
    """What the contract says about one column."""

    type: Literal["number", "integer", "string", "boolean", "datetime"] | None = Field(
        None, description="number, integer, string, boolean or datetime"
    )
    min: float | None = Field(None, description="smallest value allowed")
    max: float | None = Field(None, description="largest value allowed")
    values: tuple[str | int | float | bool, ...] | None = Field(None, description="the only values allowed")
    max_missing: Share | None = Field(None, description="overrides the contract's limit for this column")


class ContractGate(Section):
    """The data contract: are these rows fit to judge a model with?"""

    max_missing: Share = Field(0.01, description="largest share of missing values in any one column")
    max_duplicates: Share = Field(0.001, description="largest share of rows that repeat another row")
    max_label_conflicts: Share = Field(0.0, description="largest share of rows whose twin has another label")
    columns: dict[str, ColumnRule] = Field({}, description="types and ranges by column")


class LeakageGate(Section):
    """Has the model seen the answer?"""

    max_overlap: Share = Field(0.0, description="largest share of evaluation rows that are also reference rows")
    max_entity_overlap: Share | None = Field(
        None, description="largest share of evaluation entities that are also in the reference"
    )
    chronological: bool = Field(True, description="every evaluation row is later than every reference row")
    max_single_feature_auc: float | None = Field(
        0.98, ge=0.5, le=1, description="a single feature that ranks the label better than this gives it away"
    )
    unavailable: tuple[str, ...] = Field((), description="columns that do not exist when the model is asked")
    max_gain: Percent | None = Field(
        0.1,
        description="share of the champion's remaining error that columns new to the candidate may explain away; "
        "more is too good to be true",
    )
    vouched: tuple[str, ...] = Field(
        (), description="new columns that somebody has checked: they are known when the model is asked"
    )


class MetricRule(Section):
    """Limits on one metric; the worst end of the 95 % interval is judged."""

    min: float | None = Field(None, description="the interval's lower end must reach this")
    max: float | None = Field(None, description="the interval's upper end must stay below this")
    max_drop: float | None = Field(
        None, ge=0, description="by how much it may be worse than the champion's, paired on the same rows"
    )
    threshold: float | None = Field(
        None, gt=0, lt=1, description="two classes: from this probability on the positive class is predicted"
    )
    quantile: float | None = Field(None, gt=0, lt=1, description="quantile_loss: the quantile that is predicted")
    function: str | None = Field(
        None, description="a metric of your own, `module:function` of (labels, predictions, scores); one number"
    )
    lower_is_better: bool | None = Field(None, description="for a metric of your own: an error, not a score")


class SlicesGate(Section):
    """Is the model good enough for every part of the rows?"""

    by: tuple[str, ...] = Field(min_length=1, description="columns; numbers with many values are cut at quantiles")
    metric: str = Field(
        min_length=1,
        description="a metric by name, as in gates.metrics, or a rate: error, selection_rate, false_positive_rate, ...",
    )
    min: float | None = Field(None, description="every slice must reach this")
    max: float | None = Field(None, description="every slice must stay below this, for errors")
    max_gap: float | None = Field(None, ge=0, description="largest difference between two slices of one column")
    max_drop: float | None = Field(None, ge=0, description="by how much a slice may be worse than the champion's")
    min_rows: int = Field(300, ge=30, description="slices of fewer rows are counted, not judged")
    pairs: bool = Field(True, description="also every pair of columns")
    bins: int = Field(4, ge=2, le=20, description="quantile bins of a column of numbers")


class RobustnessGate(Section):
    """Does the model survive rows that are a little wrong?"""

    noise: Percent = Field(0.1, description="seeded noise on numbers, in percent of their standard deviation; 0%: none")
    missing: Percent = Field(0.1, description="share of values taken away from each column that may miss any; 0%: none")
    scale: Percent = Field(0.1, description="share by which all numbers are too high; 0%: not tried")
    unseen_categories: bool = Field(True, description="10% of each text column becomes a text that was never seen")
    permuted: bool = Field(True, description="each column shuffled: what the model rests on; shown, not judged")
    columns: bool = Field(True, description="an extra column must change nothing, a missing one must be refused")
    max_drop: float = Field(0.05, ge=0, description="by how much the metric may be worse under any perturbation")
    max_flipped: Percent | None = Field(None, description="share of predictions that a perturbation may change")
    metric: str | None = Field(None, description="a metric; default: the first of gates.metrics by the alphabet")
    rows: int = Field(20_000, ge=300, description="rows that are perturbed: a seeded sample, when there are more")


class FeatureDrift(Section):
    """Limits on how far a column may move."""

    psi: float | None = Field(0.2, gt=0, description="population stability index over the bins")
    wasserstein: float | None = Field(
        None, gt=0, description="distance of the distributions, in the reference's standard deviations"
    )


class PredictionDrift(Section):
    """Limits on how far predictions or outcomes may move."""

    psi: float = Field(0.1, gt=0, description="population stability index over the bins")


class DriftGate(Section):
    """Are these rows still the ones the model was trained on?"""

    features: FeatureDrift | None = Field(FeatureDrift(), description="of every input; null: not judged")
    predictions: PredictionDrift | None = Field(PredictionDrift(), description="null: not judged")
    outcomes: PredictionDrift | None = Field(
        PredictionDrift(), description="of the labels, where both sides have them; null: not judged"
    )
    max_unseen: Percent | None = Field(
        0.01, description="share of rows with a category that the reference lacks; null: not judged"
    )
    min_rows: int = Field(1000, ge=30, description="with fewer rows on either side nothing is decided")
    bins: int = Field(10, ge=2, le=50, description="bins of a column of numbers, by the reference's quantiles")
    window: Literal["hour", "day", "week", "month"] | None = Field(
        None, description="one column of the heat map per window; default: by the span of the time column"
    )
    columns: tuple[str, ...] = Field((), description="the columns to look at; default: the model's inputs")


class FeastStore(Section):
    """A Feast feature store, read in an environment of its own."""

    repository: str = Field(min_length=1, description="directory with feature_store.yaml; relative to the policy file")
    features: tuple[str, ...] = Field(
        min_length=1, description="features as view:feature, or the name of a feature service"
    )
    entities: PathOrDataset = Field(
        description="one row per entity with its join keys; event_timestamp asks for another time than now"
    )
    python: str | None = Field(
        None, description="a Python that has Feast; default: FEAST_PYTHON, else an environment made with uv"
    )


class SkewGate(Section):
    """Does the online path give the model the same values as the offline path?"""

    offline: PathOrDataset | None = Field(None, description="rows as training computed them")
    online: PathOrDataset | None = Field(None, description="rows as serving saw them, for the same entities")
    feast: FeastStore | None = Field(None, description="Feast's historical against its online store")
    key: tuple[str, ...] = Field((), description="columns that name the entity, or the request, on both sides")
    time: str | None = Field(
        None, description="time column on both sides: each online row meets the last offline row that is not later"
    )
    max_age: Duration | None = Field(None, description="an offline row older than this is no match")
    columns: tuple[str, ...] = Field((), description="the columns to compare; default: the model's inputs")
    max_mismatch: Share = Field(0.0, description="largest share of rows that differ, in any one column")
    max_unmatched: Share = Field(0.01, description="largest share of online rows without an offline row")
    tolerance: float = Field(1e-6, ge=0, description="relative difference up to which two fractions are the same")


class Requirements(Section):
    """What the packages that the model asks for must be."""

    unpinned: Literal["list", "fail"] = Field("list", description="requirements without an exact version")
    vulnerable: Literal["off", "list", "fail"] = Field("list", description="known vulnerabilities, by pip-audit")


class SecurityGate(Section):
    """Is it safe to load this model? Judged for every model, also when the policy does not mention it."""

    scan: bool = Field(True, description="scan pickles and skops files before anything is loaded")
    allow_types: tuple[str, ...] = Field(
        (), description="types that your model needs and you trust, as module.Name or module.*"
    )
    allow_code: bool = Field(False, description="trust Python code that was logged with the model")
    memory: Size = Field(8 * 10**9, ge=2 * 10**8, description="a model that takes more is stopped, with all it started")
    timeout: Duration = Field(
        600.0, gt=0, description="a model that takes longer to load, or for 100,000 rows, is stopped"
    )
    environment: tuple[str, ...] = Field(
        (), description="names of further environment variables that the model's process may see"
    )
    requirements: Requirements = Field(Requirements(), description="the packages that the model asks for")


class Payoff(Section):
    """What one prediction earns, by how it turned out; losses are negative."""

    tp: float = Field(description="the positive class was predicted, and it came")
    fp: float = Field(description="the positive class was predicted, and it did not come")
    fn: float = Field(description="the positive class was missed")
    tn: float = Field(description="the negative class was predicted, and it was one")


class ValueGate(Section):
    """What is the model worth? Money per 1,000 predictions."""

    payoff: Payoff | None = Field(None, description="for two classes: what each kind of outcome earns")
    function: str | None = Field(
        None, description="for numbers: `module:function` of (labels, predictions) gives what each prediction earns"
    )
    min: float | None = Field(None, description="least value per 1,000 predictions")
    min_gain: float | None = Field(
        0.0, description="least gain over the champion, per 1,000 predictions; null: not judged"
    )
    threshold: float | None = Field(
        None, gt=0, lt=1, description="from this probability on the positive class is predicted; default: the model's"
    )


class FairnessGate(Section):
    """Does the model treat groups alike?"""

    by: tuple[str, ...] = Field(
        min_length=1, description="columns whose values are the groups; numbers with many values are cut at quartiles"
    )
    metric: str = Field(
        "selection_rate",
        min_length=1,
        description="selection_rate (share predicted positive), true_positive_rate, false_positive_rate, ..., or a "
        "metric by name",
    )
    max_difference: float | None = Field(None, ge=0, description="between the highest and the lowest group")
    min_ratio: float | None = Field(None, ge=0, le=1, description="of the lowest group to the highest")
    min_rows: int = Field(300, ge=30, description="groups of fewer rows are counted, not judged")


class AgreementGate(Section):
    """How many answers change against the champion, where, and for the better?"""

    max_changed: Percent | None = Field(None, description="largest share of predictions that change")
    min_better: Percent | None = Field(None, description="least share of the changes that are for the better")
    tolerance: float = Field(0.0, ge=0, description="numbers: a prediction further away than this has changed")
    by: tuple[str, ...] = Field((), description="columns by which the changes are shown; default: the slices' columns")


class LatencyGate(Section):
    """Does the server that will ship keep its latency budget? Judged by `mlship latency`, after the build."""

    rate: Rate = Field(gt=0, description="requests per second, sent on time whatever the answers do (an open loop)")
    for_: Duration = Field(30.0, alias="for", gt=0, description="how long each of candidate and champion is measured")
    warmup: Duration = Field(3.0, description="load before anything is measured")
    arrivals: Literal["poisson", "constant"] = Field("poisson", description="how requests arrive")
    rows: int = Field(1, ge=1, le=100_000, description="rows in one request")
    p50: Duration | None = Field(None, gt=0, description="half of the requests are answered within")
    p95: Duration | None = Field(None, gt=0, description="95 % of the requests are answered within")
    p99: Duration | None = Field(None, gt=0, description="99 % of the requests are answered within")
    p999: Duration | None = Field(None, gt=0, description="99.9 % of the requests are answered within")
    errors: Share = Field(0.0, description="largest share of requests without a good answer")
    max_ratio: Factor | None = Field(
        None, ge=1, description="p99 may be at most this many times the champion's, in the same run; null: not compared"
    )
    max_lag: Duration = Field(
        0.01, gt=0, description="more than this between intended and real sending (p99), and nothing is decided"
    )
    volume: Rate | None = Field(None, gt=0, description="expected requests, such as 10000000/d: replicas are computed")
    peak: Factor = Field(1.0, ge=1, description="rate of the busiest time, as a multiple of the volume's mean")
    max_replicas: int | None = Field(None, ge=1, description="more replicas for the peak fail; needs volume")
    cold_start: Duration | None = Field(None, gt=0, description="from the start of a server until it is ready")
    memory: Size | None = Field(None, description="the server's peak memory under this load")
    agree: bool = Field(True, description="the server's predictions are those of the model in the registry")
    tolerance: float = Field(1e-6, ge=0, description="relative difference up to which two predictions agree")

    model_config = ConfigDict(populate_by_name=True)


class CustomGate(Section):
    """A gate of your own: a Python function, or a command that prints JSON; exactly one of the two."""

    function: str | None = Field(None, description="`module:function`, found beside the policy file")
    command: tuple[str, ...] = Field(
        (), description="program and arguments, run beside the policy file; what it prints is read as JSON"
    )
    timeout: Duration = Field(600.0, gt=0, description="what takes longer is stopped, and is an error")


class Gates(Section):
    """Offline checks before release."""

    security: SecurityGate = Field(SecurityGate(), description="is it safe to load this model?")
    contract: ContractGate | None = Field(None, description="are these rows fit to judge a model with?")
    leakage: LeakageGate | None = Field(None, description="has the model seen the answer?")
    skew: SkewGate | None = Field(None, description="are online and offline features the same?")
    drift: DriftGate | None = Field(None, description="are these rows still like the training rows?")
    metrics: dict[str, MetricRule] = Field({}, description="limits by metric: a scikit-learn scorer, or one of ours")
    slices: SlicesGate | None = Field(None, description="is it good enough for every part of the rows?")
    fairness: FairnessGate | None = Field(None, description="does it treat groups alike?")
    value: ValueGate | None = Field(None, description="what is it worth in money?")
    agreement: AgreementGate | None = Field(None, description="what changes against the champion?")
    robustness: RobustnessGate | None = Field(None, description="does it survive rows that are a little wrong?")
    custom: dict[str, CustomGate] = Field({}, description="gates of your own, by name")
    latency: LatencyGate | None = Field(None, description="does the server keep its latency budget?")
