"""One model's predictions beside the labels, so that a scikit-learn scorer can be asked about any of the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from mlship.gates.base import Predictions
from mlship.stats import bootstrap
from mlship.stats.ranking import Ranked

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"
Scorer = Callable[..., float]


@dataclass(frozen=True, eq=False)
class Side:
    """One model's predictions beside the labels; classes are the codes 0, 1, ... in the order of the model's."""

    label: Array
    values: Array
    scores: Array | None
    classes: Array | None
    """0 to k-1; None when the model predicts numbers, or does not tell its classes."""
    names: Array | None = None
    """What the classes are called; longer than `classes` when labels or predictions have others."""

    @property
    def said(self) -> Array:
        """The labels as they are in the data."""
        return self.label if self.names is None else self.names[self.label]

    @property
    def chosen(self) -> Array:
        """The predictions by the names that the labels have."""
        return self.values if self.names is None else self.names[self.values]

    @classmethod
    def of(
        cls,
        label: Array | pd.Series[Any],
        model: Predictions,
        rows: Array | None = None,
        threshold: float | None = None,
    ) -> Side:
        """All rows, or those selected by index. The second of two classes is the positive one.

        With a `threshold`, the positive class is predicted from that probability on.

        Raises ``ValueError`` when predictions and labels do not fit each other, or the threshold the model.
        """
        import numpy as np

        values = np.asarray(model.values)
        scores = None if model.scores is None else np.asarray(model.scores)
        if len(values) != len(label) or (scores is not None and len(scores) != len(label)):
            raise ValueError(f"the model gave {len(values):,} predictions for {len(label):,} rows")
        if rows is not None:
            label, values = label.take(rows), values[rows]
            scores = None if scores is None else scores[rows]
        if model.classes is None:
            if threshold is not None:
                raise ValueError("a threshold is for classes, and the model predicts numbers or does not tell classes")
            return cls(np.asarray(label), values, scores, None)
        return cls._of_classes(label, values, scores, np.asarray(model.classes), threshold)

    @classmethod
    def _of_classes(
        cls,
        label: Array | pd.Series[Any],
        values: Array,
        scores: Array | None,
        classes: Array,
        threshold: float | None,
    ) -> Side:
        import numpy as np

        k = len(classes)
        codes, names = coded(label, classes)
        if len(names) > k and (scores is not None or k == 2):
            known = [str(name) for name in classes[:10]]
            raise ValueError(f"the label {str(names[k])!r} is none of the model's classes {known}")
        if threshold is None:
            chosen, names = coded(values, names)
            if k == 2 and len(names) > 2:
                raise ValueError(f"the model has two classes, and predicts a third one, {str(names[2])!r}")
        elif k != 2:
            raise ValueError(f"a threshold is for two classes, and the model knows {k}")
        elif scores is None or scores.ndim != 2:
            raise ValueError("a threshold needs probabilities, and the model gives none (it has no predict_proba)")
        else:
            chosen = (scores[:, 1] >= threshold).astype(np.int8)
        return cls(codes, chosen, scores, np.arange(k), names)

    def as_numbers(self) -> Side:
        """Classes that are numbers, taken as such: for scorers of numbers. Raises ``ValueError`` for other classes."""
        if self.names is None:
            return self
        if self.names.dtype.kind not in "iufb":
            raise ValueError(f"it is for numbers, and the labels are classes such as {str(self.names[0])!r}")
        return Side(self.said, self.chosen, None, None)

    @property
    def is_binary(self) -> bool:
        """Whether there are two classes; label and values are then 0 and 1."""
        return self.classes is not None and len(self.classes) == 2

    @cached_property
    def positive(self) -> Array:
        """Which rows have the positive class of two, shape (n,)."""
        import numpy as np

        return np.asarray(self.label == 1)

    @property
    def codes(self) -> Array:
        """The label of each row as the number of its class, shape (n,)."""
        if self.classes is None:
            raise ValueError("it is for classes, and the model predicts numbers or does not tell its classes")
        return self.label

    @cached_property
    def ranked(self) -> Ranked:
        """The rows of two classes by the positive one's score."""
        if not self.is_binary or self.scores is None:
            raise ValueError("it needs predict_proba, and the model gives no probabilities")
        return Ranked.of(self.positive, self.scores if self.scores.ndim == 1 else self.scores[:, 1])

    def probabilities(self) -> Array:
        """The probability of each class, shape (n, classes); raises ``ValueError`` when the model has none."""
        import numpy as np

        if self.classes is None:
            raise ValueError(self._no_probabilities())
        if self.scores is None or self.scores.ndim != 2:
            raise ValueError("it needs predict_proba, and the model gives no probabilities")
        low, high = self.scores.min(initial=1), self.scores.max(initial=0)
        if np.isnan(low) or np.isnan(high):
            raise ValueError("the model's probabilities contain NaN")
        if low < 0 or high > 1 + 1e-6:
            raise ValueError(f"the model's probabilities run from {low:.3g} to {high:.3g}, not from 0 to 1")
        return self.scores

    def _no_probabilities(self) -> str:
        """Why a model that tells no classes gives no probabilities, and the way out where it has classes after all."""
        if self.values.dtype.kind == "f":
            return "it needs probabilities of classes, and the model predicts numbers"
        return (
            "it needs a probability for each class, and the model answers with classes alone: leave this metric away, "
            'or log the model so that it gives them (pyfunc_predict_fn="predict_proba"; a Python model returns a table '
            "with a column a class)"
        )

    def right_probability(self) -> Array:
        """The probability that the model gave to the label of each row, shape (n,)."""
        import numpy as np

        return np.take_along_axis(self.probabilities(), self.codes[:, None].astype(np.intp), axis=1)[:, 0]

    def numbers(self) -> Array:
        """The labels as floats; raises ``ValueError`` when they are none."""
        import numpy as np

        if self.classes is not None or not np.issubdtype(self.label.dtype, np.number):
            raise ValueError("it is for numbers, and the model predicts classes")
        return self.label.astype(float)

    def error(self) -> Array:
        """Label minus prediction, shape (n,); raises ``ValueError`` for what are no numbers."""
        import numpy as np

        error = self.numbers() - self.values.astype(float).reshape(len(self.label))
        if not np.isfinite(error).all():
            raise ValueError("the predictions contain NaN or infinite values")
        return np.asarray(error)

    def take(self, rows: Array) -> Side:
        """Some of the rows, by index; a row may be repeated."""
        scores = None if self.scores is None else self.scores[rows]
        return Side(self.label[rows], self.values[rows], scores, self.classes, self.names)

    def part(self, rows: slice) -> Side:
        """Neighbouring rows, without a copy."""
        scores = None if self.scores is None else self.scores[rows]
        return Side(self.label[rows], self.values[rows], scores, self.classes, self.names)

    def score(self, scorer: Scorer, rows: Array | None = None, weights: Array | None = None) -> float:
        """The value of a scikit-learn scorer on all or some of the rows."""
        import numpy as np

        from mlship.gates.metrics.replay import replay

        rows = np.arange(len(self.label)) if rows is None else rows
        model = replay(self.values, self.scores, self.classes)
        options = {} if weights is None else {"sample_weight": weights}
        return float(scorer(model, rows.reshape(-1, 1), self.label[rows], **options))


