"""What each threshold of a score would earn, and what the best one earns on rows that it was not chosen on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.stats.linear import chunks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlship.stats.ranking import Ranked

    Floats = NDArray[np.float64]

#: Parts of the rows: a threshold is chosen on all but one and tried on that one.
_FOLDS = 5
#: Thresholds that are looked at; neighbours are a thousandth of the rows apart.
_LEVELS = 1024


@dataclass(frozen=True, slots=True)
class Payoffs:
    """What one prediction earns by how it turned out."""

    tp: float
    fp: float
    fn: float
    tn: float

    def total(self, hits: Floats, picked: Floats, positives: float, n: float) -> Floats:
        """The sum over n rows of which `picked` are predicted positive, `hits` of them rightly."""
        missed, wrong = positives - hits, picked - hits
        return self.tp * hits + self.fp * wrong + self.fn * missed + self.tn * (n - picked - missed)


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Value per row by threshold; the positive class is predicted from the threshold on."""

    at: Floats
    """Thresholds, rising; the last is above every score, so that nothing is predicted positive."""
    value: Floats
    """Value per row at each."""
    best: float
    """The threshold that earns most on these rows."""
    checked: float
    """What the best threshold of four fifths of the rows earns per row on the other fifth, averaged over the five."""

    def value_at(self, threshold: Floats) -> Floats:
        """Value per row at any thresholds."""
        import numpy as np

        return self.value[np.minimum(np.searchsorted(self.at, threshold), len(self.at) - 1)]


def thresholds(ranked: Ranked, positive: NDArray[np.bool_], payoffs: Payoffs, seed: int) -> Thresholds:
    """Value by threshold, linear in rows: the rows are counted by score, class and fold.

    The rows are dealt to five folds at random (`seed`), so that what is promised of the best threshold is not what it
    was chosen for (cross-fitting).
    """
    import numpy as np

    n = len(ranked.codes)
    mass = np.cumsum(ranked.hits + ranked.misses) - (ranked.hits + ranked.misses)
    level = np.unique((mass * (_LEVELS / n)).astype(np.int64), return_inverse=True)[1].astype(np.int32)
    size = int(level[-1]) + 1
    edges = np.append(ranked.edges[np.flatnonzero(np.diff(level, prepend=-1))], np.nextafter(ranked.edges[-1], np.inf))
    rng = np.random.default_rng(seed)
    counted = np.zeros(_FOLDS * 2 * size)
    for part in chunks(n):
        fold = rng.integers(0, _FOLDS, part.stop - part.start, dtype=np.uint8)
        place = (fold.astype(np.int32) * 2 + positive[part]) * size + level[ranked.codes[part]]
        counted += np.bincount(place, minlength=len(counted))
    cells = counted.reshape(_FOLDS, 2, size)
    everything = _by_level(cells.sum(axis=0), payoffs)
    best = int(np.argmax(everything))
    checked = 0.0
    for mine in cells:
        chosen = int(np.argmax(_by_level(cells.sum(axis=0) - mine, payoffs)))
        checked += float(_by_level(mine, payoffs)[chosen])
    return Thresholds(edges, everything / n, float(edges[best]), checked / n)


def _by_level(cells: NDArray[Any], payoffs: Payoffs) -> Floats:
    """The sum that each threshold earns on rows counted by class (other, positive) and level; one more for none."""
    import numpy as np

    above = np.append(np.cumsum(cells[:, ::-1], axis=1)[:, ::-1], np.zeros((2, 1)), axis=1)
    return payoffs.total(above[1], above.sum(axis=0), float(cells[1].sum()), float(cells.sum()))
