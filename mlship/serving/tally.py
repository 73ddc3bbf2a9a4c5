"""What one worker has predicted: counts of classes and scores, exact at every moment, and the latest answers by id.

The rollout's judge subtracts two readings, so that nothing here is ever counted anew: a class or a bucket that has a
count keeps it, and it only grows. Used by the event loop alone.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

from mlship.serving.state import MAX_SECONDS, Counts
from mlship.stats.buckets import bucket, counted
from mlship.stats.sketch_categories import NAME, name
from mlship.stats.sketch_numbers import NumberSketch
from mlship.types import OTHER_CLASS

#: Classes of one worker that are told apart (all further ones are one), and the name of a null.
MAX_CLASSES = 200
NULL = "(missing)"
#: Rows whose predictions are remembered, the most rows of such a request, and for how many seconds after somebody last
#: asked: with nobody who compares, nothing is remembered.
MAX_ANSWERS, MAX_ROWS, ASKED = 4096, 32, 600.0
#: Rows from which a request's predictions are counted together, which is quicker.
MANY = 64
#: Larger integers are all the same class.
_LARGEST = 10**20
_NESTED, _SCALARS = (list, tuple, dict), (bool, int, float, str)

#: One row's prediction, as it can be compared; None for a NaN or a null, which JSON lacks or is.
Value = str | int | float | None


class Tally:
    """Predictions of one worker.

    Of a row with several values (as of `predict_proba`, or a record) the last is counted: of two classes that is the
    probability of the second. Texts, booleans and integers are classes, floats are scores.
    """

    def __init__(self) -> None:
        # 1, True and "1" are other keys of other dictionaries: as keys of one, two of them would be the same.
        self._integers: dict[int, int] = {}
        self._booleans: dict[bool, int] = {}
        self._texts: dict[str, int] = {}
        self._scores: dict[int, int] = {}
        self._others = self._nulls = 0
        self._until = -math.inf
        self._answers: OrderedDict[str, list[Value] | None] = OrderedDict()
        """By digest, the latest last; None for an id that came more than once while it was remembered."""
        self._rows = 0

    def add(self, request_id: str, predictions: Sequence[Any], now: float) -> None:
        """Count the predictions of one request.

        Parameters
        ----------
        now
            The same clock as of `asked`, in seconds.
        """
        if len(predictions) >= MANY:
            self._count_many(predictions)
        else:
            for one in predictions:
                self._count(one)
        if now < self._until:
            if len(predictions) <= MAX_ROWS:
                self._remember(digest(request_id), list(map(value, predictions)))
        elif self._answers:
            self._forget()

    def counts(self) -> Counts:
        """Counts since the start: `{"classes": {name: times}, "scores": {bucket: times}}`; see ``stats.buckets``."""
        classes: dict[str, int] = {}
        for named in (
            ((str(key), times) for key, times in self._integers.items()),
            (("true" if key else "false", times) for key, times in self._booleans.items()),
            self._texts.items(),
            ((OTHER_CLASS, self._others), (NULL, self._nulls)),
        ):
            for key, times in named:
                if times:
                    classes[key] = classes.get(key, 0) + times
        return {"classes": classes, "scores": {str(index): times for index, times in sorted(self._scores.items())}}

    def asked(self, now: float, most: int) -> dict[str, Value | list[Value]]:
        """The latest predictions, at most so many, by a digest of the request's id; and remember the ones to come.

        Of a request of several rows, the second has `.1` behind the digest, and so on; requests of more than
        `MAX_ROWS` rows are left out. Of an id that came more than once an empty list is told, and no prediction: which
        came last may differ from server to server (see `together`). The first who asks after a while gets nothing.
        """
        if now >= self._until:
            self._forget()
        self._until = now + ASKED
        found: list[tuple[str, Value | list[Value]]] = []
        for key, values in reversed(self._answers.items()):
            if len(found) >= most:
                break
            if values is None:
                found.append((key, []))
            else:
                found += [(_row(key, position), values[position]) for position in reversed(range(len(values)))]
        return dict(reversed(found[:most]))

    def _remember(self, key: str, values: list[Value]) -> None:
        if key in self._answers:
            self._rows -= _size(
                self._answers.pop(key)
            )  # it goes to the end: as long as either is there, both are known
            self._answers[key] = None
        else:
            self._answers[key] = values
        self._rows += _size(self._answers[key])
        while self._rows > MAX_ANSWERS:
            self._rows -= _size(self._answers.popitem(last=False)[1])

    def _forget(self) -> None:
        self._answers.clear()
        self._rows = 0

    def _count(self, one: Any, times: int = 1) -> None:
        kind = type(one)
        if kind is list and one:  # the usual way of several values, before the seldom ones
            one = one[-1]
            kind = type(one)
        if kind is float:
            index = bucket(one)
            self._scores[index] = self._scores.get(index, 0) + times
        elif kind is int and one in self._integers:
            self._integers[one] += times
        elif kind is bool:
            self._booleans[one] = self._booleans.get(one, 0) + times
        elif kind is str and len(one) <= NAME and one in self._texts:
            self._texts[one] += times
        else:
            self._count_seldom(one, times)

    def _count_seldom(self, given: Any, times: int) -> None:
        """Count a class that is new, or one of the many that are not told apart, or what has to be unpacked first."""
        one = unpacked(given)
        if isinstance(one, bool):
            self._count(one, times)
        elif isinstance(one, float):
            self._count(float(one), times)  # numpy's is one, too
        elif one is None:
            self._nulls += times
        elif isinstance(one, int) and abs(one) < _LARGEST:
            self._admit(self._integers, one, times)
        elif isinstance(one, str):
            self._admit(self._texts, _clean(one), times)
        else:
            self._others += times

    def _admit(self, known: dict[Any, int], key: int | str, times: int) -> None:
        if key in known:
            known[key] += times
        elif len(self._integers) + len(self._texts) < MAX_CLASSES:
            known[key] = times
        else:
            self._others += times

    def _count_many(self, predictions: Sequence[Any]) -> None:
        kinds = set(map(type, predictions))
        if kinds == {float}:
            sketch = NumberSketch()
            sketch.add(predictions)
            for index, times in counted(sketch).items():
                self._scores[index] = self._scores.get(index, 0) + times
        elif len(kinds) == 1 and kinds <= {int, str, bool}:
            for one, times in Counter(predictions).items():
                self._count(one, times)
        else:
            for one in predictions:
                self._count(one)


def unpacked(prediction: Any) -> Any:
    """The one value of a row's prediction, or the last of several, as Python's own type where it has one."""
    while isinstance(prediction, _NESTED) and prediction:
        prediction = prediction[-1] if not isinstance(prediction, dict) else next(reversed(prediction.values()))
    if prediction is None or isinstance(prediction, _SCALARS):
        return prediction
    item = getattr(prediction, "item", None)
    try:
        return item() if callable(item) else prediction
    except (TypeError, ValueError):  # an array of several
        return prediction


def value(prediction: Any) -> Value:
    """A row's prediction as it is remembered to be compared: short, and something that JSON has."""
    one = unpacked(prediction)
    if isinstance(one, str):
        return _clean(one)
    if isinstance(one, float):
        return None if math.isnan(one) else min(max(one, -1e308), 1e308)
    if one is None or (isinstance(one, int) and abs(one) < _LARGEST):
        return one
    return OTHER_CLASS


