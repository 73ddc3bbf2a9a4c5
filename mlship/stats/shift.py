"""How far counts have moved from a baseline's: PSI and Wasserstein's distance over the same bins. Plain arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from mlship.stats import buckets
from mlship.types.monitoring import Bins, Column, Counts


def psi(now: Counts, then: Counts) -> float:
    """Population stability index, sum((c - r) ln(c / r)) over the positions, less what chance alone adds on average.

    As `distances.psi`: a position that is empty on one side counts half a row there; samples of n and m rows of one
    distribution have a PSI of about (positions - 1) (1/n + 1/m) on average, which is taken off. At least 0; 0 when a
    side has no rows.
    """
    n, m = sum(now), sum(then)
    if not (n and m):
        return 0.0
    found = _shares(now, then)
    used = sum(1 for share in found if share is not None)
    return max(0.0, sum(_part(share) for share in found) - (used - 1) * (1 / n + 1 / m))


def parts(now: Counts, then: Counts, bins: Bins) -> list[tuple[str, float, float, float]]:
    """Of every position that is not empty: what it holds, its share then, its share now, its part of the PSI.

    The largest part first. Bins of numbers read as `5 to 10` (above 5, up to 10), to within 2 %.
    """
    names = [*labels(bins), "unseen", "missing", "not a number" if bins.kind == "numbers" else "not a category"]
    n, m = max(sum(now), 1), max(sum(then), 1)
    rows = zip(names, now, then, _shares(now, then), strict=True)
    found = [(name, r / m, c / n, _part(share)) for name, c, r, share in rows if share is not None]
    return sorted(found, key=lambda part: -part[3])


def wasserstein(now: Counts, column: Column) -> float | None:
    """Wasserstein's first distance of numbers from the baseline, in its standard deviations: missing cells left out.

    All rows of a bin stand at the baseline's mean of that bin, so that a move within a bin is not seen, and one beyond
    the baseline's range counts as one to its outermost bins: it is a lower bound there.
    None for categories, without rows, or without a deviation.
    """
    size, unit = column.bins.size, column.deviation
    ours, theirs = now[:size], column.counts[:size]
    n, m = sum(ours), sum(theirs)
    if len(column.middles) != size or not (n and m) or unit is None or not math.isfinite(unit) or unit <= 0:
        return None
    below, total = 0.0, 0.0
    for place, (at, following) in enumerate(pairwise(column.middles)):
        below += ours[place] / n - theirs[place] / m
        total += abs(below) * (following - at)
    return total / unit


def labels(bins: Bins) -> list[str]:
    """What each bin holds, as people would write it; numbers to within 2 %."""
    if bins.kind == "categories":
        return list(bins.names)
    if not bins.bounds:
        return ["any number"]
    ends = (None, *bins.bounds, None)
    found = []
    for place, (low, high) in enumerate(pairwise(ends)):
        alone = low is not None and high == low + 1
        following = ends[place + 2] if high is not None else None
        # What lies before a value with a bin of its own is below that value.
        value = shown(following) if high is not None and following == high + 1 else None
        if high is None:
            found.append(f"above {shown(bins.bounds[-1])}")
        elif alone:
            found.append(shown(high))
        elif low is None:
            found.append(f"below {value}" if value else f"{shown(high)} or less")
        else:
            found.append(f"between {shown(low)} and {value}" if value else f"{shown(low)} to {shown(high)}")
    return found


def shown(index: int) -> str:
    """A number of a bucket, with as few digits as tell it from those of other buckets."""
    middle = buckets.middle(index)
    texts = (f"{middle:.{digits}g}" for digits in range(1, 5))
    text = next((text for text in texts if buckets.bucket(float(text)) == index), f"{middle:.4g}")
    number = float(text)
    return f"{number:,.0f}" if number.is_integer() and 1000 <= abs(number) < 1e15 else f"{number:g}"


def _shares(now: Sequence[int], then: Sequence[int]) -> list[tuple[float, float] | None]:
    """Shares (now, then) with half a row where one side has none; None where both are empty."""
    pairs = [(c or 0.5, r or 0.5) if c or r else None for c, r in zip(now, then, strict=True)]
    n, m = (sum(pair[side] for pair in pairs if pair is not None) or 1.0 for side in (0, 1))
    return [None if pair is None else (pair[0] / n, pair[1] / m) for pair in pairs]


def _part(share: tuple[float, float] | None) -> float:
    return 0.0 if share is None else (share[0] - share[1]) * math.log(share[0] / share[1])
