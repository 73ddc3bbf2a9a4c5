"""Scores of weighted rows, many weightings at once: what a bootstrap asks for a thousand times.

Each function takes what is known of the rows once and returns a function of weights, shape (b, n), that gives the b
scores. They follow scikit-learn's definitions; `mlship.gates.metrics.paired` uses one only where it agrees with
scikit-learn on the data at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Score = Callable[[Array], Array]


def _divide(above: Array, below: Array, empty: float = 0.0) -> Array:
    """`above / below`, and `empty` where `below` is zero: scikit-learn's `zero_division`."""
    import numpy as np

    filled = np.full(np.broadcast_shapes(above.shape, below.shape), empty)
    return np.asarray(np.divide(above, below, out=filled, where=below != 0))


class _Ranking:
    """Rows by falling score; for each positive row where its group of equal scores starts and ends.

    Only the positive rows are looked at after one running sum over all rows: that is what makes a replicate of 28,000
    rows cost a fraction of a millisecond.
    """

    def __init__(self, positive: NDArray[np.bool_], score: Array) -> None:
        import numpy as np

        self.order = np.argsort(-score, kind="stable")
        ordered = score[self.order]
        ends = np.append(np.flatnonzero(ordered[:-1] != ordered[1:]), ordered.size - 1)
        hits = np.flatnonzero(positive[self.order])
        group = np.searchsorted(ends, hits)
        self.hits = self.order[hits]
        self.end = ends[group]
        self.before = np.where(group > 0, ends[group - 1] + 1, 0)
        """Number of rows that score strictly above."""
        self.last = np.searchsorted(hits, self.end, side="right") - 1
        self.tied = bool(ends.size < ordered.size)

    def above(self, weights: Array) -> tuple[Array, Array]:
        """Running weight of all rows, with a zero in front, and the weights of the positive rows."""
        import numpy as np

        running = np.empty(weights.size + 1)
        running[0] = 0.0
        np.cumsum(weights[self.order], out=running[1:])
        return running, weights[self.hits]


def _each(one: Callable[[Array], float]) -> Score:
    import numpy as np

    return lambda weights: np.array([one(row) for row in weights])


def average_precision(positive: NDArray[np.bool_], score: Array) -> Score:
    """Area under the precision-recall steps, ``sum (R_k - R_{k-1}) P_k`` over distinct scores; nan if none is."""
    import numpy as np

    ranking = _Ranking(positive, score)

    def one(weights: Array) -> float:
        running, hits = ranking.above(weights)
        found = np.cumsum(hits)
        if not found.size or found[-1] == 0:
            return float("nan")
        so_far = found[ranking.last] if ranking.tied else found
        above = running[ranking.end + 1]
        return float(hits @ np.divide(so_far, above, out=np.zeros_like(above), where=above > 0)) / float(found[-1])

    return _each(one)


def roc_auc(positive: NDArray[np.bool_], score: Array) -> Score:
    """Chance that a positive row scores above a negative one, ties counted half; nan when a class has no weight."""
    import numpy as np

    ranking = _Ranking(positive, score)
    first = np.searchsorted(ranking.end, ranking.end, side="left")

    def one(weights: Array) -> float:
        running, hits = ranking.above(weights)
        found = np.append(0.0, np.cumsum(hits))
        positives, everything = found[-1], running[-1]
        if positives in (0, everything):
            return float("nan")
        # Positives above or tied are taken from all rows above or tied; half of the tied negatives count as above.
        above = running[ranking.before] - found[first]
        upto = running[ranking.end + 1] - found[ranking.last + 1]
        return 1 - float(hits @ (above + upto)) / 2 / float(positives * (everything - positives))

    return _each(one)


def mean_of(per_row: Array, finish: Callable[[Array], Array] | None = None, parts: Array | None = None) -> Score:
    """Weighted mean of one number per row, through `finish` when given.

    `parts`, shape (n,), is the weight that a row has of itself: 0 leaves it out. nan when nothing is left.
    """

    def at(weights: Array) -> Array:
        mean = (
            weights @ per_row / weights.sum(axis=1)
            if parts is None
            else _divide(weights @ (per_row * parts), weights @ parts, float("nan"))
        )
        return finish(mean) if finish else mean

    return at


