"""What a metric is in every slice of the rows, and what can measure it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from mlship.gates.base import Predictions
from mlship.gates.metrics import measure
from mlship.gates.metrics.side import Array, Side
from mlship.stats.simultaneous import Estimate

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Codes = NDArray[np.int16]
    Labels: TypeAlias = "Array | pd.Series[Any]"


@dataclass(frozen=True, eq=False)
class Measured:
    """A metric in every slice; champion and difference are None without a champion."""

    candidate: Estimate
    champion: Estimate | None = None
    difference: Estimate | None = None
    """Candidate minus champion, on the same rows."""


class Ruler(Protocol):
    """A metric with the predictions that it is applied to."""

    @property
    def name(self) -> str:
        """As in the policy."""

    @property
    def higher_is_better(self) -> bool:
        """Whether more is better."""

    def on(self, codes: Codes, slices: int, wanted: NDArray[np.bool_], confidence: float) -> Measured:
        """The metric in each of the slices 0 to `slices - 1` of the rows; those not wanted may be left undefined.

        Intervals are best at the `confidence` given; at others they may be scaled from it.
        """


def side_of(name: str, label: Labels, model: Predictions, threshold: float | None) -> Side:
    """One model beside the labels; raises ``ValueError`` in words about the metric `name`."""
    try:
        return Side.of(label, model, None, threshold)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(measure.cannot(name, error, has_scores=model.scores is not None)) from error
