"""Intervals of quantiles keep their promise for measurements that hang together, and say when they cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.special import ndtri
from scipy.stats import binom

from mlship.stats.quantile_intervals import Block, Estimate, effective_size, quantile, ratio, share
from tests.thorough import often

Process = Callable[[np.random.Generator, int], Any]


def _independent(rng: np.random.Generator, n: int) -> Any:
    return np.exp(rng.normal(size=n))


def _autoregressive(rng: np.random.Generator, n: int) -> Any:
    shocks = rng.normal(size=n) * np.sqrt(1 - 0.9**2)
    shocks[0] = rng.normal()
    return np.exp(lfilter([1], [1, -0.9], shocks))


def _queue(busy: float) -> Process:
    """Times in an M/M/1 queue with mean service time 1, begun in its steady state: exponential with rate 1 - busy."""

    def times(rng: np.random.Generator, n: int) -> Any:
        service, gaps = rng.exponential(1, n), rng.exponential(1 / busy, n)
        waiting = 0.0 if rng.random() < 1 - busy else rng.exponential(1 / (1 - busy))
        walk = np.cumsum(np.concatenate([[0], service[:-1] - gaps[1:]])) + waiting
        return walk - np.minimum.accumulate(np.minimum(walk, 0)) + service

    return times


def _normal_quantile(share: float) -> float:
    return float(np.exp(ndtri(share)))


#: Process, its true quantiles, and within what the coverage of 95 % intervals lies.
PROCESSES = {
    "independent": (_independent, _normal_quantile, (0.93, 1.0)),
    "autoregressive": (_autoregressive, _normal_quantile, (0.92, 0.995)),
    "queue, half busy": (_queue(0.5), lambda share: -np.log(1 - share) / 0.5, (0.91, 0.985)),
    "queue, 80 % busy": (_queue(0.8), lambda share: -np.log(1 - share) / 0.2, (0.89, 0.985)),
}


def _block(values: Any) -> Block:
    return _exact(np.round(values, 3))


def _exact(values: Any) -> Block:
    found, counts = np.unique(values, return_counts=True)
    return Block(found.tolist(), counts.tolist())


def _blocks(values: Any, n: int = 10) -> list[Block]:
    return [_block(part) for part in np.split(values, n)]


def _holds(found: Estimate | None, truth: float) -> bool:
    assert found is not None
    return (found.low is None or found.low <= truth) and (found.high is None or truth <= found.high)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSES)
def test_quantiles_are_held_by_about_95_of_100_intervals(name: str) -> None:
    """p50, p95 and p99 of 3,000 requests in 10 blocks, over 150 (400) simulated runs."""
    process, true, (least, most) = PROCESSES[name]
    rng, runs = np.random.default_rng(5), often(400, 150)
    held = dict.fromkeys((0.5, 0.95, 0.99), 0)
    for _ in range(runs):
        blocks = _blocks(process(rng, 3000))
        for p in held:
            held[p] += _holds(quantile(blocks, p), true(p))
    assert all(least <= count / runs <= most for count in held.values()), held


@pytest.mark.slow
def test_counting_each_request_as_one_would_hold_far_too_few() -> None:
    """What blocks are for: the plain binomial interval of p95 in a queue that is busy 80 % of the time."""
    rng = np.random.default_rng(5)
    lowest, highest = binom.ppf([0.025, 0.975], 3000, 0.95).astype(int)
    times = (np.sort(_queue(0.8)(rng, 3000)) for _ in range(400))
    held = sum(one[lowest - 1] <= -np.log(0.05) / 0.2 <= one[highest] for one in times)
    assert held / 400 < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSES)
def test_a_ratio_of_two_alike_is_one_in_about_95_of_100_intervals(name: str) -> None:
    """p95 of two runs of the same process, paired by block, over 100 (300) simulated pairs."""
    process, _, _ = PROCESSES[name]
    rng, runs = np.random.default_rng(6), often(300, 100)
    pairs = ((_blocks(process(rng, 3000)), _blocks(process(rng, 3000))) for _ in range(runs))
    held = sum(_holds(ratio(ours, theirs, 0.95), 1.0) for ours, theirs in pairs)
    assert 0.92 <= held / runs <= 1.0


def test_a_ratio_sees_through_noise_that_hits_both() -> None:
    """Blocks that are up to 10 times slower for both sides: the ratio 1.5 is found, the quantile itself is not."""
    rng = np.random.default_rng(7)
    noise = np.repeat(np.exp(rng.uniform(0, 2.3, 20)), 500)
    theirs = _independent(rng, 10_000) * noise
    ours = 1.5 * _independent(rng, 10_000) * noise
    found, one = ratio(_blocks(ours, 20), _blocks(theirs, 20), 0.9), quantile(_blocks(theirs, 20), 0.9)
    assert found is not None
    assert one is not None
    assert found.low is not None
    assert found.high is not None
    assert one.low is not None
    assert one.high is not None
    assert 1.3 < found.low < 1.5 < found.high < 1.8
    assert (found.high / found.low) < (one.high / one.low)


def test_too_few_requests_have_no_upper_end() -> None:
    """The largest of 3,000 lies below the true p99.9 with a chance of 5 %: more than the 2.5 % of an upper end."""
    found = quantile(_blocks(_independent(np.random.default_rng(8), 3000)), 0.999)
    assert found is not None
    assert found.high is None
    assert found.low is not None
    assert found.n == 3000


def test_a_stall_in_one_block_is_one_event_not_a_hundred() -> None:
    """100 slow requests of 3,000, all of one stall: nobody knows p99 after it."""
    rng = np.random.default_rng(9)
    values = rng.uniform(0.005, 0.007, 3000)
    values[1500:1600] = np.linspace(1.0, 0.01, 100)
    found = quantile(_blocks(values), 0.99)
    assert found is not None
    assert found.value > 0.5
    assert found.high is None
    assert found.effective < 100


def test_error_rate_without_errors_is_clopper_and_pearsons() -> None:
    """0 of 1,000: at most 0.37 %; none of nothing is no rate."""
    found = share([0] * 10, [100] * 10)
    assert found is not None
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 1000))
    assert share([0, 0], [0, 0]) is None


def test_one_error_says_little_and_a_burst_says_less() -> None:
    """100 errors in one block are wider than 10 in each of ten."""
    single, burst, even = (
        share([1, *[0] * 9], [300] * 10),
        share([100, *[0] * 9], [300] * 10),
        share([10] * 10, [300] * 10),
    )
    assert single is not None
    assert burst is not None
    assert even is not None
    assert single.high is not None
    assert single.high < 0.003
    assert burst.high is not None
    assert even.high is not None
    assert even.high < 0.05 < burst.high
    assert even.effective == 3000


@pytest.mark.slow
def test_error_rates_are_held_by_about_95_of_100_intervals() -> None:
    """Independent errors of 5 %, and the same rate in bursts of 20 that stay within a block."""
    rng = np.random.default_rng(10)
    for size in (1, 20):
        hits = rng.binomial(300 // size, 0.05, size=(500, 10)) * size
        held = sum(_holds(share(one.tolist(), [300 // size * size] * 10), 0.05) for one in hits)
        assert 0.91 <= held / 500 <= 0.995, size


def test_one_block_tells_nothing_about_how_requests_hang_together() -> None:
    one = [Block([1.0], [10])]
    with pytest.raises(ValueError, match="two blocks"):
        quantile(one, 0.5)
    with pytest.raises(ValueError, match="two blocks"):
        share([0], [10])
    with pytest.raises(ValueError, match="two blocks"):
        ratio(one, one, 0.5)
    with pytest.raises(ValueError, match="goes with each"):
        ratio(one, one * 2, 0.5)


def test_nothing_measured_is_no_figure() -> None:
    nothing = [Block([], []), Block([], [])]
    assert quantile(nothing, 0.5) is None
    assert ratio(nothing, nothing, 0.5) is None


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 50), max_size=60), min_size=2, max_size=8),
    st.sampled_from([0.5, 0.9, 0.99, 0.999]),
)
def test_quantile_is_the_sorted_one_and_lies_in_its_interval(samples: list[list[int]], p: float) -> None:
    """Against numpy's inverted distribution function, on any blocks."""
    found = quantile([_block(np.array(sample, dtype=float)) for sample in samples], p)
    values = [value for sample in samples for value in sample]
    if not values:
        assert found is None
        return
    assert found is not None
    assert found.value == np.quantile(values, p, method="inverted_cdf")
    assert found.low is None or found.low <= found.value
    assert found.high is None or found.value <= found.high
    assert 1 <= found.effective <= len(values)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=2, max_size=10))
def test_effective_size_is_at_most_what_was_counted(hits: list[int]) -> None:
    size = effective_size(np.array(hits, dtype=float), np.full(len(hits), 20.0))
    assert 1 <= size <= 20 * len(hits)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.1, 10), st.integers(0, 1000))
def test_a_ratio_scales_with_the_candidate(stretch: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = _independent(rng, 1000), _independent(rng, 1000)
    plain = ratio([_exact(x) for x in np.split(ours, 5)], [_exact(x) for x in np.split(theirs, 5)], 0.9)
    scaled = ratio([_exact(x * stretch) for x in np.split(ours, 5)], [_exact(x) for x in np.split(theirs, 5)], 0.9)
    assert plain is not None
    assert scaled is not None
    assert scaled.value == pytest.approx(plain.value * stretch)
    assert scaled.low == pytest.approx((plain.low or 0) * stretch, rel=0.05)
    assert scaled.high == pytest.approx((plain.high or 0) * stretch, rel=0.05)