def spoilt(measured: Callable[[Side], float], side: Side) -> float:
    """The value, had each class as many badly predicted rows as its size cannot exclude (`bootstrap.unseen_share`).

    For numbers: rows one standard deviation from the mean, predicted to be the mean.
    """
    import numpy as np

    def extra(n: int) -> int:
        share = bootstrap.unseen_share(n)
        return int(np.ceil(n * share / (1 - share)))

    if side.classes is None:
        label = side.label.astype(float)
        more = extra(len(label))
        longer = Side(
            np.append(label, np.full(more, label.mean() + label.std())),
            np.append(side.values.astype(float), np.full(more, label.mean())),
            None,
            None,
        )
        return measured(longer)
    added = []
    wrong = side.values.copy()
    for column, name in enumerate(side.classes):
        mine = np.flatnonzero(side.label == name)
        if not mine.size:
            continue
        others = np.flatnonzero(side.label != name)
        # A row of this class that was predicted like the row of another class that looks least like this one.
        ranked = side.scores if side.scores is not None else (side.values == name).astype(float)
        score = ranked[:, column] if ranked.ndim == 2 else (ranked if column or side.scores is None else -ranked)
        worst = others[np.argmin(score[others])] if others.size else mine[np.argmin(score[mine])]
        added += [(name, worst)] * extra(mine.size)
    rows = np.array([row for _, row in added], dtype=int)
    longer = Side(
        np.append(side.label, np.array([name for name, _ in added], dtype=side.label.dtype)),
        np.append(wrong, wrong[rows]),
        None if side.scores is None else np.concatenate([side.scores, side.scores[rows]]),
        side.classes,
    )
    return measured(longer)


def coded(values: Array | pd.Series[Any], classes: Array) -> tuple[Array, Array]:
    """The number of each value's class, shape (n,), as small integers; and the names of all, others after `classes`.

    Raises ``ValueError`` for missing values.
    """
    import numpy as np
    import pandas as pd

    if len(classes) == 2 and isinstance(values, np.ndarray) and values.dtype.kind in "iufb" and classes.dtype != object:
        second = np.asarray(values == classes[1])
        if np.count_nonzero(second) + np.count_nonzero(values == classes[0]) == len(values):
            return second.view(np.int8), classes
    if isinstance(values, pd.Series) and isinstance(values.dtype, pd.CategoricalDtype):
        found, known = values.cat.codes.to_numpy(), np.asarray(values.cat.categories)
        seen = np.bincount(found + np.int64(1), minlength=len(known) + 1)[1:] > 0
    else:
        found, uniques = pd.factorize(values)
        known = np.asarray(uniques)
        seen = np.ones(len(known), dtype=bool)
    if found.min(initial=0) < 0:
        raise ValueError("there are missing values among the classes")
    place = pd.Index(classes).get_indexer(pd.Index(known))
    others = np.flatnonzero((place < 0) & seen)
    place[others] = len(classes) + np.arange(len(others))
    names = np.append(classes, known[others]) if len(others) else classes
    return place.astype(np.int8 if len(names) < 127 else np.int32)[found], names


def used_threshold(score: Array, chosen: Array) -> float | None:
    """From which score on the positive class is chosen; None when the choice does not follow from one.

    `score` and `chosen` (booleans) are of shape (n,).
    """
    if chosen.all() or not chosen.any():
        return None
    low, high = float(score[~chosen].max()), float(score[chosen].min())
    if low > high:
        return None
    return 0.5 if low <= 0.5 <= high else high


def same(one: Side, other: Side) -> bool:
    """Whether two models said the same about every row, probabilities included."""
    import numpy as np

    if not np.array_equal(one.values, other.values):
        return False
    if one.scores is None or other.scores is None:
        return one.scores is other.scores
    return np.array_equal(one.scores, other.scores)


def close(one: float, other: float) -> bool:
    """Whether two ways to one score agree but for rounding; two undefined scores do."""
    import numpy as np

    return bool(np.isclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True))
