"""Bins of a baseline's column, and cells counted in them: from rows and from exported sketches, with the same result.

Bins of numbers end where DDSketch's buckets do (`buckets.py`), so that a sketch can be counted without its rows.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise

from mlship.stats import buckets
from mlship.stats.placing import counted, positions, sketched
from mlship.stats.since import between
from mlship.stats.sketches import ColumnSketch
from mlship.types.monitoring import Bins, Counts

#: Categories with a bin of their own, when a sketch had to give up the rare ones. Until then all have one.
NAMES = 50
#: So few distinct numbers may be codes: each has a bin, and so have the gaps between them and both ends.
_FEW = 20
__all__ = [
    "added",
    "between",
    "counted",
    "cut",
    "cut_scores",
    "first_positive",
    "middles",
    "of_sketch",
    "positions",
    "sketched",
]


def cut(sketch: ColumnSketch, most: int = 10) -> Bins:
    """Bins of a baseline column, numbers or categories by what it mostly holds.

    Numbers: at most `most` bins of about as many rows each; a value (a bucket of 2 %) that has more rows than that is a
    bin of its own, and the others share the rest. A column of at most 20 values has a bin for each, and for the gaps.
    Categories: one bin each, up to the 128 that a sketch tells apart; of more, the 50 most frequent. Then `unseen` has
    rows in the baseline, too: it is the share of all the rare ones.
    """
    if sketch.categories.count > sketch.numbers.count:
        return Bins("categories", names=_names(sketch))
    found = _sorted(sketch)
    if 0 < len(found) <= _FEW:
        ends = {end for index, _ in found for end in (index - 1, index) if -buckets.INFINITY <= end < buckets.INFINITY}
        return Bins("numbers", tuple(sorted(ends)))
    return Bins("numbers", _quantiles(found, most))


def cut_scores(sketch: ColumnSketch, threshold: float | None, most: int = 40) -> Bins:
    """Bins of scores: finer, and a bin begins at the threshold, so that `predicted positive` is a set of bins.

    It begins with the bucket that holds the threshold: scores up to 2 % (of themselves) below it count as reaching it.
    """
    bounds = set(_quantiles(_sorted(sketch), most))
    if threshold is not None:
        bounds.add(buckets.bucket(threshold) - 1)
    return Bins("numbers", tuple(sorted(bounds)))


def first_positive(bins: Bins, threshold: float) -> int:
    """The position of the first bin of `cut_scores` that reaches the threshold; those after it do, too."""
    return bisect_left(bins.bounds, buckets.bucket(threshold))


def of_sketch(sketch: ColumnSketch, bins: Bins) -> Counts:
    """Counts by position of all that a sketch has seen: those of its rows, as long as it knows every category.

    Of a column of more than 128 categories a sketch forgets rare ones: those are `unseen` then.
    """
    counts = [0] * bins.width
    if bins.kind == "numbers":
        for index, times in _sorted(sketch):
            counts[bisect_left(bins.bounds, index)] += times
        counts[bins.unlike] = sketch.categories.count
    else:
        known = {text: place for place, text in enumerate(bins.names)}
        counts[bins.unseen] = sketch.categories.other
        for text, times in sketch.categories.counts.items():
            counts[known.get(text, bins.unseen)] += times
        counts[bins.unlike] = sketch.numbers.count
    counts[bins.missing] = sketch.missing
    counts[bins.unlike] += sketch.unlike
    return tuple(counts)


def middles(sketch: ColumnSketch, bins: Bins) -> tuple[float, ...]:
    """The mean of the rows in each bin of numbers, within 1 %; where there are none, a number that belongs there."""
    sums, rows = [0.0] * bins.size, [0] * bins.size
    last = buckets.INFINITY - 1
    for index, times in _sorted(sketch):
        place = bisect_left(bins.bounds, index)
        sums[place] += times * buckets.middle(max(-last, min(last, index)))
        rows[place] += times
    inside = [*bins.bounds, bins.bounds[-1] + 1] if bins.bounds else [0]
    empty = [buckets.middle(max(-last, min(last, index))) for index in inside]
    return tuple(total / n if n else other for total, n, other in zip(sums, rows, empty, strict=True))


def added(*counts: Counts) -> Counts:
    """The sum of counts in the same bins; () without any. Raises ``ValueError`` for different bins."""
    return tuple(map(sum, zip(*counts, strict=True)))


def _names(sketch: ColumnSketch) -> tuple[str, ...]:
    """The most frequent categories first; all of them where the sketch still knows all."""
    ordered = sorted(sketch.categories.counts.items(), key=lambda item: (-item[1], item[0]))
    known = [text for text, _ in ordered]
    return tuple(known if not sketch.categories.other else known[:NAMES])


def _sorted(sketch: ColumnSketch) -> list[tuple[int, int]]:
    """(bucket, rows) of the numbers, ascending."""
    found = buckets.counted(sketch.numbers)
    return sorted((index, times) for index, times in found.items() if index != buckets.MISSING and times)


def _quantiles(found: list[tuple[int, int]], most: int) -> tuple[int, ...]:
    """Where at most `most` bins end that hold about as many rows each."""
    left, bins, held = sum(times for _, times in found), most, 0
    ends: list[int] = []
    for (index, times), (_, following) in pairwise(found):
        held += times
        # A bin ends when half of the next bucket would overfill it.
        if bins > 1 and (2 * held + following) * bins > 2 * left:
            ends.append(index)
            left, bins, held = left - held, bins - 1, 0
    return tuple(ends)
