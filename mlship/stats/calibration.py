"""Do probabilities mean what they say? The reliability diagram and the expected calibration error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.stats.linear import Linear, chunks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Bins of equal width, as is usual (Guo, Pleiss, Sun & Weinberger 2017): they do not depend on the rows, so both
#: models, every slice and every resample share them.
BINS = 15


def bins(expected: NDArray[Any]) -> NDArray[np.uint8]:
    """The bin of each probability, 0 to 14; each is open below and closed above, and the first holds 0 too."""
    import numpy as np

    return np.asarray(np.clip(np.ceil(expected * BINS) - 1, 0, BINS - 1).astype(np.uint8))


@dataclass(frozen=True, eq=False)
class Reliability:
    """What was expected and what came, by bin of probability; each of shape (15,)."""

    rows: Floats
    expected: Floats
    """Sum of the probabilities."""
    came: Floats
    """Rows whose event came."""
    squares: Floats
    """Sum of squared differences between what came (0 or 1) and its probability."""

    @classmethod
    def of(cls, expected: NDArray[Any], came: NDArray[np.bool_]) -> Reliability:
        """Count the rows; `expected` are probabilities, `came` is whether the event did, both of shape (n,)."""
        import numpy as np

        sums = np.zeros((4, BINS))
        for part in chunks(len(expected)):
            chance, event = expected[part].astype(float), came[part]
            member = bins(chance)
            terms = (None, chance, event, (event - chance) ** 2)
            sums += [np.bincount(member, weights=term, minlength=BINS) for term in terms]
        return cls(*sums)

    @property
    def error(self) -> float:
        """Expected calibration error, 0 to 1: `sum over bins of n_b/n |share that came - mean probability|`.

        Naeini, Cooper & Hauskrecht 2015, with 15 bins of equal width. nan without rows.
        """
        n = float(self.rows.sum())
        return float(abs(self.came - self.expected).sum() / n) if n else math.nan

    @property
    def bias(self) -> float:
        """By how much chance may have raised the error: a gap of few rows is never exactly zero.

        A bin whose gap is below two standard errors may be calibrated, and its gap then be all chance: the mean of
        the folded normal distribution, `sqrt(2 / pi)` standard errors, or the gap itself when that is less.
        """
        import numpy as np

        full = self.rows > 1
        gap, n = abs(self.came - self.expected)[full], self.rows[full]
        error = np.sqrt(np.maximum(self.squares[full] - gap**2 / n, 0))
        chance = np.where(gap < 2 * error, np.minimum(math.sqrt(2 / math.pi) * error, gap), 0)
        return float(chance.sum() / max(self.rows.sum(), 1))

    def linear(self, expected: NDArray[Any], came: NDArray[np.bool_]) -> Linear:
        """The calibration error of these rows, and the influence of each."""
        import numpy as np

        signs, value = np.sign(self.came - self.expected), self.error

        def influence(part: slice) -> Floats:
            chance = expected[part].astype(float)
            return np.asarray(signs[bins(chance)] * (came[part] - chance) - value)

        return Linear(value, len(expected), influence, bias=self.bias)
