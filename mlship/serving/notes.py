"""What is noted of answers beside the event loop: sketches of features and predictions, and lines of the log.

The loop only appends to a queue; one thread empties it once a second and takes each column in at once, which is a small
part of the price of taking in row by row. Of very many rows the features of some are enough: the price stays the same.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlship.serving.observer import Answered
from mlship.serving.predictionlog import REDACTED, PredictionLog, instant, line, sampled
from mlship.serving.state import OTHER
from mlship.stats.sketches import ColumnSketch

#: Seconds between two takes, and rows after which one comes earlier.
PAUSE, ENOUGH = 1.0, 16_384
#: Rows of one take whose features are sketched, about; with more, every n-th is.
FEATURE_ROWS = 512
#: Rows that may wait for a take; what comes on top is neither sketched nor logged, but counted.
MAX_ROWS = 32_768
#: Columns, outputs of one model and classes of one output that are told apart.
MAX_COLUMNS, MAX_OUTPUTS, MAX_CLASSES = 512, 32, 50

log = logging.getLogger("mlship.serving")

_SCALARS = frozenset({int, float, str, bool, type(None)})
_CLASSES = frozenset({int, str, bool})


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose answers are noted, and what of them may be written."""

    model: str
    version: str
    sample: float = 0.0
    """Share of requests in the log."""
    features: bool = True
    redact: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LabelCame:
    """A late label, as the log tells it."""

    request_id: str
    arrived: float
    labels: Sequence[Any]
    joined: bool
    """Whether the prediction was still in memory."""


