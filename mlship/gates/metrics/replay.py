"""Predictions that were made elsewhere, dressed as an estimator, so that any scikit-learn scorer can score them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class _Replay(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Answers for row numbers: `X` holds, for each row asked, its number in the stored predictions, shape (m, 1)."""

    def __init__(self, values: NDArray[Any], scores: NDArray[Any] | None, classes: NDArray[Any] | None) -> None:
        self.values = values
        self.scores = scores
        self.used: set[str] = set()
        if classes is not None:
            self.classes_ = classes

    def predict(self, X: NDArray[np.int64]) -> NDArray[Any]:  # noqa: N803 - scikit-learn's own name
        """The stored predictions of these rows."""
        self.used.add("predict")
        return self.values[X[:, 0]]


class _Classifier(ClassifierMixin, _Replay):  # type: ignore[misc]  # scikit-learn ships no types
    """A classifier that only tells classes."""


class _Probabilities(_Classifier):
    """A classifier that also tells probabilities."""

    def predict_proba(self, X: NDArray[np.int64]) -> NDArray[Any]:  # noqa: N803 - scikit-learn's own name
        """The stored probabilities of these rows."""
        self.used.add("predict_proba")
        assert self.scores is not None, "replay chose this class for that"
        return self.scores[X[:, 0]]


class _Decision(_Classifier):
    """A classifier that also tells decision values."""

    def decision_function(self, X: NDArray[np.int64]) -> NDArray[Any]:  # noqa: N803 - scikit-learn's own name
        """The stored decision values of these rows."""
        self.used.add("decision_function")
        assert self.scores is not None, "replay chose this class for that"
        return self.scores[X[:, 0]]


class _Regressor(RegressorMixin, _Replay):  # type: ignore[misc]  # scikit-learn ships no types
    """A regressor."""


def replay(values: NDArray[Any], scores: NDArray[Any] | None, classes: NDArray[Any] | None) -> _Replay:
    """An estimator that has exactly the methods the model had: which scorers work is then up to scikit-learn."""
    if classes is None:
        return _Regressor(values, None, None)
    if scores is None:
        return _Classifier(values, None, classes)
    return (_Probabilities if scores.ndim == 2 else _Decision)(values, scores, classes)
