"""One model's predictions beside the labels, so that a scikit-learn scorer can be asked about any of the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from mlship.gates.base import Predictions
from mlship.stats import bootstrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"
Scorer = Callable[..., float]


@dataclass(frozen=True, eq=False)
class Side:
    """One model's predictions beside the labels, in codes that scikit-learn's binary scorers accept."""

    label: Array
    values: Array
    scores: Array | None
    classes: Array | None

    @classmethod
    def of(cls, label: Array, model: Predictions) -> Side:
        """Two classes neither of which is 1 become 0 and 1: the model's second class is the positive one."""
        import numpy as np

        values, classes = np.asarray(model.values), model.classes
        scores = None if model.scores is None else np.asarray(model.scores)
        if len(values) != len(label) or (scores is not None and len(scores) != len(label)):
            raise ValueError(f"the model gave {len(values):,} predictions for {len(label):,} rows")
        if classes is not None:
            classes = np.asarray(classes)
            strange = sorted({str(value) for value in set(label.tolist()) - set(classes.tolist())})
            if strange and scores is not None:
                raise ValueError(
                    f"the label {strange[0]!r} is none of the model's classes {[str(name) for name in classes[:10]]}"
                )
            if len(classes) == 2 and 1 not in classes.tolist():
                positive = classes[1]
                return cls((label == positive).astype(int), (values == positive).astype(int), scores, np.array([0, 1]))
        return cls(label, values, scores, classes)

    def score(self, scorer: Scorer, rows: Array, weights: Array | None = None) -> float:
        """The scorer's value on some of the rows."""
        return self.scored(scorer, rows, weights)[0]

    def scored(self, scorer: Scorer, rows: Array, weights: Array | None = None) -> tuple[float, set[str]]:
        """The scorer's value on some of the rows, and the methods that it asked of the model."""
        from mlship.gates.replay import replay

        model = replay(self.values, self.scores, self.classes)
        options = {} if weights is None else {"sample_weight": weights}
        return float(scorer(model, rows.reshape(-1, 1), self.label[rows], **options)), model.used

    def weighable(self, scorer: Scorer) -> bool:
        """Whether the scorer takes weights as we mean them: a row of weight 2 is two rows."""
        import numpy as np

        rows = np.arange(len(self.label))
        doubled = np.where(rows % 3 == 0, 2, 1)
        try:
            weighed = self.score(scorer, rows, doubled.astype(float))
        except (TypeError, ValueError):
            return False
        return close(weighed, self.score(scorer, np.repeat(rows, doubled)))


def spoilt(scorer: Scorer, side: Side) -> float:
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
        return longer.score(scorer, np.arange(len(longer.label)))
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
    return longer.score(scorer, np.arange(len(longer.label)))


def same(one: Predictions, other: Predictions | None) -> bool:
    """Whether two models said the same about every row, probabilities included."""
    import numpy as np

    if other is None or not np.array_equal(one.values, other.values):
        return False
    if one.scores is None or other.scores is None:
        return one.scores is other.scores
    return np.array_equal(one.scores, other.scores)


def close(one: float, other: float) -> bool:
    """Whether two ways to one score agree but for rounding; two undefined scores do."""
    import numpy as np

    return bool(np.isclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True))
