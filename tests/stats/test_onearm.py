"""Bets about one arm alone are fair at their limit, win beyond it, and prove what is rare."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.stats import eprocess, onearm
from mlship.stats.eprocess import EProcess


def mean(process: EProcess, of: int, share: float) -> float:
    """The mean of E over every outcome of so many."""
    return math.fsum(
        math.comb(of, bad)
        * share**bad
        * (1 - share) ** (of - bad)
        * math.exp(eprocess.log_e(onearm.update(process, bad=bad, of=of)))
        for bad in range(of + 1)
    )


@pytest.mark.parametrize("limit", [0.01, 0.1, 0.5, 0.9])
def test_at_the_limit_no_outcome_is_worth_more_than_it_costs(limit: float) -> None:
    assert mean(onearm.against_at_most(limit), 12, limit) == pytest.approx(1.0)
    assert mean(onearm.against_at_most(limit), 12, limit / 2) <= 1
    assert mean(onearm.against_at_least(limit), 12, limit) == pytest.approx(1.0)
    assert mean(onearm.against_at_least(limit), 12, (1 + limit) / 2) <= 1


@pytest.mark.parametrize("negligible", [0.01, 0.05])
def test_no_bad_outcome_at_all_proves_a_rate_negligible_after_the_known_number(negligible: float) -> None:
    """About ln(200) / negligible: half of a certificate that needs 100."""
    process, needed = onearm.against_at_least(negligible), 0
    while eprocess.log_e(process) < math.log(200):
        process, needed = onearm.update(process, bad=0, of=1), needed + 1
    assert math.log(200) / negligible == pytest.approx(needed, rel=0.08)


@given(st.integers(0, 40), st.integers(1, 60), st.sampled_from([0.01, 0.2, 0.5]))
def test_more_bad_outcomes_never_look_better(bad: int, more: int, limit: float) -> None:
    of = bad + more
    high, low = onearm.against_at_most(limit), onearm.against_at_least(limit)
    assert eprocess.log_e(onearm.update(high, bad=bad + 1, of=of)) > eprocess.log_e(onearm.update(high, bad=bad, of=of))
    assert eprocess.log_e(onearm.update(low, bad=bad + 1, of=of)) < eprocess.log_e(onearm.update(low, bad=bad, of=of))


@given(st.integers(0, 9), st.integers(0, 9))
def test_windows_add_up(bad: int, good: int) -> None:
    process = onearm.against_at_most(0.1)
    apart = onearm.update(onearm.update(process, bad=bad, of=bad), bad=0, of=good)
    assert apart.sums == pytest.approx(onearm.update(process, bad=bad, of=bad + good).sums, abs=1e-9)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="impossible"):
        onearm.update(onearm.against_at_most(0.1), bad=2, of=1)
    for limit in (0.0, 1.0):
        with pytest.raises(ValueError, match="within 0 and 1"):
            onearm.against_at_most(limit)
        with pytest.raises(ValueError, match="within 0 and 1"):
            onearm.against_at_least(limit)
