"""Areas under the ROC and the precision-recall curve in time linear in rows, with the influence of each row on them.

Scores become codes, counted by class; all else happens on at most 65,536 counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlship.stats.linear import chunks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Up to this many rows codes are exact ranks; beyond, neighbouring scores share one.
EXACT = 1 << 16
_CODES = 1 << 16


@dataclass(frozen=True, eq=False)
class Ranked:
    """The rows of one model by score, counted by class."""

    codes: NDArray[Any]
    """The place of each row's score among all scores, 0 the lowest; equal scores share one. Shape (n,)."""
    hits: Floats
    """Rows of the positive class by code, shape (codes,)."""
    misses: Floats
    """Rows of the other class by code."""
    edges: Floats
    """The lowest score of each code."""

    @classmethod
    def of(cls, positive: NDArray[np.bool_], score: NDArray[Any]) -> Ranked:
        """Count the rows; raises ``ValueError`` for scores that are not finite."""
        import numpy as np

        codes, edges = ranks(score)
        size = len(edges)
        counts = np.zeros(2 * size)
        for part in chunks(len(codes)):
            place = codes[part].astype(np.int32) + np.where(positive[part], size, 0).astype(np.int32)
            counts += np.bincount(place, minlength=2 * size)
        return cls(codes, counts[size:], counts[:size], edges)

    @cached_property
    def above(self) -> tuple[Floats, Floats]:
        """Positive rows, and all rows, that score at least as high, by code."""
        import numpy as np

        return np.cumsum(self.hits[::-1])[::-1], np.cumsum((self.hits + self.misses)[::-1])[::-1]


@dataclass(frozen=True, eq=False)
class Area:
    """An area, and how much each row moves it: the influence function at code and class, with mean zero over rows."""

    value: float
    of_miss: Floats
    of_hit: Floats

    @cached_property
    def _table(self) -> Floats:
        import numpy as np

        return np.concatenate([self.of_miss, self.of_hit])

    def at(self, codes: NDArray[Any], positive: NDArray[np.bool_]) -> Floats:
        """The influence of rows, by code and class."""
        import numpy as np

        return self._table[codes.astype(np.int32) + np.where(positive, len(self.of_miss), 0).astype(np.int32)]


def ranks(score: NDArray[Any]) -> tuple[NDArray[Any], Floats]:
    """Codes of scores, and the lowest score of each code.

    Up to 65,536 rows the codes are exact ranks. Beyond, scores are told apart by the first 24 bits of a 32-bit float
    (15 bits after the leading one), and neighbours share a code so that there are at most 65,536 of about equal size:
    areas then differ from the exact ones by less than a thousandth of their standard error.

    Raises ``ValueError`` for scores that are not finite.
    """
    import numpy as np

    low, high = (float(score.min()), float(score.max())) if len(score) else (0.0, 0.0)
    if not np.isfinite(low) or not np.isfinite(high):
        raise ValueError("the model's scores contain NaN or infinite values")
    if len(score) <= EXACT:
        edges, codes = np.unique(score, return_inverse=True)
        return codes.astype(np.uint16), edges.astype(float)
    shift = 8 if low >= 0 and high <= 1 else 10
    bottom = int(_cells(np.array([low]), shift)[0])
    counts = np.zeros(int(_cells(np.array([high]), shift)[0]) - bottom + 1, dtype=np.int64)
    for part in chunks(len(score)):
        found = np.bincount(_cells(score[part], shift) - bottom)
        counts[: len(found)] += found
    occupied = np.flatnonzero(counts)
    if len(occupied) <= _CODES:
        code = np.arange(len(occupied))
    else:
        middle = np.cumsum(counts[occupied]) - counts[occupied] / 2
        code = np.unique((middle * (_CODES / len(score))).astype(np.int64), return_inverse=True)[1]
    table = np.zeros(len(counts), dtype=np.uint16)
    table[occupied] = code
    first = occupied[np.flatnonzero(np.diff(code, prepend=-1))]
    codes = np.empty(len(score), dtype=np.uint16)
    for part in chunks(len(score)):
        codes[part] = table[_cells(score[part], shift) - bottom]
    return codes, _lowest(first + bottom, shift)


def _cells(score: NDArray[Any], shift: int) -> NDArray[np.int64]:
    """Monotone integers of floats: the leading bits of their 32-bit form, with those of negative ones turned round."""
    import numpy as np

    bits = (score.astype(np.float32) + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0
    return (np.where(bits >= 0, bits, np.int32(-(2**31)) - bits) >> shift).astype(np.int64)


def _lowest(cells: NDArray[np.int64], shift: int) -> Floats:
    """The lowest score in each cell."""
    import numpy as np

    bits = cells << shift
    return np.where(bits >= 0, bits, -(2**31) - bits).astype(np.int32).view(np.float32).astype(float)


def average_precision(ranked: Ranked) -> Area | None:
    """Area under the precision-recall steps, `sum (R_k - R_{k-1}) P_k`; None without a positive row.

    The influence is the derivative by the weight of a row: a positive row brings its own precision, and every row
    changes the precision of the positive rows at or below it.
    """
    import numpy as np

    found, everything = ranked.above
    positives, n = found[0], everything[0]
    if positives == 0:
        return None
    seen = np.maximum(everything, 1)
    precision = found / seen
    value = float(ranked.hits @ precision / positives)
    gain = np.cumsum(ranked.hits / seen)
    loss = np.cumsum(ranked.hits * precision / seen)
    scale = n / positives
    return Area(value, -scale * loss, scale * (precision - value + gain - loss))


def roc_auc(ranked: Ranked) -> Area | None:
    """Chance that a positive row scores above a negative one, ties counted half; None when a class has no row.

    The influence of a row is its placement among the rows of the other class (DeLong, DeLong & Clarke-Pearson 1988).
    """
    import numpy as np

    positives, negatives = ranked.hits.sum(), ranked.misses.sum()
    if not positives or not negatives:
        return None
    below = (np.cumsum(ranked.misses) - ranked.misses / 2) / negatives
    above = 1 - (np.cumsum(ranked.hits) - ranked.hits / 2) / positives
    value = float(ranked.hits @ below / positives)
    n = positives + negatives
    return Area(value, n / negatives * (above - value), n / positives * (below - value))
