"""The policy's section about the time after promotion: what is read, what counts as a breach, and what follows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from mlship.policy.data import Sql
from mlship.policy.section import Section
from mlship.policy.units import Duration, Percent

#: What a finding can be about.
Kind = Literal["features", "predictions", "performance", "estimate", "value", "age", "silence"]


#: A policy says `when`: to YAML tools an unquoted `on` is true, so no key can be called that. Code says `on`.
_BY_EITHER_NAME = ConfigDict(populate_by_name=True)


def _as_tuple(value: Any) -> Any:
    """What has been through `_named` is no JSON any more, where a list is as good as a tuple."""
    return tuple(value) if isinstance(value, list) else value


#: Breaches by name.
_Kinds = Annotated[tuple[Kind, ...], BeforeValidator(_as_tuple)]


class Log(Section):
    """Logged predictions of the team's own, in files or a database; exactly one of path and sql."""

    path: str | None = Field(
        None, min_length=1, description="Parquet, CSV or JSON lines, or a glob of them; relative to the policy file"
    )
    sql: Sql | None = Field(None, description="a query on a database")
    time: str = Field("time", min_length=1, description="the column that holds when the prediction was asked for")
    prediction: str | None = Field(
        None, min_length=1, description="the column that holds the answer: a class or a number"
    )
    score: str | None = Field(
        None, min_length=1, description="the column that holds the probability of the positive class"
    )
    key: str | None = Field(None, min_length=1, description="the column by which labels find their prediction")
    version: str | None = Field(
        None, min_length=1, description="the column that holds the model version; rows of others are left out"
    )
    target: str | None = Field(
        None, min_length=1, description="the column that holds the label, where it is in the same rows; empty: not yet"
    )


class Labels(Section):
    """What really happened, in files or a database of the team's own; exactly one of path and sql."""

    path: str | None = Field(
        None, min_length=1, description="Parquet, CSV or JSON lines, or a glob of them; relative to the policy file"
    )
    sql: Sql | None = Field(None, description="a query on a database")
    key: str = Field("request_id", min_length=1, description="the column that says which prediction a label is of")
    target: str = Field("label", min_length=1, description="the column that holds the label")


class FeatureLimits(Section):
    """How far the inputs may move from the baseline before it matters."""

    psi: float | None = Field(0.2, gt=0, description="largest PSI of a feature against the baseline; null: not judged")
    wasserstein: float | None = Field(
        None, gt=0, description="numbers: largest Wasserstein distance, in standard deviations of the baseline"
    )
    missing: Percent | None = Field(None, description="largest share of missing values, above the baseline's own")
    unseen: Percent | None = Field(
        None, description="largest share of categories that the baseline lacks, above its own"
    )
    columns: tuple[str, ...] = Field((), description="these features only; default: all inputs of the model")


class PredictionLimits(Section):
    """How far the predictions may move from the baseline before it matters."""

    psi: float = Field(0.1, gt=0, description="largest PSI of the predictions against the baseline")


class PerformanceLimit(Section):
    """A limit of one metric on live traffic."""

    min: float | None = Field(None, description="least value")
    max: float | None = Field(None, description="largest value")


class ValueLimit(Section):
    """What the model must earn on live traffic, by the payoff table of gates.value."""

    min: float = Field(description="least value per 1,000 predictions")


class SliceLimits(Section):
    """Parts of the traffic that are looked at on their own."""

    by: tuple[str, ...] = Field(min_length=1, description="columns whose values are the slices; one slice a value")
    most: int = Field(20, ge=1, le=200, description="so many slices a column, the largest of the baseline")


class Retrain(Section):
    """Starts training; exactly one of github, webhook and command."""

    github: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", description="OWNER/NAME, whose workflow is started"
    )
    workflow: str | None = Field(None, min_length=1, description="for github: its file name, such as retrain.yml")
    ref: str = Field("main", min_length=1, description="for github: the branch or tag whose workflow runs")
    token: str | None = Field(
        None,
        description="for github: a token that may start workflows, only as ${NAME}; default: the variable GITHUB_TOKEN",
    )
    api: str = Field(
        "https://api.github.com", min_length=1, description="for github: the API, where GitHub is a server of your own"
    )
    webhook: str | None = Field(None, min_length=1, description="a URL; gets a POST of JSON, and 2xx has taken it")
    command: str | None = Field(
        None, min_length=1, description="a program; exit code 0 has taken it. It gets the request in MLSHIP_* variables"
    )
    cool_down: Duration = Field(7 * 86400.0, gt=0, description="no second training is asked for within this time")
    timeout: Duration = Field(60.0, gt=0, le=3600, description="no answer by then counts as none")
    on: _Kinds = Field(
        ("features", "predictions", "performance", "estimate", "value", "age"),
        alias="when",
        description="breaches that start it",
    )

    model_config = _BY_EITHER_NAME


