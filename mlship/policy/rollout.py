"""The policy's section about the rollout: its steps, what is watched, what must be proved, when nothing may move."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from mlship.policy.freeze import EXAMPLE, FREEZE_PATTERN, meant, window
from mlship.policy.section import Section
from mlship.policy.units import Duration, Factor, Percent, Rate, UnitError

#: Names of headers and cookies.
HEADER_PATTERN = r"^[a-z0-9-]+$"
COOKIE_PATTERN = r"^[A-Za-z0-9_.-]+$"


def _window(text: str) -> str:
    """A freeze window, or what is wrong with it and what was probably meant."""
    try:
        window(text)
    except ValueError:
        raise UnitError(
            "this is no window of the week",
            f"did you mean '{near}'?" if (near := meant(text)) else f"write '{EXAMPLE}'",
        ) from None
    return text


#: From a day and a time to a day and a time, every week.
FreezeWindow = Annotated[
    str,
    AfterValidator(_window),
    WithJsonSchema({"type": "string", "pattern": FREEZE_PATTERN + r"|\$\{", "examples": [EXAMPLE]}),
]

#: What happens when a signal has convicted the canary.
Action = Literal["rollback", "pause", "warn"]


class Bake(Section):
    """What must be observed before the next step; both conditions hold together."""

    for_: Duration = Field(0.0, alias="for", description="observed time at this step")
    requests: int = Field(0, ge=0, le=1_000_000_000, description="requests observed on the canary at this step")

    model_config = ConfigDict(populate_by_name=True)


class Testers(Section):
    """Requests that go to the canary by a header of theirs, whatever the weights."""

    header: str = Field(pattern=HEADER_PATTERN, description="name of the header, such as x-canary")
    value: str = Field("1", min_length=1, max_length=200, description="what it must say")


class Approve(Section):
    """A person has to say `mlship promote`."""

    within: Duration = Field(86400.0, gt=0, description="watched time that the person has")
    on_expiry: Literal["pause", "abort"] = Field("pause", description="what happens when nobody did")


class Step(Section):
    """One stage; exactly one of mirror, testers, weight, approve and pause."""

    weight: Percent | None = Field(None, gt=0, description="share of the traffic that goes to the canary")
    mirror: Percent | None = Field(
        None, gt=0, description="share of the requests that the canary gets a copy of; its answers are discarded"
    )
    testers: Testers | None = Field(None, description="only these callers get the canary")
    approve: Approve | None = Field(None, description="a person has to agree; traffic stays as it is meanwhile")
    pause: Duration | None = Field(None, gt=0, description="wait so long, watching; traffic stays as it is meanwhile")
    bake: Bake | None = Field(
        None, description="what must be observed before the next step (mirror, testers and weight need it)"
    )


class RatioGuard(Section):
    """A signal whose rate on the canary is compared with stable's."""

    max_ratio: float = Field(1.25, ge=1, le=100, description="a ratio up to this is tolerated")


class LatencyGuard(RatioGuard):
    """How slow the canary is: against stable's own quantiles, and against limits in milliseconds."""

    p50: Duration | None = Field(
        None, gt=0, description="half of the canary's requests may take longer; null: no limit"
    )
    p99: Duration | None = Field(None, gt=0, description="1 % of the canary's requests may take longer; null: no limit")


class PredictionGuard(Section):
    """Predicted classes and scores: a new model is meant to change some, so this warns unless told otherwise."""

    max_ratio: float = Field(
        1.5, ge=1, le=100, description="a class, or a range of scores, this much more or less often"
    )
    action: Action = Field("warn", description="what happens beyond it: rollback, pause or warn")


