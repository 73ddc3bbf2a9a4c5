"""The promotion policy as frozen values: every section, its defaults and what each key means."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from mlship.policy.units import Duration, Percent, Share


def _as_text(value: Any) -> Any:
    """A version number is text to MLflow, but nobody quotes it."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _exactly(value: Any) -> Any:
    """Python takes true and 1.0 for 1; a policy does not."""
    return value if type(value) is int else str(value)


#: Names a version of the model: `@alias`, a version number, or `latest`.
Reference = Annotated[
    str,
    BeforeValidator(_as_text),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1}]}),
]


#: Host and port; an IPv6 address stands in brackets.
LISTEN_PATTERN = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|localhost|\[[0-9a-fA-F:]+\]):[0-9]{1,5}$"


class Section(BaseModel):
    """A mapping of the policy: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Owner(Section):
    """Who answers for the model."""

    team: str = Field(min_length=1, description="the team that owns the model")
    contact: str = Field(min_length=3, description="an e-mail address, a channel or a page that reaches it")
    runbook: str | None = Field(None, description="where the person on call looks first: a path or a URL")
    review_by: date | None = Field(None, description="past this date the ownership gate fails")


class Registry(Section):
    """Where MLflow is."""

    uri: str | None = Field(
        None, description="tracking and registry URI; default: MLFLOW_TRACKING_URI, else .mlship/registry"
    )


class Dataset(Section):
    """A file of rows."""

    path: str = Field(min_length=1, description="Parquet or CSV; relative to the policy file")
    target: str | None = Field(None, description="the column that holds the label")
    time: str | None = Field(None, description="the column that holds the time of the row")


class Data(Section):
    """The rows that the gates look at."""

    evaluation: Dataset = Field(description="rows that candidate and champion are judged on; needs a target")
    reference: Dataset | None = Field(None, description="rows that the candidate was trained on")
    entity: tuple[str, ...] = Field((), description="columns that name the thing a row is about")


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


class MetricRule(Section):
    """Limits on one scikit-learn scorer; the worst end of the 95 % interval is judged."""

    min: float | None = Field(None, description="the interval's lower end must reach this")
    max: float | None = Field(None, description="the interval's upper end must stay below this")
    max_drop: float | None = Field(None, ge=0, description="largest loss against the champion, paired on the same rows")


class Gates(Section):
    """Offline checks before release."""

    contract: ContractGate | None = Field(None, description="are these rows fit to judge a model with?")
    leakage: LeakageGate | None = Field(None, description="has the model seen the answer?")
    metrics: dict[str, MetricRule] = Field({}, description="limits by scikit-learn scorer name")


class Endpoint(Section):
    """Where callers reach the model."""

    listen: str = Field(
        "127.0.0.1:8080",
        pattern=LISTEN_PATTERN,
        json_schema_extra={"pattern": LISTEN_PATTERN + r"|\$\{"},
        description="address and port of the router, such as 127.0.0.1:8080",
    )
    timeout: Duration = Field(5.0, gt=0, description="a request that takes longer is an error")


class Bake(Section):
    """What must be observed before the next step; both conditions hold together."""

    for_: Duration = Field(0.0, alias="for", description="observed time at this step")
    requests: int = Field(0, ge=0, le=1_000_000_000, description="requests observed on the canary at this step")

    model_config = ConfigDict(populate_by_name=True)


class Step(Section):
    """One stage: percent of traffic to the canary, and what to observe there."""

    weight: Percent = Field(gt=0, description="share of the traffic that goes to the canary")
    bake: Bake = Field(description="what must be observed before the next step")


class RatioGuard(Section):
    """A signal whose rate on the canary is compared with stable's."""

    max_ratio: float = Field(1.25, ge=1, le=100, description="a ratio up to this is tolerated")


class LabelGuard(Section):
    """Labels that arrive late, through POST /feedback."""

    metric: Literal["error"] = Field("error", description="share of predictions that the labels prove wrong")
    max_ratio: float = Field(1.1, ge=1, le=100, description="a ratio up to this is tolerated")
    tolerance: float | None = Field(
        None, ge=0, description="numeric predictions: a label further away than this is an error"
    )


class Guard(Section):
    """What is watched during a rollout, and the one promise over all of it."""

    false_rollback: Percent = Field(
        0.01,
        gt=0,
        lt=0.5,
        description="chance that a healthy candidate is ever rolled back, over the whole rollout",
    )
    errors: RatioGuard | None = Field(RatioGuard(), description="failed requests; null: not watched")
    latency: RatioGuard | None = Field(RatioGuard(), description="slow requests; null: not watched")
    labels: LabelGuard | None = Field(None, description="wrong predictions, as late labels show them")


class Rollout(Section):
    """How a candidate is let onto traffic."""

    engine: Literal["local"] = Field("local", description="what runs the servers and the router")
    steps: tuple[Step, ...] = Field(min_length=1, description="the stages, in order; promotion follows the last")
    guard: Guard = Field(Guard(), description="what is watched, and the promise over all of it")
    progress_deadline: Duration = Field(
        86400.0, gt=0, description="a step that has not seen its bake by then pauses the rollout as inconclusive"
    )
    keep_warm: Duration = Field(86400.0, description="how long the previous champion stays ready after promotion")


class Policy(Section):
    """A promotion policy: what a model must prove, and how it is let onto traffic."""

    version: Annotated[Literal[1], BeforeValidator(_exactly)] = Field(description="version of the policy format")
    model: str = Field(min_length=1, description="registered model in MLflow")
    owner: Owner = Field(description="who answers for the model")
    registry: Registry = Field(Registry(), description="where MLflow is")
    candidate: Reference = Field("@challenger", description="what is judged: @alias, version number, or latest")
    champion: str = Field("@champion", description="the @alias of what is in production; moved at promotion")
    data: Data | None = Field(None, description="the rows that the gates look at")
    gates: Gates = Field(Gates(), description="offline checks before release; at least one")
    endpoint: Endpoint = Field(Endpoint(), description="where callers reach the model")
    rollout: Rollout | None = Field(None, description="how a candidate is let onto traffic")
