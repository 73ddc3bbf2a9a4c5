"""The promotion policy as frozen values: every section, its defaults and what each key means."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from mlship.policy.data import Data
from mlship.policy.gates import Gates
from mlship.policy.section import Section
from mlship.policy.serving import Endpoint, Image, Serving
from mlship.policy.units import Duration, Percent


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

    engine: Literal["local", "docker"] = Field(
        "local", description="what runs the servers and the router: processes of this machine, or containers"
    )
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
    image: Image | None = Field(None, description="the serving image; built when an engine needs it")
    serving: Serving = Field(Serving(), description="the servers of the model")
    endpoint: Endpoint = Field(Endpoint(), description="where callers reach the model, and who they may be")
    rollout: Rollout | None = Field(None, description="how a candidate is let onto traffic")