class AgreementGuard(Section):
    """How often canary and stable give the same prediction for the same request; needs a mirror step."""

    min: Percent = Field(gt=0, lt=1, description="share of the mirrored requests on which both must agree")
    tolerance: float = Field(0.0, ge=0, description="numbers that differ by no more than this agree")
    action: Action = Field("rollback", description="what happens below it: rollback, pause or warn")


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
    timeouts: RatioGuard | None = Field(
        RatioGuard(), description="requests without an answer in time; null: not watched"
    )
    refusals: RatioGuard | None = Field(
        RatioGuard(),
        description="requests that the model answers with 4xx, as if callers were mistaken; null: not watched",
    )
    latency: LatencyGuard | None = Field(LatencyGuard(), description="slow requests; null: not watched")
    predictions: PredictionGuard | None = Field(None, description="predicted classes and scores; null: not watched")
    agreement: AgreementGuard | None = Field(None, description="the same prediction as stable; null: not watched")
    labels: LabelGuard | None = Field(None, description="wrong predictions, as late labels show them")


class Certify(Section):
    """What must be proved before promotion: the canary's rate is below so many times stable's, or negligible."""

    errors: Factor | None = Field(3.0, gt=1, le=100, description="failed requests; null: nothing to prove")
    latency: Factor | None = Field(None, gt=1, le=100, description="requests slower than stable's p99")
    labels: Factor | None = Field(None, gt=1, le=100, description="wrong predictions")
    negligible: Percent = Field(
        0.01, gt=0, lt=0.5, description="a rate below this is proof enough, whatever stable's is"
    )


class Sticky(Section):
    """A user who has met one arm stays with it; users are counted instead of requests. Exactly one of the two."""

    header: str | None = Field(None, pattern=HEADER_PATTERN, description="header that names the user")
    cookie: str | None = Field(None, pattern=COOKIE_PATTERN, description="cookie that names the user")


class Hook(Section):
    """Asked before or after each step; it can veto. Exactly one of command and webhook."""

    command: str | None = Field(
        None, min_length=1, description="a program; exit code 0 agrees. It gets the step in MLSHIP_* variables"
    )
    webhook: str | None = Field(None, min_length=1, description="a URL; a POST of JSON answered with 2xx agrees")
    timeout: Duration = Field(30.0, gt=0, le=3600, description="no answer by then is a veto")


class Hooks(Section):
    """Who is asked before and after each step."""

    before_step: tuple[Hook, ...] = Field((), description="asked before traffic moves to a step")
    after_step: tuple[Hook, ...] = Field((), description="asked when a step has baked, before anything follows it")


class Rollout(Section):
    """How a candidate is let onto traffic."""

    engine: Literal["local", "docker"] = Field(
        "local", description="what runs the servers and the router: processes of this machine, or containers"
    )
    steps: tuple[Step, ...] = Field(min_length=1, description="the stages, in order; promotion follows the last")
    rate: Rate | None = Field(
        None, gt=0, description="requests a second that callers send; only for planning: what can each stage see?"
    )
    guard: Guard = Field(Guard(), description="what is watched, and the promise over all of it")
    certify: Certify | None = Field(
        Certify(), description="what must be proved before promotion; null: no bad news is good enough"
    )
    on_inconclusive: Literal["pause", "promote", "rollback"] = Field(
        "pause", description="when progress_deadline passes at the last step with something unproved"
    )
    on_new_candidate: Literal["refuse", "restart"] = Field(
        "refuse",
        description="when another version becomes the candidate meanwhile: end, or end and begin with that one",
    )
    progress_deadline: Duration = Field(
        86400.0, gt=0, description="a step that has not seen its bake by then pauses the rollout as inconclusive"
    )
    lease: Duration = Field(
        60.0, ge=5, le=86400, description="nobody watches for so long: all traffic goes back to stable by itself"
    )
    keep_warm: Duration = Field(86400.0, description="how long the previous champion stays ready after promotion")
    sticky: Sticky | None = Field(
        None, description="users stay with the arm that they met; null: each request by itself"
    )
    freeze: tuple[FreezeWindow, ...] = Field(
        (),
        description="when no weight may rise: 'Fri 16:00 - Mon 08:00 Europe/Berlin'; going back is never held up",
    )
    hooks: Hooks = Field(Hooks(), description="who is asked before and after each step")
