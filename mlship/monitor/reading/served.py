"""The prediction logs of mlship's own servers: requests of several rows become rows, and labels find them.

Lines are those of `serving.predictionlog`; files are `predictions-WORKER-NUMBER.jsonl` in one directory a version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.errors import DataError
from mlship.monitor.reading.logs import Chunk, Files, Found, Piece, Wanted
from mlship.monitor.reading.taking import Names
from mlship.monitor.reading.values import Met
from mlship.serving.predictionlog import found as files_of
from mlship.serving.tally import unpacked
from mlship.sources.quick import series
from mlship.types.monitoring import Baseline

if TYPE_CHECKING:
    import pandas as pd

#: Columns that a feature of the model cannot be called.
_TIME, _KEY, _VERSION, _ANSWER, _SCORE, _FEATURE = (
    f"\0{name}" for name in ("time", "key", "version", "answer", "score", "")
)
NAMES = Names(_TIME, _ANSWER, _SCORE, _KEY, _VERSION, None, {"": _FEATURE})
"""What the rows are called; features by their own name behind that of ''."""


@dataclass(frozen=True, slots=True)
class Served:
    """Implements ``logs.Source`` for directories of prediction logs."""

    directories: tuple[Path, ...]
    baseline: Baseline
    now: float

    @property
    def name(self) -> str:
        """See ``Source.name``."""
        return "the servers' prediction logs"

    def pieces(self, stack: ExitStack, known: Mapping[str, Met] | None, reach: float | None) -> Found:
        """See ``Source.pieces``; raises ``DataError`` when no server keeps a log."""
        total = Found(())
        if not any(files_of(directory) for directory in self.directories):
            hint = (
                "serving: {log: {sample: 10 %}} in the policy makes them, and `monitor: {log: ...}` names one of yours"
            )
            raise DataError("no server has a prediction log", where=self.baseline.model, hint=hint)
        for directory in self.directories:
            if files_of(directory):
                wanted = Wanted(
                    "time",
                    {
                        "kind": None,
                        "request_id": None,
                        "version": None,
                        "features": None,
                        "predictions": None,
                        "labels": None,
                    },
                )
                inner = Files(
                    f"{directory}/predictions-*.jsonl", directory / "predictions-*.jsonl", wanted, "UTC", self.now
                )
                found = inner.pieces(stack, known, reach)
                pieces = tuple(
                    replace(
                        piece,
                        chunks=partial(self._chunks, piece),
                        met=replace(piece.met, name=f"{directory.name}/{piece.met.name}"),
                    )
                    for piece in found.pieces
                )
                total = Found(total.pieces + pieces, {**total.skipped, **found.skipped}, total.notes + found.notes)
        return total

    def _chunks(self, piece: Piece) -> Iterator[Chunk]:
        for chunk in piece.chunks():
            yield self._flat(chunk)

    def _flat(self, chunk: Chunk) -> Chunk:
        """One row for each row of a request."""
        times: list[Any] = []
        keys: list[str] = []
        versions: list[Any] = []
        answers: list[Any] = []
        columns: dict[str, list[Any]] = {}
        for line in _lines(chunk, "prediction"):
            features = line["features"] if isinstance(line["features"], dict) else {}
            said = line["predictions"]
            said = said if isinstance(said, list) else None
            rows = len(said) if said is not None else max((len(cells) for cells in features.values()), default=0)
            start = len(keys)
            keys += [_key(line["request_id"], row) for row in range(rows)]
            times += [line["time"]] * rows
            versions += [line["version"]] * rows
            answers += [unpacked(one) for one in said] if said is not None else [None] * rows
            for name, cells in features.items():
                column = columns.setdefault(name, [])
                column += [None] * (start - len(column))
                column += (list(cells) + [None] * rows)[:rows]
        named = {f"{_FEATURE}{name}": cells + [None] * (len(keys) - len(cells)) for name, cells in columns.items()}
        made = {name: series(cells) for name, cells in named.items()}
        made |= {_TIME: series(times), _KEY: series(keys), _VERSION: series(versions)}
        if answers:
            made |= self._said(answers)
        return Chunk(made, len(keys), frozenset(made))

    def _said(self, cells: list[Any]) -> dict[str, pd.Series[Any]]:
        """Answers, or scores: floats that are no classes are probabilities."""
        if self.baseline.task == "numbers":
            return {_ANSWER: series(cells)}
        floats = [cell for cell in cells if isinstance(cell, float)]
        if floats and not {f"{cell:g}" for cell in floats} <= set(self.baseline.labels):
            return {_SCORE: series(cells)} if self.baseline.scores is not None else {}
        return {_ANSWER: series(cells)}


def label_batches(source: Any) -> Iterator[tuple[pd.Series[Any], pd.Series[Any]]]:
    """(keys, labels) of all that callers have told the servers."""
    assert isinstance(source, Served), "other logs have no lines of labels"
    for directory in source.directories:
        if not files_of(directory):
            continue
        wanted = Wanted("time", {"kind": None, "request_id": None, "labels": None})
        inner = Files(f"{directory}/predictions-*.jsonl", directory / "predictions-*.jsonl", wanted, "UTC", source.now)
        with ExitStack() as stack:
            for piece in inner.pieces(stack, None, None).pieces:
                for chunk in piece.chunks():
                    keys: list[str] = []
                    labels: list[Any] = []
                    for line in _lines(chunk, "label"):
                        told = line["labels"] if isinstance(line["labels"], list) else []
                        keys += [_key(line["request_id"], row) for row in range(len(told))]
                        labels += told
                    if keys:
                        yield series(keys), series(labels)


def _lines(chunk: Chunk, kind: str) -> Iterator[dict[str, Any]]:
    names = list(chunk.columns)
    for cells in zip(*(chunk.columns[name].astype(object) for name in names), strict=True):
        line = dict(zip(names, cells, strict=True))
        if line.get("kind") == kind:
            yield line


def _key(request_id: Any, row: int) -> str:
    """The name of one row's prediction, as `/counters` has it: the second of a request has `.1` behind its id."""
    return f"{request_id}.{row}" if row else str(request_id)
