"""The one judge: the worst end decides, a straddling interval never passes, and every result says why."""

from __future__ import annotations

import pytest

from mlship.gates.base import Limit, judge
from mlship.types import Measurement, Status

AT_LEAST = Limit(0.6, at_least=True)
AT_MOST = Limit(0.01, at_least=False, share=True)


@pytest.mark.parametrize(
    ("value", "low", "high", "status", "says"),
    [
        (0.7, 0.65, 0.75, Status.PASSED, "its lower end keeps the limit 0.6"),
        (0.65, 0.6, 0.7, Status.PASSED, "keeps the limit"),
        (0.62, 0.58, 0.66, Status.INCONCLUSIVE, "it needs about 4,000 rows"),
        (0.6, 0.5, 0.7, Status.INCONCLUSIVE, "the value sits on the limit, so no number of rows would settle it"),
        (0.59, 0.5, 0.68, Status.FAILED, "the value itself is beyond the limit 0.6"),
        (0.4, 0.3, 0.5, Status.FAILED, "beyond the limit"),
    ],
)
def test_the_worst_end_is_judged(value: float, low: float, high: float, status: Status, says: str) -> None:
    """Passed when the worst end keeps the limit; failed when the value does not; between the two inconclusive."""
    result = judge("metrics", "recall min", Measurement("recall", value, low, high, n=1000), AT_LEAST)
    assert result.status is status
    assert says in result.reason
    assert result.limit == ">= 0.6"


def test_the_upper_end_is_judged_against_an_upper_limit() -> None:
    """Mirror image of the lower limit, in percent."""
    passed = judge("g", "r", Measurement("share", 0.005, 0.001, 0.01, n=10), AT_MOST)
    open_ = judge("g", "r", Measurement("share", 0.005, 0.001, 0.02, n=10), AT_MOST)
    assert (passed.status, passed.limit) == (Status.PASSED, "<= 1%")
    assert open_.status is Status.INCONCLUSIVE
    assert "share is 0.5% (95 % interval 0.1% to 2%, 10 rows)" in open_.reason


def test_without_an_interval_the_value_is_judged() -> None:
    """A share of the given rows is what it is."""
    assert judge("g", "r", Measurement("share", 0.01, n=10), AT_MOST).status is Status.PASSED
    failed = judge("g", "r", Measurement("share", 0.011, n=1), AT_MOST, note="column 'x'")
    assert failed.status is Status.FAILED
    assert failed.reason == "share is 1.1%, beyond the limit 1% (1 row); column 'x'"


def test_what_nobody_counted_is_not_counted() -> None:
    """A custom gate may give a value and no `n`: zero rows would be a claim."""
    assert judge("g", "r", Measurement("size", 0.01), AT_MOST).reason == "size is 1%, within the limit 1%"
    within = judge("g", "r", Measurement("size", 0.005, 0.001, 0.01), AT_MOST)
    assert within.reason == "size is 0.5% (95 % interval 0.1% to 1%): its upper end keeps the limit 1%"
    open_ = judge("g", "r", Measurement("size", 0.005, 0.001, 0.02), AT_MOST)
    assert open_.reason.endswith("the value keeps the limit 1% but its upper end does not")


def test_no_value_is_inconclusive_for_its_own_reason() -> None:
    """No data is never a pass."""
    result = judge("g", "r", Measurement("recall", None, reason="nothing there"), AT_LEAST)
    assert (result.status, result.reason) == (Status.INCONCLUSIVE, "nothing there")
