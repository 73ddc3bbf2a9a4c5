"""E-processes for 0/1 outcomes in two arms: evidence against "the canary is not worse", valid at every look.

Pure functions on frozen state. Sources: Lindon & Malek, Anytime-Valid Inference for Multinomial Count Data (NeurIPS
2022), windowed; Hoeffding (1963), Theorem 4: the bound that assumes nothing about traffic or about the common rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Alternatives (canary rate over stable rate) to bet on when bad outcomes are rare.
RARE: tuple[float, ...] = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)
#: Alternatives for base rates near 10 % and above, where a large ratio cannot happen.
COMMON: tuple[float, ...] = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)

#: exp() of more than this does not fit a float.
_LARGEST_LOG = 700.0


@dataclass(frozen=True, slots=True)
class EProcess:
    """One bet per alternative ratio, and what each has won so far."""

    grid: tuple[float, ...]
    """Alternative ratios psi, each above `margin`."""
    sums: tuple[float, ...]
    """Log wealth of the bet on each psi; the whole memory of the process."""
    margin: float = 1.0
    """Largest tolerated ratio rho0 of the canary's rate over stable's; 1 means no worse at all."""


def begin(ratios: Sequence[float] = RARE, margin: float = 1.0) -> EProcess:
    """A process that has seen nothing.

    Parameters
    ----------
    ratios
        Alternatives relative to the margin, each above 1: the grid is `margin * ratio`.
    margin
        Largest tolerated ratio, at least 1.
    """
    if margin < 1 or not ratios or min(ratios) <= 1:
        raise ValueError("the margin must be at least 1, and every ratio above 1")
    return EProcess(tuple(margin * ratio for ratio in ratios), (0.0,) * len(ratios), margin)


def update(process: EProcess, *, bad: tuple[int, int], requests: tuple[int, int]) -> EProcess:
    """The process after one window of constant weight; (canary, stable) each.

    Without a margin this is the conditional bet with Hoeffding's bound: given the window's totals, the canary's part
    of the bad outcomes is hypergeometric, whatever the common rate does. With a margin rho0 it is the bet on
    psi / rho0: fair at most, when outcomes are independent and the ratio is rho0 or less. A window without requests,
    or without anything bad, changes nothing.

    Raises ``ValueError`` for counts that cannot be (negative, or more bad than requests).
    """
    x, y = bad
    canary, stable = requests
    if not (0 <= x <= canary and 0 <= y <= stable):
        raise ValueError(f"impossible counts: {x} bad of {canary}, {y} bad of {stable}")
    m, n = x + y, canary + stable
    if m == 0:
        return process
    w = canary / n
    if process.margin == 1.0:
        q = m / n
        steps = (
            x * math.log(psi) - min(m * math.log1p(w * (psi - 1)), canary * math.log1p(q * (psi - 1)))
            for psi in process.grid
        )
    else:
        rho = process.margin
        null = math.log1p(w * (rho - 1))
        steps = (x * math.log(psi / rho) - m * (math.log1p(w * (psi - 1)) - null) for psi in process.grid)
    return EProcess(process.grid, tuple(s + step for s, step in zip(process.sums, steps, strict=True)), process.margin)


def log_e(process: EProcess) -> float:
    """Natural logarithm of the e-value: the average of the bets' wealth. 0 when nothing was seen."""
    return log_mean(process.sums)


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


def pooled(windows: Iterable[tuple[tuple[int, int], tuple[int, int]]]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Sum the (bad, requests) counts of several shards of one window. Never pool windows of different weights."""
    x = y = canary = stable = 0
    for (bad_canary, bad_stable), (requests_canary, requests_stable) in windows:
        x, y = x + bad_canary, y + bad_stable
        canary, stable = canary + requests_canary, stable + requests_stable
    return (x, y), (canary, stable)
