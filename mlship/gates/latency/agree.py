"""Do the server's predictions agree with those of the model in the registry? Pure: values in, the differences out.

The last mile of training-serving skew: other versions of packages in the image, another reading of JSON, another dtype.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlship.gates.base import Predictions

#: As the scoring session reads a table of predictions.
_NAMES = ("prediction", "predictions", "predicted", "predict", "label")


@dataclass(frozen=True, slots=True)
class Difference:
    """One row about which the two do not agree."""

    row: int
    """Which of the rows that were asked about, counted from 0."""
    served: Any
    registered: Any


@dataclass(frozen=True, slots=True)
class Agreement:
    """What came of comparing."""

    rows: int
    """Rows that were compared."""
    different: int = 0
    worst: tuple[Difference, ...] = ()
    """The first few, by row."""
    furthest: float = 0.0
    """Largest relative difference between two numbers."""
    reason: str = ""
    """Why nothing could be compared; empty when it could."""


def compare(served: Sequence[Any], registered: Predictions, tolerance: float, *, keep: int = 10) -> Agreement:
    """Compare what a server said about rows with what the model says by itself, row by row.

    Numbers agree when they differ by at most `tolerance` times the larger of the two (or by 1e-12); everything else
    when it is equal. Probabilities are compared with probabilities, classes with classes. The server may have answered
    fewer rows.
    """
    pairs = _pairs(served, registered)
    if isinstance(pairs, str):
        return Agreement(0, reason=pairs)
    different, furthest = 0, 0.0
    worst: list[Difference] = []
    for row, (ours, theirs) in enumerate(pairs):
        distance = _distance(ours, theirs)
        furthest = max(furthest, distance if math.isfinite(distance) else 0.0)
        if distance > tolerance:
            different += 1
            if len(worst) < keep:
                worst.append(Difference(row, ours, theirs))
    return Agreement(len(pairs), different, tuple(worst), furthest)


def _pairs(served: Sequence[Any], registered: Predictions) -> list[tuple[Any, Any]] | str:
    """Each row's answer of the server beside the registry's in the same form; a text when there is no such form."""
    if not served:
        return "the server answered no row"
    theirs = _Registered.of(registered, len(served))
    first = served[0]
    if isinstance(first, list):
        return _lists(served, theirs, len(first))
    if isinstance(first, dict):
        return _tables(served, theirs, list(first))
    if (
        theirs.positive is not None
        and isinstance(first, float)
        and not all(str(one) in theirs.classes for one in served)
    ):
        return list(zip(served, theirs.positive, strict=True))  # a booster that gives the probability alone
    return list(zip(served, theirs.values, strict=True))


@dataclass(frozen=True, slots=True)
class _Registered:
    """What the model says by itself, as lists."""

    values: list[Any]
    scores: list[list[float]] | None
    """Class probabilities; None when it tells none."""
    classes: frozenset[str]

    @classmethod
    def of(cls, registered: Predictions, rows: int) -> _Registered:
        scores = registered.scores
        return cls(
            registered.values[:rows].tolist(),
            scores[:rows].tolist() if scores is not None and scores.ndim == 2 else None,
            frozenset(map(str, registered.classes.tolist())) if registered.classes is not None else frozenset(),
        )

    @property
    def positive(self) -> list[float] | None:
        """The probability of the second of two classes."""
        return [row[1] for row in self.scores] if self.scores and len(self.scores[0]) == 2 and self.classes else None

    def has(self, columns: int) -> bool:
        """Whether it tells a probability for each of so many classes."""
        return self.scores is not None and len(self.scores[0]) == columns


def _lists(served: Sequence[Any], theirs: _Registered, columns: int) -> list[tuple[Any, Any]] | str:
    if columns == 1:
        return list(
            zip([one[0] if isinstance(one, list) and one else one for one in served], theirs.values, strict=True)
        )
    if theirs.scores is not None and theirs.has(columns):
        return list(zip(served, theirs.scores, strict=True))
    return f"the server gives {columns} numbers a row, and the model one prediction"


def _tables(served: Sequence[Any], theirs: _Registered, names: list[str]) -> list[tuple[Any, Any]] | str:
    known = next((name for name in _NAMES if name in names), None)
    if known is not None:
        return [(_get(one, known), value) for one, value in zip(served, theirs.values, strict=True)]
    if theirs.scores is not None and theirs.has(len(names)):
        ours = [[_get(one, name) for name in names] for one in served]
        return list(zip(ours, theirs.scores, strict=True))
    return f"the server gives a table of {', '.join(names[:5])}, and the model one prediction"


def _get(row: Any, name: str) -> Any:
    return row.get(name) if isinstance(row, dict) else None


def _distance(ours: Any, theirs: Any) -> float:
    """Relative difference of two numbers, the largest of two lists; infinite for other things that are not equal."""
    if isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            return math.inf
        return max((_distance(a, b) for a, b in zip(ours, theirs, strict=True)), default=0.0)
    if _is_number(ours) and _is_number(theirs):
        if ours == theirs:
            return 0.0
        gap = abs(ours - theirs)
        if not math.isfinite(gap):
            return math.inf
        return 0.0 if gap <= 1e-12 else gap / max(abs(ours), abs(theirs))
    return 0.0 if ours == theirs and isinstance(ours, bool) == isinstance(theirs, bool) else math.inf


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
