"""Late labels: joins a label with the prediction it belongs to, and counts per second of the request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

#: Bounds of what is remembered: predictions waiting for a label (about 300 bytes each), and seconds with labels.
MAX_PREDICTIONS = 200_000
MAX_SECONDS = 4096
#: Characters; of a longer text only a digest is remembered, which is equal when the text is.
MAX_TEXT = 100

Scalar = bool | int | float | str
#: Asked of each prediction: a tuple is quicker than a union.
_PLAIN, _NESTED = (bool, int, float, str), (list, dict)
_NUMBERS = frozenset({bool, int, float})
_SCALARS = _NUMBERS | {str}


@dataclass(frozen=True, slots=True)
class Label:
    """What really happened, for each row of one request."""

    request_id: str
    values: tuple[Scalar, ...]


def read_labels(document: Any) -> list[Label]:
    """Read the JSON of `POST /feedback`: `{"request_id": "...", "label": 1}`, a list of such; a label may be a list.

    Raises
    ------
    ValueError
        The document has another shape; the message says where.
    """
    entries = document if isinstance(document, list) else [document]
    return [_read_label(entry, f"entry {position}") for position, entry in enumerate(entries)]


def _read_label(entry: Any, where: str) -> Label:
    if not isinstance(entry, dict):
        raise ValueError(  # noqa: TRY004 - a fault of the document, like every other here
            f"{where}: expected an object with `request_id` and `label`, got {type(entry).__name__}"
        )
    request_id, label = entry.get("request_id"), entry.get("label")
    if not isinstance(request_id, str) or not request_id:
        raise ValueError(f"{where}: `request_id` must be the x-request-id of an answer")
    given = label if isinstance(label, list) else [label]
    values = tuple(value for value in given if isinstance(value, Scalar))
    if not values or len(values) != len(given):
        raise ValueError(f"{where}: `label` must be a number, a string, a boolean, or a list with one of them a row")
    return Label(request_id, values)


def scalar(prediction: Any) -> Scalar | None:
    """Return the one value of a row's prediction; None when there are several (as of `predict_proba`) or none."""
    while isinstance(prediction, _NESTED) and len(prediction) == 1:
        prediction = prediction[0] if isinstance(prediction, list) else next(iter(prediction.values()))
    if isinstance(prediction, _PLAIN):
        return prediction
    item = getattr(prediction, "item", None)  # a numpy scalar in a plain list
    return item() if callable(item) else None


class Feedback:
    """Bounded memory of predictions, and counters of labels per second. Used by one thread.

    Parameters
    ----------
    tolerance
        A float prediction is wrong when it is further than this from the label; None compares for equality.
    """

    def __init__(
        self, tolerance: float | None = None, *, max_predictions: int = MAX_PREDICTIONS, max_seconds: int = MAX_SECONDS
    ) -> None:
        self._tolerance = tolerance
        self._max_predictions = max_predictions
        self._max_seconds = max_seconds
        self._known: OrderedDict[str, tuple[int, tuple[Scalar, ...]]] = OrderedDict()
        self._size = 0
        self._seconds: dict[int, list[int]] = {}

    def record(self, request_id: str, second: int, predictions: Sequence[Any]) -> None:
        """Remember what was answered; the oldest answers are forgotten when there are too many rows.

        An id that was used before gets the newest answer, unless its label has come already.
        """
        if request_id in self._known:
            if not self._known[request_id][1]:
                return
            self._forget(request_id)
        if not 0 < len(predictions) <= self._max_predictions:
            return
        values, kinds = tuple(predictions), set(map(type, predictions))
        if not kinds <= _SCALARS:  # something is to be unpacked first
            values = tuple([value for value in map(scalar, values) if value is not None])
            if len(values) != len(predictions):
                return
        if not kinds <= _NUMBERS:
            values = tuple(map(_short, values))
        self._known[request_id] = (second, values)
        self._size += len(values)
        while self._size > self._max_predictions:
            self._forget(next(iter(self._known)))

    def label(self, label: Label) -> tuple[int, int] | None:
        """Count a label; return (rows labelled, rows wrong), or None when it was not joined.

        Not joined: the id is unknown, forgotten or labelled before; the number of rows or the kind of value (text
        against number) differs from the predictions.
        """
        second, predictions = self._known.get(label.request_id, (0, ()))
        if len(predictions) != len(label.values):
            return None
        pairs = list(zip(predictions, label.values, strict=True))
        if any(isinstance(one, str) != isinstance(other, str) for one, other in pairs):
            return None
        wrong = sum(self._wrong(prediction, value) for prediction, value in pairs)
        # The id stays, without its predictions and at the weight of one row, so that a second label is not counted.
        self._size += 1 - len(predictions)
        self._known[label.request_id] = (second, ())
        self._count(second, len(pairs), wrong)
        return len(pairs), wrong

    def seconds(self) -> list[tuple[int, int, int]]:
        """Return (second of the request, rows labelled, rows wrong) since the start, in order of time."""
        return [(second, labelled, wrong) for second, (labelled, wrong) in sorted(self._seconds.items())]

    def _wrong(self, prediction: Scalar, label: Scalar) -> bool:
        if self._tolerance is not None and isinstance(prediction, float) and not isinstance(label, str):
            return not abs(prediction - label) <= self._tolerance  # a NaN is wrong
        return prediction != _short(label)

    def _count(self, second: int, labelled: int, wrong: int) -> None:
        counts = self._seconds.setdefault(second, [0, 0])
        counts[0] += labelled
        counts[1] += wrong
        if len(self._seconds) > self._max_seconds:
            del self._seconds[min(self._seconds)]

    def _forget(self, request_id: str) -> None:
        _, predictions = self._known.pop(request_id)
        self._size -= max(1, len(predictions))


def _short(value: Scalar) -> Scalar:
    """The value, or what stands for a text that is too long to be kept."""
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return blake2b(value.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
    return value
