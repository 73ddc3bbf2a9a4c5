"""What the schema cannot say: parts of a policy that contradict each other or ask for what is not there. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from mlship.policy.faults import Fault
from mlship.policy.lint_data import lint_data
from mlship.policy.lint_endpoint import lint_endpoint
from mlship.policy.lint_gates import lint_gates
from mlship.policy.lint_latency import lint_latency
from mlship.policy.lint_metrics import lint_metrics
from mlship.policy.subject import Subject
from mlship.policy.tree import Location
from mlship.policy.units import format_duration, format_percent


def lint(subject: Subject) -> list[Fault]:
    """All contradictions in one policy."""
    return [fault for check in _CHECKS for fault in check(subject)]


def _names(subject: Subject) -> Iterable[Fault]:
    policy = subject.policy
    if re.search(r"[/:]", policy.model):
        yield subject.error(
            ("model",), "a model's name cannot contain '/' or ':'", "the name only, without models:/ and version"
        )
    candidate, champion = ("candidate",), ("champion",)
    if not _ALIAS.fullmatch(policy.candidate) and not re.fullmatch(r"[1-9][0-9]*|latest", policy.candidate):
        meant = (
            f'write "@{subject.shown(candidate)}", '
            if _ALIAS.fullmatch(f"@{policy.candidate}")
            else "write an @alias, "
        )
        yield subject.error(
            candidate, "not an @alias, a version number, or latest", meant + "a version number, or latest"
        )
    if not _ALIAS.fullmatch(policy.champion):
        yield subject.error(champion, "the champion must be an @alias: it is moved at promotion", 'write "@champion"')
    elif policy.candidate == policy.champion:
        where = candidate if subject.written_at(candidate) else champion
        yield subject.error(where, "candidate and champion are the same alias", "they must be able to differ")


_ALIAS = re.compile(r"@(?!latest$|v[0-9]+$|[0-9]+$)[A-Za-z0-9_-]+", re.IGNORECASE)


def _rollout(subject: Subject) -> Iterable[Fault]:
    rollout = subject.policy.rollout
    if rollout is None:
        return
    before = 0.0
    deadline = rollout.progress_deadline
    for index, step in enumerate(rollout.steps):
        here: Location = ("rollout", "steps", index)
        if step.weight <= before:
            yield subject.error(
                (*here, "weight"),
                f"{format_percent(step.weight)} is not more than the step before, {format_percent(before)}",
                "weights must rise from step to step",
            )
        before = max(before, step.weight)
        if not step.bake.for_ and not step.bake.requests and not subject.has_broken((*here, "bake")):
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
    guard = rollout.guard
    if (
        guard.errors is None
        and guard.latency is None
        and guard.labels is None
        and not subject.has_broken(("rollout", "guard"))
    ):
        yield subject.error(
            ("rollout", "guard"),
            "nothing is watched: a bad candidate would be promoted",
            "keep errors, latency or labels",
            at_key=True,
        )


_CHECKS: tuple[Callable[[Subject], Iterable[Fault]], ...] = (
    _names,
    lint_data,
    lint_gates,
    lint_metrics,
    lint_latency,
    lint_endpoint,
    _rollout,
)
