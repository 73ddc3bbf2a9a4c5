"""What people expect to see of predictions beside their figures: curves and grids, drawn from counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlship.exhibits import Cell, Curves, Exhibit, Heat, Series, Table
from mlship.gates.metrics.ours import calibrated
from mlship.gates.metrics.side import Side
from mlship.report.figures import things
from mlship.stats.calibration import Reliability
from mlship.stats.linear import chunks
from mlship.stats.simultaneous import jeffreys

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_POINTS = 100
_MODELS = ("candidate", "champion")
#: More classes than this make no grid that a person reads.
_MOST_CLASSES = 20
#: Metrics that a reliability curve explains, and those that a confusion matrix does.
_OF_CHANCES = ("calibration_error", "brier_score", "neg_brier_score", "log_loss", "neg_log_loss")
_OF_ANSWERS = ("recall", "precision", "f1", "balanced_accuracy", "matthews_corrcoef", "accuracy", "jaccard")
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def plots(sides: list[Side]) -> list[tuple[tuple[str, ...], Exhibit]]:
    """Exhibits of candidate and champion, each with the metrics that it explains, the likeliest first."""
    if sides[0].classes is None:
        # Whole numbers or text may be classes that the model does not tell: nothing is drawn as if they were amounts.
        return _of_numbers(sides) if all(side.values.dtype.kind == "f" for side in sides) else []
    found: list[tuple[tuple[str, ...], Exhibit]] = []
    # A model without probabilities has no curve; the other one is still worth seeing.
    scored = [(name, side) for name, side in zip(_MODELS, sides, strict=False) if side.scores is not None]
    ranked = [(name, side) for name, side in scored if side.is_binary]
    if ranked:
        found.append((("roc_auc",), _roc(ranked)))
        found.append((("average_precision",), _precision_recall(ranked)))
    chances = [(name, side) for name, side in scored if side.scores is not None and side.scores.ndim == 2]
    if chances:
        found.append((_OF_CHANCES, _calibration(chances)))
    found += [
        (_OF_ANSWERS, grid) for name, side in zip(_MODELS, sides, strict=False) for grid in _confusion(name, side)
    ]
    return found


def _roc(models: list[tuple[str, Side]]) -> Curves:
    import numpy as np

    series = []
    for name, side in models:
        hits, above = side.ranked.above
        wrong = above - hits
        share = _drawn(np.append(wrong, 0) / max(wrong[0], 1), np.append(hits, 0) / max(hits[0], 1))
        series.append(Series(name, *share))
    return Curves("ROC", "false positive rate", "true positive rate", tuple(series), diagonal=True)


def _precision_recall(models: list[tuple[str, Side]]) -> Curves:
    import numpy as np

    series = []
    for name, side in models:
        hits, above = side.ranked.above
        series.append(Series(name, *_drawn(hits / max(hits[0], 1), hits / np.maximum(above, 1))))
    positives = float(models[0][1].positive.mean())
    note = f"a model that knows nothing has a precision of {positives:.3g} everywhere"
    return Curves("Precision and recall", "recall", "precision", tuple(series), note=note)


def _drawn(x: Floats, y: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """At most 100 points of a curve, spread evenly along it, from the left."""
    import numpy as np

    x, y = x[::-1], y[::-1]
    along = np.append(0, np.cumsum(np.hypot(np.diff(x), np.diff(y))))
    kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], _POINTS)).clip(0, len(x) - 1))
    return tuple(map(float, x[kept].round(4))), tuple(map(float, y[kept].round(4)))


def _calibration(models: list[tuple[str, Side]]) -> Curves:
    series = []
    for name, side in models:
        counted = Reliability.of(*calibrated(side))
        full = counted.rows > 0
        n, came = counted.rows[full], counted.came[full]
        low, high = jeffreys(came, n, 0.95)
        columns = (counted.expected[full] / n, came / n, low, high)
        series.append(Series(name, *(tuple(map(float, column.round(4))) for column in columns)))
    what = "of the positive class" if models[0][1].is_binary else "of the predicted class"
    return Curves("Calibration", f"probability {what}", "share that came", tuple(series), diagonal=True)


def _confusion(model: str, side: Side) -> list[Heat]:
    """One row for each label, with the share of its rows that were predicted to be each class."""
    import numpy as np

    if side.names is None or len(side.names) > _MOST_CLASSES:
        return []
    k = len(side.names)
    counted = np.zeros(k * k)
    for part in chunks(len(side.label)):
        counted += np.bincount(side.label[part].astype(np.int32) * k + side.values[part], minlength=k * k)
    table = counted.reshape(k, k)
    rows = table.sum(axis=1)
    seen = np.flatnonzero(rows)
    names = [str(name) for name in side.names]
    return [
        Heat(
            f"Confusion, {model}",
            tuple(names),
            tuple(f"{names[i]} ({things(int(rows[i]), 'row')})" for i in seen),
            tuple(tuple(float(share) for share in (table[i] / rows[i]).round(5)) for i in seen),
            note="labels down, predictions across; share of each label's rows",
            shares=True,
        )
    ]


def _of_numbers(sides: list[Side]) -> list[tuple[tuple[str, ...], Exhibit]]:
    """Predicted against actual by tenths of the predictions, and the quantiles of the errors."""
    import numpy as np

    series: list[Series] = []
    rows: list[tuple[Cell, ...]] = []
    for name, side in zip(_MODELS, sides, strict=False):
        label, predicted = side.numbers(), side.values.astype(float).reshape(-1)
        edges = np.unique(np.quantile(predicted, np.linspace(0.1, 0.9, 9)))
        tenth = np.searchsorted(edges, predicted, side="left").astype(np.int8)
        n = np.bincount(tenth, minlength=10)
        means = [np.bincount(tenth, weights=column, minlength=10)[n > 0] / n[n > 0] for column in (predicted, label)]
        series.append(Series(name, *(tuple(map(float, mean)) for mean in means)))
        rows.append((name, *(float(error) for error in np.quantile(predicted - label, _QUANTILES))))
    x, y = "mean prediction, by tenths of the predictions", "mean label"
    return [
        (("r2",), Curves("Predicted and actual", x, y, tuple(series), diagonal=True)),
        (
            ("mae", "neg_mean_absolute_error", "rmse", "quantile_loss"),
            Table(
                "Errors",
                ("model", *(f"{share * 100:.0f} %" for share in _QUANTILES)),
                tuple(rows),
                note="quantiles of prediction minus label",
            ),
        ),
    ]
