"""The promotion policy as frozen values: every section, its defaults and what each key means."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from mlship.policy.data import Data
from mlship.policy.gates import Gates
from mlship.policy.monitor import Monitor
from mlship.policy.rollout import Rollout
from mlship.policy.section import Section
from mlship.policy.serving import Endpoint, Image, Serving


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
    monitor: Monitor | None = Field(None, description="what is watched after promotion")
    notify: tuple[str, ...] = Field(
        (), description="who is told of start, verdict, approval and halt: apprise URLs, only as ${NAME}"
    )
