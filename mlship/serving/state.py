"""What one worker knows of its requests, as plain values that merge: nothing here needs a server, numpy or a clock.

A worker's state is sent to the others as JSON. Merged over workers, living and dead, it is the state of the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from mlship.stats.sketches import ColumnSketch
from mlship.types import OTHER_CLASS

#: Bounds of what merging keeps: seconds with labels, and classes of one output that are counted one by one. A worker
#: alone counts far fewer classes, so that in practice no class that was shown is ever put with the others.
MAX_SECONDS = 4096
MAX_CLASSES = 1000
#: The name that all further classes share in `/metrics`; in `/counters` it is `OTHER_CLASS`.
OTHER = "__other__"

#: Nested dictionaries and lists of numbers.
Counts = dict[str, Any]


@dataclass(slots=True)
class State:
    """Everything that `/metrics`, `/counters` and `/sketches` are made of."""

    counts: Counts = field(default_factory=dict)
    """What only grows: it is kept when the worker is gone."""
    present: Counts = field(default_factory=dict)
    """What holds now: it goes with the worker."""
    features: dict[str, ColumnSketch] = field(default_factory=dict)
    outputs: dict[str, ColumnSketch] = field(default_factory=dict)
    """By name of the output; a model with one output per row has the name ''."""

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads back as the same state."""
        return {
            "counts": self.counts,
            "present": self.present,
            "features": {name: sketch.to_json() for name, sketch in self.features.items()},
            "outputs": {name: sketch.to_json() for name, sketch in self.outputs.items()},
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The state that `to_json` wrote."""
        features, outputs = (
            {name: ColumnSketch.from_json(sketch) for name, sketch in document[part].items()}
            for part in ("features", "outputs")
        )
        return cls(document["counts"], document["present"], features, outputs)

    def gone(self) -> Self:
        """What is left of a worker that has ended."""
        return type(self)(self.counts, {}, self.features, self.outputs)


def merged(states: Iterable[State]) -> State:
    """All states as one; the states themselves are not changed."""
    total = State()
    for state in states:
        total.counts = _sum(total.counts, state.counts)
        total.present = _sum(total.present, state.present)
        for mine, theirs in ((total.features, state.features), (total.outputs, state.outputs)):
            for name, sketch in theirs.items():
                if name not in mine:
                    mine[name] = ColumnSketch()
                mine[name].merge(sketch)
    labels = total.counts.get("labels")
    if labels and len(labels) > MAX_SECONDS:
        total.counts["labels"] = {key: labels[key] for key in sorted(labels, key=int)[-MAX_SECONDS:]}
    for name, classes in total.counts.get("classes", {}).items():
        total.counts["classes"][name] = bounded(classes, MAX_CLASSES, OTHER)
    if (predicted := total.counts.get("predicted")) is not None:
        predicted["classes"] = bounded(predicted["classes"], MAX_CLASSES, OTHER_CLASS)
    return total


def bounded(classes: dict[str, int], most: int, rest: str) -> dict[str, int]:
    """The first `most` classes one by one, in the order in which they came, and all further ones as one: `rest`."""
    if len(classes) <= most:
        return classes
    names = [name for name in classes if name != rest]
    if len(names) <= most:
        return classes
    kept = {name: classes[name] for name in names[:most]}
    return kept | {rest: sum(classes.values()) - sum(kept.values())}


def _sum(one: Any, other: Any) -> Any:
    """Add numbers, lists position by position, dictionaries key by key; always a new value."""
    if isinstance(one, dict):
        both = {key: _sum(value, other[key]) if key in other else _copy(value) for key, value in one.items()}
        return both | {key: _copy(value) for key, value in other.items() if key not in one}
    if isinstance(one, list):
        return [mine + theirs for mine, theirs in zip(one, other, strict=True)]
    return one + other


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, list) else value
