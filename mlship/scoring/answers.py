"""What a model answers about a batch of rows, as one prediction a row and, where it tells, how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.errors import ModelFault

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from mlship.scoring.flavour import Model

_HINT = "log it with a predict function that gives one class or one number a row"
#: Columns of a table of predictions that hold the prediction itself.
_NAMES = ("prediction", "predictions", "predicted", "predict", "label")


@dataclass(frozen=True)
class Answer:
    """About one batch of n rows."""

    values: NDArray[np.generic]
    """Predicted classes or numbers, shape (n,)."""
    scores: NDArray[Any] | None
    """Class probabilities, shape (n, classes), or the decision value of a two-class model, shape (n,)."""
    classes: NDArray[np.generic] | None


def ask(model: Model, batch: pd.DataFrame) -> Answer:
    """Ask the model about the rows of a batch.

    Probabilities where classes should be are taken for what they are when that is clear: the model's method says so, or
    the columns of the answer are named after the classes. Raises ``ModelFault`` for any other shape, for predictions
    that are no class or number, and for numbers that are not finite.
    """
    classes = classes_of(model.raw)
    if classes is not None and model.predicts == "predict" and _decides_by_probability(model.raw):
        return _decided(model, classes, batch)
    predicted = model.predict(batch)
    if classes is not None and model.predicts == "predict_proba":
        scores = _probabilities(predicted, len(batch), len(classes))
        return Answer(classes[scores.argmax(axis=1)], scores, classes)
    if (positive := _boosted(model.raw, predicted, len(batch))) is not None:
        return positive
    if (told := _named(predicted, len(batch))) is not None:
        return told
    values = one_each(predicted, len(batch))
    check(values)
    return Answer(values, _scores(model.raw, classes, batch), classes)


#: Classifiers that predict the most probable class, and find out how probable it is in doing so.
_BY_PROBABILITY = {
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
    "sklearn.ensemble._gb.GradientBoostingClassifier",
    "sklearn.ensemble._forest.RandomForestClassifier",
    "sklearn.ensemble._forest.ExtraTreesClassifier",
    "lightgbm.sklearn.LGBMClassifier",
    "xgboost.sklearn.XGBClassifier",
}


def _decides_by_probability(raw: Any) -> bool:
    pipeline = type(raw).__module__ == "sklearn.pipeline" and type(raw).__name__ == "Pipeline"
    last = type(raw.steps[-1][1] if pipeline else raw)
    return f"{last.__module__}.{last.__name__}" in _BY_PROBABILITY


def _decided(model: Model, classes: NDArray[Any], batch: pd.DataFrame) -> Answer:
    """Ask once for what would be worked out twice; where two classes are all but equal, the model's word counts."""
    import numpy as np

    scores = _probabilities(model.raw.predict_proba(batch), len(batch), len(classes))
    values = classes[scores.argmax(axis=1)]
    if len(classes) > 1:
        top = np.partition(scores, -2, axis=1)
        close = top[:, -1] - top[:, -2] < 1e-6
        if close.any():
            values = values.copy()
            values[close] = one_each(model.predict(batch[close]), int(close.sum()))
    return Answer(values, scores, classes)


def one_each(predicted: Any, rows: int) -> NDArray[np.generic]:
    """The predictions of a batch, shape (rows,), of a type that can be kept without pickling."""
    import numpy as np
    import pandas as pd

    if isinstance(predicted, (pd.DataFrame, dict)):
        for name in _NAMES:
            if name in predicted:
                predicted = predicted[name]
                break
    values = np.asarray(predicted)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (rows,):
        shape = " x ".join(map(str, values.shape)) or "a single value"
        raise ModelFault(f"the model gives {shape} for {rows} rows, not one prediction a row", hint=_HINT)
    return _plain(values)


def check(values: NDArray[Any]) -> None:
    """Raises ``ModelFault`` when numbers are missing or infinite."""
    import numpy as np

    if values.dtype.kind == "f" and (wrong := int((~np.isfinite(values)).sum())):
        raise ModelFault(f"the model predicts no finite number for {wrong} of {len(values)} rows")


