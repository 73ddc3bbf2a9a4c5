"""Performance before there are labels, from scores whose calibration is known, and whether labels then bear it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlship.types.monitoring import Baseline, Calibration, Counts, Labelled, Reached


def learn_calibration(days: Sequence[Labelled], baseline: Baseline) -> Calibration | None:
    """How often the positive class came by score, from the evaluation data's days in order.

    `baseline` is the model's, as far as it is made: task, labels, scores, answers, threshold and payoff are used. None
    when the model is no binary classifier with scores, or there are too few days or labels to tell how far whole days
    stray (`why_not_calibrated` says so).
    """
    raise NotImplementedError


def why_not_calibrated(days: Sequence[Labelled], baseline: Baseline) -> str:
    """Why `learn_calibration` gives None, for `Baseline.why_not["calibration"]`; empty when it does not."""
    raise NotImplementedError


def estimate(name: str, scores: Counts, baseline: Baseline, days: float = 1.0) -> Reached | None:
    """The metric to be expected of rows with these scores, with its own interval; None where it cannot be estimated."""
    raise NotImplementedError


def trusted(pairs: Sequence[tuple[Reached, Reached]]) -> tuple[bool, str]:
    """Whether (estimated, realised) of past periods, oldest first, bear the estimates out, and why or why not."""
    raise NotImplementedError
