"""Lint of the rollout section: steps in an order that makes sense, each with what it needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from mlship.policy.faults import Fault
from mlship.policy.lint_guard import lint_guard
from mlship.policy.rollout import Rollout, Step
from mlship.policy.subject import Subject
from mlship.policy.tree import Location
from mlship.policy.units import format_duration, format_percent

_HERE: Location = ("rollout",)
#: What a step can be; it is exactly one of them.
KINDS = ("weight", "mirror", "testers", "approve", "pause")
#: Kinds that move traffic, and so have something to observe.
_BAKED = ("weight", "mirror", "testers")


def lint_rollout(subject: Subject) -> Iterable[Fault]:
    """All contradictions in the rollout section."""
    rollout = subject.policy.rollout
    if rollout is None:
        return
    yield from _steps(subject, rollout)
    yield from lint_guard(subject)
    if rollout.sticky is not None and (rollout.sticky.header is None) == (rollout.sticky.cookie is None):
        here: Location = (*_HERE, "sticky")
        if not subject.has_broken(here):
            yield subject.error(
                here, "users are told apart by a header or by a cookie", "keep one of the two", at_key=True
            )


def kind(step: Step) -> str:
    """What a step is; empty when it is nothing, or several things."""
    found = [name for name in KINDS if getattr(step, name) is not None]
    return found[0] if len(found) == 1 else ""


def _steps(subject: Subject, rollout: Rollout) -> Iterable[Fault]:
    before = 0.0
    for index, step in enumerate(rollout.steps):
        here: Location = (*_HERE, "steps", index)
        if subject.has_broken(here):
            before = max(before, step.weight or 0.0)
            continue
        what = kind(step)
        if not what:
            several = [name for name in KINDS if getattr(step, name) is not None]
            said = f"this step is {' and '.join(several)} at once" if several else "this step does nothing"
            yield subject.error(here, said, f"give it exactly one of {', '.join(KINDS[:-1])} and {KINDS[-1]}")
            continue
        yield from _bake(subject, here, step, what, rollout.progress_deadline)
        if step.weight is not None:
            if step.weight <= before:
                yield subject.error(
                    (*here, "weight"),
                    f"{format_percent(step.weight)} is not more than the step before, {format_percent(before)}",
                    "weights must rise from step to step",
                )
            before = max(before, step.weight)
        elif what in ("mirror", "testers") and before:
            yield subject.error(
                (*here, what),
                f"{what} after a step with a weight would take traffic away from the canary",
                "put it before the first weight",
                at_key=True,
            )
        elif what in ("approve", "pause") and index == 0:
            yield subject.warning(
                (*here, what), "the canary has no traffic yet: there is nothing to look at meanwhile", at_key=True
            )
    if not subject.has_broken((*_HERE, "steps")) and rollout.steps and not before:
        yield subject.warning(
            (*_HERE, "steps"),
            "no step has a weight: the candidate would get all traffic at once",
            "add `- {weight: 10%, bake: {for: 10m, requests: 1000}}`",
            at_key=True,
        )


def _bake(subject: Subject, here: Location, step: Step, what: str, deadline: float) -> Iterable[Fault]:
    if what not in _BAKED:
        if step.bake is not None:
            yield subject.error(
                (*here, "bake"),
                f"{what} has no bake of its own",
                "take it out, or put it in a step with a weight",
                at_key=True,
            )
        return
    if step.bake is None:
        yield subject.error(here, "missing key 'bake'", "add `bake: {for: 10m, requests: 1000}`")
        return
    if not step.bake.for_ and not step.bake.requests:
        yield subject.error(
            (*here, "bake"),
            "this step asks for nothing",
            "add for (a duration) or requests (a number), or both",
            at_key=True,
        )
    if step.bake.for_ > deadline:
        yield subject.error(
            (*here, "bake", "for"),
            f"{format_duration(step.bake.for_)} is more than progress_deadline, {format_duration(deadline)}",
            "the step would always pause; shorten it or raise the deadline",
        )
