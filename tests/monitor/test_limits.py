"""Limits of the policy, one by one."""

from __future__ import annotations

from typing import Literal

import pytest

from mlship.monitor.limits import Asked, asked, estimated, slices, weights
from mlship.policy.monitor import Monitor
from tests.stats.flights_scored import bare, scored

BASELINE = bare(scored())


def test_each_end_of_each_limit_is_judged_of_all_and_of_every_slice() -> None:
    """In the policy's order, the value of all traffic last, and estimates of all traffic alone."""
    monitor = Monitor.model_validate(
        {
            "performance": {"recall": {"min": 0.6}, "positive_rate": {"min": 0.1, "max": 0.4}},
            "value": {"min": 500},
            "slices": {"by": ["origin"], "most": 2},
        }
    )
    found = asked(monitor, BASELINE)
    assert slices(monitor, BASELINE) == ("origin=EWR", "origin=JFK")
    assert [(one.subject, one.limit) for one in found] == [
        ("recall", "recall >= 0.6"),
        ("positive_rate", "positive_rate >= 0.1"),
        ("positive_rate", "positive_rate <= 0.4"),
        ("origin=EWR recall", "recall >= 0.6"),
        ("origin=EWR positive_rate", "positive_rate >= 0.1"),
        ("origin=EWR positive_rate", "positive_rate <= 0.4"),
        ("origin=JFK recall", "recall >= 0.6"),
        ("origin=JFK positive_rate", "positive_rate >= 0.1"),
        ("origin=JFK positive_rate", "positive_rate <= 0.4"),
        ("value", "value >= 500"),
    ]
    guesses = estimated(monitor, BASELINE)
    assert [one.limit for one in guesses] == [one.limit for one in found if not one.slice]
    assert {one.kind for one in guesses} == {"estimate"}
    shared = weights((*found, *guesses), {"performance": 0.5, "value": 0.3, "estimate": 0.2})
    assert sum(shared.values()) == pytest.approx(1)
    assert estimated(monitor.model_copy(update={"estimate": False}), BASELINE) == ()
    assert asked(Monitor(), BASELINE) == ()


@pytest.mark.parametrize(
    ("metric", "sign", "bound", "value", "severity"),
    [
        ("recall", -1, 0.6, None, 0),
        ("recall", -1, 0.6, 0.6, 0),
        ("recall", -1, 0.6, 0.59, 1),
        ("recall", -1, 0.6, 0.3, 2),
        ("recall", -1, 0.95, 0.9, 2),
        ("recall", -1, 0.95, 0.8, 3),
        ("recall", -1, 0.6, 0.0, 11),
        ("error", 1, 0.1, 0.1, 0),
        ("error", 1, 0.1, 0.19, 1),
        ("error", 1, 0.1, 0.4, 3),
        ("error", 1, 0.0, 0.4, 11),
        ("value", -1, 600, 300, 1),
        ("value", -1, 600, -600, 2),
        ("value", -1, 0, -5, 11),
        ("mae", 1, 2, 8, 3),
    ],
)
def test_severity_goes_up_each_time_that_it_doubles(
    metric: str, sign: Literal[1, -1], bound: float, value: float | None, severity: int
) -> None:
    """Zero within the limit, and never more than 11."""
    one = Asked("performance", metric, sign, bound)
    assert one.severity(value) == severity
    assert one.over(value) is (severity > 0)
