"""What is followed of one column from window to window: means, over the rows, of scores between 0 and 1.

A mean of a bounded score behaves well over whatever rows a window has, and each tells of one way to move:

- `level`: numbers, the mid-rank of a cell's bin in the baseline (one half on average): smaller or larger than before.
  Categories, when there are more than are followed one by one: the same with the frequent ones first, so that it
  rises when rows go over to rarer ones.
- `spread`: numbers, |2 rank - 1|: further out than before, or closer to the median.
- `=CATEGORY`: the share of a category among the cells that are there, for the eight most frequent.
- `unseen`: the share of cells that the baseline does not know, or that are of another kind than the column's.
- `missing`: the share of missing cells among all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, compress
from operator import mul

from mlship.types.monitoring import Bins, Counts

#: So many categories are followed one by one.
CATEGORIES = 8


@dataclass(frozen=True, slots=True)
class Stream:
    """One score of a column's cells."""

    name: str
    weights: tuple[float, ...]
    """The score of a cell by its position, from 0 to 1; 0 where it does not count."""
    counted: tuple[bool, ...]
    """Whether a cell at that position is among those that the mean is over."""


def streams(bins: Bins, counts: Counts) -> tuple[Stream, ...]:
    """The streams of a column with these counts in the baseline, always in the same order."""
    there = tuple(place != bins.missing for place in range(bins.width))
    inside = tuple(place < bins.size for place in range(bins.width))

    def share(name: str, places: set[int], among: tuple[bool, ...]) -> Stream:
        return Stream(name, tuple(float(place in places) for place in range(bins.width)), among)

    found = []
    if bins.kind == "numbers":
        ranks = _ranks(range(bins.size), counts)
        found.append(Stream("level", (*ranks, 0.0, 0.0, 0.0), inside))
        found.append(Stream("spread", (*(abs(2 * rank - 1) for rank in ranks), 0.0, 0.0, 0.0), inside))
    else:
        by_rows = sorted(range(bins.size), key=lambda place: (-counts[place], bins.names[place]))
        if bins.size > CATEGORIES:
            found.append(Stream("level", (*_ranks(by_rows, counts), 0.0, 0.0, 0.0), inside))
        # Of two categories one tells all.
        chosen = by_rows[: 1 if bins.size <= 2 else CATEGORIES]
        found += [share(f"={bins.names[place]}", {place}, there) for place in chosen]
    found.append(share("unseen", {bins.unseen, bins.unlike}, there))
    found.append(share("missing", {bins.missing}, (True,) * bins.width))
    return tuple(found)


def value(stream: Stream, counts: Counts) -> tuple[float | None, int]:
    """The mean over a window's rows, and how many those are; None without any."""
    # Cells that do not count have no weight.
    rows = sum(compress(counts, stream.counted))
    return (sum(map(mul, stream.weights, counts)) / rows if rows else None), rows


def _ranks(order: Sequence[int], counts: Counts) -> list[float]:
    """By position, the share of rows in the bins before it in this order, and half of its own."""
    rows = [counts[place] for place in order]
    total = sum(rows)
    ranks = [0.5] * len(rows)
    if total:
        for place, own, until in zip(order, rows, accumulate(rows), strict=True):
            ranks[place] = (until - own / 2) / total
    return ranks