class Notify(Section):
    """Tells the policy's `notify`."""

    on: _Kinds = Field((), alias="when", description="breaches that are told; default: all")

    model_config = _BY_EITHER_NAME


class Back(Section):
    """Goes back to the champion before."""

    on: _Kinds = Field(("performance", "value"), alias="when", description="breaches that lead to it")

    model_config = _BY_EITHER_NAME


class Hold(Section):
    """Pauses a rollout of the model that is under way."""

    on: _Kinds = Field(
        ("features", "predictions", "performance", "value"), alias="when", description="breaches that do"
    )

    model_config = _BY_EITHER_NAME


def _named(value: Any) -> Any:
    """`notify` is short for `{notify: {}}`, and so are the others."""
    return {value: {}} if isinstance(value, str) and value in ("notify", "rollback", "pause") else value


class OnBreach(Section):
    """One thing that follows a breach; exactly one of the four."""

    notify: Notify | None = Field(None, description="tell the policy's `notify`: opened, worsened, resolved")
    retrain: Retrain | None = Field(None, description="start training")
    rollback: Back | None = Field(None, description="go back to the champion before")
    pause: Hold | None = Field(None, description="pause a rollout that is under way")


class _Short:
    """The JSON Schema of an item: an object, or one of the words."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        words = {"type": "string", "enum": ["notify", "rollback", "pause"]}
        return {"anyOf": [handler(core), words]}


Item = Annotated[OnBreach, BeforeValidator(_named), _Short]


class Monitor(Section):
    """What is watched after promotion: by `mlship monitor`, against the baseline that the evaluation kept."""

    window: Duration = Field(3600.0, ge=60, le=7 * 86400, description="traffic is counted in windows of this length")
    zone: str = Field("UTC", min_length=1, description="time zone of seasons, and of times that name none")
    season: tuple[Literal["hour", "weekday"], ...] = Field(
        (), description="hour, weekday: what differs by these is no drift, but the time of day or week"
    )
    log: Log | None = Field(None, description="logged predictions; default: what the model's servers tell")
    labels: Labels | None = Field(
        None, description="late labels; default: the log's target column, or the servers' feedback"
    )
    delay: Duration = Field(
        86400.0, description="labels of a window are complete so long after its end; later ones are not counted"
    )
    features: FeatureLimits | None = Field(None, description="limits of the inputs' drift; null: shown, not judged")
    predictions: PredictionLimits | None = Field(
        None, description="limits of the predictions' drift; null: shown, not judged"
    )
    performance: dict[str, PerformanceLimit] = Field(
        {},
        description="limits by metric: recall, precision, f1, accuracy, error, average_precision, roc_auc, "
        "log_loss, brier, calibration_error; for numbers mae, rmse, bias",
    )
    estimate: bool = Field(
        True, description="estimate the performance from scores while labels are not there, as long as they bear it out"
    )
    value: ValueLimit | None = Field(None, description="limit of the realised value; null: not judged")
    slices: SliceLimits | None = Field(None, description="parts of the traffic that are looked at on their own")
    min_rows: int = Field(10, ge=1, description="a window of fewer rows says nothing")
    recovered: Duration = Field(
        3 * 86400.0, gt=0, description="an incident is resolved when all was within limits for so long"
    )
    false_alarms: float = Field(
        1.0, gt=0, le=365, description="alarms a year that a stable model may give, all limits together"
    )
    max_age: Duration | None = Field(None, gt=0, description="an older champion is a breach; null: any age")
    max_silence: Duration | None = Field(
        None, gt=0, description="no prediction for so long is a breach; null: not judged"
    )
    on_breach: tuple[Item, ...] = Field((), description="what follows a breach: notify, retrain, rollback, pause")
