"""Do probabilities mean what they say? The reliability diagram and the expected calibration error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Bins of equal width, as is usual (Guo, Pleiss, Sun & Weinberger 2017): they do not depend on the rows, so both
#: models, every slice and every resample share them.
BINS = 15


def bins(expected: NDArray[Any]) -> NDArray[np.uint8]:
    """The bin of each probability, 0 to 14; each is open below and closed above, and the first holds 0 too."""
    import numpy as np

    return np.clip(np.ceil(expected * BINS) - 1, 0, BINS - 1).astype(np.uint8)


def expected_error(expected: NDArray[Any], came: NDArray[np.bool_]) -> float:
    """Expected calibration error, 0 to 1: `sum over bins of n_b/n |share that came - mean probability|`.

    Naeini, Cooper & Hauskrecht 2015, with 15 bins of equal width. nan without rows.
    """
    import numpy as np

    if not len(expected):
        return float("nan")
    gaps = np.bincount(bins(expected), weights=came - expected.astype(float), minlength=BINS)
    return float(abs(gaps).sum() / len(expected))
