"""What is said about a rollout before it begins: stages that cannot see, certificates that take longer. Pure.

`validate` shows it at its place in the policy, `plan` beside what it is about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mlship.policy.faults import Fault
from mlship.policy.rollout import Rollout
from mlship.policy.schema import Policy
from mlship.policy.subject import Subject
from mlship.policy.tree import Location
from mlship.policy.units import format_duration, format_percent
from mlship.rollout.foresee import Certificate, Foresight, Sight, Stage, Traffic, foresee, takes
from mlship.rollout.plan import PlanStep, guards, steps

#: A stage that would not even see this many times stable's rate is told.
BLIND = 10.0
#: Requests a second that few endpoints have: a bake that needs more is told where nobody has told the rate.
BUSY = 1000.0
#: The worst canary of each signal.
_WORST = {
    "errors": "a canary that fails every request",
    "latency": "one that is slow at every request",
    "agreement": "one that always predicts something else",
}


@dataclass(frozen=True, slots=True)
class Remark:
    """A warning about a part of the policy."""

    location: Location
    what: str
    hint: str


def known(policy: Policy) -> Traffic:
    """The traffic as far as the policy tells; the rate is that of all callers, peaks not counted."""
    if policy.rollout is not None and policy.rollout.rate is not None:
        return Traffic(policy.rollout.rate, "rollout.rate")
    latency = policy.gates.latency
    if latency is not None and latency.volume is not None:
        return Traffic(latency.volume, "gates.latency.volume")
    if latency is not None:
        return Traffic(latency.rate, "gates.latency.rate")
    return Traffic(None)


def lint(subject: Subject) -> Iterable[Fault]:
    """Warnings about the rollout section, at their places; without a rate, about what does not depend on it."""
    rollout, traffic = subject.policy.rollout, known(subject.policy)
    if rollout is None or subject.has_broken(("rollout",)):
        return
    if not all(_one(step) for step in rollout.steps):  # has a fault already
        return
    foresight = foresee(guards(rollout), steps(rollout), traffic)
    for remark in remarks(rollout, foresight, traffic):
        yield subject.warning(remark.location, remark.what, remark.hint, at_key=True)


def remarks(rollout: Rollout, foresight: Foresight, traffic: Traffic) -> list[Remark]:
    """Everything that somebody who wrote this policy would want to know."""
    found = []
    plan = steps(rollout)
    for index, (step, stage) in enumerate(zip(plan, foresight.stages, strict=True)):
        sight = stage.sights[0] if stage.sights else None
        here: Location = ("rollout", "steps", index, "bake")
        if step.bakes and step.weight >= 1:
            what = "100% leaves stable no requests: this step compares the canary with nothing"
            found.append(Remark(here, what, "end with 50%: a promotion brings 100% anyway"))
        elif sight is not None and step.bakes and not stage.more and (sight.least or 1.0) > _visible(sight):
            found.append(Remark(here, _blind(step, stage, sight, traffic), _longer(rollout, index, sight, traffic)))
        if step.requests and (stage.seconds or 0.0) > rollout.progress_deadline >= step.seconds:
            what = f"{_things(step.requests)} take {span(stage.seconds or 0.0)} at {pace(traffic.rate or 0.0)}"
            hint = "ask for fewer, give it more weight, or raise the deadline"
            deadline = format_duration(rollout.progress_deadline)
            found.append(Remark(here, f"{what}: longer than progress_deadline, {deadline}; it will pause", hint))
        needed = step.requests / (rollout.progress_deadline * (step.weight or step.mirror or math.inf))
        if traffic.rate is None and step.testers is None and needed > BUSY:
            what = f"{_things(step.requests)} within progress_deadline, {format_duration(rollout.progress_deadline)}"
            hint = "ask for fewer, or tell the rate by `rate:`"
            found.append(Remark(here, f"{what}, take {pace(needed)} of all callers: fewer, and it will pause", hint))
    for certificate in foresight.certificates:
        remark = _stretched(certificate, rollout, foresight, traffic)
        if remark is not None:
            found.append(remark)
    return found


def share(value: float) -> str:
    """A share in percent with two digits: `0.5%`, `4.1%`, `37%`."""
    return format_percent(float(f"{value:.2g}"))


def pace(rate: float) -> str:
    """A rate to three digits: `40.1/s`, `0.5/s`, `3,470/s`."""
    return f"{float(f'{rate:.3g}'):,}/s".replace(".0/s", "/s")


def span(seconds: float) -> str:
    """A duration to two digits or so: `42s`, `12m`, `3.5h`."""
    if math.isinf(seconds):
        return "for ever"
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("m", 60.0)):
        if seconds >= 2 * length:
            return f"{float(f'{seconds / length:.2g}'):g}{unit}"
    return format_duration(float(f"{seconds:.2g}")) if seconds < 10 else f"{seconds:.0f}s"


def rounded(requests: float) -> str:
    """Requests as people say them: two or three digits, `540`, `1,100`, `12,000`."""
    if math.isinf(requests):
        return "endless"
    return f"{float(f'{requests:.2g}' if requests >= 1000 else f'{requests:.3g}'):,.0f}"


def _one(step: object) -> bool:
    kinds = ("weight", "mirror", "testers", "approve", "pause")
    return sum(getattr(step, name) is not None for name in kinds) == 1


def _blind(step: PlanStep, stage: Stage, sight: Sight, traffic: Traffic) -> str:
    part = f"mirror {format_percent(step.mirror)}" if step.mirror else format_percent(step.weight)
    if step.requests >= (stage.requests or 0):
        given = f"{_things(step.requests)} at {part}"
    else:
        given = (
            f"{part} of {pace(traffic.rate or 0.0)} for {format_duration(step.seconds)} is "
            f"{_things(stage.requests or 0.0, 'canary request')}"
        )
    if sight.least is None:
        return f"{given}: it cannot see anything, not even {_WORST[sight.signal]}"
    return f"{given}: it cannot reliably see less than {sight.signal} {share(sight.base)} -> {share(sight.least)}"


def _visible(sight: Sight) -> float:
    """The canary's rate that every stage should see."""
    return min(1.0, BLIND * sight.base)


