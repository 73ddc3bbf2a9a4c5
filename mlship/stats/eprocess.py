"""E-processes for 0/1 outcomes in two arms: evidence against "the canary is not worse", valid at every look.

Pure functions on frozen state. Sources: Lindon & Malek, Anytime-Valid Inference for Multinomial Count Data (NeurIPS
2022), windowed; Hoeffding (1963), Theorem 4: the bound that assumes nothing about traffic or about the common rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

#: Alternatives (canary rate over stable rate) to bet on when bad outcomes are rare.
RARE: tuple[float, ...] = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)
#: Alternatives for base rates near 10 % and above, where a large ratio cannot happen.
COMMON: tuple[float, ...] = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)

#: One window: (bad in canary, bad in stable), (requests in canary, requests in stable).
Window = tuple[tuple[int, int], tuple[int, int]]

#: A share of the stake that is this close to all that is left is all of it.
_ROUNDING = 1e-9
#: exp() of more than this does not fit a float.
_LARGEST_LOG = 700.0


@dataclass(frozen=True, slots=True)
class EProcess:
    """One bet per alternative, and what each has won so far."""

    grid: tuple[float, ...]
    """Alternative ratios psi, each outside the null."""
    sums: tuple[float, ...]
    """Log wealth of the bet on each psi, stakes of later starts included; the whole memory of the process."""
    margin: float = 1.0
    """Edge of the null: the largest tolerated ratio rho0 of the canary's rate over stable's; 1 is no worse at all."""
    weights: tuple[float, ...] = ()
    """Share of the stake on each psi, fixed in advance; empty: equal shares."""
    idle: float = 0.0
    """Share of the stake that is kept for later starts (see `stake`): it neither wins nor loses."""
    below: bool = False
    """The null is turned round: the ratio is the margin or more."""


def begin(
    ratios: Sequence[float] = RARE,
    margin: float = 1.0,
    *,
    weights: Sequence[float] = (),
    two_sided: bool = False,
    staked: float = 1.0,
) -> EProcess:
    """A process that has seen nothing.

    Parameters
    ----------
    ratios
        Alternatives relative to the margin, each above 1: the grid is `margin * ratio`.
    margin
        Largest tolerated ratio, at least 1.
    weights
        How much to bet on each ratio, summing to 1; equal shares unless given.
    two_sided
        Bet, with half of everything, on the reciprocals too: the null is a ratio from `1 / margin` to `margin`.
    staked
        Share of the stake that bets from now on; the rest waits for `stake`.
    """
    if margin < 1 or not ratios or min(ratios) <= 1 or not 0 < staked <= 1:
        raise ValueError("the margin must be at least 1, every ratio above 1, and the stake within 0 and 1")
    if weights and (len(weights) != len(ratios) or abs(sum(weights) - 1) > 1e-9):
        raise ValueError("the weights must be as many as the ratios, and sum to 1")
    grid, shares = tuple(margin * ratio for ratio in ratios), tuple(weights)
    if two_sided:
        grid = (*grid, *(1 / psi for psi in grid))
        shares = (*(share / 2 for share in shares), *(share / 2 for share in shares))
    return EProcess(grid, (math.log(staked),) * len(grid), margin, shares, 1 - staked)


def begin_below(ratios: Sequence[float], margin: float) -> EProcess:
    """A process that has seen nothing, against "the ratio is `margin` or more"; `ratios` are absolute, and below it."""
    if not ratios or max(ratios) >= margin or min(ratios) <= 0:
        raise ValueError("every ratio must be above 0 and below the margin")
    return EProcess(tuple(ratios), (0.0,) * len(ratios), margin, below=True)


def stake(process: EProcess, share: float) -> EProcess:
    """The process with `share` of its whole stake taken from `idle`, and put on every alternative from now on.

    Each start is an e-process of its own that counts 1 before it opens, and their mean with shares fixed in advance is
    one again; since open starts grow alike from there, one sum per alternative remembers them all.
    """
    if process.idle <= 0 or share <= 0:
        return process
    share = process.idle if share > process.idle - _ROUNDING else share
    sums = tuple(max(s, log) + math.log1p(math.exp(-abs(s - log))) for log in (math.log(share),) for s in process.sums)
    return replace(process, sums=sums, idle=process.idle - share)


def update(process: EProcess, *, bad: tuple[int, int], requests: tuple[int, int], copies: bool = False) -> EProcess:
    """The process after one window of constant weight; (canary, stable) each.

    Without a margin this is the conditional bet with Hoeffding's bound: given the window's totals, the canary's part
    of the bad outcomes is hypergeometric, whatever the common rate does. With a margin rho0 it is the bet on
    psi / rho0: fair at most, when outcomes are independent and the ratio is rho0 or less. A window without requests,
    or without anything bad, changes nothing.

    Parameters
    ----------
    copies
        The canary got copies of requests that stable answered too. Then only the first of Hoeffding's two bounds
        holds: a request that is bad on both sides counts `psi / (1 + w (psi - 1))^2 <= 1`, and one that is bad on one
        side is as likely bad on the other.

    Raises ``ValueError`` for counts that cannot be (negative, or more bad than requests).
    """
    return update_all(process, (((bad[0], bad[1]), requests),), copies=copies)


def update_all(process: EProcess, windows: Iterable[Window], *, copies: bool = False) -> EProcess:
    """The process after several windows, in one go; see `update`."""
    sides = _sides(process.grid, process.margin, process.below)
    exact = process.margin == 1.0 and not process.below and not copies
    sums = list(process.sums)
    log1p, moved = math.log1p, False
    for (x, y), (canary, stable) in windows:
        if not (0 <= x <= canary and 0 <= y <= stable):
            raise ValueError(f"impossible counts: {x} bad of {canary}, {y} bad of {stable}")
        m, n = x + y, canary + stable
        if m == 0:
            continue
        moved, w, q = True, canary / n, m / n
        for null, points in sides:
            edge = m * log1p(w * null)
            for i, more, log in points:
                cost = m * log1p(w * more) - edge
                sums[i] += x * log - (min(cost, canary * log1p(q * more)) if exact else cost)
    return with_sums(process, sums) if moved else process


def routed(process: EProcess, *, counted: tuple[int, int], weight: float) -> EProcess:
    """The process after one window in which the router gave the canary `weight` (0 to 1) of everything.

    It bets on how much more often the canary's share was counted than stable's: missing telemetry, or a sample-ratio
    mismatch. `counted` is (canary, stable).

    Raises ``ValueError`` for counts or weights that cannot be.
    """
    x, m = counted[0], counted[0] + counted[1]
    if min(counted) < 0 or not 0 <= weight <= 1:
        raise ValueError(f"impossible: {counted} counted at a weight of {weight}")
    if m == 0 or weight in (0.0, 1.0):
        return process
    sums = list(process.sums)
    for null, points in _sides(process.grid, process.margin, process.below):
        edge = math.log1p(weight * null)
        for i, more, log in points:
            sums[i] += x * log - m * (math.log1p(weight * more) - edge)
    return with_sums(process, sums)


def with_sums(process: EProcess, sums: Iterable[float]) -> EProcess:
    """The process with other sums; a look makes many, and this takes a fraction of ``dataclasses.replace``."""
    return EProcess(process.grid, tuple(sums), process.margin, process.weights, process.idle, process.below)


@lru_cache(maxsize=512)
def _sides(
    grid: tuple[float, ...], margin: float, below: bool
) -> tuple[tuple[float, tuple[tuple[int, float, float], ...]], ...]:
    """Per edge rho of the null, rho - 1 and its alternatives psi: index, psi - 1, ln(psi / rho)."""
    sides: dict[float, list[tuple[int, float, float]]] = {}
    for index, psi in enumerate(grid):
        null = margin if below or psi > 1 else 1 / margin
        sides.setdefault(null - 1, []).append((index, psi - 1, math.log(psi / null)))
    return tuple((null, tuple(points)) for null, points in sides.items())


def log_e(process: EProcess) -> float:
    """Natural logarithm of the e-value: the average of the bets' wealth. 0 when nothing was seen."""
    log = log_mean(process.sums, process.weights or None)
    if process.idle <= 0:
        return log
    idle = math.log(process.idle)
    return max(log, idle) + math.log1p(math.exp(-abs(log - idle)))


def log_mean(logs: Sequence[float], shares: Sequence[float] | None = None) -> float:
    """Logarithm of the weighted mean of exp(logs); equal shares unless given.

    A mean of e-processes is one again under any dependence, which is how several signals keep one promise. No logs at
    all are neutral: 0.
    """
    if not logs:
        return 0.0
    if shares is None:
        shares = (1 / len(logs),) * len(logs)
    top = max(logs)
    return top + math.log(sum(share * math.exp(log - top) for log, share in zip(logs, shares, strict=True)))


def e_value(log: float) -> float:
    """exp(log), kept finite so that it can be written down as JSON."""
    return math.exp(min(log, _LARGEST_LOG))


def pooled(windows: Iterable[Window]) -> Window:
    """Sum the (bad, requests) counts of several shards of one window. Never pool windows of different weights."""
    x = y = canary = stable = 0
    for (bad_canary, bad_stable), (requests_canary, requests_stable) in windows:
        x, y = x + bad_canary, y + bad_stable
        canary, stable = canary + requests_canary, stable + requests_stable
    return (x, y), (canary, stable)