class Notes:
    """Sketches and the log of one worker. `answered` and `label` belong to the event loop, and never wait.

    Parameters
    ----------
    log
        Where lines go; None: no log.
    """

    def __init__(self, subject: Subject, log: PredictionLog | None) -> None:
        self._subject: Final = subject
        self._log: Final = log
        self._waiting: deque[Answered | LabelCame] = deque()
        self._given = self._taken = 0  # rows; each is written by one thread only
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._random = random.Random()
        self.features: dict[str, ColumnSketch] = {}
        self.outputs: dict[str, ColumnSketch] = {}
        self.classes: dict[str, dict[str, int]] = {}
        self.missed = 0
        """Rows that came too fast to be noted at all."""
        self.thinned = 0
        """Rows whose features were left out, so that sketching costs no more than so much."""
        self._thread = threading.Thread(target=self._run, name="notes", daemon=True)
        self._thread.start()

    def answered(self, one: Answered) -> None:
        """Note an answer of a model, soon."""
        rows = _rows(one)
        waiting = self._given - self._taken + rows
        if waiting > MAX_ROWS:
            self.missed += rows
            if self._log is not None and sampled(one.request_id, self._subject.sample):
                self._log.drop()
            return
        self._given += rows
        self._waiting.append(one)
        if waiting >= ENOUGH and not self._wake.is_set():
            self._wake.set()

    def label(self, label: LabelCame) -> None:
        """Note a label, when its request is one for the log."""
        if self._log is not None and sampled(label.request_id, self._subject.sample):
            if len(self._waiting) >= MAX_ROWS:
                self._log.drop()
                return
            self._waiting.append(label)

    def settle(self) -> None:
        """Take in all that waits, now. Blocks for some milliseconds; from any thread."""
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
            answers = [one for one in taken if isinstance(one, Answered)]
            self._taken += sum(map(_rows, answers))
            self._sketch(answers)
            if self._log is not None:
                for one in taken:
                    if isinstance(one, LabelCame):
                        self._log.offer(self._label_line(one))
                    elif sampled(one.request_id, self._subject.sample):
                        self._log.offer(self._line(one))

    def snapshot(self) -> dict[str, Any]:
        """Everything noted so far, as a JSON document: features, outputs, classes, rows_thinned. From any thread."""
        self.settle()
        with self._lock:
            return {
                "features": {name: sketch.to_json() for name, sketch in self.features.items()},
                "outputs": {name: sketch.to_json() for name, sketch in self.outputs.items()},
                "classes": {name: dict(classes) for name, classes in self.classes.items()},
                "rows_thinned": self.thinned,
            }

    def close(self, timeout: float) -> None:
        """Note and write what waits; wait at most so many seconds for the disk."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)
        self.settle()
        if self._log is not None:
            self._log.close(timeout)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(PAUSE)
            self._wake.clear()
            try:
                self.settle()
            except Exception as fault:  # noqa: BLE001 - notes may be lost, as when memory is short; the thread stays
                log.warning("notes of some answers are lost: %s: %s", type(fault).__name__, fault)

    def _sketch(self, answers: list[Answered]) -> None:
        outputs: dict[str, list[Any]] = {}
        for one in answers:
            if one.predictions:
                _spread(one.predictions, outputs)
        features = self._thin([one for one in answers if one.features])
        for found, sketches, most in ((features, self.features, MAX_COLUMNS), (outputs, self.outputs, MAX_OUTPUTS)):
            for name, cells in found.items():
                if name not in sketches:
                    if len(sketches) >= most:
                        continue
                    sketches[name] = ColumnSketch()
                sketches[name].add(cells)
                time.sleep(0)  # between two columns it is the event loop's turn
        for name, cells in outputs.items():
            if name in self.outputs:
                count_classes(self.classes.setdefault(name, {}), cells)

    def _thin(self, answers: list[Answered]) -> dict[str, list[Any]]:
        """The features of these answers by column, of every n-th row where there are very many."""
        total = sum(map(_feature_rows, answers))
        step = -(-total // FEATURE_ROWS) or 1
        start, chosen = self._random.randrange(step), 0
        features: dict[str, list[Any]] = {}
        for one in answers:
            rows = _feature_rows(one)
            if start < rows:
                for name, cells in (one.features or {}).items():
                    part = cells if step == 1 else cells[start::step]
                    if name in features:
                        features[name] += part
                    elif name not in self._subject.redact:
                        features[name] = list(part)
                chosen += len(range(start, rows, step))
            start = (start - rows) % step
        self.thinned += total - chosen
        return features

    def _line(self, one: Answered) -> bytes:
        record: dict[str, Any] = {
            "kind": "prediction",
            "time": instant(one.arrived),
            "request_id": one.request_id,
            "model": self._subject.model,
            "version": self._subject.version,
        }
        if self._subject.features:
            record["features"] = one.features and {
                name: [REDACTED] * len(cells) if name in self._subject.redact else list(cells)
                for name, cells in one.features.items()
            }
        record["predictions"] = None if one.predictions is None else list(one.predictions)
        return line(record)

    def _label_line(self, label: LabelCame) -> bytes:
        return line(
            {
                "kind": "label",
                "time": instant(label.arrived),
                "request_id": label.request_id,
                "model": self._subject.model,
                "version": self._subject.version,
                "labels": list(label.labels),
                "joined": label.joined,
            }
        )


def count_classes(classes: dict[str, int], cells: list[Any]) -> None:
    """Count whole numbers, texts and booleans by name: the first `MAX_CLASSES` of them, and all further ones as one."""
    by_kind: dict[type, list[Any]] = {}
    kinds = set(map(type, cells))
    if len(kinds) == 1:
        by_kind[kinds.pop()] = cells
    else:  # 1, 1.0 and True are equal, and not the same class
        for given in cells:
            cell = given.item() if hasattr(given, "item") else given
            by_kind.setdefault(type(cell), []).append(cell)
    for kind in [kind for kind in by_kind if kind in _CLASSES]:
        for cell, times in Counter(by_kind[kind]).items():
            name = _name(cell)
            if name not in classes and len(classes) >= MAX_CLASSES:
                name = OTHER
            classes[name] = classes.get(name, 0) + times


def _name(cell: Any) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int):
        return str(cell) if abs(cell) < 10**20 else "huge"
    return str(cell)[:100]


def _spread(predictions: Sequence[Any], outputs: dict[str, list[Any]]) -> None:
    """Sort the predictions of some rows by output: one value a row has the name '', several go by name or position."""
    if all(type(row) in _SCALARS for row in predictions):
        outputs.setdefault("", []).extend(predictions)
        return
    for row in predictions:
        if isinstance(row, dict):
            named: Iterable[tuple[Any, Any]] = list(row.items())[:MAX_OUTPUTS]
        elif isinstance(row, list | tuple):
            named = enumerate(row[:MAX_OUTPUTS])
        else:
            named = (("", row),)
        for name, value in named:
            outputs.setdefault(str(name), []).append(value)


def _feature_rows(one: Answered) -> int:
    return len(next(iter(one.features.values()))) if one.features else 0


def _rows(one: Answered) -> int:
    if one.predictions is not None:
        return max(1, len(one.predictions))
    return max(1, _feature_rows(one))
