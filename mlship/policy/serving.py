"""The policy's sections about serving: the endpoint that callers see, the servers behind it, and their image."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mlship.policy.section import Section
from mlship.policy.units import Duration, Percent, Rate, Size

#: Host and port; an IPv6 address stands in brackets.
LISTEN_PATTERN = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|localhost|\[[0-9a-fA-F:]+\]):[0-9]{1,5}$"


class Jwt(Section):
    """Callers that carry a signed token (`authorization: Bearer ...`)."""

    issuer: str = Field(min_length=1, description="who must have issued the token (`iss`)")
    jwks: str = Field(min_length=1, description="the issuer's public keys (JWKS): a file, or an http(s) URL")
    audiences: tuple[str, ...] = Field((), description="the token must be meant for one of these (`aud`); empty: any")


class Auth(Section):
    """Who may call: a caller with a known API key, or with a valid token where both are given."""

    api_keys: str | None = Field(
        None, description="keys, separated by commas; only as ${NAME}: a secret is named, never written"
    )
    api_keys_file: str | None = Field(None, description="a file with one key a line; relative to the policy file")
    header: str = Field("x-api-key", pattern=r"^[a-z0-9-]+$", description="the header that carries the key")
    jwt: Jwt | None = Field(None, description="tokens")


class Tls(Section):
    """Certificates of the endpoint; replaced files are taken up without a restart."""

    certificate: str = Field(min_length=1, description="certificate chain (PEM); relative to the policy file")
    key: str = Field(min_length=1, description="private key (PEM); relative to the policy file")


class Rule(Section):
    """What answers when no model does; exactly one of the two."""

    answer: dict[str, Any] | None = Field(None, description="a fixed JSON answer, such as {predictions: [0]}")
    function: str | None = Field(
        None, description="`module:function` of the request's document gives the answer's; found beside the policy file"
    )


class Queue(Section):
    """Requests that wait until a model answers again."""

    max_jobs: int = Field(10_000, ge=1, le=10_000_000, description="beyond it callers get 503")
    keep: Duration = Field(86400.0, gt=0, description="how long a finished job's answer can be fetched")


class Endpoint(Section):
    """Where callers reach the model, who they may be, and what they get when it cannot answer."""

    listen: str = Field(
        "127.0.0.1:8080",
        pattern=LISTEN_PATTERN,
        json_schema_extra={"pattern": LISTEN_PATTERN + r"|\$\{"},
        description="address and port of the router, such as 127.0.0.1:8080",
    )
    timeout: Duration = Field(5.0, gt=0, description="a request that takes longer is an error")
    max_body: Size = Field(32 * 10**6, ge=1000, le=10**9, description="a request with a larger body gets 413")
    rate_limit: Rate | None = Field(None, gt=0, description="requests beyond it get 429; null: no limit")
    auth: Auth | None = Field(None, description="who may call; null: everybody who can reach the address")
    tls: Tls | None = Field(None, description="null: plain HTTP")
    fallback: Literal["stable", "rule", "queue", "fail"] = Field(
        "stable",
        description="who answers what a server cannot: stable (what the canary cannot); rule or queue (202 and a job "
        "to poll): stable first, and they when it cannot either; fail: nobody, callers get the failure",
    )
    rule: Rule | None = Field(None, description="for fallback: rule")
    queue: Queue = Field(Queue(), description="for fallback: queue")


class PredictionLog(Section):
    """A sample of requests with their predictions, as JSON lines, written beside the server."""

    sample: Percent = Field(0.01, gt=0, description="share of the requests that are logged, chosen by request id")
    max_size: Size = Field(100 * 10**6, ge=10**6, description="the oldest are dropped beyond it")
    features: bool = Field(True, description="with the features, not only the prediction")
    redact: tuple[str, ...] = Field((), description="features whose values are never logged")


class Serving(Section):
    """The servers of the model, one for each version on traffic."""

    workers: int = Field(1, ge=1, le=64, description="processes of one server")
    cpus: float | None = Field(None, gt=0, le=1024, description="CPUs that a server may use (containers); null: all")
    memory: Size | None = Field(None, ge=10**8, description="memory that a server may use (containers); null: all")
    max_queue: int = Field(1000, ge=1, le=1_000_000, description="requests that may wait; beyond it 503, retry later")
    log: PredictionLog | None = Field(None, description="predictions to a log; null: none")


class Image(Section):
    """The serving image of the model."""

    base: str | None = Field(
        None, min_length=1, description="the image to build on; default: python:X.Y-slim of the model's Python"
    )
    repository: str | None = Field(
        None, min_length=1, description="name of the image, without a tag; default: mlship/MODEL"
    )
    platform: str | None = Field(
        None, pattern=r"^linux/(amd64|arm64)$", description="linux/amd64 or linux/arm64; default: the engine's"
    )
    requirements: str | None = Field(
        None, description="a lock file to install instead of the model's requirements; relative to the policy file"
    )
    max_size: Size | None = Field(None, ge=10**6, description="a larger image is not shipped; null: any size")
    push: bool = Field(False, description="push to the repository once it is built")
    router: str | None = Field(
        None,
        min_length=1,
        description="the router's image, with envoy and python3; default: Envoy on the image's own base",
    )
    sign: str | None = Field(
        None, description="private key file (PEM) that signs what the image was made of; relative to the policy file"
    )