def _things(number: float, one: str = "request") -> str:
    return f"{number:,.0f} {one}{'' if round(number) == 1 else 's'}"


def _longer(rollout: Rollout, index: int, sight: Sight, traffic: Traffic) -> str:
    """How many requests would be enough for the stage to see `BLIND` times the rate."""
    plan = steps(rollout)
    enough = takes(guards(rollout), plan, index, sight=sight, worse=_visible(sight), traffic=traffic)
    if math.isinf(enough):
        return "expect that: no number of requests is enough"
    wanted = f"{rounded(enough)} requests would show {share(sight.base)} -> {share(_visible(sight))}"
    if traffic.rate is None:
        return wanted
    return f"{wanted}: {span(enough / (traffic.rate * (plan[index].weight or plan[index].mirror)))} at this rate"


def _stretched(certificate: Certificate, rollout: Rollout, foresight: Foresight, traffic: Traffic) -> Remark | None:
    whole = foresight.whole
    weighed = [index for index, step in enumerate(steps(rollout)) if step.weight]
    if certificate.stretch <= 0 or whole.requests is None or whole.more or certificate.signal == "labels":
        return None
    if not weighed:  # linted as a rollout without a weight
        return None
    here: Location = ("rollout", "certify", certificate.signal)
    what = f"{certificate.signal} below {certificate.factor:g}x stable's"
    if math.isinf(certificate.stretch):
        full = steps(rollout)[weighed[-1]].weight >= 1
        hint = "end with 50%: at 100% there is nothing to compare with" if full else "raise the factor"
        return Remark(here, f"{what} can never be proved by longer bakes", hint)
    last = weighed[-1]
    bake = steps(rollout)[last].requests
    longer = max(float(bake), foresight.stages[last].requests or 0.0) + certificate.stretch
    if certificate.stretch < longer / 10:  # nobody plans that closely
        return None
    said = (
        f"{what} takes about {rounded(certificate.stretch)} canary requests more than the bakes bring: "
        f"the last step will stretch to about {rounded(longer)}"
    )
    time = (certificate.seconds or 0.0) + (foresight.stages[last].seconds or 0.0)
    if certificate.seconds is not None and time > rollout.progress_deadline:
        return Remark(here, f"{said}, {span(time)}: longer than progress_deadline", "raise the factor or the deadline")
    after = f", {span(time)} at {pace(traffic.rate)}" if traffic.rate and certificate.seconds is not None else ""
    return Remark(here, said + after, "expect that, or raise the last step's weight or the factor")