def classes_of(raw: Any) -> NDArray[np.generic] | None:
    """The classes of a classifier of one label."""
    import numpy as np

    try:
        classes = np.asarray(raw.classes_)
    except (AttributeError, ValueError):  # no classifier; or several labels, with classes of different counts
        return None
    return _plain(classes) if classes.ndim == 1 and len(classes) else None


def _plain(values: NDArray[Any]) -> NDArray[np.generic]:
    import numpy as np

    if values.dtype.kind in "biufU":
        return values
    kinds = {type(value) for value in values} if values.dtype == object else {values.dtype.type}
    if kinds <= {str}:
        return values.astype(str)
    if all(issubclass(kind, (bool, np.bool_)) for kind in kinds):
        return values.astype(bool)
    if all(issubclass(kind, (int, np.integer)) for kind in kinds):
        return values.astype(np.int64)
    if all(issubclass(kind, (int, float, np.number)) and not issubclass(kind, np.complexfloating) for kind in kinds):
        return values.astype(np.float64)
    raise ModelFault(
        f"the model's predictions are of type {', '.join(sorted(kind.__name__ for kind in kinds))}",
        hint="a prediction is a class (text, whole number, truth value) or a number",
    )


def _probabilities(predicted: Any, rows: int, classes: int) -> NDArray[Any]:
    import numpy as np

    scores = np.asarray(predicted, dtype=np.float64)
    if scores.shape != (rows, classes):
        shape = " x ".join(map(str, scores.shape))
        raise ModelFault(f"the model gives {shape} probabilities for {rows} rows and {classes} classes", hint=_HINT)
    _check_scores(scores)
    return scores


def _check_scores(scores: NDArray[Any]) -> None:
    import numpy as np

    if wrong := int((~np.isfinite(scores)).sum()):
        raise ModelFault(f"{wrong} of the model's {scores.size} probabilities or decision values are no finite number")


def _named(predicted: Any, rows: int) -> Answer | None:
    """A table of one column a class, named after it, whose rows add up to one."""
    import numpy as np
    import pandas as pd

    if not isinstance(predicted, pd.DataFrame) or predicted.shape[1] < 2 or any(n in predicted for n in _NAMES):
        return None
    try:
        scores = predicted.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if len(scores) != rows or (scores < 0).any() or not np.allclose(scores.sum(axis=1), 1, atol=1e-4):
        return None
    names = [str(name) for name in predicted.columns]
    classes = np.array([int(name) for name in names] if all(name.isdecimal() for name in names) else names)
    return Answer(classes[scores.argmax(axis=1)], scores, classes)


def _boosted(raw: Any, predicted: Any, rows: int) -> Answer | None:
    """A LightGBM booster without a scikit-learn face: its answer is a probability when its objective says so."""
    import numpy as np

    if not (type(raw).__module__ == "lightgbm.basic" and type(raw).__name__ == "Booster"):
        return None
    objective = str(raw.dump_model(num_iteration=1).get("objective", "")).split(" ")[0]
    scores = np.asarray(predicted, dtype=np.float64)
    if objective == "binary" and scores.shape == (rows,):
        scores = np.column_stack([1 - scores, scores])
    elif objective not in ("multiclass", "multiclassova") or scores.ndim != 2 or len(scores) != rows:
        return None
    _check_scores(scores)
    classes = np.arange(scores.shape[1])
    return Answer(classes[scores.argmax(axis=1)], scores, classes)


def _scores(raw: Any, classes: Any, batch: pd.DataFrame) -> NDArray[Any] | None:
    """Class probabilities, shape (n, classes), else the decision value of a two-class model, shape (n,)."""
    import numpy as np

    if classes is None:
        return None
    if hasattr(raw, "predict_proba"):
        return _probabilities(raw.predict_proba(batch), len(batch), len(classes))
    if hasattr(raw, "decision_function"):
        decided = np.asarray(raw.decision_function(batch), dtype=np.float64)
        if decided.shape != (len(batch),):
            return None
        _check_scores(decided)
        return decided
    return None
