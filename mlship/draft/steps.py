"""The stages of a drafted rollout, sized so that each can see something at the rate that callers send. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlship.draft.layout import Line
from mlship.policy.rollout import Bake, Rollout, Step
from mlship.policy.units import format_duration, format_percent, format_rate
from mlship.rollout.foresee import ERRORS, Sight, Traffic, foresee, takes
from mlship.rollout.outlook import BLIND, pace, rounded, share, span
from mlship.rollout.plan import guards, steps

#: Least time at a step: what goes wrong only after minutes shall be seen.
_BAKE = 600.0
#: A first weight is small, unless its requests would take longer than this.
_PATIENT = 3600.0
_FIRST = (0.01, 0.02, 0.05, 0.10, 0.25)
_MIDDLE, _LAST = 0.10, 0.50
#: Requests are rounded up by this much at most, and a little more is asked than is needed.
_ROOM = 1.1
#: The policy's own default, and the longest that is drafted instead.
_DEADLINE, _LONGEST = 86400.0, 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Sized:
    """One stage, and how its size was found."""

    step: Step
    why: str


def rollout_lines(rate: float | None) -> list[Line]:
    """The section `rollout` of a policy; `rate` is what all callers send, in requests a second."""
    traffic = Traffic(rate, "rollout.rate")
    sized, deadline = _sized(traffic)
    lines = [Line("rollout:"), Line("  engine: local", "or docker: containers instead of processes")]
    if rate is not None:
        lines.append(Line(f"  rate: {format_rate(rate)}", "as told by --rate; only for planning"))
    lines.append(
        Line("  steps:", "" if rate else "no rate is known: sizes are requests; `mlship init --rate 50/s` times them")
    )
    for one in sized:
        kind = (
            f"mirror: {format_percent(one.step.mirror)}"
            if one.step.mirror
            else f"weight: {format_percent(one.step.weight or 0)}"
        )
        bake = one.step.bake or _bake(0)
        time = f"for: {format_duration(bake.for_)}, " if bake.for_ else ""
        lines.append(Line(f"    - {{{kind}, bake: {{{time}requests: {bake.requests}}}}}", one.why))
    if deadline > _DEADLINE:
        lines.append(
            Line(f"  progress_deadline: {format_duration(deadline)}", "the longest step takes half of it at this rate")
        )
    return lines


def _sized(traffic: Traffic) -> tuple[list[Sized], float]:
    """The stages, and how long one may take."""
    first = _FIRST[-1]
    if traffic.rate is None:
        first = _FIRST[0]
    else:
        for weight in _FIRST:
            if _enough([_copies(), *_weights(weight)], 1) / (traffic.rate * weight) <= _PATIENT:
                first = weight
                break
    plan = [_copies(), *_weights(first)]
    whys = []
    for index, step in enumerate(plan):
        needed = _enough(plan, index)
        requests = _nice(needed * _ROOM)
        plan[index] = step.model_copy(update={"bake": _bake(requests, 0.0 if step.mirror else _BAKE)})
        whys.append(_why(requests, plan[index], traffic))
    last = len(plan) - 1
    proof = _certified(plan)
    bake = plan[last].bake
    if proof > 0 and bake is not None:
        requests = _nice((bake.requests + proof) * _ROOM)
        plan[last] = plan[last].model_copy(update={"bake": _bake(requests, _BAKE)})
        time = _time(requests, plan[last], traffic)
        whys[last] = f"{rounded(requests)} requests prove errors below 3x stable's, as promotion asks{time}"
    return [Sized(step, why) for step, why in zip(plan, whys, strict=True)], _deadline(plan, traffic)


def _weights(first: float) -> list[Step]:
    weights = sorted({first, max(_MIDDLE, min(0.25, 2 * first)), _LAST})
    return [Step.model_construct(weight=weight, bake=_bake(1)) for weight in weights]


def _copies() -> Step:
    return Step.model_construct(mirror=1.0, bake=_bake(1))


def _bake(requests: int, seconds: float = 0.0) -> Bake:
    return Bake.model_construct(for_=seconds, requests=requests)  # a policy's text has units, these are seconds


def _enough(plan: list[Step], index: int) -> float:
    """Canary requests at one stage that show errors of BLIND times stable's rate with a chance of 80 %."""
    rollout = Rollout(steps=tuple(plan))
    sight = Sight("errors", ERRORS, None)
    # By requests alone: what a time brings depends on the rate, and each stage shall see enough at any.
    found = takes(guards(rollout), steps(rollout), index, sight=sight, worse=BLIND * ERRORS, traffic=Traffic(None))
    return found if math.isfinite(found) else 1000.0


def _certified(plan: list[Step]) -> float:
    """Canary requests that the proof of errors takes beyond what the bakes bring."""
    rollout = Rollout(steps=tuple(_timeless(step) for step in plan))
    foresight = foresee(guards(rollout), steps(rollout), Traffic(None))
    asked = [one.stretch for one in foresight.certificates if one.signal == "errors" and math.isfinite(one.stretch)]
    return max(asked, default=0.0)


def _timeless(step: Step) -> Step:
    """The same stage by requests alone: what a time brings depends on the rate, and a proof should not."""
    return step.model_copy(update={"bake": _bake(step.bake.requests if step.bake else 1)})


def _why(requests: int, step: Step, traffic: Traffic) -> str:
    seen = f"{rounded(requests)} requests show errors {share(ERRORS)} -> {share(BLIND * ERRORS)}"
    what = "copies, whose answers are discarded; " if step.mirror else ""
    return f"{what}{seen}{_time(requests, step, traffic)}"


def _time(requests: int, step: Step, traffic: Traffic) -> str:
    if traffic.rate is None:
        return ""
    least = step.bake.for_ if step.bake else 0.0
    return f", {span(max(_seconds(requests, step, traffic.rate), least))} at {pace(traffic.rate)}"


def _seconds(requests: int, step: Step, rate: float) -> float:
    return requests / (rate * (step.weight or step.mirror or 1.0))


def _deadline(plan: list[Step], traffic: Traffic) -> float:
    """Twice the time that the longest stage takes, in whole days, where that is more than the default."""
    if traffic.rate is None:
        return _DEADLINE
    longest = max(_seconds(step.bake.requests if step.bake else 0, step, traffic.rate) for step in plan)
    if longest <= _DEADLINE / 2:
        return _DEADLINE
    return min(_LONGEST, math.ceil(2 * longest / 86400.0) * 86400.0)


def _nice(requests: float) -> int:
    """Rounded up to two digits."""
    size: int = 10 ** max(0, math.floor(math.log10(max(requests, 1.0))) - 1)
    return int(math.ceil(requests / size) * size)
