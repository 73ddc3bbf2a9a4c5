"""Verdicts of drills, from made-up answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlship.drill.judge import Arm, Heard, Seen, judge, promise, summarize
from mlship.types import Status

TIMEOUT = 1.0


def answers(count: int, status: int = 200, by: str = "version 1", seconds: float = 0.01, job: str = "") -> list[Heard]:
    return [Heard(float(number), seconds, status, by, job) for number in range(count)]


GOOD = Seen(answers(30), answers(30), answers(30), hit=12, recovered=1.5, same=True)


@pytest.mark.parametrize(
    ("fallback", "arm", "canary", "answered"),
    [
        ("stable", Arm.CANARY, True, True),
        ("stable", Arm.STABLE, True, False),
        ("stable", Arm.ALL, True, False),
        ("stable", Arm.ALL, False, False),
        ("rule", Arm.ALL, True, True),
        ("queue", Arm.STABLE, False, True),
        ("fail", Arm.CANARY, True, False),
        ("fail", Arm.ALL, False, False),
    ],
)
def test_what_the_policy_promises(fallback: str, arm: Arm, canary: bool, answered: bool) -> None:
    assert promise(fallback, arm, canary=canary).answered is answered


def test_nobody_gets_an_error_where_that_is_promised() -> None:
    told = promise("rule", Arm.ALL, canary=False)
    seen = replace(GOOD, during=answers(20, by="rule"))
    verdict = judge(told, seen, TIMEOUT)
    assert verdict.status is Status.PASSED
    assert verdict.reason == "12 requests met the outage, and no caller got an error"
    failing = judge(told, replace(seen, during=[*seen.during, *answers(2, 503, "the router")]), TIMEOUT)
    assert failing.status is Status.FAILED
    assert failing.reason == "2 of 22 requests got an error, but what no model answers is answered by the rule"


def test_errors_in_time_are_what_a_policy_without_a_fallback_says() -> None:
    told = promise("stable", Arm.ALL, canary=False)
    seen = replace(GOOD, during=[*answers(10), *answers(8, 503, "the router", 0.5)])
    verdict = judge(told, seen, TIMEOUT)
    assert verdict.status is Status.PASSED
    assert verdict.reason == "as the policy says, 8 of 18 callers got an error; the slowest of them after 0.50 s"


@pytest.mark.parametrize("fallback", ["stable", "rule"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recovered": None}, "not ready again in time"),
        ({"same": False}, "not what they were before"),
        ({"during": answers(3, 0, "")}, "3 of 3 requests got no answer at all"),
        ({"during": answers(3, seconds=2.5)}, "3 of 3 requests took longer than the timeout of 1 s"),
        ({"after": answers(3, 503)}, "3 of 3 requests failed after the servers were back"),
        ({"jobs": 5, "jobs_answered": 4}, "1 of 5 jobs were not answered in time"),
    ],
)
def test_a_fault_is_a_fault_whatever_was_promised(fallback: str, change: dict[str, object], said: str) -> None:
    verdict = judge(promise(fallback, Arm.ALL, canary=False), replace(GOOD, **change), TIMEOUT)  # type: ignore[arg-type]  # as in Seen
    assert verdict.status is Status.FAILED
    assert said in verdict.reason


def test_an_outage_that_nobody_met_proves_nothing() -> None:
    verdict = judge(promise("rule", Arm.ALL, canary=False), replace(GOOD, hit=0), TIMEOUT)
    assert verdict.status is Status.INCONCLUSIVE


def test_a_summary_counts_and_ranks() -> None:
    told = summarize([*answers(98), *answers(1, 503, "the router", 0.5), *answers(1, 0, "", 2.0)])
    assert (told.requests, told.failed) == (100, 2)
    assert told.statuses == {"200": 98, "503": 1, "no answer": 1}
    assert told.by == {"the router": 1, "version 1": 98}
    assert (told.p50_ms, told.p99_ms, told.slowest_ms) == (10.0, 500.0, 2000.0)
    assert summarize([]).p50_ms is None


@pytest.mark.parametrize(
    ("fallback", "by"), [("rule", "queue"), ("queue", "rule"), ("stable", "rule"), ("fail", "queue")]
)
def test_somebody_elses_answers_are_not_what_the_policy_promises(fallback: str, by: str) -> None:
    """As when the running endpoint has another section than the policy."""
    seen = replace(GOOD, during=answers(9, by=by), jobs=0, jobs_answered=0)
    verdict = judge(promise(fallback, Arm.ALL, canary=False), seen, TIMEOUT)
    assert verdict.status is Status.FAILED
    assert f"9 of 9 requests were answered by a {by}" in verdict.reason
