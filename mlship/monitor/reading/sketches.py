"""What servers export becomes windows: the difference of two looks at their sketches, in the baseline's bins. Pure.

Sketches only grow while a server runs; a restart begins a new epoch, in which all counts anew. So a window lasts from
one look to the next, and needs no rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from mlship.stats import buckets, cutting
from mlship.stats.sketches import ColumnSketch
from mlship.types.monitoring import Baseline, Bins, Counts, Tally

if TYPE_CHECKING:
    from mlship.engines.exported import Exported

#: A window may be shorter by this share: whoever looks every hour looks a moment earlier now and then.
EARLY = 0.05
#: Seconds after which a server that does not answer is forgotten.
FORGOTTEN = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Server:
    """What one server had said by a moment."""

    at: float
    epoch: str
    missed: int
    thinned: int
    features: Mapping[str, ColumnSketch]
    outputs: Mapping[str, ColumnSketch]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The last look at the servers of a version: what the next one is held against."""

    at: float
    """Unix time."""
    servers: Mapping[str, Server] = field(default_factory=dict)
    """By a name that is new at each deployment; also of a server that did not answer, as it last did."""

    @classmethod
    def empty(cls, at: float) -> Self:
        """Of a moment when no server had seen anything, such as that of the promotion."""
        return cls(at)

    @classmethod
    def of(cls, at: float, told: Mapping[str, Exported], version: str) -> Self:
        """A look at the servers, of which those of other versions are left out."""
        ours = {name: one for name, one in told.items() if one.version == version}
        servers = {
            name: Server(at, one.epoch, one.missed, one.thinned, one.features, one.outputs)
            for name, one in ours.items()
        }
        return cls(at, servers)

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads back as the same value."""

        def sketches(columns: Mapping[str, ColumnSketch]) -> dict[str, Any]:
            return {name: sketch.to_json() for name, sketch in columns.items()}

        return {
            "at": self.at,
            "servers": {
                name: {
                    "at": one.at,
                    "epoch": one.epoch,
                    "missed": one.missed,
                    "thinned": one.thinned,
                    "features": sketches(one.features),
                    "outputs": sketches(one.outputs),
                }
                for name, one in self.servers.items()
            },
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""

        def sketches(columns: Mapping[str, Any]) -> dict[str, ColumnSketch]:
            return {name: ColumnSketch.from_json(sketch) for name, sketch in columns.items()}

        servers = {
            name: Server(
                one["at"],
                one["epoch"],
                one["missed"],
                one["thinned"],
                sketches(one["features"]),
                sketches(one["outputs"]),
            )
            for name, one in document["servers"].items()
        }
        return cls(document["at"], servers)


def formed(before: Snapshot | None, now: Snapshot, baseline: Baseline) -> tuple[Tally | None, Snapshot]:
    """The window since the last look, and what to hold the next look against.

    None while it is shorter than the policy's window, when there was no traffic, and at the first look ever, for nobody
    knows when that began. A server that is new since, or has begun anew (another epoch, or less than before), counts
    with all that it says; one that does not answer now counts later, with all that it then has on top.

    Parameters
    ----------
    before
        The second value of the last call; None: there was none.
    """
    if before is None:
        return None, now
    if now.at - before.at < baseline.window * (1 - EARLY):
        return None, before
    kept = {
        name: one for name, one in before.servers.items() if name not in now.servers and one.at >= now.at - FORGOTTEN
    }
    came = [_came(before.servers.get(name), one) for name, one in now.servers.items()]
    tally = _tally([one for one in came if _rows(one)], baseline, before.at, now.at - before.at)
    return tally, Snapshot(now.at, {**kept, **now.servers})


def lacking(now: Snapshot, baseline: Baseline, redacted: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Features of the baseline that no server tells, though some tell features, and that are not `redacted`."""
    told = {name for one in now.servers.values() for name in one.features}
    return tuple(name for name in baseline.features if name not in told | redacted) if told else ()


def _came(before: Server | None, now: Server) -> Server:
    """What a server has seen since."""
    if before is None or before.epoch != now.epoch:
        return now
    try:
        features, outputs = (
            {name: cutting.between(old.get(name), sketch) for name, sketch in new.items()}
            for old, new in ((before.features, now.features), (before.outputs, now.outputs))
        )
    except ValueError:
        return now
    missed, thinned = now.missed - before.missed, now.thinned - before.thinned
    if min(missed, thinned) < 0:
        return now
    return Server(now.at, now.epoch, missed, thinned, features, outputs)


def _rows(one: Server) -> int:
    """Rows that a server has answered."""
    told = [sketch.count for sketch in one.outputs.values()]
    return (max(told) if told else _looked_at(one) + one.thinned) + one.missed


def _looked_at(one: Server) -> int:
    """Rows whose features are counted."""
    return max((sketch.count for sketch in one.features.values()), default=0)


def _tally(servers: list[Server], baseline: Baseline, start: float, seconds: float) -> Tally | None:
    if not servers:
        return None
    features: dict[str, Counts] = {}
    for name, column in baseline.features.items():
        told = [cutting.of_sketch(one.features[name], column.bins) for one in servers if name in one.features]
        if told and any(counts := cutting.added(*told)):
            features[name] = counts
    rows, sampled = sum(map(_rows, servers)), sum(map(_looked_at, servers))
    answers, scores = zip(*(_said(one, baseline) for one in servers), strict=True)
    return Tally(
        start=start,
        seconds=seconds,
        rows=rows,
        features=features,
        answers=_sum(answers),
        scores=_sum(scores),
        sampled=None if sampled == rows else sampled,
    )


def _sum(told: tuple[Counts | None, ...]) -> Counts | None:
    known = [counts for counts in told if counts is not None]
    return cutting.added(*known) if known else None


def _said(one: Server, baseline: Baseline) -> tuple[Counts | None, Counts | None]:
    """(answers, scores) of a server; None for what it does not tell.

    Numbers that are all classes are classes; other numbers are the probability of the positive class where the baseline
    has scores: of several outputs, as of `predict_proba`, the last.
    """
    if not one.outputs:
        return None, None
    sketch = one.outputs[_last(list(one.outputs))]
    if baseline.answers is not None and (baseline.task == "numbers" or baseline.answers.bins.kind == "numbers"):
        return cutting.of_sketch(sketch, baseline.answers.bins), None
    if len(one.outputs) == 1 and baseline.answers is not None:
        classes = _classes(sketch, baseline.answers.bins)
        if classes is not None:
            return classes, None
    return None, None if baseline.scores is None else cutting.of_sketch(sketch, baseline.scores.bins)


def _last(names: list[str]) -> str:
    """The last of the outputs: they are named by their position where they have no names."""
    return max(names, key=int) if all(name.isdecimal() for name in names) else names[-1]


def _classes(sketch: ColumnSketch, bins: Bins) -> Counts | None:
    """Counts of classes, which may be numbers; None when there are numbers that are no class."""
    counts = list(cutting.of_sketch(sketch, bins))
    numbers = {index: times for index, times in buckets.counted(sketch.numbers).items() if index != buckets.MISSING}
    if not numbers:
        return tuple(counts)
    places: dict[int, int] = {}
    for place, name in enumerate(bins.names):
        try:
            places[buckets.bucket(float(name))] = place
        except ValueError:
            places |= {buckets.bucket(float(name == "true")): place} if name in ("true", "false") else {}
    if not numbers.keys() <= places.keys():
        return None
    counts[bins.unlike] -= sum(numbers.values())
    for index, times in numbers.items():
        counts[places[index]] += times
    return tuple(counts)
