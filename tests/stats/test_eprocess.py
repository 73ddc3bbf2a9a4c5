"""The e-process is the one of the design page, keeps its promise at every look, and sees regressions soon."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.stats import eprocess

counts = st.tuples(st.integers(0, 60), st.integers(0, 3000)).flatmap(
    lambda n: st.tuples(st.tuples(st.integers(0, n[0]), st.integers(0, n[1])), st.just(n))
)
margins = st.sampled_from([1.0, 1.1, 1.25, 1.5])


def run(process: eprocess.EProcess, windows: list[tuple[tuple[int, int], tuple[int, int]]]) -> eprocess.EProcess:
    for bad, requests in windows:
        process = eprocess.update(process, bad=bad, requests=requests)
    return process


def test_the_published_test_vector_to_six_digits() -> None:
    process = eprocess.begin()
    seen = []
    for x, y, canary, stable in ((5, 2, 5, 495), (1, 3, 50, 950), (0, 4, 250, 4750)):
        process = eprocess.update(process, bad=(x, y), requests=(canary, stable))
        seen.append(eprocess.log_e(process))
    assert seen == pytest.approx([18.902304, 14.280475, 9.665132], abs=5e-7)


def test_the_margin_bets_as_written_down() -> None:
    """One window against the formula of section B, worked out for one alternative."""
    process = eprocess.EProcess((2.5,), (0.0,), 1.25)
    got = eprocess.update(process, bad=(3, 4), requests=(100, 900))
    w = 0.1
    want = 3 * math.log(2.5 / 1.25) - 7 * (math.log(1 + w * 1.5) - math.log(1 + w * 0.25))
    assert eprocess.log_e(got) == pytest.approx(want, rel=1e-12)


@given(st.integers(0, 500), st.integers(0, 500), margins)
def test_no_bad_outcome_and_no_data_are_neutral(canary: int, stable: int, margin: float) -> None:
    process = eprocess.begin(margin=margin)
    assert eprocess.update(process, bad=(0, 0), requests=(canary, stable)) == process
    assert eprocess.log_e(process) == pytest.approx(0.0)


@given(st.integers(0, 40), st.integers(1, 40), margins)
def test_one_arm_alone_is_never_evidence_against_the_canary(bad: int, more: int, margin: float) -> None:
    """With every request on one arm there is nothing to compare with."""
    process = eprocess.begin(margin=margin)
    requests = bad + more
    only_canary = eprocess.update(process, bad=(bad, 0), requests=(requests, 0))
    only_stable = eprocess.update(process, bad=(0, bad), requests=(0, requests))
    assert eprocess.log_e(only_canary) <= 1e-9
    assert eprocess.log_e(only_stable) <= 1e-9


@given(st.lists(counts, max_size=6), margins)
def test_the_order_of_windows_does_not_matter(
    windows: list[tuple[tuple[int, int], tuple[int, int]]], margin: float
) -> None:
    process = eprocess.begin(margin=margin)
    there, back = run(process, windows), run(process, windows[::-1])
    assert there.sums == pytest.approx(back.sums, abs=1e-9)


@given(st.lists(counts, min_size=1, max_size=4), margins)
def test_a_worse_canary_is_never_less_evidence(
    windows: list[tuple[tuple[int, int], tuple[int, int]]], margin: float
) -> None:
    """Moving one bad outcome from stable to the canary raises E, totals being equal."""
    process = eprocess.begin(margin=margin)
    moved = [((x + 1, y - 1), (nc, ns)) if x < nc and y > 0 else ((x, y), (nc, ns)) for (x, y), (nc, ns) in windows]
    assert eprocess.log_e(run(process, moved)) >= eprocess.log_e(run(process, windows)) - 1e-9


@given(st.lists(counts, min_size=1, max_size=5))
def test_shards_of_one_window_merge_by_their_sums(shards: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    (x, y), (canary, stable) = eprocess.pooled(shards)
    assert (x, y) == (sum(s[0][0] for s in shards), sum(s[0][1] for s in shards))
    assert (canary, stable) == (sum(s[1][0] for s in shards), sum(s[1][1] for s in shards))


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="impossible"):
        eprocess.update(eprocess.begin(), bad=(2, 0), requests=(1, 5))
    with pytest.raises(ValueError, match="margin"):
        eprocess.begin(margin=0.9)


def binomial(n: int, p: float) -> list[float]:
    return [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


def expected(process: eprocess.EProcess, canary: int, stable: int, mine: float, theirs: float) -> float:
    """The mean of E after one window, over every outcome that independent requests can have."""
    return math.fsum(
        px * py * math.exp(eprocess.log_e(eprocess.update(process, bad=(x, y), requests=(canary, stable))))
        for x, px in enumerate(binomial(canary, mine))
        for y, py in enumerate(binomial(stable, theirs))
    )


@pytest.mark.parametrize("theirs", [0.02, 0.3, 0.6])
@pytest.mark.parametrize(("canary", "stable"), [(1, 9), (4, 4), (9, 2)])
def test_under_the_null_no_window_is_worth_more_than_it_costs(canary: int, stable: int, theirs: float) -> None:
    """The mean of E over every outcome, worked out: never above 1, whichever side, margin and alternatives."""
    weights = (0.1, 0.15, 0.2, 0.2, 0.15, 0.12, 0.08)
    for ratio in (1.0, 1.25, 1.5):
        one = eprocess.begin(eprocess.COMMON, ratio, weights=weights)
        both = eprocess.begin(eprocess.COMMON, ratio, two_sided=True)
        for edge in (ratio, 1.0, 1 / ratio):
            assert expected(one, canary, stable, edge * theirs, theirs) <= 1 + 1e-9
            assert expected(both, canary, stable, edge * theirs, theirs) <= 1 + 1e-9
    below = eprocess.begin_below((0.5, 0.75, 1.0, 1.25), 1.5)
    for mine in (1.5 * theirs, min(1.0, 3 * theirs)):
        assert expected(below, canary, stable, mine, theirs) <= 1 + 1e-9


@pytest.mark.parametrize("together", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_copies_of_requests_are_no_evidence_however_both_arms_depend(together: float, share: float) -> None:
    """Four requests, some copied: the answers of both arms may agree always, never, or by chance."""
    process, rate, requests = eprocess.begin(eprocess.COMMON, 1.0, two_sided=True), 0.4, 4
    pairs = {(1, 1): rate * together, (1, 0): rate * (1 - together), (0, 1): rate * (1 - together)}
    pairs[0, 0] = 1 - sum(pairs.values())
    table = {(0, 0, 0, 0): 1.0}
    for _ in range(requests):
        after: dict[tuple[int, int, int, int], float] = {}
        for (x, y, canary, stable), chance in table.items():
            for (mine, theirs), p in pairs.items():
                copied = (x + mine, y + theirs, canary + 1, stable + 1)
                alone = (x, y + theirs, canary, stable + 1)
                after[copied] = after.get(copied, 0.0) + chance * share * p
                after[alone] = after.get(alone, 0.0) + chance * (1 - share) * p
        table = after
    mean: dict[int, list[float]] = {}
    for (x, y, canary, stable), chance in table.items():
        won = eprocess.update(process, bad=(x, y), requests=(canary, stable), copies=True)
        mean.setdefault(canary, []).append(chance * math.exp(eprocess.log_e(won)))
    assert math.fsum(map(math.fsum, mean.values())) <= 1 + 1e-9


@given(
    st.lists(st.tuples(counts, st.booleans()), max_size=8),
    st.sampled_from([(0.5, 0.25, 0.25), (0.7, 0.3)]),
)
def test_one_sum_remembers_every_start(
    story: list[tuple[tuple[tuple[int, int], tuple[int, int]], bool]], shares: tuple[float, ...]
) -> None:
    """What is remembered equals the mean of bets that began one after the other; those to come count 1."""
    merged = eprocess.begin(margin=1.25, staked=shares[0])
    apart, later = [eprocess.begin(margin=1.25)], list(shares[1:])
    for (bad, requests), opens in story:
        if opens and later:
            merged = eprocess.stake(merged, later.pop(0))
            apart.append(eprocess.begin(margin=1.25))
        merged = eprocess.update(merged, bad=bad, requests=requests)
        apart = [eprocess.update(one, bad=bad, requests=requests) for one in apart]
    values = [*(eprocess.log_e(one) for one in apart), *(0.0 for _ in later)]
    assert eprocess.log_e(merged) == pytest.approx(eprocess.log_mean(values, shares), abs=1e-9)
    assert eprocess.stake(eprocess.begin(), 0.5) == eprocess.begin(), "there is nothing left to bet"


def test_routed_counts_are_evidence_of_an_arm_that_is_counted_too_little() -> None:
    tilt = eprocess.begin((1.05, 1.2, 1.5), 1.05, two_sided=True)
    fair = lost = tilt
    for _ in range(50):
        fair = eprocess.routed(fair, counted=(100, 900), weight=0.1)
        lost = eprocess.routed(lost, counted=(80, 900), weight=0.1)
    assert eprocess.log_e(fair) < 0
    assert eprocess.log_e(lost) > math.log(100)
    assert eprocess.routed(tilt, counted=(0, 0), weight=0.1) == tilt
    with pytest.raises(ValueError, match="impossible"):
        eprocess.routed(tilt, counted=(-1, 5), weight=0.1)


def test_routed_counts_are_fair_at_the_router_s_weight() -> None:
    tilt = eprocess.begin((1.05, 1.5, 20.0), two_sided=True)
    for weight in (0.01, 0.3, 0.9):
        mean = math.fsum(
            p * math.exp(eprocess.log_e(eprocess.routed(tilt, counted=(x, 12 - x), weight=weight)))
            for x, p in enumerate(binomial(12, weight))
        )
        assert mean == pytest.approx(1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ratios": (0.5,)},
        {"ratios": ()},
        {"staked": 0.0},
        {"weights": (1.0,)},
        {"weights": (0.5,) * 9},
    ],
)
def test_bets_that_make_no_sense_are_refused(wrong: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="must"):
        eprocess.begin(**wrong)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="below the margin"):
        eprocess.begin_below((1.5, 2.0), 2.0)


def test_a_mean_of_evidence_stays_finite() -> None:
    assert eprocess.log_mean([2000.0, 0.0]) == pytest.approx(2000.0 - math.log(2))
    assert eprocess.log_mean([]) == 0.0
    assert math.isfinite(eprocess.e_value(1e9))


def ever_reached(
    margin: float, ratio: float, *, runs: int, rate: float, seed: int, wobble: float = 0.0
) -> tuple[int, list[int]]:
    """Simulate rollouts of 1/5/25/50 %, 30 windows of 10 s each, 50/s: how many reached 100, and when."""
    random = np.random.default_rng(seed)
    reached, needed = 0, []
    for _ in range(runs):
        process, canary_total = eprocess.begin(margin=margin), 0
        for weight in (0.01, 0.05, 0.25, 0.5):
            n = random.poisson(500, 30)
            canary = random.binomial(n, weight)
            base = rate * np.exp(random.normal(0, wobble, 30))
            x = random.binomial(canary, np.minimum(1, base * ratio))
            y = random.binomial(n - canary, np.minimum(1, base))
            for window in range(30):
                canary_total += int(canary[window])
                process = eprocess.update(
                    process,
                    bad=(int(x[window]), int(y[window])),
                    requests=(int(canary[window]), int(n[window] - canary[window])),
                )
                if eprocess.log_e(process) >= math.log(100):
                    reached += 1
                    needed.append(canary_total)
                    break
            else:
                continue
            break
    return reached, needed


@pytest.mark.parametrize(
    ("margin", "ratio", "rate", "wobble"),
    [(1.0, 1.0, 0.005, 0.0), (1.0, 1.0, 0.02, 1.0), (1.25, 1.0, 0.005, 0.0), (1.25, 1.25, 0.02, 0.0)],
)
def test_a_healthy_canary_reaches_100_in_at_most_one_rollout_of_a_hundred(
    margin: float, ratio: float, rate: float, wobble: float
) -> None:
    """400 rollouts at the edge of the null: 10 or more false rollbacks would refute 1 % (binomial tail 0.8 %)."""
    reached, _ = ever_reached(margin, ratio, runs=400, rate=rate, seed=7, wobble=wobble)
    assert reached < 10


@pytest.mark.parametrize(("margin", "most"), [(1.0, 400), (1.25, 500)])
def test_five_times_the_errors_are_seen_within_some_hundred_canary_requests(margin: float, most: int) -> None:
    reached, needed = ever_reached(margin, 5.0, runs=60, rate=0.005, seed=11)
    assert reached == 60
    assert sorted(needed)[30] < most