def digest(request_id: str) -> str:
    """What stands for the id of a request, which may tell something of the caller."""
    return blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def summed(parts: Iterable[Sequence[Sequence[int]]]) -> Sequence[Sequence[int]]:
    """The labels by second of several workers as one: rows of second, labelled and wrong, the latest `MAX_SECONDS`."""
    some = [part for part in parts if part]
    if len(some) == 1:
        return some[0]
    total: dict[int, tuple[int, int]] = {}
    for part in some:
        for second, labelled, wrong in part:
            before = total.get(second, (0, 0))
            total[second] = before[0] + labelled, before[1] + wrong
    return [(second, *total[second]) for second in sorted(total)[-MAX_SECONDS:]]


def together(parts: Iterable[dict[str, Value | list[Value]]]) -> dict[str, Value]:
    """The answers of several workers as one, without the requests whose id came more than once, wherever it came."""
    found: dict[str, Value | list[Value]] = {}
    seen: set[str] = set()
    several: set[str] = set()
    for part in parts:
        here = {key.partition(".")[0] for key in part}
        several |= seen & here
        seen |= here
        found |= part
    several |= {key for key, one in found.items() if isinstance(one, list)}
    return {
        key: one for key, one in found.items() if not isinstance(one, list) and key.partition(".")[0] not in several
    }


def _row(key: str, position: int) -> str:
    """The name of one row's prediction."""
    return f"{key}.{position}" if position else key


def _size(values: Sequence[Value] | None) -> int:
    """Rows that count as remembered; an id that came more than once is one, and so is a request without rows."""
    return len(values) if values else 1


def _clean(text: str) -> str:
    """A class's name: short, and something that can be written as UTF-8."""
    return name(text if text.isascii() else text.encode("utf-8", "replace").decode())