def average_of(columns: list[Score], truth: Array | None = None) -> Score:
    """The mean of several scores: plain, or by the weight of the rows in each class (`truth`: n by classes)."""
    import numpy as np

    def at(weights: Array) -> Array:
        found = np.stack([column(weights) for column in columns], axis=1)
        if truth is None:
            return np.asarray(found.mean(axis=1))
        support = weights @ truth
        return np.asarray((found * support).sum(axis=1) / support.sum(axis=1))

    return at


def r2(label: Array, predicted: Array) -> Score:
    """Coefficient of determination, ``1 - sum w (y - p)^2 / sum w (y - mean)^2``; nan when the labels do not vary."""
    import numpy as np

    centred = label - label.mean()
    squares, residuals = centred**2, (label - predicted) ** 2

    def at(weights: Array) -> Array:
        total = weights.sum(axis=1)
        spread = weights @ squares - (weights @ centred) ** 2 / total
        return 1 - _divide(weights @ residuals, spread, np.nan)

    return at


def from_confusion(name: str, label: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> Score | None:
    """A score that only needs the table of labels and predicted classes, given as codes 0..classes-1.

    Accuracy, balanced accuracy, Matthews' correlation, and precision, recall, F1 or Jaccard: plain (for class 1 of 0
    and 1), `_macro`, `_micro` or `_weighted`. None for another name.

    Only classes that occur in `label` or `predicted` are averaged over.
    """
    import numpy as np

    names = np.arange(classes)
    is_label, is_predicted = label[:, None] == names, predicted[:, None] == names
    seen = is_label.any(axis=0) | is_predicted.any(axis=0)
    is_label, is_predicted = is_label[:, seen], is_predicted[:, seen]
    right = (is_label & is_predicted).astype(float)
    labelled, chosen = is_label.astype(float), is_predicted.astype(float)

    if name == "accuracy":
        return lambda weights: (weights @ right).sum(axis=1) / weights.sum(axis=1)
    if name == "balanced_accuracy":
        real = is_label.any(axis=0)
        return lambda weights: _divide(weights @ right[:, real], weights @ labelled[:, real]).mean(axis=1)
    if name == "matthews_corrcoef":
        return lambda weights: _matthews(weights @ right, weights @ labelled, weights @ chosen)
    base, _, average = name.partition("_")
    if base not in _PER_CLASS or average not in {"", "macro", "micro", "weighted"}:
        return None
    ratio = _PER_CLASS[base]
    if not average:
        column = int(np.flatnonzero(names[seen] == 1)[0]) if classes == 2 and seen[1] else None
        return None if column is None else lambda weights: ratio(*_column(weights, right, labelled, chosen, column))

    def averaged(weights: Array) -> Array:
        hits, support, picked = weights @ right, weights @ labelled, weights @ chosen
        if average == "micro":
            return ratio(hits.sum(axis=1), support.sum(axis=1), picked.sum(axis=1))
        by_class = ratio(hits, support, picked)
        if average == "macro":
            return np.asarray(by_class.mean(axis=1))
        return _divide((by_class * support).sum(axis=1), support.sum(axis=1))

    return averaged


def _column(weights: Array, right: Array, labelled: Array, chosen: Array, column: int) -> tuple[Array, Array, Array]:
    return weights @ right[:, column], weights @ labelled[:, column], weights @ chosen[:, column]


#: From hits, rows with the label, rows with the prediction.
_PER_CLASS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "precision": lambda hits, _support, picked: _divide(hits, picked),
    "recall": lambda hits, support, _picked: _divide(hits, support),
    "f1": lambda hits, support, picked: _divide(2 * hits, support + picked),
    "jaccard": lambda hits, support, picked: _divide(hits, support + picked - hits),
}


def _matthews(hits: Array, support: Array, picked: Array) -> Array:
    """Matthews' correlation for any number of classes (Gorodkin 2004), zero where a margin is empty."""
    import numpy as np

    total = support.sum(axis=1)
    shared = hits.sum(axis=1) * total - (support * picked).sum(axis=1)
    spread = (total**2 - (picked**2).sum(axis=1)) * (total**2 - (support**2).sum(axis=1))
    return _divide(shared, np.sqrt(np.maximum(spread, 0)))
