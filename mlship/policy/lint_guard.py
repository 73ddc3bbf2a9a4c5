"""Lint of what a rollout watches and must prove: guards without anything to look at, limits that never matter."""

from __future__ import annotations

from collections.abc import Iterable

from mlship.policy.faults import Fault
from mlship.policy.rollout import Certify, Guard, LatencyGuard, Rollout
from mlship.policy.subject import Subject
from mlship.policy.tree import Location
from mlship.policy.units import format_duration

_GUARD: Location = ("rollout", "guard")
_CERTIFY: Location = ("rollout", "certify")


def lint_guard(subject: Subject) -> Iterable[Fault]:
    """All of them."""
    rollout = subject.policy.rollout
    if rollout is None:
        return
    if not subject.has_broken(_GUARD):
        yield from _watched(subject, rollout.guard)
        yield from _agreement(subject, rollout)
        if rollout.guard.latency is not None:
            yield from _latency(subject, rollout.guard.latency)
    if not subject.has_broken(_CERTIFY):
        yield from _certify(subject, rollout)


def _watched(subject: Subject, guard: Guard) -> Iterable[Fault]:
    rolls_back = (guard.errors, guard.timeouts, guard.refusals, guard.latency, guard.labels)
    watched = (*rolls_back, guard.agreement, guard.predictions)
    if not any(one is not None for one in watched):
        yield subject.error(
            _GUARD,
            "nothing is watched: a bad candidate would be promoted",
            "keep errors, latency or labels",
            at_key=True,
        )
        return
    acts = [one.action for one in (guard.agreement, guard.predictions) if one is not None]
    if not any(one is not None for one in rolls_back) and "rollback" not in acts:
        yield subject.warning(
            _GUARD, "nothing that is watched can roll back: a person has to", "keep errors or latency", at_key=True
        )


def _agreement(subject: Subject, rollout: Rollout) -> Iterable[Fault]:
    if rollout.guard.agreement is None or subject.has_broken(("rollout", "steps")):
        return
    if not any(step.mirror is not None for step in rollout.steps):
        yield subject.error(
            (*_GUARD, "agreement"),
            "no step mirrors requests, so no two predictions can be compared",
            "begin with `- {mirror: 100%, bake: {requests: 1000}}`",
            at_key=True,
        )


def _latency(subject: Subject, guard: LatencyGuard) -> Iterable[Fault]:
    here: Location = (*_GUARD, "latency")
    if guard.p50 is not None and guard.p99 is not None and guard.p50 > guard.p99:
        what = f"p50 of {format_duration(guard.p50)} is more than p99 of {format_duration(guard.p99)}"
        yield subject.error((*here, "p50"), what, "swap them?")
    timeout = subject.policy.endpoint.timeout
    for name in ("p50", "p99"):
        limit = getattr(guard, name)
        if limit is not None and limit >= timeout and not subject.has_broken(("endpoint",)):
            what = f"a request is given up after endpoint.timeout, {format_duration(timeout)}: this limit is hardly met"
            yield subject.warning((*here, name), what, "lower it, or raise endpoint.timeout")


def _certify(subject: Subject, rollout: Rollout) -> Iterable[Fault]:
    certify = rollout.certify
    if certify is not None and not _proofs(certify):
        yield subject.warning(
            _CERTIFY, "nothing is to be proved", "write `certify: null`, or name errors, latency or labels", at_key=True
        )
    unproved = rollout.on_inconclusive == "promote" and (certify is None or not _proofs(certify))
    if unproved and subject.written_at(("rollout", "on_inconclusive")):
        yield subject.warning(
            ("rollout", "on_inconclusive"),
            "nothing is to be proved, so nothing is promoted as unproved either",
            "take it out, or certify something",
        )
    if certify is None:
        return
    for name, factor in _proofs(certify).items():
        guard = getattr(rollout.guard, name)
        if guard is not None and factor <= guard.max_ratio:
            yield subject.warning(
                (*_CERTIFY, name),
                f"{factor:g}x is not more than what guard.{name} tolerates, a ratio of {guard.max_ratio:g}",
                "a canary may be tolerated and never be certified; raise it, or tolerate less",
            )


def _proofs(certify: Certify) -> dict[str, float]:
    named = {"errors": certify.errors, "latency": certify.latency, "labels": certify.labels}
    return {name: factor for name, factor in named.items() if factor is not None}
