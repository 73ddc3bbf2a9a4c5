"""E-processes about one arm alone: is a share above a limit, or surely below it? Pure; valid at every look.

The likelihood ratio of Bernoulli outcomes (Wald 1945), as a mixture over alternatives that is fixed in advance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlship.stats.eprocess import EProcess, with_sums

#: Alternatives as odds over the limit's odds, so that every share stays below 1.
ODDS: tuple[float, ...] = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
#: Alternatives as shares of the limit. The first is as good as "never", and finite when it happens after all.
SCARCE: tuple[float, ...] = (0.001, 0.1, 0.25, 0.5)
#: Most of the stake is on "never": that costs the fewest requests when nothing bad happens.
SCARCE_WEIGHTS: tuple[float, ...] = (0.7, 0.1, 0.1, 0.1)


def against_at_most(limit: float, *, odds: Sequence[float] = ODDS, staked: float = 1.0) -> EProcess:
    """A process that has seen nothing, against "the share is `limit` (0 to 1) or less"."""
    if not 0 < limit < 1 or not odds or min(odds) <= 1 or not 0 < staked <= 1:
        raise ValueError("the limit must be within 0 and 1, every odds ratio above 1, and the stake within 0 and 1")
    grid = tuple(ratio * limit / (1 + (ratio - 1) * limit) for ratio in odds)
    return EProcess(grid, (math.log(staked),) * len(grid), limit, (), 1 - staked)


def against_at_least(limit: float) -> EProcess:
    """A process that has seen nothing, against "the share is `limit` (0 to 1) or more"."""
    if not 0 < limit < 1:
        raise ValueError("the limit must be within 0 and 1")
    grid = tuple(part * limit for part in SCARCE)
    return EProcess(grid, (0.0,) * len(grid), limit, SCARCE_WEIGHTS, below=True)


def update(process: EProcess, *, bad: int, of: int) -> EProcess:
    """The process after `of` more outcomes, of which `bad` were.

    Fair at most when each outcome, given everything before it, is bad with a chance on the null's side of the limit.
    Raises ``ValueError`` for counts that cannot be.
    """
    if not 0 <= bad <= of:
        raise ValueError(f"impossible counts: {bad} bad of {of}")
    if of == 0:
        return process
    steps = growth(process, bad / of)
    return with_sums(process, (s + of * step for s, step in zip(process.sums, steps, strict=True)))


def growth(process: EProcess, share: float) -> tuple[float, ...]:
    """What each bet wins per outcome, in nats, when `share` of the outcomes are bad."""
    p0 = process.margin
    return tuple(share * math.log(p1 / p0) + (1 - share) * (math.log1p(-p1) - math.log1p(-p0)) for p1 in process.grid)
