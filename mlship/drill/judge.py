"""What callers should get while servers are away, what they got, and the verdict. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mlship.types import Status

#: Seconds that an answer may come after the deadline: what a caller measures is a little more than what a router does.
SLACK = 1.0


class Arm(StrEnum):
    """Which servers a drill takes away."""

    ALL = "all"
    STABLE = "stable"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer, as its caller got it."""

    sent: float
    """Seconds on some clock."""
    seconds: float
    """Until the whole answer was there."""
    status: int
    """0 when there was none: the connection broke, or nothing came."""
    by: str
    """`version 7`, or `rule`, `queue`; `the router` when it had to answer itself; empty when nobody did."""
    job: str = ""
    """Where to fetch the answer, with 202."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What the policy says callers get while these servers are away."""

    answered: bool
    """Everybody gets an answer that is no error. Else: nobody stands behind, and callers are told so in time."""
    text: str
    by: str = ""
    """What answers where no model does: `rule` or `queue`; empty where nothing may."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that a drill saw."""

    before: Sequence[Heard]
    during: Sequence[Heard]
    """Sent from a moment before the fault until every server was ready again."""
    after: Sequence[Heard]
    hit: int
    """Requests that the servers should have answered and did not, as the router counted them."""
    recovered: float | None
    """Seconds until every server was ready again; None when they were not in time."""
    same: bool
    """Routes and servers are afterwards what they were before."""
    jobs: int = 0
    jobs_answered: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """What the callers of one phase got."""

    requests: int
    failed: int
    """5xx, or no answer."""
    statuses: dict[str, int] = field(default_factory=dict)
    by: dict[str, int] = field(default_factory=dict)
    p50_ms: float | None = None
    p99_ms: float | None = None
    slowest_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether callers got what the policy promises."""

    status: Status
    reason: str


def promise(fallback: str, gone: Arm, *, canary: bool) -> Promise:
    """What the policy says about these servers' absence.

    Parameters
    ----------
    fallback
        As in the policy.
    canary
        Whether there is one.
    """
    if fallback in ("rule", "queue"):
        how = "by the rule" if fallback == "rule" else "with 202 and a job to poll"
        return Promise(True, f"what no model answers is answered {how}", fallback)
    if gone is Arm.CANARY and fallback == "stable":
        return Promise(True, "what the canary cannot answer, stable answers")
    if fallback == "fail":
        return Promise(False, "nobody stands behind a server: callers get its failures, within the timeout")
    if gone is Arm.STABLE and canary:
        return Promise(False, "nobody stands behind stable: callers that it was to answer get 5xx, within the timeout")
    return Promise(False, "nobody stands behind stable: callers get 5xx, within the timeout")


def judge(told: Promise, seen: Seen, timeout: float) -> Verdict:
    """Hold what was seen against what was promised.

    Parameters
    ----------
    timeout
        Seconds that the endpoint may take, as the policy says.
    """
    errors = [one for one in seen.during if one.status >= 500]
    if fault := next(filter(None, _faults(told, seen, timeout, errors)), ""):
        return Verdict(Status.FAILED, fault)
    if seen.hit == 0:
        what = "no request met the outage, so nothing is proved; more requests a second, or a longer outage, would"
        return Verdict(Status.INCONCLUSIVE, what)
    if told.answered:
        jobs = f", and all {seen.jobs} jobs were answered" if seen.jobs else ""
        return Verdict(Status.PASSED, f"{seen.hit} requests met the outage, and no caller got an error{jobs}")
    slowest = f"; the slowest of them after {max(one.seconds for one in errors):.2f} s" if errors else ""
    return Verdict(
        Status.PASSED, f"as the policy says, {len(errors)} of {len(seen.during)} callers got an error{slowest}"
    )


def _faults(told: Promise, seen: Seen, timeout: float, errors: Sequence[Heard]) -> Iterator[str]:
    """What is not as it should be, the gravest first; empty texts are no faults."""
    requests = f"of {len(seen.during)} requests"
    yield "the servers were not ready again in time" if seen.recovered is None else ""
    yield "" if seen.same else "routes or servers are not what they were before the drill"
    silent = sum(one.status == 0 for one in seen.during)
    yield f"{silent} {requests} got no answer at all" if silent else ""
    strange = Counter(one.by for one in seen.during if one.by in ("rule", "queue") and one.by != told.by)
    for by, count in strange.items():
        yield f"{count} {requests} were answered by a {by}, but {told.text}: the endpoint is not the policy's"
    late = sum(one.seconds > timeout + SLACK for one in seen.during)
    yield f"{late} {requests} took longer than the timeout of {timeout:g} s" if late else ""
    yield f"{len(errors)} {requests} got an error, but {told.text}" if told.answered and errors else ""
    missing = seen.jobs - seen.jobs_answered
    yield f"{missing} of {seen.jobs} jobs were not answered in time" if missing else ""
    failed = sum(map(_failed, seen.after))
    yield f"{failed} of {len(seen.after)} requests failed after the servers were back" if failed else ""


def summarize(heard: Sequence[Heard]) -> Summary:
    """Statuses, who answered, and latencies (nearest rank)."""
    times = sorted(one.seconds * 1000 for one in heard)

    def rank(share: float) -> float | None:
        return round(times[max(0, math.ceil(share * len(times)) - 1)], 1) if times else None

    return Summary(
        requests=len(heard),
        failed=sum(map(_failed, heard)),
        statuses=dict(sorted(Counter(str(one.status) if one.status else "no answer" for one in heard).items())),
        by=dict(sorted(Counter(one.by for one in heard if one.by).items())),
        p50_ms=rank(0.5),
        p99_ms=rank(0.99),
        slowest_ms=rank(1.0),
    )


def _failed(one: Heard) -> bool:
    return one.status == 0 or one.status >= 500
