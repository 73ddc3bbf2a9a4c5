"""The share of one model's remaining error that another removes, with an interval, on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Normal quantile of a two-sided 95 % interval.
_Z = 1.959964


@dataclass(frozen=True, slots=True, eq=False)
class Error:
    """An error of one model, and what each row contributes to its sampling error."""

    value: float
    """0 for a perfect model."""
    influence: NDArray[np.float64]
    """Shape (n,), mean 0: the value on a sample of these rows varies like its mean."""


def mean_error(losses: NDArray[np.float64]) -> Error:
    """The mean of a loss per row, shape (n,): the error rate, or the mean absolute error."""
    value = float(losses.mean())
    return Error(value, losses - value)


def ranking_error(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> Error:
    """1 - AUC: the chance that a positive row has the lower score, ties counted half.

    What a row contributes is its placement among the rows of the other class (DeLong, DeLong & Clarke-Pearson,
    Biometrics 44, 1988). nan with one class.
    """
    import numpy as np
    from scipy.stats import rankdata

    n, hits = positive.size, int(positive.sum())
    if hits in {0, n}:
        return Error(float("nan"), np.zeros(n))
    ranks = rankdata(score)
    influence = np.empty(n)
    value = 0.0
    for own, sign in ((positive, 1.0), (~positive, -1.0)):
        mine, others = int(own.sum()), n - int(own.sum())
        below = (ranks[own] - rankdata(score[own])) / others
        wrong = 1 - below if sign > 0 else below
        value = float(wrong.mean())
        influence[own] = (wrong - value) * n / mine
    return Error(value, influence)


def mean_of(errors: list[Error]) -> Error:
    """The plain mean of several errors on the same rows, such as of each class against the rest."""
    import numpy as np

    return Error(
        float(np.mean([error.value for error in errors])), np.mean([error.influence for error in errors], axis=0)
    )


def removed(candidate: Error, before: Error, unit: Error) -> tuple[float, float, float]:
    """(before - candidate) / unit with its 95 % interval, by the delta method; all three on the same rows.

    With the champion as `before` and `unit` it is the share of the champion's error that the candidate removes. With
    the candidate itself, robbed of some columns, as `before`, it is the part of that which rests on these columns.

    Raises ``ValueError`` when `unit` is no error at all: then there is nothing to remove.
    """
    import numpy as np

    if not unit.value > 0:
        raise ValueError("there is no error to remove")
    value = (before.value - candidate.value) / unit.value
    influence = (before.influence - candidate.influence - value * unit.influence) / unit.value
    spread = _Z * float(influence.std()) / float(np.sqrt(influence.size))
    return value, value - spread, value + spread
