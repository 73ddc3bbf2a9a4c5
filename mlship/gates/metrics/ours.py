"""Metrics of mlship's own, where less is better: their formulas on one side's labels, predictions and probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mlship.gates.metrics.side import Array, Side
from mlship.policy.scorers import OWN
from mlship.stats.calibration import Reliability

#: Terms of one row: what is averaged over rows, and the weight that the row has in it (None: 1).
Terms: TypeAlias = "tuple[Array, Array | None]"


@dataclass(frozen=True)
class Own:
    """A metric that is a mean over rows, or is made of one."""

    name: str
    needs: Literal["values", "scores"]
    terms: Callable[[Side, float], Terms] | None
    """The terms of each row, given the quantile; None for what is no mean over rows."""
    root: bool = False
    """Whether the mean's square root is the metric."""
    quantile: float = 0.5
    higher_is_better: bool = False

    def value(self, side: Side) -> float:
        """The metric on one side; raises ``ValueError`` when it does not fit the model."""
        import numpy as np

        if self.terms is None:
            return Reliability.of(*calibrated(side)).error
        terms, weights = self.terms(side, self.quantile)
        if weights is not None and not weights.any():
            return float("nan")
        mean = float(np.average(terms, weights=weights))
        return mean**0.5 if self.root else mean


def calibrated(side: Side) -> tuple[Array, Array]:
    """What was expected of each row, as a probability, and whether it came.

    Two classes: the positive one's probability, and whether it is the label. More: the largest probability, and
    whether its class is the label.
    """
    import numpy as np

    chances = side.probabilities()
    if side.is_binary:
        return chances[:, 1], side.positive
    best = chances.argmax(axis=1)
    return np.take_along_axis(chances, best[:, None], axis=1)[:, 0], best == side.codes


def _log_loss(side: Side, _quantile: float) -> Terms:
    import numpy as np

    right = side.right_probability()
    tiny = np.finfo(right.dtype).eps
    return -np.log(np.clip(right, tiny, 1 - tiny)), None


def _brier_score(side: Side, _quantile: float) -> Terms:
    import numpy as np

    chances = side.probabilities()
    if side.is_binary:
        return (chances[:, 1] - side.positive) ** 2, None
    right = side.right_probability()
    return np.einsum("ij,ij->i", chances, chances) - 2 * right + 1, None


def _absolute(side: Side, _quantile: float) -> Terms:
    return abs(side.error()), None


def _squared(side: Side, _quantile: float) -> Terms:
    return side.error() ** 2, None


def _percentage(side: Side, _quantile: float) -> Terms:
    import numpy as np

    label = side.numbers()
    known = label != 0
    return np.divide(abs(side.error()), abs(label), out=np.zeros(len(label)), where=known), known.astype(float)


def _symmetric(side: Side, _quantile: float) -> Terms:
    import numpy as np

    label, error = side.numbers(), abs(side.error())
    size = abs(label) + abs(label - side.error())
    return np.divide(2 * error, size, out=np.zeros(len(label)), where=size != 0), None


def _pinball(side: Side, quantile: float) -> Terms:
    import numpy as np

    error = side.error()
    return np.where(error >= 0, quantile * error, (quantile - 1) * error), None


#: Also those that have no name in a policy, because scikit-learn's negative is as good.
ALL = {
    own.name: own
    for own in (
        Own("brier_score", "scores", _brier_score),
        Own("calibration_error", "scores", None),
        Own("log_loss", "scores", _log_loss),
        Own("mae", "values", _absolute),
        Own("mape", "values", _percentage),
        Own("quantile_loss", "values", _pinball),
        Own("rmse", "values", _squared, root=True),
        Own("smape", "values", _symmetric),
        Own("mse", "values", _squared),
    )
}
OURS = {name: ALL[name] for name in OWN}
