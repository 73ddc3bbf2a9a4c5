"""Metrics from counts: of labelled rows by position of score or answer and by label, many tables at once.

Scores are known by their bin only. Areas take a bin's rows as evenly mixed (for the ROC: tied), log loss, Brier score
and calibration error take each row's score as the mean of its bin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mlship.types.monitoring import Baseline, Labelled

    Floats = NDArray[np.float64]

#: Share of right positive answers, and so on: of what a binary classifier's answers turned out to be.
_BY_ANSWER = ("recall", "precision", "f1", "accuracy", "error", "value", "positive_rate")
_BY_SCORE = ("average_precision", "roc_auc", "log_loss", "brier", "calibration_error")
_OF_CLASSES = ("recall", "precision", "f1", "accuracy", "error")
_OF_NUMBERS = ("mae", "rmse", "bias")
#: Those that are better when lower; `bias` is best at 0.
LOWER_IS_BETTER = ("error", "log_loss", "brier", "calibration_error", "mae", "rmse")
#: Those that lie between 0 and 1.
SHARES = frozenset((*_BY_ANSWER, *_BY_SCORE)) - {"value", "log_loss"}
#: Bins of equal width of the calibration error, as in `stats.calibration`.
_WIDTHS = 15
_LEAST = 1e-15


def known(baseline: Baseline) -> tuple[str, ...]:
    """The metrics that can be told of a model's labelled rows, by its task, and what the baseline knows of its scores.

    `value` is money per 1,000 predictions, where the policy has a payoff table.
    """
    if baseline.task == "numbers":
        return _OF_NUMBERS
    if baseline.task == "classes":
        return _OF_CLASSES
    names = _BY_ANSWER + (_BY_SCORE if baseline.scores is not None else ())
    return tuple(name for name in names if name != "value" or baseline.payoff)


@dataclass(frozen=True, eq=False)
class Tables:
    """Counts of any number of periods, stacked: the leading axis (or axes) of each array."""

    scored: Floats
    """Shape (..., bins of the score, labels + 1); of a table without scores (..., 0, 0)."""
    answered: Floats
    """Shape (..., classes answered, labels + 1)."""
    errors: Floats
    """Shape (..., 4)."""

    @classmethod
    def of(cls, parts: Sequence[Labelled], baseline: Baseline) -> Tables:
        """One table a part; rows without a score count in no table of scores."""
        import numpy as np

        labels = len(baseline.labels) + 1

        def stack(rows: list[tuple[tuple[int, ...], ...]], width: int) -> Floats:
            empty = np.zeros((width, labels))
            return np.array([np.array(one, float) if one else empty for one in rows]).reshape(len(rows), width, labels)

        scores = 0 if baseline.scores is None else baseline.scores.bins.width
        classes = 0 if baseline.answers is None or baseline.task == "numbers" else baseline.answers.bins.width
        scored = stack([part.scored for part in parts], scores)
        if baseline.scores is not None:
            scored = scored[:, : baseline.scores.bins.size]
        answered = stack([part.answered for part in parts], classes)
        return cls(scored, answered, np.array([part.errors for part in parts], float).reshape(len(parts), 4))

    def __getitem__(self, item: Any) -> Tables:
        return Tables(self.scored[item], self.answered[item], self.errors[item])

    def __sub__(self, other: Tables) -> Tables:
        return Tables(self.scored - other.scored, self.answered - other.answered, self.errors - other.errors)

    def total(self) -> Tables:
        """All periods as one, with a leading axis of length 1."""
        return Tables(*(part.sum(axis=0, keepdims=True) for part in (self.scored, self.answered, self.errors)))


def values(name: str, tables: Tables, baseline: Baseline) -> Floats:
    """The metric of each table, nan where it has none: no such row, or too little is known; shape (...).

    Binary classifiers: by their answers where these are known, else by score and threshold; of more classes precision,
    recall and f1 are the plain mean over the classes that were answered or came (macro). A label that the model does
    not know is none of its classes: no answer is right then. Raises ``KeyError`` for a metric that `known` lacks.
    """
    import numpy as np

    if name not in known(baseline):
        raise KeyError(name)
    with np.errstate(divide="ignore", invalid="ignore"):
        if name in _OF_NUMBERS:
            return _of_numbers(name, tables.errors)
        if name in _BY_SCORE:
            return _by_score(name, tables.scored, baseline)
        if baseline.task == "classes":
            return _of_classes(name, tables.answered, baseline)
        return _of_two(name, _confusion(tables, baseline), baseline)


def carriers(name: str, tables: Tables, baseline: Baseline) -> Floats:
    """How many rows of each table a metric rests on, shape (...): for recall those of the positive class, and so on.

    The variance of its sampling goes with 1 / carriers, whatever share of the rows they are. For the mean over classes
    all rows.
    """
    import numpy as np

    if baseline.task == "numbers":
        return np.asarray(tables.errors[..., 0])
    if baseline.task == "classes":
        return np.asarray(tables.answered.sum(axis=(-2, -1)))
    if name in _BY_SCORE:
        came = tables.scored[..., len(baseline.labels) - 1].sum(axis=-1)
        rows = tables.scored.sum(axis=(-2, -1))
        if name == "average_precision":
            return np.asarray(came)
        return np.asarray(np.minimum(came, rows - came) if name == "roc_auc" else rows)
    tp, fp, fn, tn = _confusion(tables, baseline)
    return {"recall": tp + fn, "precision": tp + fp, "f1": tp + (fp + fn) / 2}.get(name, tp + fp + fn + tn)


def _of_numbers(name: str, errors: Floats) -> Floats:
    import numpy as np

    rows, signed, absolute, squares = (errors[..., i] for i in range(4))
    return np.asarray({"bias": signed / rows, "mae": absolute / rows, "rmse": np.sqrt(squares / rows)}[name])


def _confusion(tables: Tables, baseline: Baseline) -> tuple[Floats, Floats, Floats, Floats]:
    """(tp, fp, fn, tn) of a binary classifier; the last of two labels is the positive one."""
    import numpy as np

    from mlship.stats.cutting import first_positive

    positive = len(baseline.labels) - 1
    by_answer = np.zeros(tables.errors.shape[:-1])
    confusion = [by_answer] * 4
    if baseline.answers is not None and baseline.answers.bins.kind == "categories" and tables.answered.size:
        names = baseline.answers.bins.names
        chosen = np.array([name == baseline.labels[positive] for name in names] + [False] * 3)
        confusion = _split(tables.answered, chosen, positive)
        by_answer = sum(confusion, by_answer)
    if baseline.scores is None or baseline.threshold is None:
        return tuple(confusion)  # type: ignore[return-value]  # four of them
    size = baseline.scores.bins.size
    chosen = np.arange(size) >= first_positive(baseline.scores.bins, baseline.threshold)
    by_score = _split(tables.scored, chosen, positive)
    return tuple(  # type: ignore[return-value]  # four of them
        np.where(by_answer > 0, one, other) for one, other in zip(confusion, by_score, strict=True)
    )


def _split(table: Floats, chosen: NDArray[np.bool_], positive: int) -> list[Floats]:
    came = table[..., positive]
    other = table.sum(axis=-1) - came
    hits, wrong = came[..., chosen].sum(axis=-1), other[..., chosen].sum(axis=-1)
    return [hits, wrong, came.sum(axis=-1) - hits, other.sum(axis=-1) - wrong]


def _of_two(name: str, confusion: tuple[Floats, Floats, Floats, Floats], baseline: Baseline) -> Floats:
    tp, fp, fn, tn = confusion
    rows = tp + fp + fn + tn
    if name == "value":
        pay = baseline.payoff
        earned = pay.get("tp", 0) * tp + pay.get("fp", 0) * fp + pay.get("fn", 0) * fn + pay.get("tn", 0) * tn
        return earned / rows * 1000
    formulas: dict[str, Callable[[], Floats]] = {
        "recall": lambda: tp / (tp + fn),
        "precision": lambda: tp / (tp + fp),
        "f1": lambda: 2 * tp / (2 * tp + fp + fn),
        "accuracy": lambda: (tp + tn) / rows,
        "error": lambda: (fp + fn) / rows,
        "positive_rate": lambda: (tp + fn) / rows,
    }
    return formulas[name]()


def _of_classes(name: str, answered: Floats, baseline: Baseline) -> Floats:
    import numpy as np

    assert baseline.answers is not None, "a classifier answers"
    rows = answered.sum(axis=(-2, -1))
    places = {name: at for at, name in enumerate(baseline.answers.bins.names)}
    at = [places.get(label) for label in baseline.labels]
    none = np.zeros(rows.shape)
    hits = np.stack([none if p is None else answered[..., p, i] for i, p in enumerate(at)], axis=-1)
    if name in ("accuracy", "error"):
        right = hits.sum(axis=-1) / rows
        return np.asarray(right if name == "accuracy" else 1 - right)
    came = answered[..., : len(at)].sum(axis=-2)
    picked = np.stack([none if p is None else answered[..., p, :].sum(axis=-1) for p in at], axis=-1)
    seen = came + picked > 0
    whole = {"recall": came, "precision": picked, "f1": (came + picked) / 2}[name]
    ratio = np.where(whole > 0, hits / np.where(whole > 0, whole, 1), 0.0)
    return np.asarray((ratio * seen).sum(axis=-1) / seen.sum(axis=-1))


def _by_score(name: str, scored: Floats, baseline: Baseline) -> Floats:
    import numpy as np

    assert baseline.scores is not None, "known has looked"
    positive = len(baseline.labels) - 1
    hits = scored[..., positive]
    misses = scored.sum(axis=-1) - hits
    rows = hits + misses
    if name in ("average_precision", "roc_auc"):
        return _average_precision(hits, misses) if name == "average_precision" else _roc_auc(hits, misses)
    chance = np.array(baseline.scores.middles, float)
    if len(chance) != scored.shape[-2]:
        return np.full(scored.shape[:-2], np.nan)
    # An empty bin has no mean.
    chance = np.clip(np.nan_to_num(chance, nan=0.5), 0, 1)
    n = rows.sum(axis=-1)
    if name == "brier":
        return np.asarray((hits * (1 - chance) ** 2 + misses * chance**2).sum(axis=-1) / n)
    if name == "log_loss":
        sure = np.clip(chance, _LEAST, 1 - _LEAST)
        return np.asarray(-(hits * np.log(sure) + misses * np.log1p(-sure)).sum(axis=-1) / n)
    wide = np.clip(np.ceil(chance * _WIDTHS) - 1, 0, _WIDTHS - 1).astype(int)
    member = (wide[:, None] == np.arange(_WIDTHS)).astype(float)
    return np.asarray(abs((hits - rows * chance) @ member).sum(axis=-1) / n)


def _average_precision(hits: Floats, misses: Floats) -> Floats:
    """Area under precision over recall; within a bin the precision of its rows is even.

    From the highest scores on, with H hits of N rows above, a bin of h hits and m rows adds the integral over t from 0
    to 1 of h (H + h t) / (N + m t) = h [h/m + (H - N h/m) / m ln(1 + m/N)].
    """
    import numpy as np

    h, m = hits[..., ::-1], (hits + misses)[..., ::-1]
    above, n = np.cumsum(h, axis=-1) - h, np.cumsum(m, axis=-1) - m
    full = m > 0
    size = np.where(full, m, 1.0)
    rate = h / size
    before = np.where(n > 0, n, 1.0)
    curved = np.where(n > 0, (above - n * rate) / size * np.log1p(size / before), 0.0)
    return np.asarray(np.where(full, h * (rate + curved), 0.0).sum(axis=-1) / hits.sum(axis=-1))


def _roc_auc(hits: Floats, misses: Floats) -> Floats:
    """Chance that a positive row scores above another one, ties (rows of one bin) counted half."""
    import numpy as np

    below = np.cumsum(misses, axis=-1) - misses
    pairs = hits.sum(axis=-1) * misses.sum(axis=-1)
    return np.asarray((hits * (below + misses / 2)).sum(axis=-1) / pairs)
