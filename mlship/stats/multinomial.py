"""Evidence that two arms draw from different categories: a plug-in bet on what was seen EARLIER. Pure.

Turner, Ly & Gruenwald, Generic E-variables for Exact Sequential k-Sample Tests (2021), with a margin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Weight of stable's frequencies in the guess of the canary's, in observations.
PRIOR = 50.0


def growth(
    past: tuple[Sequence[int], Sequence[int]],
    now: tuple[Sequence[int], Sequence[int]],
    margin: float = 1.0,
) -> float:
    """What the bet wins in one window, in nats: X_k ln(pc_k / p0_k) + Y_k ln(ps_k / p0_k), summed over categories k.

    With r_k = pc_k / ps_k that is X_k ln r_k - (X_k + Y_k) ln(1 + w (r_k - 1)): one bet per category on which arm its
    outcomes come from. A margin rho0 moves the null of each to the edge of 1/rho0 .. rho0 that is nearest to r_k, as
    in ``eprocess``; inside of it nothing is bet.

    Parameters
    ----------
    past
        Counts by category of (canary, stable), of EARLIER windows only: a bet that peeks at its own window is void.
    now
        Counts of this window.
    margin
        Largest ratio, either way, by which a category may be more frequent.
    """
    (before_canary, before_stable), (canary, stable) = past, now
    total_stable = sum(before_stable) + 0.5 * len(before_stable)
    guess_stable = [(count + 0.5) / total_stable for count in before_stable]
    total_canary = sum(before_canary) + PRIOR
    n = sum(canary) + sum(stable)
    if n == 0:
        return 0.0
    w, won = sum(canary) / n, 0.0
    for seen, usual, x, y in zip(before_canary, guess_stable, canary, stable, strict=True):
        ratio = (seen + PRIOR * usual) / total_canary / usual
        null = min(max(ratio, 1 / margin), margin)
        if ratio != null and x + y:
            won += x * math.log(ratio / null) - (x + y) * (math.log1p(w * (ratio - 1)) - math.log1p(w * (null - 1)))
    return won
