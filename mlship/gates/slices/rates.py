"""Metrics that need only the table of labels and predicted classes, as sums over its cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlship.policy.scorers import RATES
from mlship.stats.simultaneous import Ratios

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

#: Rates of what was predicted, whatever the label.
WITHOUT_LABELS = ("selection_rate",)
_ACCURACY = ("accuracy", "f1_micro", "precision_micro", "recall_micro", "recall_weighted")
_PER_CLASS = ("f1", "jaccard", "precision", "recall")
#: More classes than this, and a table per slice costs more than it saves.
MOST_CLASSES = 12


def is_known(name: str) -> bool:
    """Whether `ratios` knows this metric."""
    base, _, average = name.partition("_")
    return name in (*RATES, *_ACCURACY, "balanced_accuracy") or (base in _PER_CLASS and average in {"", "macro"})


def ratios(name: str, label: NDArray[np.int8], chosen: NDArray[np.int8], classes: int, positive: int | None) -> Ratios:
    """The metric as sums over cells, each with the code of its label and of its predicted class; shape (cells,).

    `positive` is the code of the positive class of two. An average over classes is scikit-learn's: over those that
    occur in labels or predictions (`balanced_accuracy`: in labels), and 0/0 is 0.

    Raises ``ValueError`` when a metric of two classes meets more.
    """
    import numpy as np

    right = label == chosen
    everything = np.ones(len(label), dtype=bool)
    if name in _ACCURACY:
        return _built([(right, everything, everything)])
    if name == "error":
        return _built([(~right, everything, everything)])
    if name == "balanced_accuracy":
        return _built([(right & (label == code), label == code, label == code) for code in range(classes)])
    base, _, average = name.partition("_")
    if average == "macro":
        return _built([_per_class(base, label == code, chosen == code) for code in range(classes)])
    if positive is None:
        more = f"; use {name}_macro or {name}_weighted for more" if name in _PER_CLASS else ""
        raise ValueError(f"{name} is for two classes{more}")
    is_label, is_chosen = label == positive, chosen == positive
    if name in _PER_CLASS:
        above, below, _ = _per_class(name, is_label, is_chosen)
        return _built([(above, below, below)])
    above, below = {
        "selection_rate": (is_chosen, everything),
        "true_positive_rate": (is_chosen & is_label, is_label),
        "false_negative_rate": (~is_chosen & is_label, is_label),
        "false_positive_rate": (is_chosen & ~is_label, ~is_label),
        "true_negative_rate": (~is_chosen & ~is_label, ~is_label),
    }[name]
    return _built([(above, below, below)])


def _per_class(base: str, is_label: Mask, is_chosen: Mask) -> tuple[NDArray[np.generic], ...]:
    """Numerator, denominator and presence of one class."""
    hit, either = is_label & is_chosen, is_label | is_chosen
    below = {
        "recall": is_label,
        "precision": is_chosen,
        "jaccard": either,
        "f1": is_label.astype(int) + is_chosen,
    }[base]
    return hit * (2 if base == "f1" else 1), below, either


def _built(parts: list[tuple[NDArray[np.generic], ...]]) -> Ratios:
    import numpy as np

    above, below, present = (np.stack([part[i] for part in parts]).astype(float) for i in range(3))
    return Ratios(above, below, present)
