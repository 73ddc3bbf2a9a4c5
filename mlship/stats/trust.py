"""Do labels bear out what was estimated before they came?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlship.types.monitoring import Reached

#: The share of periods that 95 % intervals may miss before anything is wrong: they are themselves estimated.
MISSED = 0.1
#: So rarely does chance alone switch off, a look.
_LEVEL = 0.005
#: Periods looked back on: a quarter of weeks.
LATEST = 13
#: Normal quantile of a two-sided 95 % interval, and how many standard errors make a bias clear.
_Z, _CLEAR = 1.959964, 3.5
#: Fewer periods than this show no bias.
_FEWEST = 4


def trusted(pairs: Sequence[tuple[Reached, Reached]]) -> tuple[bool, str]:
    """Whether (estimated, realised) of past periods, oldest first, bear the estimates out, and why or why not.

    The last 13 are looked at. Estimates are off when more of them missed than intervals that hold 90 % would miss but
    once in 200 (binomial), or when they are clearly biased: realised values lie to one side by more than half the
    interval's reach on the mean, and by more than 3.5 standard errors. Without labels yet nothing speaks against them.
    """
    told = [(one, other) for one, other in pairs if one.low is not None and one.high is not None][-LATEST:]
    n = len(told)
    if not n:
        return True, "no labels have come yet to check it by"
    missed = sum(not one.low <= other.value <= one.high for one, other in told)  # type: ignore[operator]  # looked above
    if missed >= _too_many(n):
        return False, f"in {missed} of the last {n} weeks with labels the estimate's interval missed what came"
    scores = [_score(one, other.value) for one, other in told]
    mean = math.fsum(scores) / n
    if n >= _FEWEST and abs(mean) > _Z / 2 and abs(mean) * math.sqrt(n) > _CLEAR:
        side = "above" if mean < 0 else "below"
        return False, f"over the last {n} weeks with labels the estimate lay clearly {side} what came"
    weeks = "the week" if n == 1 else f"{n - missed} of the last {n} weeks"
    return True, f"what came was within the estimate's interval in {weeks} with labels" if missed < n else (
        "in the only week with labels the estimate's interval missed what came"
    )


@lru_cache(64)
def _too_many(n: int) -> int:
    """The fewest misses among n periods that are too many."""
    from scipy.stats import binom

    return next(count for count in range(1, n + 2) if float(binom.sf(count - 1, n, MISSED)) < _LEVEL)


def _score(estimated: Reached, realised: float) -> float:
    """How far the realised value lies from the estimated one, in standard errors, cut at +-4: one week is no bias."""
    assert estimated.low is not None, "its interval is known"
    assert estimated.high is not None, "its interval is known"
    reach = max(estimated.high - estimated.value, estimated.value - estimated.low, 1e-12)
    return max(-4.0, min(4.0, _Z * (realised - estimated.value) / reach))
